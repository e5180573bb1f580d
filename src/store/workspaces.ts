import { type ExpressionBuilder, type Kysely, sql } from 'kysely';
import { isClosed } from '../domain/task.ts';
import type { WorkspaceRecord, WorkspaceStatus } from '../domain/workspace.ts';
import { chunks, type Page, pageOf } from './rows.ts';
import type { Schema, WorkspaceTable } from './schema.ts';
import type { Tx } from './store.ts';

export async function insertWorkspace(tx: Tx, workspace: WorkspaceRecord): Promise<void> {
  await tx.db.insertInto('workspaces').values(toRow(workspace)).execute();
}

export async function findWorkspace(db: Kysely<Schema>, id: string): Promise<WorkspaceRecord | undefined> {
  const row = await db.selectFrom('workspaces').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toRecord(row);
}

export interface WorkspaceFilter {
  /** Those on disk when not given. */
  readonly statuses?: readonly WorkspaceStatus[];
  readonly taskId?: string;
  readonly runId?: string;
  readonly nodeId?: string;
  readonly gitDir?: string;
  /** Ids greater than this one. */
  readonly after?: string;
  readonly limit?: number;
}

/** Oldest first. */
export async function listWorkspaces(db: Kysely<Schema>, filter: WorkspaceFilter = {}): Promise<readonly WorkspaceRecord[]> {
  let query = db
    .selectFrom('workspaces')
    .selectAll()
    .orderBy('id')
    .limit(filter.limit ?? 1_000);
  query = filter.statuses ? query.where('status', 'in', filter.statuses) : query.where('removed_at', 'is', null);
  if (filter.taskId !== undefined) query = query.where('task_id', '=', filter.taskId);
  if (filter.runId !== undefined) query = query.where('run_id', '=', filter.runId);
  if (filter.nodeId !== undefined) query = query.where('node_id', '=', filter.nodeId);
  if (filter.gitDir !== undefined) query = query.where('git_dir', '=', filter.gitDir);
  if (filter.after !== undefined) query = query.where('id', '>', filter.after);
  return (await query.execute()).map(toRecord);
}

/** The newest of each run, whatever has become of it. */
export async function workspacesOfRuns(db: Kysely<Schema>, runIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const chunk of chunks(runIds)) {
    const rows = await db.selectFrom('workspaces').select(['id', 'run_id']).where('run_id', 'in', chunk).orderBy('id').execute();
    for (const { id, run_id } of rows) found.set(run_id, id);
  }
  return found;
}

/** Newest first; those on disk when no statuses are given. */
export async function pageOfWorkspaces(
  db: Kysely<Schema>,
  statuses: readonly WorkspaceStatus[] | undefined,
  { before, limit }: { readonly before: string | null; readonly limit: number },
): Promise<Page<WorkspaceRecord>> {
  let query = db
    .selectFrom('workspaces')
    .selectAll()
    .orderBy('id', 'desc')
    .limit(limit + 1);
  query = statuses ? query.where('status', 'in', statuses) : query.where('removed_at', 'is', null);
  if (before !== null) query = query.where('id', '<', before);
  return pageOf((await query.execute()).map(toRecord), limit);
}

export interface WorkspaceEnd {
  readonly status: 'completed' | 'error';
  readonly completedAt: number;
  readonly cleanupAt: number;
}

/** False when it was not active. */
export async function endWorkspace(tx: Tx, id: string, end: WorkspaceEnd): Promise<boolean> {
  const result = await tx.db
    .updateTable('workspaces')
    .set({ status: end.status, completed_at: end.completedAt, cleanup_at: end.cleanupAt })
    .where('id', '=', id)
    .where('status', '=', 'active')
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

export async function setTip(tx: Tx, id: string, tip: string): Promise<void> {
  await tx.db.updateTable('workspaces').set({ tip }).where('id', '=', id).execute();
}

/** Gives an active workspace to another run, unless the run that has it is live. Of two that try, one gets it. */
export async function takeOverWorkspace(tx: Tx, id: string, from: string, to: string): Promise<boolean> {
  const result = await tx.db
    .updateTable('workspaces')
    .set({ run_id: to })
    .where('id', '=', id)
    .where('status', '=', 'active')
    .where('run_id', '=', from)
    .where(runIsOver)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/** Gives a workspace that is on disk to a run, whatever became of the one that had it, unless that is live. */
export async function reopenWorkspace(tx: Tx, id: string, runId: string, tip: string): Promise<boolean> {
  const result = await tx.db
    .updateTable('workspaces')
    .set({ run_id: runId, status: 'active', tip, completed_at: null, cleanup_at: null })
    .where('id', '=', id)
    .where('status', 'in', ['active', 'completed', 'error'])
    .where(runIsOver)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

/**
 * From here on nobody gets it any more and its files may go. False when its run is live, or when it is `active` and only
 * an ended one was meant.
 */
export async function beginCleaning(tx: Tx, id: string, meant: 'ended' | 'any'): Promise<boolean> {
  const result = await tx.db
    .updateTable('workspaces')
    .set({ status: 'cleaning' })
    .where('id', '=', id)
    .where('status', 'in', meant === 'any' ? ['active', 'completed', 'error', 'cleaning'] : ['completed', 'error', 'cleaning'])
    .where(runIsOver)
    .executeTakeFirst();
  return result.numUpdatedRows > 0n;
}

export async function markRemoved(tx: Tx, id: string, now: number): Promise<void> {
  await tx.db.deleteFrom('kept_verdicts').where('workspace_id', '=', id).execute();
  await tx.db.updateTable('workspaces').set({ status: 'removed', removed_at: now }).where('id', '=', id).execute();
}

/** Whose time has come, and those whose cleaning was cut short. Never one whose run is live. */
export async function dueForCleaning(db: Kysely<Schema>, nodeId: string, now: number): Promise<readonly WorkspaceRecord[]> {
  const rows = await db
    .selectFrom('workspaces')
    .selectAll()
    .where('node_id', '=', nodeId)
    .where('removed_at', 'is', null)
    .where((row: ExpressionBuilder<Schema, 'workspaces'>) =>
      row.or([row('status', '=', 'cleaning'), row.and([row('status', 'in', ['completed', 'error']), row('cleanup_at', '<=', now)])]),
    )
    .where(runIsOver)
    .orderBy('id')
    .execute();
  return rows.map(toRecord);
}

export interface Abandoned {
  readonly workspace: WorkspaceRecord;
  /** When its run ended. */
  readonly since: number;
  /** Its task is over, so no run will ask for it. */
  readonly taskClosed: boolean;
  readonly succeeded: boolean;
}

/** Active, although the run that held it is over: it died, or nobody came to close it. */
export async function abandonedWorkspaces(db: Kysely<Schema>, nodeId: string): Promise<readonly Abandoned[]> {
  const rows = await db
    .selectFrom('workspaces')
    .innerJoin('runs', 'runs.id', 'workspaces.run_id')
    .innerJoin('tasks', 'tasks.id', 'workspaces.task_id')
    .selectAll('workspaces')
    .select(['runs.finished_at as run_finished_at', 'runs.status as run_status', 'tasks.status as task_status'])
    .where('workspaces.node_id', '=', nodeId)
    .where('workspaces.status', '=', 'active')
    .where('runs.status', '!=', 'running')
    .orderBy('workspaces.id')
    .execute();
  return rows.map(({ run_finished_at, run_status, task_status, ...row }) => ({
    workspace: toRecord(row),
    since: run_finished_at ?? row.created_at,
    taskClosed: isClosed(task_status),
    succeeded: run_status === 'succeeded',
  }));
}

const runIsOver = sql<boolean>`not exists (select 1 from runs where runs.id = workspaces.run_id and runs.status = 'running')`;

const toRow = (workspace: WorkspaceRecord): WorkspaceTable => ({
  id: workspace.id,
  task_id: workspace.taskId,
  run_id: workspace.runId,
  node_id: workspace.nodeId,
  status: workspace.status,
  repository: workspace.repository,
  ref: workspace.ref,
  branch: workspace.branch,
  base_commit: workspace.baseCommit,
  tip: workspace.tip,
  path: workspace.path,
  git_dir: workspace.gitDir,
  created_at: workspace.createdAt,
  completed_at: workspace.completedAt,
  cleanup_at: workspace.cleanupAt,
  removed_at: workspace.removedAt,
});

const toRecord = (row: WorkspaceTable): WorkspaceRecord => ({
  id: row.id,
  taskId: row.task_id,
  runId: row.run_id,
  nodeId: row.node_id,
  status: row.status,
  repository: row.repository,
  ref: row.ref,
  branch: row.branch,
  baseCommit: row.base_commit,
  tip: row.tip,
  path: row.path,
  gitDir: row.git_dir,
  createdAt: row.created_at,
  completedAt: row.completed_at,
  cleanupAt: row.cleanup_at,
  removedAt: row.removed_at,
});
