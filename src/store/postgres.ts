import { randomUUID } from 'node:crypto';
import { CompiledQuery, Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { backoffMs } from '../domain/backoff.ts';
import { NightshiftError, StoreUnavailable, Unusable } from '../domain/errors.ts';
import { systemClock, wait } from '../platform/clock.ts';
import { withoutPassword } from '../platform/url.ts';
import { migrate } from './migrate.ts';
import { isBeingRestored } from './restoring.ts';
import type { Schema } from './schema.ts';
import { CommitNews, type Store, type Topic, type Tx, topics } from './store.ts';
import { translating } from './translating.ts';

const channel = 'nightshift';
/** Any number; it only has to be ours, and the same in every node. */
const migrationLock = 7_142_001;
const conflictTries = 8;

/**
 * The scale-out store. PostgreSQL groups commits itself, so each change is a transaction of its own;
 * one that loses a race (serialisation, deadlock) is run again.
 */
export async function openPostgres(url: string, restoring = false): Promise<Store> {
  const pool = new pg.Pool({
    Client: PreparingClient,
    connectionString: url,
    max: 12,
    application_name: 'nightshift',
    connectionTimeoutMillis: 5_000,
    // A commit that never answers would hold its caller for ever; a lost server shows within this time.
    query_timeout: 30_000,
    keepAlive: true,
    types: { getTypeParser: (oid: number, format?: 'text' | 'binary') => parserFor(oid, format) },
  } as pg.PoolConfig);
  // A connection that breaks while idle is replaced by the pool; without a listener it would end the process.
  pool.on('error', () => undefined);
  // The same for one that breaks while it is lent out; whoever has it learns of it from its query.
  pool.on('connect', (client) => client.on('error', () => undefined));
  try {
    await prepare(pool, restoring);
  } catch (cause) {
    await pool.end();
    throw unusable(url, cause);
  }
  const store = new PostgresStore(pool, url);
  store.listen();
  return store;
}

/**
 * Gives statements names, so that PostgreSQL parses each once for a connection: that takes it longer than running most of them.
 * Statements without values are left alone, for they may be several in one text.
 */
class PreparingClient extends pg.Client {
  override query(...asked: unknown[]): never {
    const [text, values, callback] = asked;
    const query = (super.query as (...asked: readonly unknown[]) => unknown).bind(this);
    const name = typeof text === 'string' && Array.isArray(values) && values.length > 0 && !callback ? nameOf(text) : undefined;
    if (name === undefined) return query(...asked) as never;
    const answer = query({ name, text, values }) as Promise<unknown>;
    return answer.catch((cause: unknown) => {
      if (!isOutgrown(cause)) throw cause;
      named.clear();
      // In a transaction everything has to be done again, which is left to whoever opened it.
      if (this.getTransactionStatus() !== 'I') throw cause;
      return query(text, values);
    }) as never;
  }
}

/** Each takes some memory of the database's, for every connection. */
const namedAtMost = 300;
const namedLength = 3_000;
const value = String.raw`(?:\$\d+|cast\(\$\d+ as \w+\))`;
const row = String.raw`\(${value}(?:, ${value})*\)`;
/**
 * Five values in a list, or five rows, and more. Each number of them makes another statement, and some hundred such would take
 * all places; what is asked most often has few.
 */
const many = new RegExp(String.raw`\bin \(${value}(?:, ${value}){4}|${row}(?:, ${row}){4}`);
const named = new Map<string, string>();
let names = 0;

function nameOf(text: string): string | undefined {
  const known = named.get(text);
  if (known !== undefined || named.size >= namedAtMost || text.length > namedLength || many.test(text)) return known;
  const name = `nightshift_${++names}`;
  named.set(text, name);
  return name;
}

/** Somebody has added a column since: a newer server on the same database. */
const isOutgrown = (cause: unknown): boolean =>
  typeof cause === 'object' && cause !== null && 'routine' in cause && cause.routine === 'RevalidateCachedQuery';

class PostgresStore implements Store {
  readonly dialect = 'postgres';
  readonly read: Kysely<Schema>;
  private readonly transactions: Kysely<Schema>;
  private readonly news = new CommitNews();
  private readonly stopping = new AbortController();
  private readonly untold = new Set<Topic>();
  private readonly unfinished = new Set<Promise<unknown>>();
  /** Among the topics that are told to all, which is how we know our own news. */
  private readonly voice = randomUUID();
  private closed = false;
  private listener: pg.Client | undefined;
  private telling: Promise<void> | undefined;
  private listening: Promise<void> | undefined;

  private readonly pool: pg.Pool;
  private readonly url: string;

  constructor(pool: pg.Pool, url: string) {
    this.pool = pool;
    this.url = url;
    this.read = new Kysely<Schema>({ dialect: translating(new PostgresDialect({ pool }), translate) });
    // Untranslated: whether a change is to be run again is told by PostgreSQL's own codes.
    this.transactions = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  }

  async write<T>(change: (tx: Tx) => Promise<T>): Promise<T> {
    if (this.closed) throw new StoreUnavailable('store-closed', 'The store is closed: the server is stopping.');
    const writing = this.commit(change);
    this.unfinished.add(writing);
    return writing.finally(() => this.unfinished.delete(writing));
  }

  private async commit<T>(change: (tx: Tx) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const touched = new Set<Topic>();
      try {
        const value = await this.transactions.transaction().execute((db) =>
          change({
            db,
            dialect: 'postgres',
            lock: async (name) => void (await sql`select pg_advisory_xact_lock(hashtext(${`nightshift.${name}`}))`.execute(db)),
            touch: (topic) => touched.add(topic),
          }),
        );
        this.announce(touched);
        return value;
      } catch (cause) {
        if (!isConflict(cause) || attempt === conflictTries) throw translate(cause);
        await wait(systemClock, backoffMs(attempt, Math.random(), { baseMs: 5, capMs: 200 }), this.stopping.signal);
      }
    }
  }

  async ping(): Promise<void> {
    try {
      await this.pool.query('select 1 from schema_migrations limit 1');
    } catch (cause) {
      throw translate(cause);
    }
  }

  onCommit(listener: (topic: Topic) => void): () => void {
    return this.news.listen(listener);
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.allSettled(this.unfinished);
    this.stopping.abort();
    await this.telling;
    await this.listener?.end().catch(() => undefined);
    await this.listening;
    await this.pool.end();
  }

  /** Keeps one connection listening for other nodes' news; after a gap, everything counts as touched. */
  listen(): void {
    this.listening = (async () => {
      for (let attempt = 1; !this.stopping.signal.aborted; attempt++) {
        const client = new pg.Client({ connectionString: this.url, application_name: 'nightshift-news', keepAlive: true });
        const ended = new Promise<void>((resolve) => {
          client.on('error', () => resolve());
          client.on('end', () => resolve());
        });
        client.on('notification', ({ payload }) => this.hear((payload ?? '').split(',')));
        try {
          await client.connect();
          this.listener = client;
          if (this.stopping.signal.aborted) await client.end();
          else await client.query(`listen ${channel}`);
          attempt = 1;
          this.news.tell(topics);
          await ended;
        } catch {
          await client.end().catch(() => undefined);
        }
        if (!this.stopping.signal.aborted) {
          await wait(systemClock, backoffMs(attempt, Math.random(), { baseMs: 200, capMs: 5_000 }), this.stopping.signal);
        }
      }
    })();
  }

  /**
   * What we said ourselves was acted upon when it was committed. Only of the journal it may have been too early: an event
   * becomes readable when all transactions that began before it have ended.
   */
  private hear(said: readonly string[]): void {
    const heard = said.filter(isTopic);
    this.news.tell(said.includes(this.voice) ? heard.filter((topic) => topic === 'journal') : heard);
  }

  /**
   * NOTIFY inside a transaction makes PostgreSQL commit such transactions one after the other, so the news goes out
   * afterwards and gathered. News that is lost in a crash is found by the listeners' slow poll.
   */
  private announce(touched: ReadonlySet<Topic>): void {
    if (touched.size === 0) return;
    this.news.tell(touched);
    for (const topic of touched) this.untold.add(topic);
    this.telling ??= this.tellOthers();
  }

  private async tellOthers(): Promise<void> {
    while (this.untold.size > 0 && !this.stopping.signal.aborted) {
      await wait(systemClock, 2, this.stopping.signal);
      const payload = [...this.untold, this.voice].join(',');
      this.untold.clear();
      await this.pool.query('select pg_notify($1, $2)', [channel, payload]).catch(() => undefined);
    }
    this.telling = undefined;
  }
}

/** pg-boss speaks through whatever executes its SQL: an open transaction, or the pool when there is none. */
export interface SqlExecutor {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

export function executorOn(db: Kysely<Schema>): SqlExecutor {
  return {
    async executeSql(text, values = []) {
      const { rows } = await db.executeQuery(CompiledQuery.raw(text, values));
      return { rows };
    },
  };
}

async function prepare(pool: pg.Pool, restoring: boolean): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1)', [migrationLock]);
    if (!restoring && (await isBeingRestored(client))) {
      throw new Unusable(
        'restore-unfinished',
        'A restore into this database has not come to its end. Run `nightshift restore` again; it begins anew.',
      );
    }
    await migrate({
      dialect: 'postgres',
      run: async (statement) => void (await client.query(statement)),
      version: async () => {
        const { rows } = await client.query('select coalesce(max(version), 0)::int as version from schema_migrations');
        return rows[0].version;
      },
      record: async (version, name) =>
        void (await client.query('insert into schema_migrations (version, name) values ($1, $2)', [version, name])),
    });
    await forgetOtherClusters(client);
    await client.query('commit');
  } catch (cause) {
    await client.query('rollback').catch(() => undefined);
    throw cause;
  } finally {
    client.release();
  }
}

/**
 * A database restored into another cluster carries transaction numbers from the future of this one, and its events
 * would stay unreadable until the numbers catch up. They are all older than anything to come, so 0 is true of them.
 */
async function forgetOtherClusters(client: pg.PoolClient): Promise<void> {
  await client.query('update events set tx = 0 where tx > pg_current_xact_id()::text::bigint');
}

const int8 = 20;

function parserFor(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  // Our bigints are epoch milliseconds and counters, far below 2^53.
  return oid === int8 ? Number : pg.types.getTypeParser(oid, format as 'text');
}

const isTopic = (text: string): text is Topic => (topics as readonly string[]).includes(text);

const sqlState = (cause: unknown): string =>
  typeof cause === 'object' && cause !== null && 'code' in cause && typeof cause.code === 'string' ? cause.code : '';

/**
 * Serialisation failure, deadlock, or a key that somebody else took between our look and our write:
 * PostgreSQL undid the change, and running it again with what is now there is the remedy.
 */
const isConflict = (cause: unknown): boolean => ['40001', '40P01', '23505'].includes(sqlState(cause)) || isOutgrown(cause);

function translate(cause: unknown): unknown {
  if (cause instanceof NightshiftError) return cause;
  const code = sqlState(cause);
  if (code === '53100') {
    return new StoreUnavailable('store-full', 'The disk of the PostgreSQL server is full. Nothing was stored.', cause);
  }
  if (code === '25006') {
    return new StoreUnavailable(
      'store-read-only',
      'PostgreSQL is read-only (a standby?). Nothing was stored. Point DATABASE_URL at the primary.',
      cause,
    );
  }
  if (isConflict(cause)) {
    return new StoreUnavailable('store-busy', 'Too many changes met on the same rows. Nothing was stored. Try again.', cause);
  }
  if (isConnectionLoss(cause, code)) {
    return new StoreUnavailable(
      'store-unreachable',
      'PostgreSQL does not answer, so nothing is acknowledged. The server reconnects by itself.',
      cause,
    );
  }
  return cause;
}

function isConnectionLoss(cause: unknown, code: string): boolean {
  if (/^(08|57P|53[03])/.test(code)) return true;
  if (['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTFOUND', 'ETIMEDOUT', 'ENOENT', 'EAI_AGAIN'].includes(code)) return true;
  return cause instanceof Error && /connection (terminated|ended)|timeout|not queryable|connect/i.test(cause.message) && code === '';
}

function unusable(url: string, cause: unknown): unknown {
  if (cause instanceof Unusable) return cause;
  const why = cause instanceof Error ? cause.message || sqlState(cause) : String(cause);
  return new Unusable(
    'store-unreachable',
    `PostgreSQL at ${withoutPassword(url)} cannot be used: ${why}. Check DATABASE_URL and that the server is up.`,
    cause,
  );
}
