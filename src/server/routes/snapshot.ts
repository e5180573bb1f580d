import { createRoute, z } from '@hono/zod-openapi';
import { compress } from 'hono/compress';
import { isId } from '../../domain/id.ts';
import type { Task, TaskStatus } from '../../domain/task.ts';
import { findRun } from '../../store/runs.ts';
import { findTask, listTasks } from '../../store/tasks.ts';
import type { App } from '../env.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { snapshotSchema } from '../views.ts';
import { alertsView } from './alerts.ts';
import { budgetViews } from './budgets.ts';
import { queueView } from './queue.ts';
import { viewOfRun } from './runs.ts';
import { serverView } from './server.ts';
import { callerOf, sessionView } from './session.ts';
import { taskViews } from './tasks.ts';

/** Of each state so many that a first page is full; of what runs or needs a person, as many as a page of a list has. */
const shown: readonly { readonly status?: readonly TaskStatus[]; readonly limit: number }[] = [
  ...(['running', 'awaiting-approval', 'escalated', 'over-budget'] as const).map((status) => ({ status: [status], limit: 50 })),
  { status: ['queued'], limit: 20 },
  { status: ['delayed'], limit: 10 },
  { status: ['blocked'], limit: 10 },
  { status: ['succeeded', 'failed', 'cancelled'], limit: 30 },
  { limit: 60 },
];

export function snapshotRoutes(parts: ServerParts): App {
  const { store, feed } = parts;
  const router = newRouter();
  // It goes to phones, and a tenth of it is enough for them.
  router.use('/snapshot', compress());
  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/snapshot',
      tags: ['Snapshot'],
      summary: 'How everything stands, to begin with',
      description:
        'In one answer what a page shows first. `GET /api/events` with `position` as Last-Event-ID goes on from here and misses nothing; what happened while this was put together may come again.',
      request: {
        query: z.object({
          run: z.string().optional().openapi({ description: 'Also this run, if there is one; its task is then among the tasks.' }),
        }),
      },
      responses: {
        200: json(snapshotSchema, 'Tasks are those that run, need a person or are next, and the newest.'),
        ...answers(401, 503),
      },
    }),
    async (context) => {
      // Before anything is read: what happens meanwhile is told again, rather than not at all.
      const position = feed.end;
      const { run: wanted } = context.req.valid('query');
      const [run, server, queue, budgets, alerts, ...pages] = await Promise.all([
        wanted !== undefined && isId('run', wanted) ? findRun(store.read, wanted) : undefined,
        serverView(parts),
        queueView(parts),
        budgetViews(parts),
        alertsView(parts),
        ...shown.map(({ limit, ...filter }) => listTasks(store.read, filter, { before: null, limit })),
      ]);
      const ofRun = run && (await findTask(store.read, run.taskId));
      const listed = [...pages.flatMap(({ items }) => items), ...(ofRun ? [ofRun] : [])];
      const tasks = new Map<string, Task>(listed.map((task) => [task.id, task]));
      return context.json(
        {
          position,
          session: sessionView(callerOf(context)),
          server,
          queue,
          budgets,
          alerts: alerts.items,
          tasks: await taskViews(store.read, [...tasks.values()]),
          run: run ? await viewOfRun(parts, run) : null,
        },
        200,
      );
    },
  );
  return router;
}
