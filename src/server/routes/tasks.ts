import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Refused } from '../../domain/errors.ts';
import { isId } from '../../domain/id.ts';
import { defaultProfile } from '../../domain/profile.ts';
import { noResult } from '../../domain/result.ts';
import { priorities, type Task, taskStatuses } from '../../domain/task.ts';
import { refuse } from '../../queue/durable-queue.ts';
import type { Answer, Wish } from '../../queue/queue.ts';
import { findResults } from '../../store/results.ts';
import { runsOfTasks } from '../../store/runs.ts';
import type { Store } from '../../store/store.ts';
import { besideTasks, findTask, listTasks } from '../../store/tasks.ts';
import { listWorkspaces } from '../../store/workspaces.ts';
import { trustIn } from '../access/caller.ts';
import type { App, AppEnv } from '../env.ts';
import {
  budgetUsd,
  decodeCursor,
  encodeCursor,
  freeText,
  newTaskSchema,
  oneLine,
  pageSchema,
  repositorySchema,
  requireId,
  taskChangeSchema,
} from '../inputs.ts';
import type { ServerParts } from '../parts.ts';
import { answers, json } from '../responses.ts';
import { newRouter } from '../router.ts';
import { traceOf } from '../trace.ts';
import { resolvedSchema, type TaskView, taskSchema, taskView } from '../views.ts';

const tags = ['Tasks'];
const idParam = z.object({ id: z.string().openapi({ example: 'tsk_01KEXAMPLE000000000000000' }) });

const retrySchema = z
  .strictObject({ from: oneLine(100).optional().openapi({ example: 'chk_01KEXAMPLE000000000000000' }) })
  .openapi('Retry');

const note = freeText(4_000).optional().openapi({ description: 'For the next attempt, or for whoever reads why it ended.' });
const resolutionSchema = z
  .discriminatedUnion('choice', [
    z.strictObject({ choice: z.enum(['retry', 'take-over', 'give-up']), note }),
    z.strictObject({ choice: z.literal('raise-budget'), budgetUsd, note }),
  ])
  .openapi('Resolution');

export function taskRoutes({ queue, store, refusesWish, outputFile }: ServerParts): App {
  const router = newRouter();

  const view = async (task: Task): Promise<TaskView> => (await taskViews(store.read, [task]))[0] as TaskView;
  const changed = (id: string, { priority, dependsOn, budgetUsd }: z.infer<typeof taskChangeSchema>, user: string): Promise<Answer> => {
    if (budgetUsd !== undefined) return queue.setBudget(id, budgetUsd, user);
    return priority === undefined ? queue.setDependencies(id, dependsOn ?? []) : queue.setPriority(id, priority);
  };
  const answered = async (answer: Answer): Promise<TaskView> => {
    if (!answer.ok) throw refuse(answer.refusal);
    return view(answer.task);
  };

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/tasks',
      tags,
      summary: 'Submit a task',
      request: { body: { required: true, content: { 'application/json': { schema: newTaskSchema } } } },
      responses: {
        201: json(taskSchema, 'The task; it is on disk.'),
        200: json(taskSchema, 'The open task that has this dedupeKey already.'),
        ...answers(400, 401, 413, 415, 422, 503),
      },
    }),
    async (context) => {
      const given = context.req.valid('json');
      const wish = wishOf(given, context);
      const { engine, profile = defaultProfile, repository, trust } = wish;
      const why = await refusesWish({ engine, profile, repository, trust });
      if (why !== undefined) throw new Refused(422, why.code, why.message);
      const submission = await queue.submit(wish);
      if (submission.kind === 'refused') throw refuse(submission.refusal);
      if (submission.kind === 'duplicate') return context.json(await view(submission.task), 200);
      return context.json(taskView(submission.task, [...new Set(given.dependsOn)].sort(), []), 201, {
        location: `/api/tasks/${submission.task.id}`,
      });
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/tasks',
      tags,
      summary: 'List tasks, newest first',
      request: {
        query: z.strictObject({
          status: z
            .string()
            .transform((text) => text.split(','))
            .pipe(z.array(z.enum(taskStatuses)))
            .optional()
            .openapi({ type: 'string', description: `One or more of ${taskStatuses.join(', ')}, separated by commas.` }),
          priority: z.enum(priorities).optional(),
          source: oneLine(100).optional(),
          repository: repositorySchema.optional(),
          ...pageSchema,
        }),
      },
      responses: {
        200: json(
          z.object({ items: z.array(taskSchema), nextCursor: z.string().nullable() }).openapi('TaskPage'),
          'A page. It may hold fewer than `limit` and still have a next one: filters look at a bounded number of tasks at a time.',
        ),
        ...answers(400, 401, 503),
      },
    }),
    async (context) => {
      const { limit = 50, cursor, ...filter } = context.req.valid('query');
      const before = decodeCursor('tasks', cursor, (position) => isId('task', position));
      const { items, next } = await store.read.connection().execute(async (db) => {
        const page = await listTasks(db, filter, { before, limit });
        return { items: await taskViews(db, page.items), next: page.next };
      });
      return context.json({ items, nextCursor: encodeCursor('tasks', next) }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/tasks/{id}',
      tags,
      summary: 'Look at one task',
      request: { params: idParam },
      responses: { 200: json(taskSchema, 'The task.'), ...answers(401, 404, 503) },
    }),
    async (context) => {
      const id = requireId('task', context.req.valid('param').id);
      const [found] = await store.read.connection().execute(async (db) => {
        const task = await findTask(db, id);
        return task ? taskViews(db, [task]) : [];
      });
      if (!found) throw new Refused(404, 'no-such-task', `There is no task ${id}.`);
      return context.json(found, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'patch',
      'x-role': 'operator',
      path: '/tasks/{id}',
      tags,
      summary: 'Change the priority or the dependencies of a task that still waits, or the budget of any',
      request: { params: idParam, body: { required: true, content: { 'application/json': { schema: taskChangeSchema } } } },
      responses: { 200: json(taskSchema, 'The task as it is now.'), ...answers(400, 401, 404, 409, 413, 415, 422, 503) },
    }),
    async (context) => {
      const id = requireId('task', context.req.valid('param').id);
      return context.json(await answered(await changed(id, context.req.valid('json'), context.get('user'))), 200);
    },
  );

  const decisions = [
    ['approve', 'Let a task that awaits approval go', (id: string, by: string) => queue.approve(id, by)],
    ['deny', 'Refuse a task that awaits approval; it ends cancelled', (id: string, by: string) => queue.deny(id, by)],
  ] as const;
  for (const [verb, summary, decide] of decisions) {
    router.openapi(
      createRoute({
        method: 'post',
        'x-role': 'operator',
        path: `/tasks/{id}/${verb}`,
        tags,
        summary,
        request: { params: idParam },
        responses: { 200: json(taskSchema, 'The task as it is now.'), ...answers(401, 404, 409, 413, 422, 503) },
      }),
      async (context) => {
        const id = requireId('task', context.req.valid('param').id);
        return context.json(await answered(await decide(id, context.get('user'))), 200);
      },
    );
  }

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/tasks/{id}/cancel',
      tags,
      summary: 'Call a task off',
      description:
        'A waiting task is cancelled at once. A running one keeps the status `running` with `cancelRequestedAt` set until nothing of it runs any more, usually well under three seconds.',
      request: { params: idParam },
      responses: { 200: json(taskSchema, 'The task as it is now.'), ...answers(401, 404, 409, 413, 503) },
    }),
    async (context) => {
      const id = requireId('task', context.req.valid('param').id);
      return context.json(await answered(await queue.cancel(id, context.get('user'))), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/tasks/{id}/retry',
      tags,
      summary: 'Put a failed, cancelled, over-budget or escalated task back in line',
      description:
        'It begins anew, unless `from` names a checkpoint of one of its runs: then it goes on with the files and the conversation of that. What nobody has ever approved awaits approval again.',
      request: { params: idParam, body: { required: false, content: { 'application/json': { schema: retrySchema } } } },
      responses: { 200: json(taskSchema, 'The task as it is now.'), ...answers(400, 401, 404, 409, 413, 415, 422, 503) },
    }),
    async (context) => {
      const id = requireId('task', context.req.valid('param').id);
      const { from } = context.req.valid('json');
      return context.json(await answered(await queue.retry(id, from === undefined ? undefined : requireId('checkpoint', from))), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/tasks/{id}/resolve',
      tags,
      summary: 'Say how a task goes on that was escalated or went over its budget',
      description:
        '`retry`: it is tried again, and the agent is told the note. `raise-budget`: the same with another budget. `take-over`: the task ends cancelled, its work stays, and the answer says where it is. `give-up`: it ends cancelled.',
      request: { params: idParam, body: { required: true, content: { 'application/json': { schema: resolutionSchema } } } },
      responses: { 200: json(resolvedSchema, 'The task as it is now.'), ...answers(400, 401, 404, 409, 413, 415, 422, 503) },
    }),
    async (context) => {
      const id = requireId('task', context.req.valid('param').id);
      const given = context.req.valid('json');
      const task = await answered(await queue.resolve(id, { ...given, note: given.note ?? null }, context.get('user')));
      return context.json({ task, work: given.choice === 'take-over' ? await workOf(id) : null }, 200);
    },
  );

  /** What the last run left that had a place to work in. */
  async function workOf(id: string): Promise<z.infer<typeof resolvedSchema>['work']> {
    const runs = (await runsOfTasks(store.read, [id])).get(id) ?? [];
    const results = await findResults(
      store.read,
      runs.map((run) => run.id),
    );
    const run = runs.findLast((each) => (results.get(each.id)?.branch ?? null) !== null) ?? runs.at(-1);
    if (!run) return null;
    const { branch, delivery, sessionId } = results.get(run.id) ?? noResult;
    const workspace = (await listWorkspaces(store.read, { taskId: id })).findLast(
      ({ runId, removedAt }) => runId === run.id && removedAt === null,
    );
    return {
      runId: run.id,
      nodeId: run.nodeId,
      branch,
      fetchCommand: delivery?.kind === 'left-in-mirror' ? delivery.fetchCommand : null,
      workspace: workspace?.path ?? null,
      transcript: `/api/runs/${run.id}/events`,
      outputFile: outputFile(run.id),
      sessionId,
      summary: run.reason?.message ?? run.summary,
    };
  }

  return router;
}

/** With what stands beside each of them in other tables, in one query for all. */
export async function taskViews(db: Store['read'], tasks: readonly Task[]): Promise<TaskView[]> {
  const beside = await besideTasks(
    db,
    tasks.map(({ id }) => id),
  );
  return tasks.map((task) => taskView(task, beside.get(task.id)?.dependsOn ?? [], beside.get(task.id)?.runs ?? []));
}

function wishOf(given: z.infer<typeof newTaskSchema>, context: Context<AppEnv>): Wish {
  const { notBefore, priority = 'medium', ...rest } = given;
  const named = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as Omit<typeof rest, never>;
  return {
    ...(named as Pick<Wish, 'title'>),
    source: 'api',
    requestedBy: context.get('user'),
    ...traceOf(context),
    trust: trustIn(context.get('caller')),
    priority,
    ...(notBefore === undefined ? {} : { notBefore: Date.parse(notBefore) }),
  };
}
