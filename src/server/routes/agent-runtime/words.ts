import { z } from '@hono/zod-openapi';
import type { Reason } from '../../../domain/outcome.ts';
import type { Profile } from '../../../domain/profile.ts';
import type { RunResult } from '../../../domain/result.ts';
import type { Run, RunStatus } from '../../../domain/run.ts';
import type { Priority, Task, TaskStatus } from '../../../domain/task.ts';
import type { WorkspaceRecord } from '../../../domain/workspace.ts';
import type { Executed, ExecutionFilter } from '../../../store/executions.ts';
import type { Figures } from '../../../store/results.ts';
import { iso } from '../../views/values.ts';

/**
 * What that runtime calls things. Its worker and its template are a profile, its work item is a task, and its execution is
 * a task from the moment when it may run (docs/decisions/0009-executions.md).
 */

const time = z.iso.datetime().nullable();

const executionStatuses = ['pending', 'running', 'success', 'error', 'cancelled'] as const;
export type ExecutionStatus = (typeof executionStatuses)[number];
export const executionStatus = z.enum(executionStatuses);

export const executionSchema = z
  .object({
    id: z.string().openapi({ example: 'tsk_01KEXAMPLE000000000000000' }),
    workerId: z.string().nullable(),
    workItemId: z.string(),
    workspaceId: z.string().nullable(),
    templateId: z.string().nullable(),
    status: executionStatus,
    startedAt: time,
    completedAt: time.openapi({ description: 'Set when nothing of it runs any more.' }),
    durationMs: z.number().int().nullable(),
    tokensUsed: z.number().int(),
    costUsd: z.number(),
    toolCallsCount: z.number().int(),
    errorMessage: z.string().nullable(),
    output: z
      .object({
        summary: z.string().optional(),
        filesChanged: z.array(z.string()).optional(),
        testsRun: z.number().int().optional(),
        testsPassed: z.number().int().optional(),
        diff: z.string().optional(),
      })
      .nullable(),
    createdAt: z.iso.datetime(),
  })
  .openapi('AgentExecution');
export type ExecutionView = z.infer<typeof executionSchema>;

const statusWords: Readonly<Record<TaskStatus, ExecutionStatus>> = {
  queued: 'pending',
  blocked: 'pending',
  delayed: 'pending',
  'awaiting-approval': 'pending',
  running: 'running',
  succeeded: 'success',
  failed: 'error',
  'over-budget': 'error',
  escalated: 'error',
  cancelled: 'cancelled',
};

/** What was called off ends cancelled whatever comes, so it is told at once and never taken back. */
const statusOf = ({ status, cancelRequestedAt }: Pick<Executed, 'status' | 'cancelRequestedAt'>): ExecutionStatus =>
  cancelRequestedAt === null ? statusWords[status] : 'cancelled';

export function filterFor(status: ExecutionStatus): ExecutionFilter {
  if (status === 'cancelled') return { calledOff: true };
  return { calledOff: false, statuses: (Object.keys(statusWords) as TaskStatus[]).filter((each) => statusWords[each] === status) };
}

const runStatusWords: Readonly<Record<RunStatus, ExecutionStatus>> = {
  running: 'running',
  succeeded: 'success',
  cancelled: 'cancelled',
  failed: 'error',
  lost: 'error',
  released: 'error',
  'over-budget': 'error',
  escalated: 'error',
};

export interface ExecutionParts {
  readonly task: Executed;
  readonly profile: Profile | undefined;
  readonly runs: readonly Run[];
  readonly workspaceId: string | undefined;
  /** Of the newest run. */
  readonly result: RunResult | undefined;
  readonly figures: Figures;
}

export function executionView({ task, profile, runs, workspaceId, result, figures }: ExecutionParts): ExecutionView {
  const last = runs.at(-1);
  return {
    id: task.id,
    ...concerning(task, profile, workspaceId),
    ...told({
      status: statusOf(task),
      startedAt: runs[0]?.startedAt ?? null,
      // What waits for a person is not closed, but nothing of it runs.
      endedAt: task.status === 'running' ? null : (task.closedAt ?? last?.finishedAt ?? null),
      reason: task.reason,
      summary: last?.summary ?? null,
      result,
      figures,
    }),
    createdAt: new Date(task.createdAt).toISOString(),
  };
}

/** One attempt, under its own id. */
export function attemptView(run: Run, { task, profile, workspaceId, result, figures }: Omit<ExecutionParts, 'runs'>): ExecutionView {
  return {
    id: run.id,
    ...concerning(task, profile, workspaceId),
    ...told({
      status: run.status === 'running' ? statusOf(task) : runStatusWords[run.status],
      startedAt: run.startedAt,
      endedAt: run.finishedAt,
      reason: run.reason,
      summary: run.summary,
      result,
      figures,
    }),
    createdAt: new Date(run.startedAt).toISOString(),
  };
}

const concerning = (task: Executed, profile: Profile | undefined, workspaceId: string | undefined) => ({
  workerId: profile?.id ?? null,
  templateId: profile?.id ?? null,
  workItemId: task.id,
  workspaceId: workspaceId ?? null,
});

interface Told {
  readonly status: ExecutionStatus;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly reason: Reason | null;
  readonly summary: string | null;
  readonly result: RunResult | undefined;
  readonly figures: Figures;
}

function told({ status, startedAt, endedAt, reason, summary, result, figures }: Told) {
  const over = status !== 'pending' && status !== 'running';
  const completedAt = over ? endedAt : null;
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = figures.tokens;
  return {
    status,
    // One that ended without ever running has begun when it ended, and took no time.
    startedAt: iso(startedAt ?? completedAt),
    completedAt: iso(completedAt),
    durationMs: startedAt === null || completedAt === null ? null : Math.max(0, completedAt - startedAt),
    tokensUsed: inputTokens + outputTokens + cacheReadTokens + cacheWriteTokens,
    costUsd: figures.costUsd,
    toolCallsCount: figures.toolCalls,
    errorMessage: status === 'error' ? (reason?.message ?? null) : null,
    output: outputOf(summary, result),
  };
}

function outputOf(summary: string | null, result: RunResult | undefined): ExecutionView['output'] {
  if (summary === null && !result) return null;
  const counts = result?.tests?.counts;
  return {
    ...(summary === null ? {} : { summary }),
    ...(result ? { filesChanged: result.filesChanged.map(({ path }) => path) } : {}),
    ...(counts ? { testsRun: counts.passed + counts.failed, testsPassed: counts.passed } : {}),
    ...(result?.diff ? { diff: result.diff } : {}),
  };
}

export const workspaceSchema = z
  .object({
    id: z.string(),
    workerId: z.string().nullable(),
    workItemId: z.string(),
    repositoryId: z.string(),
    path: z.string(),
    branchName: z.string(),
    status: z.enum(['active', 'completed', 'error', 'cleaning']),
    createdAt: z.iso.datetime(),
    completedAt: time,
    cleanupAt: time,
  })
  .openapi('AgentRuntimeWorkspace');

export function workspaceView(workspace: WorkspaceRecord, profile: Profile | undefined): z.infer<typeof workspaceSchema> {
  return {
    id: workspace.id,
    workerId: profile?.id ?? null,
    workItemId: workspace.taskId,
    repositoryId: workspace.repository,
    path: workspace.path,
    branchName: workspace.branch,
    status: workspace.status === 'removed' ? 'cleaning' : workspace.status,
    createdAt: new Date(workspace.createdAt).toISOString(),
    completedAt: iso(workspace.completedAt),
    cleanupAt: iso(workspace.cleanupAt),
  };
}

const itemTypes = ['feature', 'bug', 'research', 'task'] as const;
type ItemType = (typeof itemTypes)[number];
export const itemType = z.enum(itemTypes);

/** In the order in which that runtime would take them. */
export const priorityOf: Readonly<Record<ItemType, Priority>> = { bug: 'high', feature: 'medium', task: 'medium', research: 'low' };

const itemStatuses = ['backlog', 'ready', 'in_progress', 'review', 'done'] as const;

const itemStatusWords: Readonly<Record<TaskStatus, (typeof itemStatuses)[number]>> = {
  'awaiting-approval': 'backlog',
  queued: 'ready',
  blocked: 'ready',
  delayed: 'ready',
  running: 'in_progress',
  succeeded: 'done',
  // What did not succeed is for a person to look at.
  failed: 'review',
  'over-budget': 'review',
  escalated: 'review',
  cancelled: 'review',
};

export const workItemSchema = z
  .object({
    id: z.string().openapi({ example: 'tsk_01KEXAMPLE000000000000000' }),
    title: z.string(),
    type: itemType,
    status: z.enum(itemStatuses),
    description: z.string(),
    repository: z.string().nullable(),
    createdBy: z.string(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    startedAt: time,
    completedAt: time,
  })
  .openapi('WorkItem');

export function workItemView(task: Task, runs: readonly Run[]): z.infer<typeof workItemSchema> {
  return {
    id: task.id,
    title: task.title,
    type: itemTypes.find((type) => task.labels.includes(type)) ?? 'task',
    status: itemStatusWords[task.status],
    description: task.body ?? '',
    repository: task.repository,
    createdBy: task.requestedBy,
    createdAt: new Date(task.createdAt).toISOString(),
    updatedAt: new Date(task.updatedAt).toISOString(),
    startedAt: iso(runs[0]?.startedAt ?? null),
    completedAt: iso(task.closedAt),
  };
}

export const workerSchema = z
  .object({
    id: z.string().openapi({ example: 'prf_01KEXAMPLE000000000000000' }),
    templateId: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    status: z.enum(['idle', 'working']),
    spawnedAt: z.iso.datetime(),
  })
  .openapi('Worker');

export const workerView = (profile: Profile, running: number): z.infer<typeof workerSchema> => ({
  id: profile.id,
  templateId: profile.id,
  name: profile.name,
  description: profile.description,
  status: running > 0 ? 'working' : 'idle',
  spawnedAt: new Date(profile.createdAt).toISOString(),
});
