import { CompiledQuery, type Kysely } from 'kysely';
import type { AuditEntry } from '../domain/access.ts';
import type { Dialect } from './migrations/migration.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

const columns = ['at', 'actor', 'role', 'key_id', 'session_id', 'address', 'action', 'target', 'outcome', 'count', 'request_id'] as const;

/**
 * Adds to the log, which takes nothing else: the database itself refuses to change or remove a line. Written out, because
 * every submission does this, and to have the statement built takes longer than to run it.
 */
export async function appendAudit(tx: Tx, entries: readonly AuditEntry[]): Promise<void> {
  await tx.db.executeQuery(CompiledQuery.raw(insertOf(tx.dialect, entries.length), entries.flatMap(valuesOf)));
}

const single = { sqlite: insertText('sqlite', 1), postgres: insertText('postgres', 1) };
const insertOf = (dialect: Dialect, rows: number): string => (rows === 1 ? single[dialect] : insertText(dialect, rows));

function insertText(dialect: Dialect, rows: number): string {
  const place = (at: number): string => (dialect === 'postgres' ? `$${at + 1}` : '?');
  const row = (at: number): string => `(${columns.map((_, index) => place(at * columns.length + index)).join(', ')})`;
  return `insert into audit_log (${columns.join(', ')}) values ${Array.from({ length: rows }, (_, at) => row(at)).join(', ')}`;
}

const valuesOf = (entry: AuditEntry): readonly unknown[] => [
  entry.at,
  entry.user,
  entry.role,
  entry.keyId,
  entry.sessionId,
  entry.address,
  entry.action,
  entry.target,
  entry.outcome,
  entry.count,
  entry.requestId,
];

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
