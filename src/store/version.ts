import { type Kysely, sql } from 'kysely';
import { migrations } from './migrate.ts';
import type { Schema } from './schema.ts';

/** What the database is at, and what this program knows. They differ when a newer server has come to a database that several share. */
export async function schemaVersions(db: Kysely<Schema>): Promise<{ readonly there: number; readonly known: number }> {
  const { rows } = await sql<{ version: number }>`select coalesce(max(version), 0) as version from schema_migrations`.execute(db);
  return { there: Number(rows[0]?.version), known: migrations.length };
}
