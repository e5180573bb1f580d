import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Store } from '../../src/store/store.ts';
import { debianPostgres, startPostgres } from '../../test/support/postgres-server.ts';
import { type AppendSync, redisProgram, startRedis } from './redis.ts';
import type { Scope } from './scope.ts';
import type { Sizes } from './sizes.ts';

export type Dialect = Store['dialect'];
export const dialects: readonly Dialect[] = ['sqlite', 'postgres'];

/** Where a store lives: what `openStore` and a server child take. */
export interface Place {
  readonly dialect: Dialect;
  readonly home: string;
  readonly databaseUrl: string | undefined;
}

type Found<T> = ({ readonly missing?: never } & T) | { readonly missing: string };

/** What every suite measures with. Servers are started when first asked for, and only once. */
export interface Bench {
  readonly sizes: Sizes;
  readonly scope: Scope;
  /** The dialects that can be measured here, and why others cannot. */
  stores(): Promise<{ readonly dialects: readonly Dialect[]; readonly notes: readonly string[] }>;
  /** A new home with a new, empty database. */
  place(dialect: Dialect): Promise<Place>;
  redis(sync: AppendSync): Promise<Found<{ readonly port: number }>>;
  progress(text: string): void;
}

export function openBench(sizes: Sizes, scope: Scope, progress: (text: string) => void, wanted = dialects): Bench {
  let postgres: Promise<Found<{ readonly url: string }>> | undefined;
  const redis = new Map<AppendSync, Promise<Found<{ readonly port: number }>>>();
  let databases = 0;

  async function launchPostgres(): Promise<Found<{ readonly url: string }>> {
    const bin = debianPostgres();
    if (bin === undefined) return { missing: 'PostgreSQL is skipped: it is not installed (Debian package "postgresql").' };
    progress('starting PostgreSQL');
    const server = await startPostgres(bin);
    scope.onEnd(() => server.stop());
    return { url: server.url };
  }

  async function launchRedis(sync: AppendSync): Promise<Found<{ readonly port: number }>> {
    const program = redisProgram();
    if (program === undefined) return { missing: 'BullMQ is skipped: Redis is not installed (Debian package "redis-server").' };
    progress(`starting Redis, appendfsync ${sync}`);
    return { port: await startRedis(program, sync, scope) };
  }

  async function place(dialect: Dialect): Promise<Place> {
    const home = mkdtempSync(join(tmpdir(), 'nightshift-bench-'));
    scope.onEnd(() => rmSync(home, { recursive: true, force: true }));
    if (dialect === 'sqlite') return { dialect, home, databaseUrl: undefined };
    postgres ??= launchPostgres();
    const server = await postgres;
    if (server.missing !== undefined) throw new Error(server.missing);
    const url = new URL(server.url);
    const name = `bench_${++databases}`;
    await administer(server.url, `create database ${name}`);
    url.pathname = `/${name}`;
    return { dialect, home, databaseUrl: url.toString() };
  }

  return {
    sizes,
    scope,
    progress,
    place,
    async stores() {
      if (!wanted.includes('postgres')) return { dialects: wanted, notes: ['PostgreSQL is left out, as was asked.'] };
      postgres ??= launchPostgres();
      const { missing } = await postgres;
      if (missing === undefined) return { dialects: wanted, notes: [] };
      return { dialects: wanted.filter((each) => each !== 'postgres'), notes: [missing] };
    },
    redis(sync) {
      const started = redis.get(sync) ?? launchRedis(sync);
      redis.set(sync, started);
      return started;
    },
  };
}

async function administer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** What stands behind "stored", for the tables. */
export const durabilityOf: Record<Dialect, string> = {
  sqlite: 'WAL, synchronous=FULL',
  postgres: 'fsync on, synchronous_commit on',
};

export const storeName: Record<Dialect, string> = { sqlite: 'SQLite', postgres: 'PostgreSQL' };
