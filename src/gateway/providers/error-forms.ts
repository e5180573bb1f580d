/** What a provider said about a refusal, as far as it can be understood. */
export interface Said {
  /** The error's type by the API's own names, when it used one. */
  readonly type?: string;
  readonly message?: string;
  /** The status that stands in the body: some answer with 200 and tell the truth inside. */
  readonly status?: number;
}

/**
 * The API's own form, `{error: {type, message}}`; OpenRouter's, `{error: {code, message}}`; Cloudflare's,
 * `{success: false, errors: [{code, message}]}`, where some answers say `error` for `errors`; and a bare message.
 * A page of a proxy says nothing that anybody could use.
 */
export function errorIn(text: string): Said {
  const body = parsed(text);
  const errors = Array.isArray(body['errors']) ? body['errors'] : body['error'];
  const error = Array.isArray(errors) ? errors[0] : errors;
  if (typeof error === 'string') return said(undefined, error, undefined);
  const { type, message, code } = record(error);
  return said(type, message ?? body['message'] ?? body['detail'], code);
}

/** Whether an answer that claims to have succeeded begins like one of these. */
export const looksLikeError = (beginning: string): boolean => /^\s*\{\s*"(?:error|errors|success)"\s*:/.test(beginning);

const longestMessage = 2_000;

function said(type: unknown, message: unknown, code: unknown): Said {
  const status = typeof code === 'string' ? Number(code) : code;
  return {
    ...(typeof type === 'string' && /^[a-z_]{1,60}$/.test(type) ? { type } : {}),
    ...(typeof message === 'string' && message.trim() !== '' ? { message: message.slice(0, longestMessage) } : {}),
    ...(typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599 ? { status } : {}),
  };
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return record(JSON.parse(text));
  } catch {
    return {};
  }
}

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
