import type { Kysely } from 'kysely';
import type { NextAttempt } from '../domain/next-attempt.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

export interface PlannedAttempt extends NextAttempt {
  /** The run that began like this; another one goes on where that one was. */
  readonly takenBy: string | null;
}

/** Replaces what was planned. */
export async function planAttempt(tx: Tx, taskId: string, plan: NextAttempt, now: number): Promise<void> {
  const row = { plan: JSON.stringify(plan), taken_by: null, at: now };
  await tx.db
    .insertInto('next_attempts')
    .values({ task_id: taskId, ...row })
    .onConflict((conflict) => conflict.column('task_id').doUpdateSet(row))
    .execute();
}

export async function plannedAttempt(db: Kysely<Schema>, taskId: string): Promise<PlannedAttempt | undefined> {
  const row = await db.selectFrom('next_attempts').selectAll().where('task_id', '=', taskId).executeTakeFirst();
  return row && { ...(JSON.parse(row.plan) as NextAttempt), takenBy: row.taken_by };
}

export async function takeAttempt(tx: Tx, taskId: string, runId: string): Promise<void> {
  await tx.db.updateTable('next_attempts').set({ taken_by: runId }).where('task_id', '=', taskId).where('taken_by', 'is', null).execute();
}

export async function dropAttempt(tx: Tx, taskId: string): Promise<void> {
  await tx.db.deleteFrom('next_attempts').where('task_id', '=', taskId).execute();
}
