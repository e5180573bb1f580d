import { type ClientRequest, Agent as HttpAgent, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip } from 'node:zlib';
import type { Clock } from '../../platform/clock.ts';
import { errorIn, looksLikeError } from './error-forms.ts';
import { type Endpoint, errorAnswer, errorTypeOf, type ModelRequest, type Provider } from './provider.ts';

export interface AnthropicSettings {
  /** `claude` unless it says otherwise. */
  readonly name?: string;
  /** With or without a trailing `/v1`; a path before it is kept. */
  readonly baseUrl: string;
  /** Empty where the way itself knows the account, as a gateway with stored keys does. */
  readonly apiKey: string;
  /** How the key is shown; `x-api-key` unless it says otherwise. */
  readonly keyAs?: 'x-api-key' | 'bearer' | 'both';
  /** For a Cloudflare AI Gateway that wants to know who comes. */
  readonly gatewayToken?: () => string;
  /** Longest wait for an answer to begin. */
  readonly firstByteMs?: number;
  /** Longest silence inside an answer; the API itself pings more often. */
  readonly silenceMs?: number;
}

const paths: Readonly<Record<Endpoint, string>> = {
  messages: '/v1/messages',
  count_tokens: '/v1/messages/count_tokens',
  models: '/v1/models',
};

/** Answers of these headers only; the others speak of the account or of the connection. */
const returned = /^(?:content-type|request-id|retry-after(?:-ms)?|x-should-retry|anthropic-ratelimit-.+)$/;

const longestError = 64 * 1024;
/**
 * A connection that nobody uses is closed before the other side or something on the way closes it: a request that meets
 * that moment is lost, and nobody knows whether it has to be paid for.
 */
const keptIdleMs = 30_000;

/** The API of Anthropic, or one that speaks like it. The key stays here. */
export function anthropicProvider(settings: AnthropicSettings, clock: Clock): Provider & { close(): void } {
  const base = new URL(settings.baseUrl);
  const prefix = base.pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
  const secure = base.protocol === 'https:';
  const kept = { keepAlive: true, timeout: keptIdleMs };
  const agent = secure ? new HttpsAgent(kept) : new HttpAgent(kept);
  const wire: Wire = {
    open: (options) => (secure ? requestHttps : requestHttp)({ ...options, agent }),
    connects: secure ? 'secureConnect' : 'connect',
    clock,
    firstByteMs: settings.firstByteMs ?? 300_000,
    silenceMs: settings.silenceMs ?? 300_000,
  };
  const secrets = (): readonly string[] => [settings.apiKey, settings.gatewayToken?.() ?? ''].filter((secret) => secret !== '');
  return {
    name: settings.name ?? 'claude',
    async answer(request, signal) {
      const options = {
        host: base.hostname.replace(/^\[|\]$/g, ''),
        port: base.port || undefined,
        path: `${prefix}${paths[request.endpoint]}${request.query}`,
        method: request.body === null ? 'GET' : 'POST',
        headers: headersOf(request, settings),
      };
      const sent = await send(wire, options, request.body, signal);
      if (sent.kind === 'unreachable') return errorAnswer({ status: sent.status, message: sent.message });
      return pass(sent.response, request, secrets(), wire, signal);
    },
    close: () => agent.destroy(),
  };
}

interface Wire {
  open(options: RequestOptions): ClientRequest;
  /** The event of a socket over which something can be sent. */
  readonly connects: 'connect' | 'secureConnect';
  readonly clock: Clock;
  readonly firstByteMs: number;
  readonly silenceMs: number;
}

type Sent =
  | { readonly kind: 'answered'; readonly response: IncomingMessage }
  | { readonly kind: 'unreachable'; readonly status: number; readonly message: string };

/** Rejects only when the signal aborts. */
function send(wire: Wire, options: RequestOptions, body: Buffer | null, signal: AbortSignal): Promise<Sent> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const request = wire.open(options);
    let over = false;
    let connected = false;
    request.once('socket', (socket) => {
      if (request.reusedSocket) connected = true;
      else
        socket.once(wire.connects, () => {
          connected = true;
        });
    });
    const settled = (): void => {
      over = true;
      cancelTimer();
      signal.removeEventListener('abort', abort);
    };
    const cancelTimer = wire.clock.after(wire.firstByteMs, () => {
      settled();
      resolve({ kind: 'unreachable', status: 504, message: `The provider did not answer within ${wire.firstByteMs / 1_000} s.` });
      request.destroy();
    });
    const abort = (): void => {
      settled();
      reject(signal.reason);
      request.destroy();
    };
    signal.addEventListener('abort', abort, { once: true });
    request.once('response', (response) => {
      settled();
      // What fails from here on fails the response. The listener below would hold the request's body for as long as that
      // lasts, and so would any other that is made here.
      request.removeAllListeners('error').on('error', ignore);
      resolve({ kind: 'answered', response });
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (over) return; // we ended it ourselves, or its answer broke off, which whoever reads it sees
      settled();
      const code = error.code ?? 'connection failed';
      resolve(
        connected
          ? { kind: 'unreachable', status: 502, message: `The connection to the provider broke before it answered (${code}).` }
          : { kind: 'unreachable', status: 503, message: `The provider cannot be reached (${code}).` },
      );
    });
    request.end(body ?? undefined);
  });
}

const ignore = (): void => undefined;

async function pass(
  response: IncomingMessage,
  { message }: ModelRequest,
  secrets: readonly string[],
  wire: Wire,
  signal: AbortSignal,
): Promise<Response> {
  const status = response.statusCode ?? 502;
  const headers = new Headers(
    Object.entries(response.headers).flatMap(([name, value]) =>
      returned.test(name) && value !== undefined ? [[name, String(value)] as [string, string]] : [],
    ),
  );
  const body = flow(decoded(response), wire, signal, () => response.destroy());
  if (status >= 400) return refusal(status, headers, await beginningOf(body), secrets);
  const type = headers.get('content-type') ?? '';
  const expected = message.stream === true ? /event-stream|json/ : /json/;
  if (status !== 200 || !expected.test(type)) {
    await body.cancel();
    const what = status === 200 ? `with ${type === '' ? 'no content type' : type}` : `with status ${status}`;
    return errorAnswer({ status: 502, message: `What answers at the provider's address is not the Messages API: it answered ${what}.` });
  }
  if (!type.includes('json')) return new Response(body, { status, headers });
  const { first, whole } = await peeked(body);
  if (!looksLikeError(first)) return new Response(whole, { status, headers });
  const text = await beginningOf(whole);
  return refusal(errorIn(text).status ?? 500, headers, text, secrets);
}

/** The provider's refusal in the form of the API, whatever form it came in, and never with a secret of ours in it. */
function refusal(status: number, headers: Headers, text: string, secrets: readonly string[]): Response {
  const { type, message } = errorIn(text);
  const kept = Object.fromEntries([...headers].filter(([name]) => name !== 'content-type'));
  return errorAnswer({
    status,
    type: type ?? errorTypeOf(status),
    message: secrets.reduce(
      (told, secret) => told.replaceAll(secret, '[secret]'),
      message ?? `The provider answered with status ${status}.`,
    ),
    headers: kept,
  });
}

/** The first piece of an answer, and the answer as if nobody had looked. A body that breaks off at once still breaks off. */
async function peeked(body: ReadableStream<Uint8Array>): Promise<{ readonly first: string; readonly whole: ReadableStream<Uint8Array> }> {
  const reader = body.getReader();
  const taken = reader.read();
  const first = await taken.then(
    ({ value }) => Buffer.from(value?.subarray(0, 64) ?? []).toString('utf8'),
    () => '',
  );
  let seen = false;
  const whole = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await (seen ? reader.read() : taken);
        seen = true;
        if (value) controller.enqueue(value);
        if (done) controller.close();
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return { first, whole };
}

/** We ask for plain answers, but a proxy on the way may compress them all the same. */
function decoded(response: IncomingMessage): Readable {
  const encoding = response.headers['content-encoding'];
  const decoder = encoding === 'gzip' ? createGunzip() : encoding === 'br' ? createBrotliDecompress() : undefined;
  if (!decoder) return response;
  response.once('error', (error) => decoder.destroy(error));
  response.once('aborted', () => decoder.destroy(new Error('the answer broke off')));
  return response.pipe(decoder);
}

/** One chunk is read per chunk asked for, so a slow reader slows the provider down. Too long a silence fails the stream. */
function flow(source: Readable, { clock, silenceMs }: Wire, signal: AbortSignal, close: () => void): ReadableStream<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  const stop = (): void => {
    source.destroy(new Error('the call was abandoned'));
    close();
  };
  signal.addEventListener('abort', stop, { once: true });
  const over = (): void => signal.removeEventListener('abort', stop);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const cancelTimer = clock.after(silenceMs, () => {
          source.destroy(new Error(`the provider was silent for ${silenceMs / 1_000} s`));
          close();
        });
        try {
          const { done, value } = await chunks.next();
          if (value) controller.enqueue(value);
          if (!done) return;
          over();
          controller.close();
        } catch (error) {
          over();
          controller.error(error);
        } finally {
          cancelTimer();
        }
      },
      cancel() {
        over();
        close();
      },
    },
    { highWaterMark: 0 },
  );
}

async function beginningOf(body: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > longestError) break;
    }
  } catch {
    // The status says enough.
  }
  return Buffer.concat(chunks).subarray(0, longestError).toString('utf8');
}

function headersOf(
  { headers, body }: ModelRequest,
  { apiKey, keyAs = 'x-api-key', gatewayToken }: AnthropicSettings,
): Record<string, string | number> {
  return {
    'anthropic-version': '2023-06-01',
    ...Object.fromEntries(headers),
    'accept-encoding': 'identity',
    ...(apiKey === '' || keyAs === 'bearer' ? {} : { 'x-api-key': apiKey }),
    ...(apiKey === '' || keyAs === 'x-api-key' ? {} : { authorization: `Bearer ${apiKey}` }),
    ...(gatewayToken === undefined ? {} : { 'cf-aig-authorization': `Bearer ${gatewayToken()}` }),
    ...(body === null ? {} : { 'content-length': body.length }),
  };
}
