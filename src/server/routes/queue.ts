import { createRoute } from '@hono/zod-openapi';
import { askedTogether } from '../../platform/gather.ts';
import { listNodes } from '../../store/nodes.ts';
import { pausedKey, readSetting } from '../../store/settings.ts';
import { countOpen } from '../../store/tasks.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { type QueueView, queueSchema } from '../views.ts';

export function queueRoutes(parts: ServerParts): App {
  const router = newRouter();
  const { queue } = parts;
  // Open tasks are counted each time, and there may be many of both.
  const view = askedTogether((put) => queueView(parts, put));
  const responses = { 200: json(queueSchema, 'The queue as it is now.'), ...answers(401, 413, 503) };

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/queue',
      tags: ['Queue'],
      summary: 'What waits, by priority and status, and who works',
      responses,
    }),
    async (context) => context.json(await view(), 200),
  );
  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/queue/pause',
      tags: ['Queue'],
      summary: 'Start nothing more; what runs goes on',
      responses,
    }),
    async (context) => {
      await queue.pause(context.get('user'));
      return context.json(await view(), 200);
    },
  );
  router.openapi(
    createRoute({ method: 'post', 'x-role': 'operator', path: '/queue/resume', tags: ['Queue'], summary: 'Start work again', responses }),
    async (context) => {
      await queue.resume(context.get('user'));
      return context.json(await view(), 200);
    },
  );
  return router;
}

/** `put` is called just before the store is asked. With one connection for all of it: under load each is waited for. */
export const queueView = ({ store }: Pick<ServerParts, 'store'>, put: () => void = () => undefined): Promise<QueueView> =>
  store.read.connection().execute(async (db) => {
    put();
    return {
      paused: (await readSetting(db, pausedKey)) !== undefined,
      open: (await countOpen(db)).map((row) => ({ ...row })),
      nodes: (await listNodes(db)).map(({ id, startedAt, address, report }) => ({
        id,
        startedAt: new Date(startedAt).toISOString(),
        address,
        machine: report === null ? null : { ...report.machine },
        breakers: (report?.breakers ?? []).map((breaker) => ({ ...breaker })),
      })),
    };
  });
