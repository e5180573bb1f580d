import type { HonoRequest, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import { admit } from './access/auth.ts';
import { requirementsOf } from './access/requirements.ts';
import { begin } from './begin.ts';
import type { App, AppEnv } from './env.ts';
import { servePages } from './pages/serve.ts';
import type { ServerParts } from './parts.ts';
import { problem, problemOf } from './problem.ts';
import { newRouter } from './router.ts';
import { runtimeDialect, runtimePaths } from './routes/agent-runtime/dialect.ts';
import { agentRuntimeRoutes } from './routes/agent-runtime/routes.ts';
import { alertRoutes } from './routes/alerts.ts';
import { auditRoutes } from './routes/audit.ts';
import { backupRoutes } from './routes/backups.ts';
import { budgetRoutes } from './routes/budgets.ts';
import { channelRoutes } from './routes/channels.ts';
import { demoRoutes } from './routes/demo.ts';
import { docsRoutes, openApiOf } from './routes/docs.ts';
import { eventRoutes } from './routes/events.ts';
import { examinationRoutes } from './routes/examination.ts';
import { healthRoutes } from './routes/health.ts';
import { inboxRoutes } from './routes/inbox.ts';
import { keyRoutes } from './routes/keys.ts';
import { mcpRoutes } from './routes/mcp.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { noteRoutes } from './routes/notes.ts';
import { outboxRoutes } from './routes/outbox.ts';
import { profileRoutes } from './routes/profiles.ts';
import { providerRoutes } from './routes/providers.ts';
import { pushRoutes } from './routes/push.ts';
import { queueRoutes } from './routes/queue.ts';
import { runRoutes } from './routes/runs.ts';
import { serverRoutes } from './routes/server.ts';
import { sessionRoutes, signInRoutes } from './routes/session.ts';
import { snapshotRoutes } from './routes/snapshot.ts';
import { taskRoutes } from './routes/tasks.ts';
import { trendRoutes } from './routes/trends.ts';
import { usageRoutes } from './routes/usage.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { workspaceRoutes } from './routes/workspaces.ts';
import { traced } from './trace.ts';

const maxBodyBytes = 1024 * 1024;

export function createApp(parts: ServerParts): App {
  const app = newRouter();
  const requirements = requirementsOf(app);

  app.use(async (context, next) => {
    begin(context, parts.newId);
    const requirement = requirements.of(context);
    if (requirement) context.set('requirement', requirement);
    await next();
  });
  if (parts.traceRequest) for (const path of ['/api/*', '/webhook/*', '/mcp']) app.use(path, traced(parts.traceRequest));
  app.onError((error, context) => problemOf(context, error, parts.log));
  app.notFound((context) => {
    const { method, path } = context.req;
    const allowed = methodsAt(app, path);
    // One that takes this method does not take this path after all: a part of it is empty.
    if (allowed.length === 0 || allowed.includes(method)) {
      return problem(context, { status: 404, code: 'no-such-route', detail: `There is nothing at ${path}. See /api/docs.` });
    }
    return problem(context, {
      status: 405,
      code: 'wrong-method',
      detail: `${path} takes ${allowed.join(' and ')}, not ${method}. See /api/docs.`,
      headers: { allow: allowed.join(', ') },
    });
  });

  const limited = bodyLimit({
    maxSize: maxBodyBytes,
    onError: (context) =>
      problem(context, {
        status: 413,
        code: 'body-too-large',
        detail: `A request may carry at most ${maxBodyBytes / 1024} KiB.`,
        headers: { connection: 'close' },
      }),
  });
  // An honest, small length is enforced by HTTP itself; only bodies of unknown length have to be counted, which costs a third of a request.
  const limitBody: MiddlewareHandler<AppEnv> = (context, next) => (isSmall(context.req) ? next() : limited(context, next));

  for (const path of runtimePaths) app.use(path, runtimeDialect);
  app.route('/', healthRoutes(parts));
  if (parts.corsOrigins.length > 0) app.use('/api/*', forPagesOf(parts.corsOrigins));
  app.use(parts.audit.record);
  app.route('/', webhookRoutes(parts));
  app.use(servePages(parts.pages, (path) => routesAt(app, path).length > 0));
  app.on('POST', '/api/session', limitBody);
  app.route('/api', signInRoutes(parts));
  app.use(admit(parts.access));
  app.use(limitBody);
  app.route('/', metricsRoutes(parts));
  app.route('/', mcpRoutes(parts, app));
  app.route('/api', taskRoutes(parts));
  app.route('/api', demoRoutes(parts));
  app.route('/api', runRoutes(parts));
  app.route('/api', eventRoutes(parts));
  app.route('/api', queueRoutes(parts));
  app.route('/api', profileRoutes(parts));
  app.route('/api', noteRoutes(parts));
  app.route('/api', workspaceRoutes(parts));
  app.route('/api', agentRuntimeRoutes(parts));
  app.route('/api', budgetRoutes(parts));
  app.route('/api', usageRoutes(parts));
  app.route('/api', trendRoutes(parts));
  app.route('/api', providerRoutes(parts));
  app.route('/api', inboxRoutes(parts));
  app.route('/api', outboxRoutes(parts));
  app.route('/api', channelRoutes(parts));
  app.route('/api', alertRoutes(parts));
  app.route('/api', backupRoutes(parts));
  app.route('/api', examinationRoutes(parts));
  app.route('/api', serverRoutes(parts));
  app.route('/api', sessionRoutes(parts));
  app.route('/api', snapshotRoutes(parts));
  app.route('/api', pushRoutes(parts));
  app.route(
    '/api',
    keyRoutes(parts, () => requirements.groups),
  );
  app.route('/api', auditRoutes(parts));
  app.route(
    '/api',
    docsRoutes(() => openApiOf(app, parts.version)),
  );
  return app;
}

/** They send a key; our cookie never goes along, whoever is named here. */
const forPagesOf = (origins: readonly string[]): MiddlewareHandler<AppEnv> =>
  cors({
    origin: [...origins],
    allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowHeaders: ['authorization', 'content-type', 'last-event-id'],
    exposeHeaders: ['x-request-id', 'retry-after', 'location'],
    maxAge: 600,
  });

function isSmall(request: HonoRequest): boolean {
  const length = request.header('content-length');
  return (
    length !== undefined && /^\d{1,9}$/.test(length) && Number(length) <= maxBodyBytes && request.header('transfer-encoding') === undefined
  );
}

/** What a path that exists can be asked with. */
const methodsAt = (app: App, path: string): readonly string[] =>
  [...new Set(routesAt(app, path).map(({ method }) => method))].filter((method) => method !== 'ALL').sort();

function routesAt({ routes }: App, path: string): App['routes'] {
  const asked = path.split('/');
  return routes.filter((route) => {
    const pattern = route.path.split('/');
    return pattern.length === asked.length && pattern.every((part, i) => part.startsWith(':') || part === asked[i]);
  });
}
