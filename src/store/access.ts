import type { Kysely } from 'kysely';
import type { ApiKey } from '../domain/access.ts';
import { fromJson, toJson } from './rows.ts';
import type { ApiKeyTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** Every change here is news to whoever remembers keys and sessions. */
const tell = (tx: Tx): void => tx.touch('access');

/** Newest first, with those that are worth nothing any more. */
export async function listKeys(db: Kysely<Schema>): Promise<readonly ApiKey[]> {
  return (await db.selectFrom('api_keys').selectAll().orderBy('id', 'desc').execute()).map(toKey);
}

/** Whose secret has this hash, and whether it is the one of before a rotation. */
export async function findKeyByHash(
  db: Kysely<Schema>,
  hash: string,
): Promise<{ readonly key: ApiKey; readonly isOld: boolean } | undefined> {
  const row =
    (await db.selectFrom('api_keys').selectAll().where('hash', '=', hash).executeTakeFirst()) ??
    (await db.selectFrom('api_keys').selectAll().where('old_hash', '=', hash).executeTakeFirst());
  return row && { key: toKey(row), isOld: row.hash !== hash };
}

/** By id, or by name one that is not revoked. */
export async function findKey(db: Kysely<Schema>, idOrName: string): Promise<ApiKey | undefined> {
  const row = await db
    .selectFrom('api_keys')
    .selectAll()
    .where((or) => or.or([or('id', '=', idOrName), or.and([or('name', '=', idOrName), or('revoked_at', 'is', null)])]))
    .executeTakeFirst();
  return row && toKey(row);
}

/** False when an unrevoked key has the name. */
export async function insertKey(tx: Tx, key: ApiKey, hash: string): Promise<boolean> {
  const result = await tx.db
    .insertInto('api_keys')
    .values({
      id: key.id,
      name: key.name,
      role: key.role,
      scopes: toJson(key.scopes),
      hash,
      old_hash: null,
      old_until: null,
      created_by: key.createdBy,
      created_at: key.createdAt,
      expires_at: key.expiresAt,
      rotated_at: null,
      revoked_at: null,
      last_used_at: null,
    })
    .onConflict((conflict) => conflict.column('name').where('revoked_at', 'is', null).doNothing())
    .executeTakeFirst();
  if ((result.numInsertedOrUpdatedRows ?? 0n) === 0n) return false;
  tell(tx);
  return true;
}

/** The secret of before stays good until `oldUntil`; that of before that one ends now. So do the sessions. */
export async function rotateKey(
  tx: Tx,
  id: string,
  { hash, oldUntil, now }: { readonly hash: string; readonly oldUntil: number; readonly now: number },
): Promise<ApiKey | undefined> {
  await tx.db
    .updateTable('api_keys')
    .set((row) => ({ old_hash: row.ref('hash'), old_until: oldUntil, hash, rotated_at: now }))
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .execute();
  await endSessionsOf(tx, id);
  return findKey(tx.db, id);
}

export async function revokeKey(tx: Tx, id: string, now: number): Promise<ApiKey | undefined> {
  await tx.db.updateTable('api_keys').set({ revoked_at: now }).where('id', '=', id).where('revoked_at', 'is', null).execute();
  await endSessionsOf(tx, id);
  return findKey(tx.db, id);
}

/** No news: what is remembered of a key stays true. */
export async function saveLastUse(tx: Tx, id: string, at: number): Promise<void> {
  await tx.db
    .updateTable('api_keys')
    .set({ last_used_at: at })
    .where('id', '=', id)
    .where((or) => or.or([or('last_used_at', 'is', null), or('last_used_at', '<', at)]))
    .execute();
}

export interface SessionRecord {
  readonly id: string;
  readonly expiresAt: number;
  /** Null: of the owner. */
  readonly key: ApiKey | null;
}

/**
 * False when its key is not as it was when whoever asks was recognised: a rotation ends the sessions that there are, and none
 * comes after it. Those that have expired are swept away with the next that is opened.
 */
export async function insertSession(
  tx: Tx,
  session: { readonly id: string; readonly keyId: string | null; readonly createdAt: number; readonly expiresAt: number },
  rotatedAt: number | null,
): Promise<boolean> {
  if (session.keyId !== null && !(await holdKey(tx, session.keyId, rotatedAt))) return false;
  await tx.db.deleteFrom('sessions').where('expires_at', '<=', session.createdAt).execute();
  await tx.db
    .insertInto('sessions')
    .values({ id: session.id, key_id: session.keyId, created_at: session.createdAt, expires_at: session.expiresAt })
    .execute();
  tell(tx);
  return true;
}

/** Until the transaction ends nobody rotates or revokes it. */
async function holdKey(tx: Tx, id: string, rotatedAt: number | null): Promise<boolean> {
  let query = tx.db.selectFrom('api_keys').select('rotated_at').where('id', '=', id).where('revoked_at', 'is', null);
  if (tx.dialect === 'postgres') query = query.forUpdate();
  const row = await query.executeTakeFirst();
  return row !== undefined && row.rotated_at === rotatedAt;
}

export async function findSession(db: Kysely<Schema>, id: string): Promise<SessionRecord | undefined> {
  const row = await db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirst();
  if (!row) return undefined;
  const key = row.key_id === null ? null : await findKey(db, row.key_id);
  return key === undefined ? undefined : { id, expiresAt: row.expires_at, key };
}

export async function endSession(tx: Tx, id: string): Promise<void> {
  await tx.db.deleteFrom('sessions').where('id', '=', id).execute();
  tell(tx);
}

async function endSessionsOf(tx: Tx, keyId: string): Promise<void> {
  await tx.db.deleteFrom('sessions').where('key_id', '=', keyId).execute();
  tell(tx);
}

const toKey = (row: ApiKeyTable): ApiKey => ({
  id: row.id,
  name: row.name,
  role: row.role,
  scopes: fromJson<string[]>(row.scopes),
  createdBy: row.created_by,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  revokedAt: row.revoked_at,
  rotatedAt: row.rotated_at,
  oldSecretUntil: row.old_until,
  lastUsedAt: row.last_used_at,
});
