import pg from 'pg';
import { Unusable } from '../domain/errors.ts';

/** There while a restore is under way, and after one that was killed: no server works on what is not whole. */
const marker = 'nightshift_restoring';
const systemSchemas = `nspname !~ '^pg_' and nspname <> 'information_schema'`;

export const isBeingRestored = async (client: Pick<pg.ClientBase, 'query'>): Promise<boolean> =>
  (await client.query('select to_regnamespace($1) is not null as there', [marker])).rows[0]?.there === true;

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

async function inTransaction(connectionString: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString, application_name: 'nightshift restore', connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('begin');
    await work(client);
    await client.query('commit');
  } catch (cause) {
    if (cause instanceof Unusable) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Unusable('restore-failed', `The database that DATABASE_URL names cannot be restored into: ${why}.`, cause);
  } finally {
    // What was not committed is rolled back with the connection.
    await client.end().catch(() => undefined);
  }
}
