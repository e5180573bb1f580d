import { type IncomingMessage, request as plainRequest } from 'node:http';
import { exits, Failure } from './failure.ts';
import { oneLine } from './legible.ts';

export interface Place {
  readonly address: string;
  /** How the address was found, for the error that says nobody is there. */
  readonly origin: string;
  readonly key: string | undefined;
  readonly keyOrigin: string;
  readonly timeoutMs: number;
}

/** Talks to one server. Whatever is not an answer to the request is thrown as a `Failure` that says what to do. */
export interface Client {
  readonly address: string;
  get<T>(path: string): Promise<T>;
  send<T>(method: 'POST' | 'PATCH' | 'PUT', path: string, body?: unknown): Promise<{ readonly status: number; readonly body: T }>;
  delete(path: string): Promise<void>;
  /** What is no JSON, whole; it may be long, so only the beginning of the answer is waited for no longer than usual. */
  text(path: string): Promise<string>;
  /** The bytes of an event stream; undefined when there is nothing more to come. */
  stream(path: string, lastEventId: string | undefined, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | undefined>;
}

interface Request {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export function createClient(place: Place): Client {
  const exchange = async <T>(path: string, request: Request): Promise<{ readonly status: number; readonly body: T }> => {
    const timeout = AbortSignal.timeout(place.timeoutMs);
    const response = await ask(place, path, request, timeout);
    const empty = response.statusCode === 204;
    if (empty) response.resume();
    const body = empty ? undefined : await jsonIn(place, response, timeout);
    if (!succeeded(response)) throw refusal(place, response, body);
    return { status: response.statusCode ?? 0, body: body as T };
  };

  return {
    address: place.address,
    get: async <T>(path: string) => (await exchange<T>(path, {})).body,
    send: (method, path, body) =>
      exchange(
        path,
        body === undefined ? { method } : { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      ),
    async delete(path) {
      await exchange(path, { method: 'DELETE' });
    },
    async text(path) {
      const { response, signal } = await opened(place, path, {});
      if (!succeeded(response)) throw refusal(place, response, await jsonIn(place, response, signal));
      return (await wholeOf(place, response, signal)).toString();
    },
    async stream(path, lastEventId, signal) {
      const headers = { accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) };
      const { response, signal: both } = await opened(place, path, headers, signal);
      if (response.statusCode === 204) return undefined;
      if (!succeeded(response)) throw refusal(place, response, await jsonIn(place, response, both));
      if (!typeOf(response).startsWith('text/event-stream')) throw stranger(place, response);
      return response;
    },
  };
}

/** The beginning of an answer that may take long after that. */
async function opened(
  place: Place,
  path: string,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<{ readonly response: IncomingMessage; readonly signal: AbortSignal }> {
  const opening = new AbortController();
  const timer = setTimeout(() => opening.abort(new DOMException('no answer', 'TimeoutError')), place.timeoutMs);
  const both = signal ? AbortSignal.any([signal, opening.signal]) : opening.signal;
  return { response: await ask(place, path, { headers }, both).finally(() => clearTimeout(timer)), signal: both };
}

/** node:http rather than fetch: fetch refuses to talk to some ports on which a server may well listen. */
async function ask(
  place: Place,
  path: string,
  { method = 'GET', headers = {}, body }: Request,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const request = place.address.startsWith('https:') ? (await import('node:https')).request : plainRequest;
  const authorization = place.key === undefined ? {} : { authorization: `Bearer ${place.key}` };
  return new Promise((resolve, reject) => {
    request(`${place.address}${path}`, { method, headers: { ...headers, ...authorization }, signal })
      .once('response', resolve)
      .once('error', (cause) => reject(noAnswer(place, cause, signal)))
      .end(body);
  });
}

const succeeded = ({ statusCode = 0 }: IncomingMessage): boolean => statusCode >= 200 && statusCode < 300;

const typeOf = ({ headers }: IncomingMessage): string => headers['content-type'] ?? '';

async function jsonIn(place: Place, response: IncomingMessage, signal: AbortSignal): Promise<unknown> {
  if (!/^application\/(?:problem\+)?json\b/.test(typeOf(response))) throw stranger(place, response);
  const text = (await wholeOf(place, response, signal)).toString();
  try {
    return JSON.parse(text);
  } catch {
    throw stranger(place, response);
  }
}

async function wholeOf(place: Place, response: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) chunks.push(chunk);
  } catch (cause) {
    throw noAnswer(place, cause, signal);
  }
  return Buffer.concat(chunks);
}

function noAnswer({ address, origin, timeoutMs }: Place, cause: unknown, signal: AbortSignal): Failure {
  if (signal.aborted && signal.reason instanceof Error && signal.reason.name === 'TimeoutError') {
    return new Failure(
      exits.unreachable,
      'timeout',
      `The server at ${address} (${origin}) gave no answer within ${timeoutMs / 1_000} s. Its log may say why; --timeout waits longer.`,
      {},
      cause,
    );
  }
  return new Failure(
    exits.unreachable,
    'server-not-reachable',
    `No Nightshift server answers at ${address} (${origin}): ${transportMessage(cause)}.\nStart it with \`nightshift up\`, or say where it is with --url or NIGHTSHIFT_URL.`,
    {},
    cause,
  );
}

const transportMessages: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'its name cannot be looked up',
  ECONNRESET: 'the connection was cut',
  ETIMEDOUT: 'it does not let anybody connect',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  EPROTO: 'it does not speak TLS; is it http:// rather than https://?',
};

function transportMessage(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = 'code' in cause ? String(cause.code) : '';
  return transportMessages[code] ?? (cause.message || code);
}

function stranger({ address, origin }: Place, response: IncomingMessage): Failure {
  response.destroy();
  const type = typeOf(response).split(';')[0] || 'no content type';
  const moved = response.headers.location;
  return new Failure(
    exits.unreachable,
    'not-nightshift',
    `What answers at ${address} (${origin}) is not a Nightshift server: it sent ${oneLine(type)} with status ${response.statusCode}${moved ? `, pointing to ${oneLine(moved)}` : ''}.\nCheck --url, NIGHTSHIFT_URL, or the proxy in between.`,
    { status: response.statusCode },
  );
}

interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
  readonly requestId?: string;
}

function refusal(place: Place, response: IncomingMessage, body: unknown): Failure {
  if (!isProblem(body)) return stranger(place, response);
  const { code, detail, errors = [], requestId } = body;
  const status = response.statusCode ?? 0;
  const details = { status, requestId, ...(errors.length > 0 ? { errors } : {}) };
  if (status === 401) return new Failure(exits.keyRefused, code, keyRefused(place, code), details);
  // With more than one bad field the sentence runs them together; a list is easier to read.
  const message =
    errors.length > 1 ? ['The server refused this:', ...errors.map((each) => `  ${each.path}: ${each.message}`)].join('\n') : detail;
  return new Failure(status >= 500 ? exits.failed : exits.refused, code, message, details);
}

function keyRefused({ address, key, keyOrigin }: Place, code: string): string {
  const remedy = '`nightshift token` on the server prints the right one; give it in NIGHTSHIFT_TOKEN.';
  if (key === undefined || code === 'no-key') return `The server at ${address} wants an API key, and none was found here. ${remedy}`;
  return `The server at ${address} does not accept this API key (from ${keyOrigin}). ${remedy}`;
}

function isProblem(body: unknown): body is Problem {
  return (
    typeof body === 'object' &&
    body !== null &&
    'code' in body &&
    typeof body.code === 'string' &&
    'detail' in body &&
    typeof body.detail === 'string'
  );
}
