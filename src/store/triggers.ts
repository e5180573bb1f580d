import type { Kysely } from 'kysely';
import type { DeliveryState } from '../domain/mail.ts';
import { chunks } from './rows.ts';
import type { Schema } from './schema.ts';

/** What a trigger has come to: its delivery, and its task once there is one. */
export async function whatBecameOf(
  db: Kysely<Schema>,
  source: string,
  triggers: readonly string[],
): Promise<ReadonlyMap<string, { readonly delivery: DeliveryState; readonly taskId: string | null }>> {
  const found = new Map<string, { readonly delivery: DeliveryState; readonly taskId: string | null }>();
  for (const chunk of chunks(triggers)) {
    const rows = await db
      .selectFrom('inbox')
      .leftJoin('task_origins', (join) =>
        join.onRef('task_origins.source', '=', 'inbox.source').onRef('task_origins.trigger_key', '=', 'inbox.key'),
      )
      .select(['inbox.key', 'inbox.state', 'task_origins.task_id'])
      .where('inbox.source', '=', source)
      .where('inbox.key', 'in', chunk)
      .execute();
    for (const row of rows) found.set(row.key, { delivery: row.state, taskId: row.task_id });
  }
  return found;
}

/** When the other side was last told what stands under this key; null when it has not heard it, or not the newest of it. */
export async function toldAt(db: Kysely<Schema>, channel: string, key: string): Promise<number | null> {
  const row = await db
    .selectFrom('outbox')
    .select('sent_at')
    .where('channel', '=', channel)
    .where('key', '=', key)
    .where('state', '=', 'sent')
    .executeTakeFirst();
  return row?.sent_at ?? null;
}
