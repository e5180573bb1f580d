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

/** Of these keys, when the other side was last told anything under them, however old that is. */
export async function lastToldAt(db: Kysely<Schema>, channel: string, keys: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const told = new Map<string, number>();
  for (const chunk of chunks(keys)) {
    const rows = await db
      .selectFrom('outbox')
      .select(['key', 'sent_at'])
      .where('channel', '=', channel)
      .where('key', 'in', chunk)
      .where('sent_at', 'is not', null)
      .execute();
    for (const { key, sent_at } of rows) told.set(key, sent_at as number);
  }
  return told;
}
