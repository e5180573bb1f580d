import { type Kysely, sql } from 'kysely';
import type { Schema } from './schema.ts';

/** What waits and since when, for those who watch over the whole. Each is read from an index of what is open. */
export interface MailStanding {
  /** Of the inbox by source, of the outbox by channel. */
  readonly name: string;
  readonly state: 'received' | 'waiting' | 'failed' | 'dead';
  readonly count: number;
  /** When the oldest of them came in. */
  readonly since: number;
}

export async function inboxStanding(db: Kysely<Schema>): Promise<readonly MailStanding[]> {
  return db
    .selectFrom('inbox')
    .select(['source as name', 'state', sql<number>`count(*)`.as('count'), sql<number>`min(received_at)`.as('since')])
    .where('state', 'in', ['received', 'failed'])
    .groupBy(['source', 'state'])
    .$castTo<MailStanding>()
    .execute();
}

export async function outboxStanding(db: Kysely<Schema>): Promise<readonly MailStanding[]> {
  return db
    .selectFrom('outbox')
    .select(['channel as name', 'state', sql<number>`count(*)`.as('count'), sql<number>`min(created_at)`.as('since')])
    .where('state', 'in', ['waiting', 'dead'])
    .groupBy(['channel', 'state'])
    .$castTo<MailStanding>()
    .execute();
}

/** When the run began that has lasted longest, or null when there is none. */
export async function longestRun(db: Kysely<Schema>): Promise<number | null> {
  const row = await db
    .selectFrom('runs')
    .select((select) => select.fn.min('started_at').as('since'))
    .where('status', '=', sql.lit('running' as const))
    .executeTakeFirst();
  return row?.since ?? null;
}
