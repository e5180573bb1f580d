import pg from 'pg';
import { Unusable } from '../domain/errors.ts';
import { systemClock, wait } from '../platform/clock.ts';

/** There while a restore is under way, and after one that was killed: no server works on what is not whole. */
const marker = 'nightshift_restoring';
const systemSchemas = `nspname !~ '^pg_' and nspname <> 'information_schema'`;

export const isBeingRestored = async (client: Pick<pg.ClientBase, 'query'>): Promise<boolean> =>
  (await client.query('select to_regnamespace($1) is not null as there', [marker])).rows[0]?.there === true;

const lock = 'nightshift.restore';
/** How long what a killed restore began may take to be undone. */
const undoneWithinMs = 30_000;

/**
 * Keeps other restores out of a database until it is released, or this process ends. Whatever a killed one still has under
 * way there is ended first, so that none of it comes after what is done now.
 */
export async function holdForRestore(url: string): Promise<() => Promise<void>> {
  const client = await connect(url);
  try {
    const { rows } = await client.query('select pg_try_advisory_lock(hashtext($1)) as held', [lock]);
    if (rows[0].held !== true) {
      throw new Unusable('restore-under-way', 'Another restore into the database that DATABASE_URL names is under way.');
    }
    if (await isBeingRestored(client)) await endAbandoned(client);
  } catch (cause) {
    await client.end().catch(() => undefined);
    throw asUnusable(cause);
  }
  return () => client.end().catch(() => undefined);
}

async function endAbandoned(client: pg.Client): Promise<void> {
  for (const until = systemClock.monotonic() + undoneWithinMs; systemClock.monotonic() < until; await wait(systemClock, 100)) {
    const { rowCount } = await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'pg_restore'`,
    );
    if (rowCount === 0) return;
  }
  throw new Error('a restore that was killed is still at work there');
}

/** Takes a database for a restore: an empty one, or what another restore left behind that did not come to its end. */
export const takeForRestore = (url: string): Promise<void> =>
  inTransaction(url, async (client) => {
    if (await isBeingRestored(client)) await emptied(client);
    const { rows } = await client.query(
      `select count(*)::int as tables from pg_class join pg_namespace on pg_namespace.oid = relnamespace where relkind in ('r', 'p', 'v', 'm', 'S') and ${systemSchemas}`,
    );
    if (rows[0].tables > 0) {
      throw new Unusable('database-in-use', 'The database that DATABASE_URL names is not empty. A restore takes an empty one.');
    }
    await client.query(`create schema if not exists ${marker}`);
  });

/** The database is empty again, and nobody's. */
export const giveUpRestore = (url: string): Promise<void> =>
  inTransaction(url, async (client) => {
    if (!(await isBeingRestored(client))) return;
    await emptied(client);
    await client.query(`drop schema ${marker}`);
  });

/** From here on servers may open it. */
export const finishRestore = (url: string): Promise<void> =>
  inTransaction(url, async (client) => void (await client.query(`drop schema ${marker}`)));

/** Only ever what a restore has put there: it began with an empty database. */
async function emptied(client: pg.Client): Promise<void> {
  const { rows } = await client.query(`select nspname from pg_namespace where ${systemSchemas} and nspname <> $1`, [marker]);
  for (const { nspname } of rows) {
    const schema = client.escapeIdentifier(String(nspname));
    await client.query(`drop schema ${schema} cascade`);
    if (nspname === 'public') await client.query(`create schema ${schema}`);
  }
}

async function inTransaction(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = await connect(url);
  try {
    await client.query('begin');
    await work(client);
    await client.query('commit');
  } catch (cause) {
    throw asUnusable(cause);
  } finally {
    // What was not committed is rolled back with the connection.
    await client.end().catch(() => undefined);
  }
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    application_name: 'nightshift restore',
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (cause) {
    throw asUnusable(cause);
  }
}

function asUnusable(cause: unknown): Unusable {
  if (cause instanceof Unusable) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Unusable('restore-failed', `The database that DATABASE_URL names cannot be restored into: ${why}.`, cause);
}
