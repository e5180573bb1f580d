import { type Kysely, sql } from 'kysely';
import type { Reason } from '../domain/outcome.ts';
import type { Run, RunStatus } from '../domain/run.ts';
import { chunks, fromJson, toJson } from './rows.ts';
import type { RunTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** Written into the statement, not bound to it: only then does SQLite see that the partial index of live runs will do. */
const running = sql.lit('running' as const);

export async function insertRuns(tx: Tx, runs: readonly Run[]): Promise<void> {
  for (const chunk of chunks(runs)) await tx.db.insertInto('runs').values(chunk.map(toRow)).execute();
}

export interface RunEnd {
  readonly id: string;
  readonly status: Exclude<RunStatus, 'running'>;
  readonly reason: Reason | null;
  readonly summary: string | null;
}

/** Ends runs that are still live. Ends alike share one statement. */
export async function endRuns(tx: Tx, ends: readonly RunEnd[], now: number): Promise<void> {
  const alike = new Map<string, { readonly set: Partial<RunTable>; readonly ids: string[] }>();
  for (const { id, status, reason, summary } of ends) {
    const set = { status, reason: toJson(reason), summary, finished_at: now };
    const key = JSON.stringify(set);
    const group = alike.get(key);
    if (group) group.ids.push(id);
    else alike.set(key, { set, ids: [id] });
  }
  for (const { set, ids } of alike.values()) {
    for (const chunk of chunks(ids)) {
      await tx.db.updateTable('runs').set(set).where('id', 'in', chunk).where('status', '=', running).execute();
    }
  }
}

export async function findRun(db: Kysely<Schema>, id: string): Promise<Run | undefined> {
  const row = await db.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toRun(row);
}

export async function findRuns(db: Kysely<Schema>, ids: readonly string[]): Promise<ReadonlyMap<string, Run>> {
  const found = new Map<string, Run>();
  for (const chunk of chunks(ids)) {
    for (const row of await db.selectFrom('runs').selectAll().where('id', 'in', chunk).execute()) found.set(row.id, toRun(row));
  }
  return found;
}

export async function runsOfTasks(db: Kysely<Schema>, taskIds: readonly string[]): Promise<ReadonlyMap<string, readonly Run[]>> {
  const found = new Map<string, Run[]>(taskIds.map((id) => [id, []]));
  for (const chunk of chunks(taskIds)) {
    const rows = await db.selectFrom('runs').selectAll().where('task_id', 'in', chunk).orderBy('id').execute();
    for (const row of rows) found.get(row.task_id)?.push(toRun(row));
  }
  return found;
}

/** What a node holds right now. */
export async function liveRunsOf(db: Kysely<Schema>, nodeId: string): Promise<readonly Run[]> {
  const rows = await db.selectFrom('runs').selectAll().where('node_id', '=', nodeId).where('status', '=', running).orderBy('id').execute();
  return rows.map(toRun);
}

/** Of those, the ones whose task has been called off. */
export async function calledOff(db: Kysely<Schema>, nodeId: string): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('runs')
    .innerJoin('tasks', 'tasks.id', 'runs.task_id')
    .select('runs.id')
    .where('runs.node_id', '=', nodeId)
    .where('runs.status', '=', running)
    .where('tasks.cancel_requested_at', 'is not', null)
    .execute();
  return rows.map(({ id }) => id);
}

const toRow = (run: Run): RunTable => ({
  id: run.id,
  task_id: run.taskId,
  node_id: run.nodeId,
  engine: run.engine,
  attempt: run.attempt,
  status: run.status,
  reason: toJson(run.reason),
  summary: run.summary,
  started_at: run.startedAt,
  finished_at: run.finishedAt,
});

const toRun = (row: RunTable): Run => ({
  id: row.id,
  taskId: row.task_id,
  nodeId: row.node_id,
  engine: row.engine,
  attempt: row.attempt,
  status: row.status,
  reason: fromJson<Reason>(row.reason),
  summary: row.summary,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
});
