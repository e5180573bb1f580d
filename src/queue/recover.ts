import type { NewEvent } from '../domain/event.ts';
import type { Setback } from '../domain/outcome.ts';
import { planRecovery, type Recovery } from '../domain/recovery.ts';
import type { Run } from '../domain/run.ts';
import type { Task } from '../domain/task.ts';
import { checkpointsOfRun } from '../store/checkpoints.ts';
import { tierOfRun } from '../store/journal.ts';
import { planAttempt, plannedAttempt } from '../store/next-attempts.ts';
import { figuresOf } from '../store/results.ts';
import type { Tx } from '../store/store.ts';

/** What becomes of a task whose run went wrong; how its next attempt begins is written in the transaction that settles it. */
export async function recover(
  tx: Tx,
  { task, run, setback, backoffMs }: { readonly task: Task; readonly run: Run; readonly setback: Setback; readonly backoffMs: number },
  now: number,
): Promise<Recovery> {
  const planned = await plannedAttempt(tx.db, task.id);
  const recovery = planRecovery({
    setback,
    attempts: task.attempts,
    maxAttempts: task.maxAttempts,
    backoffMs,
    planned,
    checkpoints: await checkpointsOfRun(tx.db, run.id),
    tier: task.tier === null ? await tierOfRun(tx.db, run.id) : null,
    affordable: task.budgetUsd === null || ((await figuresOf(tx.db, [task.id])).get(task.id)?.costUsd ?? 0) < task.budgetUsd,
  });
  if (recovery.kind === 'resume' || recovery.kind === 'alternative') await planAttempt(tx, task.id, recovery.plan, now);
  // The same again begins as this one did.
  if (recovery.kind === 'retry' && planned) {
    const { takenBy: _, ...plan } = planned;
    await planAttempt(tx, task.id, plan, now);
  }
  return recovery;
}

export const recoveryEvent = ({ taskId, id }: Run, recovery: Recovery, { reason }: Setback): NewEvent => ({
  type: 'task.recovery',
  taskId,
  runId: id,
  data: { plan: recovery.kind, reason, ...('plan' in recovery ? { checkpoint: recovery.plan.checkpoint, tier: recovery.plan.tier } : {}) },
});
