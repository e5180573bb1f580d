import { createHash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import type { Message, MessageState, OutgoingMessage } from '../domain/mail.ts';
import type { Reason } from '../domain/outcome.ts';
import { fromJson, toJson } from './rows.ts';
import type { OutboxTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** Written into the statement, not bound to it: only then does SQLite see that the partial index will do. */
const waiting = sql.lit('waiting' as const);
const leading = sql.lit(1 as const);
/** An edit of what was said already, and not often: it stands beside the line of its recipient, and holds up nobody. */
const beside = sql<boolean>`(pause > 0 and sent_at is not null)`;
const dropped = sql.lit('null' as const);

/**
 * Puts messages in line behind the others to their recipients. Under a key that is known, the new text replaces the old:
 * in its place if that still waits, as a correction if it went out. One that a person has to look at stays with them.
 */
export async function putMessages(tx: Tx, messages: readonly NewMessage[], now: number): Promise<void> {
  if (messages.length === 0) return;
  await holdLines(tx, messages);
  for (const message of messages) await putMessage(tx, message, now);
  tx.touch('outbox');
}

type NewMessage = OutgoingMessage & { readonly id: string };

async function putMessage(
  tx: Tx,
  { id, channel, recipient, kind, key, taskId, pauseMs = 0, body: content }: NewMessage,
  now: number,
): Promise<void> {
  const last = await tx.db
    .selectFrom('outbox')
    .select('place')
    .where('state', '=', waiting)
    .where('channel', '=', channel)
    .where('recipient', '=', recipient)
    .where((where) => where.not(beside))
    .orderBy('place', 'desc')
    .limit(1)
    .executeTakeFirst();
  const body = JSON.stringify(content);
  const unlessWaiting = (column: 'recipient' | 'place' | 'attempts') =>
    sql<never>`case when outbox.state = 'sent' then excluded.${sql.ref(column)} else outbox.${sql.ref(column)} end`;
  // What waits for another try goes on doing so; what only pauses goes as soon as its newest text may.
  const due = sql<number>`case
    when outbox.state <> 'sent' and (outbox.attempts > 0 or outbox.not_before < excluded.not_before) then outbox.not_before
    when outbox.sent_at + excluded.pause > excluded.not_before then outbox.sent_at + excluded.pause
    else excluded.not_before end`;
  const stored = await tx.db
    .insertInto('outbox')
    .values({
      id,
      channel,
      recipient,
      kind,
      key,
      task_id: taskId ?? null,
      body,
      body_hash: createHash('sha256').update(body).digest('base64url'),
      state: 'waiting',
      reason: null,
      revision: 1,
      sent_revision: null,
      ref: null,
      attempts: 0,
      doubtful: 0,
      pause: pauseMs,
      place: (last?.place ?? 0) + 1,
      leads: last ? 0 : 1,
      not_before: now,
      holder: null,
      created_at: now,
      sent_at: null,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['channel', 'key'])
        .doUpdateSet((row) => ({
          body: row.ref('excluded.body'),
          body_hash: row.ref('excluded.body_hash'),
          revision: sql<number>`outbox.revision + 1`,
          state: sql<MessageState>`case when outbox.state = 'sent' then 'waiting' else outbox.state end`,
          recipient: unlessWaiting('recipient'),
          place: unlessWaiting('place'),
          leads: sql<number>`case
            when outbox.state in ('dead', 'discarded') then 0
            when excluded.pause > 0 and outbox.sent_at is not null then 1
            when outbox.state = 'waiting' then outbox.leads
            else excluded.leads end`,
          not_before: due,
          pause: row.ref('excluded.pause'),
          attempts: unlessWaiting('attempts'),
        }))
        .where(sql<boolean>`outbox.body_hash <> excluded.body_hash`),
    )
    .returning(['id', 'channel', 'recipient'])
    .executeTakeFirst();
  // The new text may have taken one that led its line out of it.
  if (stored && stored.id !== id) await nextLeads(tx, [stored]);
}

interface Line {
  readonly channel: string;
  readonly recipient: string;
}

/**
 * Until the transaction ends nobody else joins or leaves these lines, so that each has a first message whenever it has any.
 * Lines are held in one order; a transaction that comes back for more may lose to another, and is run again.
 */
export async function holdLines(tx: Tx, lines: readonly Line[]): Promise<void> {
  if (tx.dialect === 'sqlite' || lines.length === 0) return;
  const names = lines.map(({ channel, recipient }) => `nightshift.outbox.${channel}.${recipient}`);
  await sql`select pg_advisory_xact_lock(line) from
    (select distinct hashtextextended(name, 0) as line from unnest(${names}::text[]) as name order by 1) as lines`.execute(tx.db);
}

/** The same for the line of a message that nobody has in hand. */
async function holdLineOf(tx: Tx, id: string): Promise<Line | undefined> {
  const line = await tx.db.selectFrom('outbox').select(['channel', 'recipient']).where('id', '=', id).executeTakeFirst();
  if (line) await holdLines(tx, [line]);
  return line;
}

/** Whoever took messages out of their lines lets the first of those that still wait lead each. */
async function nextLeads(tx: Tx, lines: readonly Line[]): Promise<void> {
  const held = sql.join(lines.map(({ channel, recipient }) => sql`(cast(${channel} as text), cast(${recipient} as text))`));
  const firsts = sql<string>`(select (
      select id from outbox as first where state = ${waiting} and channel = line.column1 and recipient = line.column2
        and not ${beside} order by place, id limit 1
    ) from (values ${held}) as line)`;
  await tx.db.updateTable('outbox').set({ leads: 1 }).where('id', 'in', firsts).where('leads', '=', 0).execute();
}

/**
 * Those that lead their lines, and edits beside them, as far as they are due and no living node sends them; from now on `node`
 * does, and whether one arrives is in doubt until its sender says so.
 */
export async function takeMessages(tx: Tx, node: string, channel: string, limit: number, now: number): Promise<readonly Message[]> {
  let query = tx.db
    .selectFrom('outbox')
    .select(['id', 'doubtful'])
    .where('state', '=', waiting)
    .where('leads', '=', leading)
    .where('channel', '=', channel)
    .where('not_before', '<=', now)
    .where((where) => where.or([where('holder', 'is', null), where('holder', 'not in', where.selectFrom('nodes').select('nodes.id'))]))
    .orderBy('not_before')
    .orderBy('id')
    .limit(limit);
  if (tx.dialect === 'postgres') query = query.forUpdate().skipLocked();
  const heads = await query.execute();
  if (heads.length === 0) return [];
  const doubted = new Set(heads.filter(({ doubtful }) => doubtful === 1).map(({ id }) => id));
  const rows = await tx.db
    .updateTable('outbox')
    .set((row) => ({ holder: node, doubtful: 1, attempts: row('attempts', '+', 1) }))
    .where(
      'id',
      'in',
      heads.map(({ id }) => id),
    )
    .returningAll()
    .execute();
  return rows.map((row) => ({ ...toMessage(row), doubtful: doubted.has(row.id) }));
}

/** When the next message may go that may not at `now`; of those under way nothing is said. */
export async function nextMessage(db: Kysely<Schema>, channel: string, now: number): Promise<number | null> {
  const row = await db
    .selectFrom('outbox')
    .select((select) => select.fn.min('not_before').as('next'))
    .where('state', '=', waiting)
    .where('leads', '=', leading)
    .where('channel', '=', channel)
    .where('holder', 'is', null)
    .where('not_before', '>', now)
    .executeTakeFirst();
  return row?.next ?? null;
}

export interface SentMessage {
  readonly message: Message;
  /** Under which it is known outside. */
  readonly ref: string | null;
}

/** They are known outside now. Whose text has changed meanwhile goes out once more. Their lines are held. */
export async function markSent(tx: Tx, sent: readonly SentMessage[], node: string, now: number): Promise<void> {
  if (sent.length === 0) return;
  const rows = sql.join(
    sent.map(({ message, ref }) => sql`(cast(${message.id} as text), cast(${message.revision} as integer), cast(${ref} as text))`),
  );
  const unchanged = sql<boolean>`outbox.revision = said.revision`;
  await tx.db
    .updateTable('outbox')
    .from(sql<Said>`(select column1 as id, column2 as revision, column3 as ref from (values ${rows}) as given)`.as('said'))
    .set({
      state: sql<MessageState>`case when ${unchanged} then 'sent' else state end`,
      leads: sql<number>`case when ${unchanged} then 0 else leads end`,
      sent_revision: sql<number>`said.revision`,
      ref: sql<string | null>`said.ref`,
      reason: null,
      attempts: 0,
      doubtful: 0,
      holder: null,
      not_before: sql<number>`case when ${unchanged} then ${sql.lit(now)} else ${sql.lit(now)} + pause end`,
      sent_at: now,
    })
    .whereRef('outbox.id', '=', 'said.id')
    .where('holder', '=', node)
    .execute();
  await nextLeads(
    tx,
    sent.map(({ message }) => message),
  );
  tx.touch('outbox');
}

interface Said {
  readonly id: string;
  readonly revision: number;
  readonly ref: string | null;
}

/** Not this time. `doubtful` when it may have arrived all the same. */
export async function postponeMessage(
  tx: Tx,
  id: string,
  node: string,
  again: { readonly reason: Reason; readonly notBefore: number; readonly doubtful: boolean; readonly ref: string | null },
): Promise<void> {
  await tx.db
    .updateTable('outbox')
    .set({
      reason: toJson(again.reason),
      not_before: again.notBefore,
      doubtful: again.doubtful ? 1 : 0,
      ref: again.ref,
      holder: null,
    })
    .where('id', '=', id)
    .where('holder', '=', node)
    .execute();
  tx.touch('outbox');
}

/** Whether it was still ours to give up. Its line is held. */
export async function markDead(tx: Tx, message: Message, node: string, reason: Reason): Promise<boolean> {
  const result = await tx.db
    .updateTable('outbox')
    .set({ state: 'dead', leads: 0, reason: toJson(reason), holder: null })
    .where('id', '=', message.id)
    .where('holder', '=', node)
    .executeTakeFirst();
  await nextLeads(tx, [message]);
  tx.touch('outbox');
  return result.numUpdatedRows > 0n;
}

/** What a node was sending when it was killed may be sent again; it stays in doubt. */
export async function releaseMessages(tx: Tx, node: string): Promise<void> {
  await tx.db.updateTable('outbox').set({ holder: null }).where('holder', '=', node).where('state', '=', waiting).execute();
  tx.touch('outbox');
}

/** Back in line, as if it were new, but behind what waits there. False if it is in none of the states. */
export async function resendMessage(tx: Tx, id: string, from: readonly MessageState[], now: number): Promise<boolean> {
  const line = await holdLineOf(tx, id);
  if (!line) return false;
  const result = await tx.db
    .updateTable('outbox')
    .set({
      state: 'waiting',
      reason: null,
      attempts: 0,
      not_before: now,
      leads: sql<number>`case when ${beside} then 1 else 0 end`,
      place: sql<number>`(select coalesce(max(other.place), 0) + 1 from outbox as other
        where other.state = 'waiting' and other.channel = outbox.channel and other.recipient = outbox.recipient)`,
    })
    .where('id', '=', id)
    .where('state', 'in', from)
    .executeTakeFirst();
  await nextLeads(tx, [line]);
  tx.touch('outbox');
  return result.numUpdatedRows > 0n;
}

/** False if it is being sent at this moment, or in none of the states. */
export async function discardMessage(tx: Tx, id: string, from: readonly MessageState[]): Promise<boolean> {
  const line = await holdLineOf(tx, id);
  if (!line) return false;
  const result = await tx.db
    .updateTable('outbox')
    .set({ state: 'discarded', leads: 0, holder: null })
    .where('id', '=', id)
    .where('state', 'in', from)
    .where((where) => where.or([where('holder', 'is', null), where('holder', 'not in', where.selectFrom('nodes').select('nodes.id'))]))
    .executeTakeFirst();
  await nextLeads(tx, [line]);
  tx.touch('outbox');
  return result.numUpdatedRows > 0n;
}

/** Drops the bodies of what was sent before a time; the same text is still recognised by its hash. */
export async function dropSentBodies(tx: Tx, before: number, limit: number): Promise<number> {
  const old = tx.db
    .selectFrom('outbox')
    .select('id')
    .where('state', '=', sql.lit('sent' as const))
    .where('body', '<>', dropped)
    .where('sent_at', '<', before)
    .limit(limit);
  const result = await tx.db.updateTable('outbox').set({ body: 'null' }).where('id', 'in', old).executeTakeFirst();
  return Number(result.numUpdatedRows);
}

export async function findMessage(db: Kysely<Schema>, id: string): Promise<Message | undefined> {
  const row = await db.selectFrom('outbox').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toMessage(row);
}

export async function messageUnder(db: Kysely<Schema>, channel: string, key: string): Promise<Message | undefined> {
  const row = await db.selectFrom('outbox').selectAll().where('channel', '=', channel).where('key', '=', key).executeTakeFirst();
  return row && toMessage(row);
}

export interface MessageFilter {
  readonly state?: MessageState | undefined;
  readonly channel?: string | undefined;
  readonly recipient?: string | undefined;
}

/** Newest first, at most `limit`, older than `before`. */
export async function listMessages(
  db: Kysely<Schema>,
  { state, channel, recipient }: MessageFilter,
  { before, limit }: { readonly before: string | null; readonly limit: number },
): Promise<readonly Message[]> {
  let query = db.selectFrom('outbox').selectAll().orderBy('id', 'desc').limit(limit);
  if (before !== null) query = query.where('id', '<', before);
  if (state !== undefined) query = query.where('state', '=', state);
  if (channel !== undefined) query = query.where('channel', '=', channel);
  if (recipient !== undefined) query = query.where('recipient', '=', recipient);
  return (await query.execute()).map(toMessage);
}

const toMessage = (row: OutboxTable): Message => ({
  id: row.id,
  channel: row.channel,
  recipient: row.recipient,
  kind: row.kind,
  key: row.key,
  body: JSON.parse(row.body) as unknown,
  ...(row.task_id === null ? {} : { taskId: row.task_id }),
  state: row.state,
  reason: fromJson<Reason>(row.reason),
  revision: row.revision,
  sentRevision: row.sent_revision,
  ref: row.ref,
  attempts: row.attempts,
  doubtful: row.doubtful === 1,
  notBefore: row.not_before,
  createdAt: row.created_at,
  sentAt: row.sent_at,
});
