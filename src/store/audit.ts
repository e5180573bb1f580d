import type { Kysely } from 'kysely';
import type { AuditEntry } from '../domain/access.ts';
import { inserting } from './insert.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

const insertLines = inserting('audit_log');

/** Adds to the log, which takes nothing else: the database itself refuses to change or remove a line. */
export async function appendAudit(tx: Tx, entries: readonly AuditEntry[]): Promise<void> {
  await insertLines(tx, entries.map(toRow));
}

const toRow = (entry: AuditEntry) => ({
  at: entry.at,
  actor: entry.user,
  role: entry.role,
  key_id: entry.keyId,
  session_id: entry.sessionId,
  address: entry.address,
  action: entry.action,
  target: entry.target,
  outcome: entry.outcome,
  count: entry.count,
  request_id: entry.requestId,
});

/** Newest first, from before the line `before`. */
export async function listAudit(
  db: Kysely<Schema>,
  { before, limit }: { readonly before: number | null; readonly limit: number },
): Promise<readonly (AuditEntry & { readonly id: number })[]> {
  let query = db.selectFrom('audit_log').selectAll().orderBy('id', 'desc').limit(limit);
  if (before !== null) query = query.where('id', '<', before);
  return (await query.execute()).map(({ actor, key_id, session_id, request_id, ...row }) => ({
    ...row,
    user: actor,
    keyId: key_id,
    sessionId: session_id,
    requestId: request_id,
  }));
}
