import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { migrations } from './migrate.ts';

export interface StoreFindings {
  /** The schema's version; 0 for a database that no server has used yet. */
  readonly version: number;
  /** The version this program brings a database to. */
  readonly current: number;
  /** What is damaged, or undefined. Only the embedded database is searched; PostgreSQL looks after itself. */
  readonly damage: string | undefined;
}

/** Looks at the database without changing it. Rejects with the driver's error when it cannot be opened. */
export async function inspectStore(where: { readonly home: string; readonly databaseUrl: string | undefined }): Promise<StoreFindings> {
  const found =
    where.databaseUrl === undefined ? await inspectSqlite(join(where.home, 'nightshift.db')) : await inspectPostgres(where.databaseUrl);
  return { ...found, current: migrations.length };
}

type Found = Omit<StoreFindings, 'current'>;

async function inspectSqlite(path: string): Promise<Found> {
  if (!existsSync(path)) return { version: 0, damage: undefined };
  const { default: Sqlite } = await import('better-sqlite3');
  const database = new Sqlite(path, { readonly: true, fileMustExist: true });
  try {
    const damage = database.pragma('quick_check(3)', { simple: true });
    const known = database.prepare("select 1 from sqlite_master where name = 'schema_migrations'").get() !== undefined;
    const version = known ? database.prepare<[], number>('select coalesce(max(version), 0) from schema_migrations').pluck().get() : 0;
    return { version: version ?? 0, damage: damage === 'ok' ? undefined : String(damage) };
  } finally {
    database.close();
  }
}

async function inspectPostgres(url: string): Promise<Found> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 5_000 });
  client.on('error', () => undefined); // a connection that breaks also rejects the query that waits on it
  await client.connect();
  try {
    const { rows } = await client.query<{ known: boolean }>("select to_regclass('schema_migrations') is not null as known");
    if (!rows[0]?.known) return { version: 0, damage: undefined };
    const found = await client.query<{ version: number }>('select coalesce(max(version), 0)::int as version from schema_migrations');
    return { version: found.rows[0]?.version ?? 0, damage: undefined };
  } finally {
    await client.end();
  }
}
