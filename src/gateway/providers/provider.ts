import type { Caller } from '../caller.ts';

export type Endpoint = 'messages' | 'count_tokens' | 'models';

/** One request of the Messages API, authorised, and without the headers that are none of a provider's business. */
export interface ModelRequest {
  readonly caller: Caller;
  readonly endpoint: Endpoint;
  /** The query as it came, with its `?`, or nothing. */
  readonly query: string;
  readonly headers: Headers;
  /** As it came; null for `models`. */
  readonly body: Buffer | null;
  /** The same, parsed. */
  readonly message: MessagesBody;
}

/** What the gateway itself looks at in a request; everything else is between the agent and the provider. */
export interface MessagesBody {
  readonly model?: unknown;
  readonly stream?: unknown;
  readonly max_tokens?: unknown;
  readonly system?: unknown;
  readonly messages?: unknown;
  readonly tools?: unknown;
  readonly tool_choice?: unknown;
  readonly thinking?: unknown;
  readonly speed?: unknown;
  readonly inference_geo?: unknown;
}

/**
 * Something that answers the Messages API. Refusals of the provider and a provider that cannot be reached are answers
 * too, in the form of the API, and those that will not change carry `x-should-retry: false`. One that was sent the request
 * and did not answer is told by another status than one that was not reached (`isLost`). It rejects only when the signal
 * aborts. A body that breaks off fails its reader; cancelling the body or aborting ends the call upstream.
 */
export interface Provider {
  readonly name: string;
  answer(request: ModelRequest, signal: AbortSignal): Promise<Response>;
}

/** The error types of the Messages API by status, for those that have one. */
const errorTypes: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

export const errorTypeOf = (status: number): string => errorTypes[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');

/** The request was sent, and broke or timed out before anything came back, here or further on: it may have to be paid for. */
export const isLost = (status: number): boolean => status === 502 || status === 504 || status === 520 || status === 524;

/** Asking again would give the same answer. The SDK retries even 401 unless it is told so. */
const permanent = new Set([400, 401, 402, 403, 404, 405, 413, 422]);

export interface ApiError {
  readonly status: number;
  readonly message: string;
  /** When the status alone does not say it. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function errorAnswer({ status, message, type, headers }: ApiError): Response {
  return Response.json(
    { type: 'error', error: { type: type ?? errorTypeOf(status), message } },
    { status, headers: { ...(permanent.has(status) ? { 'x-should-retry': 'false' } : {}), ...headers } },
  );
}
