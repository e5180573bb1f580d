import { Worker } from 'node:worker_threads';
import { Unusable } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { run } from './program.ts';

/**
 * The database as it is at one moment, compacted. In a thread of its own, since SQLite copies without giving way; writers
 * go on meanwhile.
 */
export async function snapshotSqlite(database: string, into: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const worker = new Worker(new URL('./snapshot-thread.ts', import.meta.url), { workerData: { database, into } });
  const stop = (): void => void worker.terminate();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', (code) => (code === 0 ? resolve() : reject(new Error('The copy of the database was ended.'))));
    });
  } catch (cause) {
    signal.throwIfAborted();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Unusable('backup-failed', `The database could not be copied: ${why}. Is there room on the disk?`, cause);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

interface Tools {
  readonly clock: Clock;
  readonly path: string;
}

export const dumpPostgres = (url: string, into: string, { clock, path }: Tools, signal: AbortSignal): Promise<void> =>
  run({ argv: ['pg_dump', '--format=custom', '--no-owner', '--no-privileges', `--file=${into}`], path, clock, env: whereOf(url) }, signal);

/** Into a database that was taken for it. All of it or nothing. */
export const restorePostgres = (url: string, from: string, { clock, path }: Tools, signal: AbortSignal): Promise<void> => {
  const env = whereOf(url);
  const argv = [
    'pg_restore',
    '--no-owner',
    '--no-privileges',
    '--single-transaction',
    '--exit-on-error',
    `--dbname=${env['PGDATABASE']}`,
    from,
  ];
  return run({ argv, path, clock, env }, signal);
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
