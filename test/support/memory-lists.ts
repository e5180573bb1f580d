import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Stand-ins for the two servers that are called Memory-MCP: each as strict, and as odd, as what it stands for. */

interface ListedTask {
  readonly id: string;
  description: string;
  status: string;
  priority: number | string;
  tags: string[];
  due_date?: number | null;
}

export interface ListServer {
  readonly url: string;
  readonly tasks: Map<string, ListedTask>;
  readonly notes: { readonly key: string; readonly value: string }[];
  readonly requests: string[];
  /** Answers the next requests in place of the server; a bad day. Returns false to let the request through. */
  interfere: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** What is waited for before an answer; for those who are to ask at the same moment. */
  hold: ((request: IncomingMessage) => Promise<void>) | undefined;
  /** Sessions that were given out so far end. */
  expireSessions(): void;
  stop(): Promise<void>;
}

type Answer = (request: {
  readonly method: string;
  readonly url: URL;
  readonly body: Record<string, unknown>;
  readonly bearer: string | undefined;
}) => Reply | Promise<Reply>;

interface Reply {
  readonly status: number;
  readonly body: unknown;
}

type Dialect = (server: ListServer, sessions: Set<string>) => Answer;

/** The documented dialect: `GET /tasks`, `PATCH /tasks/:id`, the key as a bearer. */
export const documentedServer = (key: string): Promise<ListServer> => listServer(documented(key, 'forgets'));
/** As documented as well: nothing says what becomes of tags in a PATCH, so one keeps them, and one takes nothing but a status. */
export const documentedServerWithTags = (key: string): Promise<ListServer> => listServer(documented(key, 'keeps'));
export const strictDocumentedServer = (key: string): Promise<ListServer> => listServer(documented(key, 'refuses'));

const documented =
  (key: string, tags: 'keeps' | 'forgets' | 'refuses'): Dialect =>
  (server) =>
  ({ method, url, body, bearer }) => {
    if (bearer !== key) return { status: 401, body: { error: 'unauthorized' } };
    if (method === 'GET' && url.pathname === '/tasks') {
      const all = [...server.tasks.values()].filter(({ status }) => status === (url.searchParams.get('status') ?? status));
      const offset = Number(url.searchParams.get('offset') ?? 0);
      return { status: 200, body: { tasks: all.slice(offset, offset + Number(url.searchParams.get('limit') ?? 20)) } };
    }
    const id = /^\/tasks\/([^/]+)$/.exec(url.pathname)?.[1];
    const task = method === 'PATCH' && id !== undefined ? server.tasks.get(decodeURIComponent(id)) : undefined;
    if (!task) return { status: 404, body: { error: 'not found' } };
    if (tags === 'refuses' && 'tags' in body) return { status: 400, body: { error: 'only a status can be changed' } };
    if (tags === 'keeps' && 'tags' in body) task.tags = body['tags'] as string[];
    task.status = String(body['status']);
    return { status: 200, body: task };
  };

/** The real server: POST alone, 400 for nearly everything that is wrong, sessions, and no check of whose task it is. */
export const memoryMcpServer = (githubToken: string): Promise<ListServer> => listServer(memoryMcp(githubToken));

/** One list whose server is replaced, while it is in use, by one that speaks the other dialect. */
export async function changingServer(key: string): Promise<ListServer & { change(): void }> {
  let changed = false;
  const server = await listServer((list, sessions) => {
    const [before, after] = [documented(key, 'forgets')(list, sessions), memoryMcp(key)(list, sessions)];
    return (request) => (changed ? after : before)(request);
  });
  return Object.assign(server, {
    change: () => {
      changed = true;
    },
  });
}

const memoryMcp =
  (githubToken: string): Dialect =>
  (server, sessions) =>
  async ({ method, url, body, bearer }) => {
    if (method !== 'POST') return { status: 404, body: { error: 'Not found' } };
    if (url.pathname === '/api/authenticate') {
      if (body['github_token'] !== githubToken) return { status: 400, body: { error: 'Authentication failed' } };
      const token = `session-${sessions.size + 1}-${Math.random()}`;
      sessions.add(token);
      return { status: 200, body: { user_id: 'u1', session_token: token, expires_at: Date.now() + 604_800_000 } };
    }
    if (bearer === undefined || !sessions.has(bearer)) return { status: 401, body: { error: 'Unauthorized' } };
    switch (url.pathname) {
      case '/api/tasks/list': {
        const all = [...server.tasks.values()].filter(({ status }) => body['status'] === undefined || status === body['status']);
        all.sort((a, b) => Number(b.priority) - Number(a.priority));
        const offset = Number(body['offset'] ?? 0);
        return { status: 200, body: { tasks: all.slice(offset, offset + Number(body['limit'] ?? 20)), total: all.length } };
      }
      case '/api/tasks/update':
      case '/api/tasks/complete': {
        const id = String(body['id']);
        const before = server.tasks.get(id);
        if (!before) return { status: 400, body: { error: 'Task not found' } };
        const status = url.pathname.endsWith('complete') ? 'completed' : String(body['status'] ?? before.status);
        const after = { ...before, status, ...('tags' in body ? { tags: body['tags'] as string[] } : {}) };
        // It writes back what it had read, whatever somebody else has written meanwhile.
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
        server.tasks.set(id, after);
        return { status: 200, body: after };
      }
      case '/api/memory/long-term/save':
        if (body['category'] !== 'note') return { status: 400, body: { error: 'Invalid category' } };
        server.notes.push({ key: String(body['key']), value: String(body['value']) });
        return { status: 200, body: { success: true } };
      default:
        return { status: 404, body: { error: 'Not found' } };
    }
  };

async function listServer(answering: Dialect): Promise<ListServer> {
  const sessions = new Set<string>();
  const http = createServer((incoming, response) => {
    void (async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Uint8Array);
      server.requests.push(`${incoming.method} ${incoming.url}`);
      if (server.interfere?.(incoming, response)) return;
      const text = Buffer.concat(chunks).toString('utf8');
      const { status, body } = await answer({
        method: incoming.method ?? '',
        url: new URL(incoming.url ?? '/', 'http://list'),
        body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
        bearer: /^Bearer (.+)$/.exec(incoming.headers.authorization ?? '')?.[1],
      });
      await server.hold?.(incoming);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    })();
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const server: ListServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    tasks: new Map(),
    notes: [],
    requests: [],
    interfere: undefined,
    hold: undefined,
    expireSessions: () => sessions.clear(),
    async stop() {
      const closed = new Promise<void>((resolve) => http.close(() => resolve()));
      http.closeAllConnections();
      await closed;
    },
  };
  const answer = answering(server, sessions);
  return server;
}
