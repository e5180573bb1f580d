import { legible } from '../text/legible.ts';

/** One call of the API. What the server refuses, and a server that does not answer, are values: every caller has to show them. */
export type Answer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

export interface Refusal {
  /** 0 when there was no answer. */
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Which fields were refused, and why. */
  readonly fields: Readonly<Record<string, string>>;
}

const timeoutMs = 20_000;

export async function call<T>(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<Answer<T>> {
  try {
    const response = await fetch(`/api${path}`, {
      method,
      credentials: 'same-origin',
      signal: AbortSignal.timeout(timeoutMs),
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (response.status === 204) return { ok: true, value: undefined as T };
    const content: unknown = JSON.parse(legible(await response.text()));
    return response.ok ? { ok: true, value: content as T } : { ok: false, refusal: refusalOf(response.status, content) };
  } catch {
    return {
      ok: false,
      refusal: {
        status: 0,
        code: 'no-answer',
        message: 'The server does not answer. Nothing was changed, as far as can be told.',
        fields: {},
      },
    };
  }
}

export const get = <T>(path: string): Promise<Answer<T>> => call<T>('GET', path);

function refusalOf(status: number, content: unknown): Refusal {
  const problem = typeof content === 'object' && content !== null ? (content as Record<string, unknown>) : {};
  return {
    status,
    code: typeof problem['code'] === 'string' ? problem['code'] : 'unknown',
    message: typeof problem['detail'] === 'string' ? problem['detail'] : `The server answered ${status}.`,
    fields: Object.fromEntries(errorsIn(problem['errors'])),
  };
}

function errorsIn(errors: unknown): readonly (readonly [string, string])[] {
  if (!Array.isArray(errors)) return [];
  return errors.map((each: Readonly<Record<string, unknown>>) => [String(each['path']).split('.')[0] ?? '', String(each['message'])]);
}
