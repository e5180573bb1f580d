import { type Kysely, sql } from 'kysely';
import { chunks } from './rows.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** A run that succeeded and is to be looked at for what should follow. */
export interface FollowUp {
  readonly runId: string;
  readonly taskId: string;
  /** How often somebody began to. */
  readonly attempts: number;
}

/** Of tasks that have just succeeded: their last runs. */
export async function putFollowUps(tx: Tx, taskIds: readonly string[], now: number): Promise<void> {
  for (const chunk of chunks(taskIds)) {
    const runs = await tx.db
      .selectFrom('runs')
      .select((select) => ['task_id', select.fn.max('id').as('run_id')])
      .where('task_id', 'in', chunk)
      .where('status', '=', 'succeeded')
      .groupBy('task_id')
      .execute();
    if (runs.length === 0) continue;
    await tx.db
      .insertInto('follow_ups')
      .values(runs.map(({ task_id, run_id }) => ({ run_id, task_id, attempts: 0, holder: null, created_at: now })))
      .onConflict((conflict) => conflict.column('run_id').doNothing())
      .execute();
    tx.touch('follow-ups');
  }
}

/** Those that no living node has in hand; from now on `node` does. */
export async function takeFollowUps(tx: Tx, node: string, limit: number): Promise<readonly FollowUp[]> {
  let query = tx.db
    .selectFrom('follow_ups')
    .select('run_id')
    .where((where) => where.or([where('holder', 'is', null), where('holder', 'not in', where.selectFrom('nodes').select('nodes.id'))]))
    .orderBy('created_at')
    .orderBy('run_id')
    .limit(limit);
  if (tx.dialect === 'postgres') query = query.forUpdate().skipLocked();
  const free = await query.execute();
  if (free.length === 0) return [];
  const rows = await tx.db
    .updateTable('follow_ups')
    .set((row) => ({ holder: node, attempts: row('attempts', '+', 1) }))
    .where(
      'run_id',
      'in',
      free.map(({ run_id }) => run_id),
    )
    .returningAll()
    .execute();
  return rows.map(({ run_id: runId, task_id: taskId, attempts }) => ({ runId, taskId, attempts }));
}

/** Whether it was still there, and in the hands of `node`: of two that believe so, one is wrong. */
export async function endFollowUp(tx: Tx, runId: string, node: string): Promise<boolean> {
  const ended = await tx.db.deleteFrom('follow_ups').where('run_id', '=', runId).where('holder', '=', node).returning('run_id').execute();
  return ended.length > 0;
}

/** What a node had in hand when it stopped. */
export async function releaseFollowUps(tx: Tx, node: string): Promise<void> {
  await tx.db.updateTable('follow_ups').set({ holder: null }).where('holder', '=', node).execute();
}

/** Which of these were made into tasks before. */
export async function knownOffspring(db: Kysely<Schema>, keys: readonly string[]): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const chunk of chunks(keys)) {
    for (const { key } of await db.selectFrom('offspring').select('key').where('key', 'in', chunk).execute()) found.add(key);
  }
  return found;
}

export async function insertOffspring(
  tx: Tx,
  runId: string,
  made: readonly { readonly key: string; readonly taskId: string }[],
  now: number,
): Promise<void> {
  if (made.length === 0) return;
  await tx.db
    .insertInto('offspring')
    .values(made.map(({ key, taskId }) => ({ key, task_id: taskId, run_id: runId, created_at: now })))
    .execute();
}

/** How many there have been since then. */
export async function countOffspring(db: Kysely<Schema>, since: number): Promise<number> {
  const row = await db
    .selectFrom('offspring')
    .select(sql<number>`count(*)`.as('count'))
    .where('created_at', '>=', since)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** How many tasks stand above this one; no more than `limit` are counted. */
export async function depthOf(db: Kysely<Schema>, taskId: string, limit: number): Promise<number> {
  let at: string | null = taskId;
  for (let depth = 0; depth < limit; depth++) {
    const row: { parent_task_id: string | null } | undefined = await db
      .selectFrom('tasks')
      .select('parent_task_id')
      .where('id', '=', at)
      .executeTakeFirst();
    if (!row?.parent_task_id) return depth;
    at = row.parent_task_id;
  }
  return limit;
}
