import { createRoute, z } from '@hono/zod-openapi';
import { Refused } from '../../../domain/errors.ts';
import { isId } from '../../../domain/id.ts';
import type { Profile } from '../../../domain/profile.ts';
import { leastTrusted, type Trust } from '../../../domain/task.ts';
import { refuse } from '../../../queue/durable-queue.ts';
import type { Refusal } from '../../../queue/queue.ts';
import { busyProfiles, executionWindow, listExecuted } from '../../../store/executions.ts';
import { findProfile, findProfileById, findProfiles, listProfiles } from '../../../store/profiles.ts';
import { runsOfTasks } from '../../../store/runs.ts';
import { findTask, profilesOf } from '../../../store/tasks.ts';
import { listWorkspaces } from '../../../store/workspaces.ts';
import { trustIn } from '../../access/caller.ts';
import type { App } from '../../env.ts';
import { freeText, isProfileName, oneLine, repositorySchema } from '../../inputs.ts';
import type { ServerParts } from '../../parts.ts';
import { json } from '../../responses.ts';
import { newRouter } from '../../router.ts';
import { traceOf } from '../../trace.ts';
import { notFound, refusals } from './dialect.ts';
import { openExecutions, settlingMs } from './executions.ts';
import {
  type ExecutionStatus,
  executionSchema,
  executionStatus,
  filterFor,
  itemType,
  priorityOf,
  workerSchema,
  workerView,
  workItemSchema,
  workItemView,
  workspaceSchema,
  workspaceView,
} from './words.ts';

const tags = ['Agent runtime'];
const idParam = z.object({ id: z.string() });
const source = 'agent-runtime';
const activeLimit = 10_000;

const said = freeText(500_000).refine((text) => text.trim() !== '', 'must not be blank');

const executeSchema = z
  .strictObject({
    workerId: z.string().min(1).max(100).openapi({ description: 'The id or the name of a profile.' }),
    workItemId: z.string().min(1).max(100).optional(),
    prompt: said.optional().openapi({ description: 'What to do; with a work item, what to say besides.' }),
    repository: repositorySchema.optional(),
  })
  .refine(({ workItemId, prompt }) => workItemId !== undefined || prompt !== undefined, 'give a workItemId, a prompt, or both')
  .openapi('Execute');

const newItemSchema = z
  .strictObject({
    title: oneLine(500),
    type: itemType,
    createdBy: oneLine(200),
    description: freeText(500_000).optional(),
    repository: repositorySchema.optional(),
  })
  .openapi('NewWorkItem');

/** The routes of another agent runtime, for programs that were written for it. What is what: words.ts. */
export function agentRuntimeRoutes({ store, queue, clock, removeWorkspace, refusesWish }: ServerParts): App {
  const router = newRouter();
  const executions = openExecutions(store, clock);

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/agent-runtime/execute',
      tags,
      summary: 'Execute a work item, or a prompt',
      description: 'With 201 it is durably queued, and it will run. A work item is executed once.',
      request: { body: { required: true, content: { 'application/json': { schema: executeSchema } } } },
      responses: {
        201: json(z.object({ executionId: z.string(), workItemId: z.string() }), 'It is on disk.'),
        ...refusals(400, 401, 404, 409, 413, 415, 422, 503),
      },
    }),
    async (context) => {
      const { workerId, workItemId, prompt, repository } = context.req.valid('json');
      const worker = await requireWorker(workerId);
      const by = { user: context.get('user'), trust: trustIn(context.get('caller')), trace: traceOf(context) };
      const id =
        workItemId === undefined
          ? await executePrompt(worker, prompt ?? '', repository, by)
          : await executeItem(worker, workItemId, prompt, repository, by);
      return context.json({ executionId: id, workItemId: id }, 201);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/agent-runtime/executions/{id}',
      tags,
      summary: 'Look at an execution, or at one attempt of it',
      request: { params: idParam },
      responses: { 200: json(executionSchema, 'The execution.'), ...refusals(401, 404, 503) },
    }),
    async (context) => context.json((await executions.require(context.req.valid('param').id)).view, 200),
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/executions',
      tags,
      summary: 'List executions, newest first',
      description: `Looks at the newest ${executionWindow}; \`/api/tasks\` walks all there are.`,
      request: {
        query: z.strictObject({
          status: executionStatus.optional(),
          workerId: z.string().max(100).optional(),
          workItemId: z.string().max(100).optional(),
          dateFrom: z.iso.datetime({ offset: true }).or(z.iso.date()).optional(),
          dateTo: z.iso.datetime({ offset: true }).or(z.iso.date()).optional(),
          limit: z.coerce.number().int().min(1).max(200).optional().openapi({ description: 'Default: 20.' }),
          offset: z.coerce.number().int().min(0).max(executionWindow).optional(),
        }),
      },
      responses: {
        200: json(
          z.object({ items: z.array(executionSchema), total: z.number().int(), hasMore: z.boolean() }).openapi('AgentExecutionPage'),
          'A page.',
        ),
        ...refusals(400, 401, 503),
      },
    }),
    async (context) => {
      const { status, workerId, workItemId, dateFrom, dateTo, limit = 20, offset = 0 } = context.req.valid('query');
      const worker = workerId === undefined ? undefined : await findWorker(workerId);
      const nothing = (workerId !== undefined && !worker) || (workItemId !== undefined && !isId('task', workItemId));
      if (nothing) return context.json({ items: [], total: 0, hasMore: false }, 200);
      const { items, total } = await listExecuted(
        store.read,
        {
          ...(status === undefined ? {} : filterFor(status)),
          ids: workItemId === undefined ? undefined : [workItemId],
          profile: worker?.name,
          from: dateFrom === undefined ? undefined : Date.parse(dateFrom),
          to: dateTo === undefined ? undefined : Date.parse(dateTo),
        },
        { offset, limit },
      );
      return context.json({ items: await executions.views(items), total, hasMore: offset + items.length < total }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/agent-runtime/executions/{id}/cancel',
      tags,
      summary: 'Cancel an execution',
      description: `Answers when nothing of it runs any more, or after ${settlingMs / 1_000} seconds; then \`completedAt\` is still null, and is set soon.`,
      request: { params: idParam },
      responses: { 200: json(executionSchema, 'The execution, cancelled.'), ...refusals(401, 404, 409, 413, 503) },
    }),
    async (context) => {
      const { id } = context.req.valid('param');
      const { taskId, view } = await executions.require(id);
      if (view.status !== 'pending' && view.status !== 'running') throw notRunning(id, view.status);
      const answer = await queue.cancel(taskId, context.get('user'));
      // It ended between the look and the word.
      if (!answer.ok) throw notRunning(id, (await executions.require(id)).view.status);
      await executions.settled(taskId, context.req.raw.signal);
      return context.json((await executions.require(id)).view, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/agent-runtime/workspaces',
      tags,
      summary: 'List the active workspaces',
      responses: { 200: json(z.array(workspaceSchema), 'All that are active.'), ...refusals(401, 503) },
    }),
    async (context) => {
      const active = await listWorkspaces(store.read, { statuses: ['active'], limit: activeLimit });
      const names = await profilesOf(
        store.read,
        active.map(({ taskId }) => taskId),
      );
      const profiles = await findProfiles(store.read, names.values());
      return context.json(
        active.map((workspace) => workspaceView(workspace, profiles.get(names.get(workspace.taskId) ?? ''))),
        200,
      );
    },
  );

  router.openapi(
    createRoute({
      method: 'delete',
      'x-role': 'operator',
      path: '/agent-runtime/workspaces/{id}',
      tags,
      summary: "Remove a workspace's files",
      request: { params: idParam },
      responses: { 200: json(z.object({ message: z.string() }), 'They are gone.'), ...refusals(401, 404, 409, 413, 503) },
    }),
    async (context) => {
      const { id } = context.req.valid('param');
      const removal = isId('workspace', id) ? await removeWorkspace(id, context.req.raw.signal) : 'not-found';
      switch (removal) {
        case 'removed':
          return context.json({ message: `Workspace ${id} deleted successfully` }, 200);
        case 'not-found':
          throw notFound('workspace', 'Workspace', id);
        case 'busy':
          throw new Refused(
            409,
            'workspace-busy',
            `Workspace with id ${id} is in use by an active execution, or cannot be removed just now`,
          );
        case 'elsewhere':
          throw new Refused(409, 'workspace-elsewhere', `Workspace with id ${id} is on the disk of another node`);
      }
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/work-items',
      tags,
      summary: 'Create a work item',
      description: 'A task that waits for the word to go ahead, which `execute` gives.',
      request: { body: { required: true, content: { 'application/json': { schema: newItemSchema } } } },
      responses: { 201: json(workItemSchema, 'The work item.'), ...refusals(400, 401, 413, 415, 422, 503) },
    }),
    async (context) => {
      const { title, type, createdBy, description, repository } = context.req.valid('json');
      const submission = await queue.submit({
        title,
        source,
        requestedBy: createdBy,
        trust: trustIn(context.get('caller')),
        ...traceOf(context),
        priority: priorityOf[type],
        labels: [type],
        needsApproval: true,
        ...(description === undefined ? {} : { body: description }),
        ...(repository === undefined ? {} : { repository }),
      });
      if (submission.kind === 'refused') throw refuse(submission.refusal);
      return context.json(workItemView(submission.task, []), 201);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/work-items/{id}',
      tags,
      summary: 'Look at a work item',
      request: { params: idParam },
      responses: { 200: json(workItemSchema, 'The work item.'), ...refusals(401, 404, 503) },
    }),
    async (context) => {
      const { id } = context.req.valid('param');
      const task = isId('task', id) ? await findTask(store.read, id) : undefined;
      if (!task) throw notFound('work-item', 'Work item', id);
      return context.json(workItemView(task, (await runsOfTasks(store.read, [id])).get(id) ?? []), 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'get',
      'x-role': 'viewer',
      path: '/workers',
      tags,
      summary: 'List the workers: one for each profile',
      responses: {
        200: json(
          z
            .object({
              workers: z.array(workerSchema),
              totalWorkers: z.number().int(),
              activeWorkers: z.number().int(),
              idleWorkers: z.number().int(),
            })
            .openapi('Workers'),
          'All of them.',
        ),
        ...refusals(401, 503),
      },
    }),
    async (context) => {
      const busy = await busyProfiles(store.read);
      const workers = (await listProfiles(store.read)).map((profile) => workerView(profile, busy.get(profile.name) ?? 0));
      const idle = workers.filter(({ status }) => status === 'idle').length;
      return context.json({ workers, totalWorkers: workers.length, activeWorkers: workers.length, idleWorkers: idle }, 200);
    },
  );

  router.openapi(
    createRoute({
      method: 'post',
      'x-role': 'operator',
      path: '/workers/spawn',
      tags,
      summary: 'Get the worker of a template',
      description:
        'A profile is both, and takes as much work as it is given: what has no free slot waits in line. So nothing is started here, and there is no maximum.',
      request: {
        body: {
          required: true,
          content: {
            'application/json': {
              schema: z.strictObject({ templateId: z.string().min(1).max(100), sessionId: z.string().min(1).max(200) }).openapi('Spawn'),
            },
          },
        },
      },
      responses: { 201: json(workerSchema, 'The worker.'), ...refusals(400, 401, 404, 413, 415, 503) },
    }),
    async (context) => {
      const { templateId } = context.req.valid('json');
      const profile = await findWorker(templateId);
      if (!profile) throw notFound('template', 'Template', templateId);
      return context.json(workerView(profile, (await busyProfiles(store.read)).get(profile.name) ?? 0), 201);
    },
  );

  const findWorker = async (key: string): Promise<Profile | undefined> => {
    if (isId('profile', key)) return findProfileById(store.read, key);
    return isProfileName(key) ? findProfile(store.read, key) : undefined;
  };

  const requireWorker = async (key: string): Promise<Profile> => {
    const worker = await findWorker(key);
    if (!worker) throw notFound('worker', 'Worker', key);
    return worker;
  };

  async function refuseUnfit(wish: Parameters<typeof refusesWish>[0]): Promise<void> {
    const why = await refusesWish(wish);
    if (why !== undefined) throw new Refused(422, why.code, why.message);
  }

  async function executePrompt(
    worker: Profile,
    prompt: string,
    repository: string | undefined,
    { user, trust, trace }: { readonly user: string; readonly trust: Trust; readonly trace: ReturnType<typeof traceOf> },
  ): Promise<string> {
    await refuseUnfit({ engine: undefined, profile: worker.name, repository, trust });
    const submission = await queue.submit({
      title: titleOf(prompt),
      body: prompt,
      profile: worker.name,
      source,
      requestedBy: user,
      trust,
      ...trace,
      priority: 'medium',
      ...(repository === undefined ? {} : { repository }),
    });
    if (submission.kind === 'refused') throw refusalOf(submission.refusal, worker);
    return submission.task.id;
  }

  async function executeItem(
    worker: Profile,
    id: string,
    prompt: string | undefined,
    repository: string | undefined,
    by: { readonly user: string; readonly trust: Trust },
  ): Promise<string> {
    const task = isId('task', id) ? await findTask(store.read, id) : undefined;
    if (!task) throw notFound('work-item', 'Work item', id);
    // Whoever only lets it go ahead has written none of it.
    const trust = prompt === undefined && repository === undefined ? task.trust : leastTrusted(task.trust, by.trust);
    await refuseUnfit({
      engine: task.engine ?? undefined,
      profile: worker.name,
      repository: repository ?? task.repository ?? undefined,
      trust,
    });
    const answer = await queue.approve(id, by.user, { profile: worker.name, addition: prompt, repository, trust });
    if (answer.ok) return id;
    if (answer.refusal.code !== 'not-awaiting-approval') throw refusalOf(answer.refusal, worker);
    const { status } = (await executions.require(id)).view;
    throw new Refused(
      409,
      'already-executed',
      `Work item with id ${id} has been executed already (current status: ${status}). POST /api/tasks/${id}/retry runs one again that did not succeed.`,
    );
  }

  return router;
}

const titleLength = 100;

function titleOf(prompt: string): string {
  const first = prompt.trim().split('\n', 1)[0] ?? '';
  const title = first.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  const letters = [...title];
  return letters.length <= titleLength ? title || 'Prompt' : `${letters.slice(0, titleLength - 1).join('')}…`;
}

const notRunning = (id: string, status: ExecutionStatus): Refused =>
  new Refused(409, 'not-running', `Execution with id ${id} is not running (current status: ${status})`);

/** A worker that was there a moment ago may have been deleted since. */
const refusalOf = (refusal: Refusal, worker: Profile): Refused =>
  refusal.code === 'unknown-profile' ? notFound('worker', 'Worker', worker.id) : refuse(refusal);
