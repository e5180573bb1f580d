import type { Kysely } from 'kysely';
import type { PushSubscription } from '../domain/push.ts';
import type { PushSubscriptionTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** The one of its session, and the one of its endpoint: a browser that signed in anew is told once. */
export async function saveSubscription(tx: Tx, subscription: PushSubscription, now: number): Promise<void> {
  const { sessionId, endpoint, p256dh, auth, mark } = subscription;
  await tx.db
    .deleteFrom('push_subscriptions')
    .where((or) => or.or([or('session_id', '=', sessionId), or('endpoint', '=', endpoint)]))
    .execute();
  for (const { session_id } of (await ofTheSameKey(tx, sessionId)).slice(mostOfOne - 1)) await forgetSubscription(tx, session_id);
  await tx.db.insertInto('push_subscriptions').values({ session_id: sessionId, endpoint, p256dh, auth, mark, created_at: now }).execute();
}

/** Nobody has so many browsers; without a bound, one key could have all the places, and others would hear nothing. */
const mostOfOne = 10;

/** Newest first. */
async function ofTheSameKey(tx: Tx, sessionId: string): Promise<readonly { readonly session_id: string }[]> {
  const own = await tx.db.selectFrom('sessions').select('key_id').where('id', '=', sessionId).executeTakeFirst();
  const all = tx.db
    .selectFrom('push_subscriptions')
    .innerJoin('sessions', 'sessions.id', 'push_subscriptions.session_id')
    .select('push_subscriptions.session_id')
    .orderBy('push_subscriptions.created_at', 'desc')
    .orderBy('push_subscriptions.session_id', 'desc');
  const keyId = own?.key_id ?? null;
  return (keyId === null ? all.where('sessions.key_id', 'is', null) : all.where('sessions.key_id', '=', keyId)).execute();
}

/** Nobody has so many browsers; without a bound, one who signs in again and again would make every event dear. */
const most = 100;

/** Of sessions that still last, the newest. */
export async function listSubscriptions(db: Kysely<Schema>, mark: string, now: number): Promise<readonly PushSubscription[]> {
  const rows = await living(db, now).where('mark', '=', mark).orderBy('session_id', 'desc').limit(most).execute();
  return rows.map(toSubscription);
}

/** Of sessions that were to last for more than two such lengths of time, and now end within one. */
export async function listEnding(db: Kysely<Schema>, mark: string, now: number, withinMs: number): Promise<readonly PushSubscription[]> {
  const rows = await living(db, now)
    .where('mark', '=', mark)
    .where('sessions.expires_at', '<=', now + withinMs)
    .where(({ eb, ref }) => eb(eb(ref('sessions.expires_at'), '-', ref('sessions.created_at')), '>', 2 * withinMs))
    .execute();
  return rows.map(toSubscription);
}

export async function findSubscription(db: Kysely<Schema>, sessionId: string, now: number): Promise<PushSubscription | undefined> {
  const row = await living(db, now).where('session_id', '=', sessionId).executeTakeFirst();
  return row && toSubscription(row);
}

/** Only that one: its session may have another by now. */
export async function forgetSubscription(tx: Tx, sessionId: string, endpoint?: string): Promise<void> {
  const ended = tx.db.deleteFrom('push_subscriptions').where('session_id', '=', sessionId);
  await (endpoint === undefined ? ended : ended.where('endpoint', '=', endpoint)).execute();
}

const living = (db: Kysely<Schema>, now: number) =>
  db
    .selectFrom('push_subscriptions')
    .innerJoin('sessions', 'sessions.id', 'push_subscriptions.session_id')
    .selectAll('push_subscriptions')
    .where('sessions.expires_at', '>', now);

const toSubscription = ({ session_id, endpoint, p256dh, auth, mark }: PushSubscriptionTable): PushSubscription => ({
  sessionId: session_id,
  endpoint,
  p256dh,
  auth,
  mark,
});
