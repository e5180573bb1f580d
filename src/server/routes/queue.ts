import { createRoute } from '@hono/zod-openapi';
import { askedTogether } from '../../platform/gather.ts';
import { listNodes } from '../../store/nodes.ts';
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
  const view = askedTogether(() => queueView(parts));
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

export const queueView = async ({ queue, store }: Pick<ServerParts, 'queue' | 'store'>): Promise<QueueView> => ({
  paused: await queue.isPaused(),
  open: (await countOpen(store.read)).map((row) => ({ ...row })),
  nodes: (await listNodes(store.read)).map(({ id, startedAt, address, report }) => ({
    id,
    startedAt: new Date(startedAt).toISOString(),
    address,
    machine: report === null ? null : { ...report.machine },
    breakers: (report?.breakers ?? []).map((breaker) => ({ ...breaker })),
  })),
});
