import { type Clock, wait } from '../platform/clock.ts';

/** How a call ended. A failure says whether GitHub may have done it all the same. */
export type Answer =
  /** `nextCursor`: of a list that goes on. */
  | { readonly kind: 'ok'; readonly status: number; readonly body: unknown; readonly nextCursor: string | undefined }
  /** There is no such thing, any more or for us. */
  | { readonly kind: 'missing'; readonly message: string }
  /** `at`: when that was, by GitHub's clock. */
  | { readonly kind: 'refused'; readonly status: number; readonly message: string; readonly at?: number }
  /** Too many calls; nothing was done. */
  | { readonly kind: 'limited'; readonly afterMs: number; readonly message: string }
  | { readonly kind: 'unreachable'; readonly doubtful: boolean; readonly message: string };

export type Failure = Exclude<Answer, { readonly kind: 'ok' }>;

export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** Below the API's address, with its query; every part from outside is escaped (see `at`). */
  readonly path: string;
  readonly body?: unknown;
}

/** A path of the API: what is filled in cannot leave its place. */
export const at = (parts: TemplateStringsArray, ...values: readonly (string | number)[]): string =>
  parts.reduce((path, part, index) => path + encodeURIComponent(String(values[index - 1])) + part);

/** `owner/name` as two parts of a path. */
export const repo = (fullName: string): string => `/repos/${fullName.split('/').map(encodeURIComponent).join('/')}`;

export interface Wire {
  readonly apiUrl: string;
  readonly clock: Clock;
  readonly userAgent: string;
}

const timeoutMs = 20_000;
const secondaryLimitMs = 60_000;
const longestWaitMs = 3_600_000;
const maxRedirects = 3;

/**
 * One call, never thrown from. A library would follow the limits by itself, by waiting inside of the call; here the outbox
 * waits, where it can be seen and survives a restart, so what is needed of a client is this much.
 */
export async function call(wire: Wire, authorization: string, request: Call, signal: AbortSignal): Promise<Answer> {
  const timeout = new AbortController();
  const cancel = wire.clock.after(timeoutMs, () => timeout.abort());
  try {
    const both = AbortSignal.any([signal, timeout.signal]);
    let url = new URL(wire.apiUrl.replace(/\/+$/, '') + request.path);
    for (let hop = 0; ; hop++) {
      const response = await fetch(url, {
        method: request.method,
        headers: {
          accept: 'application/vnd.github+json',
          'x-github-api-version': '2022-11-28',
          'user-agent': wire.userAgent,
          authorization,
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        // Followed here: a repository that was renamed answers so, and a POST must stay one.
        redirect: 'manual',
        signal: both,
      });
      const location = response.headers.get('location');
      if (response.status < 300 || response.status > 399 || location === null || hop === maxRedirects) {
        return await answerOf(response, wire.clock);
      }
      await response.body?.cancel();
      const next = new URL(location, url);
      if (next.origin !== url.origin) return { kind: 'refused', status: response.status, message: 'GitHub sent us elsewhere.' };
      url = next;
    }
  } catch (error) {
    const refused = codeOf(error) === 'ECONNREFUSED' || codeOf(error) === 'ENOTFOUND' || codeOf(error) === 'EAI_AGAIN';
    const why = timeout.signal.aborted ? `no answer within ${timeoutMs / 1_000} s` : messageOf(error);
    return { kind: 'unreachable', doubtful: !refused, message: `GitHub cannot be reached: ${why}.` };
  } finally {
    cancel();
  }
}

async function answerOf(response: Response, clock: Clock): Promise<Answer> {
  const { status, headers } = response;
  const text = await response.text();
  if (status >= 200 && status < 300) {
    return { kind: 'ok', status, body: text === '' ? null : JSON.parse(text), nextCursor: cursorIn(headers.get('link') ?? '') };
  }
  const message = `GitHub answered ${status}: ${said(text)}`;
  // Its own time, because ours may be wrong.
  const date = Date.parse(headers.get('date') ?? '');
  const at = Number.isNaN(date) ? undefined : date;
  if (status === 403 || status === 429) {
    const afterMs = limitOf(status, headers, text, at ?? clock.now());
    if (afterMs !== undefined) return { kind: 'limited', afterMs, message };
  }
  if (status === 404 || status === 410 || status === 451) return { kind: 'missing', message };
  if (status >= 500 || status === 408) return { kind: 'unreachable', doubtful: status !== 503, message };
  return { kind: 'refused', status, message, ...(at === undefined ? {} : { at }) };
}

const cursorIn = (link: string): string | undefined => {
  const next = /<([^>]+)>;\s*rel="next"/.exec(link)?.[1];
  return next !== undefined && URL.canParse(next) ? (new URL(next).searchParams.get('cursor') ?? undefined) : undefined;
};

/** The three ways in which GitHub says "not so fast", or undefined when it says something else. */
function limitOf(status: number, headers: Headers, text: string, now: number): number | undefined {
  const retryAfter = Number(headers.get('retry-after') ?? Number.NaN);
  if (retryAfter >= 0) return Math.min(longestWaitMs, Math.max(1, retryAfter) * 1_000);
  if (headers.get('x-ratelimit-remaining') === '0') {
    const resetAt = Number(headers.get('x-ratelimit-reset')) * 1_000;
    return Math.min(longestWaitMs, Math.max(1_000, resetAt - now + 1_000));
  }
  return status === 429 || /rate limit/i.test(text) ? secondaryLimitMs : undefined;
}

/** All pages of a list, or the first `maxPages` of them, a hundred items each; with `enough`, as far as the page that is. */
export async function listAll(
  read: (path: string) => Promise<Answer>,
  path: string,
  maxPages: number,
  enough: (page: readonly unknown[]) => boolean = () => false,
): Promise<{ readonly kind: 'ok'; readonly items: readonly unknown[] } | Failure> {
  const items: unknown[] = [];
  for (let page = 1; page <= maxPages; page++) {
    const answer = await read(`${path}${path.includes('?') ? '&' : '?'}per_page=100&page=${page}`);
    if (answer.kind !== 'ok') return answer;
    const found = Array.isArray(answer.body) ? answer.body : [];
    items.push(...found);
    if (found.length < 100 || enough(found)) break;
  }
  return { kind: 'ok', items };
}

/** Reads once more what could not be read for a moment; only for what changes nothing. */
export async function patiently(clock: Clock, read: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  const first = await read();
  if (first.kind !== 'unreachable' || signal.aborted) return first;
  await wait(clock, 500, signal);
  return read();
}

function said(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === 'string') return message.slice(0, 300);
  } catch {
    // Not JSON: the beginning of whatever it is will do.
  }
  return text.replaceAll(/\s+/g, ' ').slice(0, 100) || 'nothing';
}

const codeOf = (error: unknown): string => {
  const cause = error instanceof Error ? error.cause : undefined;
  return typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
};

const messageOf = (error: unknown): string => {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? cause.message || codeOf(error) : error instanceof Error ? error.message : String(error);
};
