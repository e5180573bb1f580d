import { OpenAPIHono } from '@hono/zod-openapi';
import { bodyLimit } from 'hono/body-limit';
import { idPrefixes } from '../domain/id.ts';
import type { Clock } from '../platform/clock.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import type { Queue } from '../queue/queue.ts';
import type { Store } from '../store/store.ts';
import { type Authenticate, signedIn } from './auth.ts';
import type { Feed } from './feed.ts';
import type { Metrics } from './metrics.ts';
import { problem, problemOf } from './problem.ts';
import { docsRoutes, openApiOf } from './routes/docs.ts';
import { eventRoutes } from './routes/events.ts';
import { healthRoutes } from './routes/health.ts';
import { queueRoutes } from './routes/queue.ts';
import { runRoutes } from './routes/runs.ts';
import { taskRoutes } from './routes/tasks.ts';

export interface AppEnv {
  Variables: { requestId: string; user: string };
}

export type App = OpenAPIHono<AppEnv>;

export interface ServerParts {
  readonly store: Store;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly feed: Feed;
  readonly metrics: Metrics;
  readonly authenticate: Authenticate;
  /** Why a wish cannot be run here, or undefined. */
  readonly refusesWish: (wish: { readonly engine: string | undefined; readonly body: string | undefined }) => string | undefined;
  readonly node: string;
  readonly version: string;
  readonly outputFile: (runId: string) => string;
  /** True from the moment the server begins to stop. */
  readonly isStopping: () => boolean;
}

const maxBodyBytes = 1024 * 1024;

export function createApp(parts: ServerParts): App {
  const app = newRouter();

  app.use(async (context, next) => {
    context.set('requestId', parts.newId(idPrefixes.request));
    await next();
    context.header('x-request-id', context.get('requestId'));
    context.header('x-content-type-options', 'nosniff');
    context.header('referrer-policy', 'no-referrer');
  });
  app.onError((error, context) => problemOf(context, error, parts.log));
  app.notFound((context) =>
    problem(context, {
      status: 404,
      code: 'no-such-route',
      detail: `There is nothing at ${context.req.method} ${context.req.path}. See /api/docs.`,
    }),
  );

  app.route('/', healthRoutes(parts));
  app.use(signedIn(parts.authenticate));
  app.use(
    bodyLimit({
      maxSize: maxBodyBytes,
      onError: (context) =>
        problem(context, {
          status: 413,
          code: 'body-too-large',
          detail: `A request may carry at most ${maxBodyBytes / 1024} KiB.`,
          headers: { connection: 'close' },
        }),
    }),
  );
  app.get('/metrics', async (context) => context.body(await parts.metrics.render(), 200, { 'content-type': parts.metrics.contentType }));
  app.route('/api', taskRoutes(parts));
  app.route('/api', runRoutes(parts));
  app.route('/api', eventRoutes(parts));
  app.route('/api', queueRoutes(parts));
  app.route(
    '/api',
    docsRoutes(() => openApiOf(app, parts.version)),
  );
  return app;
}

/** A router whose validation failures are problem documents that name each bad field. */
export function newRouter(): App {
  return new OpenAPIHono<AppEnv>({
    defaultHook(result, context) {
      if (result.success) return;
      const errors = result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
      const detail = errors.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ');
      return problem(context, { status: 400, code: 'invalid-request', detail: detail.slice(0, 2_000), errors: errors.slice(0, 50) });
    },
  });
}
