import type { Kysely } from 'kysely';
import { chunks } from './rows.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** Where tasks come from, for those who trace: when they were asked for, and by which request. */
interface TraceOrigin {
  readonly createdAt: number;
  readonly traceparent: string | null;
}

export async function insertTraces(tx: Tx, traces: readonly { readonly taskId: string; readonly traceparent: string }[]): Promise<void> {
  for (const chunk of chunks(traces)) {
    await tx.db
      .insertInto('task_traces')
      .values(chunk.map(({ taskId, traceparent }) => ({ task_id: taskId, traceparent })))
      .execute();
  }
}

export async function traceOriginsOf(db: Kysely<Schema>, taskIds: readonly string[]): Promise<ReadonlyMap<string, TraceOrigin>> {
  const origins = new Map<string, TraceOrigin>();
  for (const chunk of chunks([...new Set(taskIds)])) {
    const rows = await db
      .selectFrom('tasks')
      .leftJoin('task_traces', 'task_traces.task_id', 'tasks.id')
      .select(['tasks.id', 'tasks.created_at', 'task_traces.traceparent'])
      .where('tasks.id', 'in', chunk)
      .execute();
    for (const { id, created_at, traceparent } of rows) origins.set(id, { createdAt: Number(created_at), traceparent });
  }
  return origins;
}
