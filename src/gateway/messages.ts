import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Credentials } from './credentials.ts';
import { keptAwake } from './keep-awake.ts';
import { type CallParts, makeCall } from './make-call.ts';
import { type Endpoint, errorAnswer, type MessagesBody } from './providers/provider.ts';

export type { ModelCall } from './model-call.ts';

export interface GatewayParts extends CallParts {
  readonly credentials: Credentials;
  /** How much of its requests a run may have here that nobody has begun to answer. */
  readonly mostHeldBytes?: number;
}

interface ModelDoor {
  /** Stops listening, cuts what is open, and removes the socket. */
  close(): Promise<void>;
}

/** As much of a request as is needed. */
interface Incoming {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array> | null;
  readonly signal: AbortSignal;
}

export interface Gateway {
  /** The Messages API by path, wherever it is mounted. Never rejects; a body that breaks off fails its reader. */
  fetch(request: Incoming): Promise<Response>;
  /**
   * The same for a server of Node. Prefer it: an answer that breaks off then breaks the connection, whereas the adapter
   * of Hono ends it with the error's text as if that were the rest of it. Never rejects.
   */
  handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void>;
  /** Serves one run on a unix socket that only this user can open. Other runs' credentials are refused there. */
  listen(socketPath: string, runId: string): Promise<ModelDoor>;
}

/** What the Messages API takes at most. */
const maxBodyBytes = 32 * 1024 * 1024;

/** The door that agents reach models through: authorises, passes on, and reports every call. It holds no keys itself. */
export function createGateway(parts: GatewayParts): Gateway {
  const loads = createLoads(parts.mostHeldBytes ?? 8 * maxBodyBytes);
  return {
    fetch: (request) => answer(parts, loads, request),
    handle: (incoming, outgoing) => serve((request) => answer(parts, loads, request), incoming, outgoing),
    listen: (socketPath, runId) => listenOn(socketPath, (request) => answer(parts, loads, request, runId)),
  };
}

async function answer(parts: GatewayParts, loads: Loads, request: Incoming, onlyRun?: string): Promise<Response> {
  const caller = parts.credentials.check(credentialIn(request.headers));
  if (caller === undefined || (onlyRun !== undefined && caller.runId !== onlyRun)) {
    return errorAnswer({ status: 401, message: 'This credential is not that of a run in progress.' });
  }
  const { pathname, search } = new URL(request.url);
  const endpoint = endpointOf(request.method, pathname);
  if (!endpoint) return errorAnswer({ status: 404, message: `There is nothing at ${request.method} ${pathname}.` });
  const load = loads(caller.runId);
  const body = endpoint === 'models' ? null : await readBody(request, load);
  const message = body === null ? {} : typeof body === 'string' ? undefined : parseBody(body);
  if (typeof body === 'string' || !message) {
    load.putDown();
    return unreadable(typeof body === 'string' ? body : 'no-object');
  }
  const asked = makeCall(parts, { caller, endpoint, query: search, headers: passedOn(request.headers), body, message }, request.signal)
    .then(({ response }) => response)
    .finally(load.putDown);
  return endpoint === 'messages' && message.stream === true ? keptAwake(asked, parts.clock) : asked;
}

function credentialIn(headers: Headers): string | undefined {
  const bearer = headers.get('authorization');
  return headers.get('x-api-key') ?? (bearer?.startsWith('Bearer ') ? bearer.slice('Bearer '.length) : undefined);
}

function endpointOf(method: string, path: string): Endpoint | undefined {
  if (method === 'POST' && path.endsWith('/v1/messages')) return 'messages';
  if (method === 'POST' && path.endsWith('/v1/messages/count_tokens')) return 'count_tokens';
  return method === 'GET' && path.endsWith('/v1/models') ? 'models' : undefined;
}

/** An agent's headers are its own invention, so only those that the API gives a meaning go further, and no credential. */
const meaningful = /^(?:anthropic-(?!organization)|x-stainless-|x-claude-|x-app$|user-agent$|content-type$|accept$)/;

const passedOn = (headers: Headers): Headers => new Headers([...headers].filter(([name]) => meaningful.test(name)));

type Unreadable = 'too-large' | 'too-much' | 'gone' | 'no-object';

function unreadable(why: Unreadable): Response {
  switch (why) {
    case 'too-large':
      return errorAnswer({ status: 413, message: `A request may carry at most ${maxBodyBytes / 1024 / 1024} MB.` });
    case 'too-much':
      return errorAnswer({
        status: 429,
        message: 'This run has too many large requests under way. Try again.',
        headers: { 'retry-after': '5' },
      });
    case 'gone':
      return errorAnswer({ status: 400, message: 'The request broke off.' });
    case 'no-object':
      return errorAnswer({ status: 400, message: 'The body is not a JSON object.' });
  }
}

/** What a request weighs, counted with those of its run. */
interface Load {
  /** False when that would be too much. */
  add(bytes: number): boolean;
  putDown(): void;
}

type Loads = (runId: string) => Load;

/** An agent can send faster than a provider answers, and waiting requests would fill the memory of the server for all. */
function createLoads(most: number): Loads {
  const held = new Map<string, number>();
  return (runId) => {
    let own = 0;
    return {
      add(bytes) {
        const all = (held.get(runId) ?? 0) + bytes;
        if (all > most) return false;
        own += bytes;
        held.set(runId, all);
        return true;
      },
      putDown() {
        const left = (held.get(runId) ?? 0) - own;
        if (left > 0) held.set(runId, left);
        else held.delete(runId);
        own = 0;
      },
    };
  };
}

async function readBody(request: Incoming, load: Load): Promise<Buffer | Exclude<Unreadable, 'no-object'>> {
  if (Number(request.headers.get('content-length') ?? 0) > maxBodyBytes) return 'too-large';
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.length;
      if (size > maxBodyBytes) return 'too-large';
      if (!load.add(chunk.length)) return 'too-much';
      chunks.push(chunk);
    }
  } catch {
    return 'gone';
  }
  return Buffer.concat(chunks, size);
}

function parseBody(body: Buffer): MessagesBody | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

type Answering = (request: Incoming) => Promise<Response>;

/** Made once: every connection ends at some time, and an error is dear to make. */
const clientGone = new Error('the agent has closed the connection');

async function serve(answering: Answering, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const away = new AbortController();
  outgoing.once('close', () => away.abort(clientGone));
  const headers = new Headers(Object.entries(incoming.headers).map(([name, value]) => [name, String(value)] as [string, string]));
  const url = `http://model${incoming.url ?? '/'}`;
  const response = await answering({ method: incoming.method ?? '', url, headers, body: incoming, signal: away.signal });
  // What was refused before it was read is not read to its end either.
  if (!incoming.complete) outgoing.setHeader('connection', 'close');
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  // What has come already goes out with them, in one piece.
  setImmediate(() => outgoing.flushHeaders());
  try {
    for await (const chunk of response.body ?? []) {
      if (!outgoing.write(chunk)) await writable(outgoing, away.signal);
      if (outgoing.destroyed) return;
    }
    outgoing.end();
  } catch {
    outgoing.destroy(); // the agent sees what there is to see: it broke off
  }
}

function writable(outgoing: ServerResponse, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      outgoing.off('drain', go);
      gone.removeEventListener('abort', go);
      resolve();
    };
    outgoing.once('drain', go);
    gone.addEventListener('abort', go, { once: true });
    if (gone.aborted) go();
  });
}

async function listenOn(socketPath: string, answering: Answering): Promise<ModelDoor> {
  // An agent is silent while its tools work; a connection that was closed meanwhile would cost it a failed call.
  const server = createServer({ keepAliveTimeout: 3_600_000 }, (incoming, outgoing) => void serve(answering, incoming, outgoing));
  await rm(socketPath, { force: true }); // left by a server that was killed
  await bind(server, socketPath);
  return {
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await rm(socketPath, { force: true });
    },
  };
}

/**
 * Its directory is closed to others, and so is the socket once it is there. A mask while it is made would hold for the whole
 * process, and so for what other threads make at the same moment: a directory that nobody may enter.
 */
async function bind(server: Server, socketPath: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  await chmod(socketPath, 0o600);
}
