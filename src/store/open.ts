import { join } from 'node:path';
import { openSqlite } from './sqlite.ts';
import type { Store } from './store.ts';

/**
 * PostgreSQL when a URL is given, else the embedded database in the home.
 * The driver that is not used is not loaded: it would cost memory and a slower start.
 */
export async function openStore(where: {
  readonly home: string;
  readonly databaseUrl: string | undefined;
  /** A restore opens what nobody else may open yet. */
  readonly restoring?: boolean;
}): Promise<Store> {
  if (where.databaseUrl === undefined) return openSqlite(join(where.home, 'nightshift.db'));
  const { openPostgres } = await import('./postgres.ts');
  return openPostgres(where.databaseUrl, where.restoring);
}
