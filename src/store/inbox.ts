import { createHash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import type { Delivery, DeliveryState, Origin } from '../domain/mail.ts';
import type { Reason } from '../domain/outcome.ts';
import { inserting } from './insert.ts';
import { chunks, fromJson, toJson } from './rows.ts';
import type { InboxTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

export interface Arrival {
  readonly id: string;
  readonly source: string;
  readonly key: string;
  readonly kind: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Its key is not vouched for: what was here before under another key is the same delivery. */
  readonly onceByContent?: boolean;
}

/** What became of each arrival. */
export type Insertion = 'stored' | 'known-key' | 'known-content';

/** Written into the statement, not bound to it: only then does SQLite see that the partial index will do. */
const received = sql.lit('received' as const);

const insertNew = inserting<'inbox', { readonly id: string }>('inbox', 'on conflict (source, key) do nothing returning id');
const insertBodies = inserting('delivery_bodies');

/** Stores what arrived; what has been here before is left out. */
export async function insertArrivals(tx: Tx, arrivals: readonly Arrival[], now: number): Promise<readonly Insertion[]> {
  const hashed = arrivals.map((arrival) => ({ ...arrival, hash: createHash('sha256').update(arrival.body).digest('hex') }));
  const replays = await replaysAmong(tx, hashed);
  const stored = new Set<string>();
  for (const chunk of chunks(
    hashed.filter(({ id }) => !replays.has(id)),
    100,
  )) {
    const rows = await insertNew(
      tx,
      chunk.map(({ id, source, key, kind, headers, body, hash }) => ({
        ...{ id, source, key, kind },
        headers: JSON.stringify(headers),
        body_hash: hash,
        body_size: body.length,
        state: 'received' as const,
        reason: null,
        attempts: 0,
        not_before: now,
        holder: null,
        task_ids: '[]',
        received_at: now,
        settled_at: null,
      })),
    );
    for (const { id } of rows) stored.add(id);
    await insertBodies(
      tx,
      chunk.filter(({ id }) => stored.has(id)).map(({ id, body }) => ({ delivery: id, body })),
    );
  }
  if (stored.size > 0) tx.touch('inbox');
  return arrivals.map(({ id }) => (stored.has(id) ? 'stored' : replays.has(id) ? 'known-content' : 'known-key'));
}

type Hashed = Arrival & { readonly hash: string };

/**
 * Who has seen one signed delivery can send it again under another key. Two such at the very same moment, through two servers,
 * may both be stored: that one trigger makes one task is seen to again when they are read.
 */
async function replaysAmong(tx: Tx, arrivals: readonly Hashed[]): Promise<ReadonlySet<string>> {
  const guarded = arrivals.filter(({ onceByContent }) => onceByContent);
  const firstKeys = new Map<string, string>();
  for (const chunk of chunks(guarded, 400)) {
    const rows = await tx.db
      .selectFrom('inbox')
      .select(['source', 'key', 'body_hash'])
      .where(
        'body_hash',
        'in',
        chunk.map(({ hash }) => hash),
      )
      .where('source', 'in', [...new Set(chunk.map(({ source }) => source))])
      .execute();
    for (const { source, key, body_hash } of rows) firstKeys.set(`${source} ${body_hash}`, key);
  }
  const replays = new Set<string>();
  for (const { id, source, key, hash } of guarded) {
    const first = firstKeys.get(`${source} ${hash}`);
    if (first === undefined) firstKeys.set(`${source} ${hash}`, key);
    else if (first !== key) replays.add(id);
  }
  return replays;
}

/** Of these keys of a source, those that have been here. */
export async function knownKeys(db: Kysely<Schema>, source: string, keys: readonly string[]): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  for (const chunk of chunks(keys)) {
    const rows = await db.selectFrom('inbox').select('key').where('source', '=', source).where('key', 'in', chunk).execute();
    for (const { key } of rows) known.add(key);
  }
  return known;
}

/** So much of what is `large` may be taken: the last of it may go beyond, and then there is none. */
export interface LargeRoom {
  readonly large: number;
  readonly bytes: number;
}

/** The oldest deliveries that are due and that no living node works on; from now on `node` does. */
export async function takeDeliveries(tx: Tx, node: string, limit: number, now: number, room: LargeRoom): Promise<readonly Delivery[]> {
  let query = tx.db
    .selectFrom('inbox')
    .select(['id', 'body_size'])
    .where('state', '=', received)
    .where('not_before', '<=', now)
    .where((where) => where.or([where('holder', 'is', null), where('holder', 'not in', where.selectFrom('nodes').select('nodes.id'))]))
    .orderBy('not_before')
    .orderBy('id')
    .limit(limit);
  if (room.bytes <= 0) query = query.where('body_size', '<', room.large);
  if (tx.dialect === 'postgres') query = query.forUpdate().skipLocked();
  let left = room.bytes;
  const ids = (await query.execute()).flatMap(({ id, body_size: size }) => {
    if (size >= room.large && left <= 0) return [];
    if (size >= room.large) left -= size;
    return id;
  });
  if (ids.length === 0) return [];
  const rows = await tx.db
    .updateTable('inbox')
    .set((row) => ({ holder: node, attempts: row('attempts', '+', 1) }))
    .where('id', 'in', ids)
    .returning(columns)
    .execute();
  return rows.map(toDelivery).sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** When the next delivery becomes due after `now`; of those under way nothing is said. */
export async function nextDelivery(db: Kysely<Schema>, now: number, room: LargeRoom): Promise<number | null> {
  let query = db
    .selectFrom('inbox')
    .select((select) => select.fn.min('not_before').as('next'))
    .where('state', '=', received)
    .where('holder', 'is', null)
    .where('not_before', '>', now);
  if (room.bytes <= 0) query = query.where('body_size', '<', room.large);
  return (await query.executeTakeFirst())?.next ?? null;
}

/** Whether `node` still works on it; if so, nobody else does until the transaction ends. */
export async function holdDelivery(tx: Tx, id: string, node: string): Promise<boolean> {
  let query = tx.db.selectFrom('inbox').select('id').where('id', '=', id).where('holder', '=', node).where('state', '=', received);
  if (tx.dialect === 'postgres') query = query.forUpdate();
  return (await query.executeTakeFirst()) !== undefined;
}

/** Settles those that ask for nothing, and that `node` still works on. */
export async function ignoreDeliveries(
  tx: Tx,
  node: string,
  ignored: readonly { readonly id: string; readonly reason: Reason }[],
  now: number,
): Promise<void> {
  const idsByReason = Map.groupBy(ignored, ({ reason }) => JSON.stringify(reason));
  for (const [reason, alike] of idsByReason) {
    await tx.db
      .updateTable('inbox')
      .set({ state: 'ignored', reason, task_ids: '[]', holder: null, settled_at: now })
      .where(
        'id',
        'in',
        alike.map(({ id }) => id),
      )
      .where('holder', '=', node)
      .where('state', '=', received)
      .execute();
  }
}

export async function settleDelivery(
  tx: Tx,
  id: string,
  end: { readonly state: Exclude<DeliveryState, 'received'>; readonly reason: Reason | null; readonly taskIds: readonly string[] },
  now: number,
): Promise<void> {
  await tx.db
    .updateTable('inbox')
    .set({ state: end.state, reason: toJson(end.reason), task_ids: JSON.stringify(end.taskIds), holder: null, settled_at: now })
    .where('id', '=', id)
    .execute();
}

export async function postponeDelivery(tx: Tx, id: string, reason: Reason, notBefore: number): Promise<void> {
  await tx.db
    .updateTable('inbox')
    .set({ reason: toJson(reason), not_before: notBefore, holder: null })
    .where('id', '=', id)
    .execute();
  tx.touch('inbox');
}

/** What a node held when it was killed is free again. */
export async function releaseDeliveries(tx: Tx, node: string): Promise<void> {
  await tx.db.updateTable('inbox').set({ holder: null }).where('holder', '=', node).where('state', '=', received).execute();
  tx.touch('inbox');
}

/** Puts a settled delivery back, as if it had just arrived. */
export async function reopenDelivery(tx: Tx, id: string, now: number): Promise<void> {
  await tx.db
    .updateTable('inbox')
    .set({ state: 'received', reason: null, attempts: 0, not_before: now, settled_at: null, holder: null })
    .where('id', '=', id)
    .execute();
  tx.touch('inbox');
}

/** Drops the bodies of what was settled before a time; that it was here stays known. */
export async function dropBodies(tx: Tx, before: number, limit: number): Promise<number> {
  const old = tx.db
    .selectFrom('inbox')
    .select('id')
    .where('body_dropped', '=', sql.lit(0))
    .where('state', 'in', [sql.lit('done' as const), sql.lit('ignored' as const)])
    .where('settled_at', '<', before)
    .limit(limit);
  const dropped = await tx.db.updateTable('inbox').set({ body_dropped: 1 }).where('id', 'in', old).returning('id').execute();
  for (const chunk of chunks(dropped)) {
    const ids = chunk.map(({ id }) => id);
    await tx.db.deleteFrom('delivery_bodies').where('delivery', 'in', ids).execute();
  }
  return dropped.length;
}

export async function findDelivery(db: Kysely<Schema>, id: string): Promise<Delivery | undefined> {
  const row = await db.selectFrom('inbox').select(columns).where('id', '=', id).executeTakeFirst();
  return row && toDelivery(row);
}

export async function deliveryBody(db: Kysely<Schema>, id: string): Promise<Buffer | null> {
  return (await db.selectFrom('delivery_bodies').select('body').where('delivery', '=', id).executeTakeFirst())?.body ?? null;
}

/** Of those whose bodies have not been dropped. */
export async function deliveryBodies(db: Kysely<Schema>, ids: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
  const rows = await db.selectFrom('delivery_bodies').select(['delivery', 'body']).where('delivery', 'in', ids).execute();
  return new Map(rows.map(({ delivery, body }) => [delivery, body]));
}

export interface DeliveryFilter {
  readonly state?: DeliveryState | undefined;
  readonly source?: string | undefined;
}

/** Newest first, at most `limit`, older than `before`. */
export async function listDeliveries(
  db: Kysely<Schema>,
  { state, source }: DeliveryFilter,
  { before, limit }: { readonly before: string | null; readonly limit: number },
): Promise<readonly Delivery[]> {
  let query = db.selectFrom('inbox').select(columns).orderBy('id', 'desc').limit(limit);
  if (before !== null) query = query.where('id', '<', before);
  if (state !== undefined) query = query.where('state', '=', state);
  if (source !== undefined) query = query.where('source', '=', source);
  return (await query.execute()).map(toDelivery);
}

/** Of these triggers, those that have made a task already. */
export async function knownTriggers(db: Kysely<Schema>, source: string, triggers: readonly string[]): Promise<ReadonlySet<string>> {
  const known = new Set<string>();
  for (const chunk of chunks(triggers)) {
    const rows = await db
      .selectFrom('task_origins')
      .select('trigger_key')
      .where('source', '=', source)
      .where('trigger_key', 'in', chunk)
      .execute();
    for (const { trigger_key } of rows) known.add(trigger_key);
  }
  return known;
}

export async function insertOrigins(tx: Tx, origins: readonly Origin[]): Promise<void> {
  for (const chunk of chunks(origins)) {
    await tx.db
      .insertInto('task_origins')
      .values(
        chunk.map(({ taskId, source, trigger, address }) => ({
          task_id: taskId,
          source,
          trigger_key: trigger,
          address: JSON.stringify(address),
        })),
      )
      .execute();
  }
}

export async function originsOf(db: Kysely<Schema>, taskIds: readonly string[]): Promise<readonly Origin[]> {
  const found: Origin[] = [];
  for (const chunk of chunks(taskIds)) {
    const rows = await db.selectFrom('task_origins').selectAll().where('task_id', 'in', chunk).execute();
    for (const row of rows) {
      found.push({
        taskId: row.task_id,
        source: row.source,
        trigger: row.trigger_key,
        address: JSON.parse(row.address) as unknown,
      });
    }
  }
  return found;
}

const columns = [
  'id',
  'source',
  'key',
  'kind',
  'headers',
  'body_hash',
  'body_size',
  'state',
  'reason',
  'attempts',
  'not_before',
  'task_ids',
  'received_at',
  'settled_at',
] as const satisfies readonly (keyof InboxTable)[];

const toDelivery = (row: Pick<InboxTable, (typeof columns)[number]>): Delivery => ({
  id: row.id,
  source: row.source,
  key: row.key,
  kind: row.kind,
  headers: JSON.parse(row.headers) as Record<string, string>,
  bodyHash: row.body_hash,
  bodySize: row.body_size,
  state: row.state,
  reason: fromJson<Reason>(row.reason),
  attempts: row.attempts,
  notBefore: row.not_before,
  taskIds: JSON.parse(row.task_ids) as string[],
  receivedAt: row.received_at,
  settledAt: row.settled_at,
});
