import { fileURLToPath } from 'node:url';
import { Unusable } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { run } from './program.ts';

interface Tools {
  readonly clock: Clock;
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
}

const copier = fileURLToPath(new URL('./snapshot-copy.ts', import.meta.url));

/**
 * The database as it is at one moment, compacted. In a process of its own, since SQLite copies without giving way; writers
 * go on meanwhile.
 */
export async function snapshotSqlite(database: string, into: string, { clock, path, env }: Tools, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  try {
    await run({ argv: [process.execPath, copier, database, into], path, clock, env }, signal);
  } catch (cause) {
    signal.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Unusable('backup-failed', `The database could not be copied: ${why}. Is there room on the disk?`, cause);
  }
}

export const dumpPostgres = (url: string, into: string, { clock, path, env }: Tools, signal: AbortSignal): Promise<void> => {
  const argv = ['pg_dump', '--format=custom', '--no-owner', '--no-privileges', `--file=${into}`];
  return run({ argv, path, clock, env: { ...env, ...whereOf(url) } }, signal);
};

/** Into a database that was taken for it. All of it or nothing. */
export const restorePostgres = (url: string, from: string, { clock, path, env }: Tools, signal: AbortSignal): Promise<void> => {
  const where = whereOf(url);
  const argv = [
    'pg_restore',
    '--no-owner',
    '--no-privileges',
    '--single-transaction',
    '--exit-on-error',
    `--dbname=${where['PGDATABASE']}`,
    from,
  ];
  return run({ argv, path, clock, env: { ...env, ...where } }, signal);
};

/** In the environment, since everybody on the machine can read an argument. IPv6 has brackets in an address alone. */
export function whereOf(address: string): Record<string, string> {
  const url = new URL(address);
  const parts = {
    PGHOST: url.searchParams.get('host') ?? decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1'),
    PGPORT: url.port,
    PGUSER: decodeURIComponent(url.username),
    PGPASSWORD: decodeURIComponent(url.password),
    PGDATABASE: decodeURIComponent(url.pathname.slice(1)),
    PGSSLMODE: url.searchParams.get('sslmode') ?? '',
  };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== ''));
}
