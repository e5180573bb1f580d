import { chmodSync, closeSync, openSync } from 'node:fs';
import Database from 'better-sqlite3';
import { Kysely, type SqliteDatabase, SqliteDialect } from 'kysely';
import { StoreUnavailable, Unusable } from '../domain/errors.ts';
import { systemClock, wait } from '../platform/clock.ts';
import { migrate } from './migrate.ts';
import type { Schema } from './schema.ts';
import { CommitNews, type Store, type Topic, type Tx } from './store.ts';
import { translating } from './translating.ts';

interface Pending {
  readonly change: (tx: Tx) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Verdict = { readonly pending: Pending; readonly value: unknown };

/** How many changes may share one commit, so that the first of them never waits long for its disk sync. */
const groupLimit = 128;
/** How long another process may hold the file before a change is refused. */
const busyPatienceMs = 5_000;

/**
 * The embedded store. One connection writes, another reads committed state. Changes that arrive while a commit
 * is under way wait and then share the next one, each behind its own savepoint: one disk sync acknowledges all
 * of them, and one that fails takes nobody with it. A worker thread for the writer was considered: it frees the loop
 * during the sync, but each query then crosses threads, which costs more than the sync on any disk fit for a server.
 */
export async function openSqlite(path: string): Promise<Store> {
  const writer = await open(path);
  try {
    await prepare(writer, path);
  } catch (cause) {
    writer.close();
    throw cause;
  }
  const reader = await open(path);
  reader.pragma('query_only = on');
  return new SqliteStore(writer, reader);
}

class SqliteStore implements Store {
  readonly dialect = 'sqlite';
  readonly read: Kysely<Schema>;
  private readonly write_: Kysely<Schema>;
  private readonly news = new CommitNews();
  private waiting: Pending[] = [];
  private committing: Promise<void> | undefined;
  private closed = false;

  private readonly writer: Database.Database;
  private readonly reader: Database.Database;
  private readonly savepoint: Database.Statement;
  private readonly release: Database.Statement;

  constructor(writer: Database.Database, reader: Database.Database) {
    this.writer = writer;
    this.reader = reader;
    this.savepoint = writer.prepare('savepoint change');
    this.release = writer.prepare('release change');
    this.write_ = new Kysely<Schema>({ dialect: queriesOn(writer) });
    this.read = new Kysely<Schema>({ dialect: translating(queriesOn(reader), translate) });
  }

  write<T>(change: (tx: Tx) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.closed) return reject(new StoreUnavailable('store-closed', 'The store is closed: the server is stopping.'));
      this.waiting.push({ change, resolve: resolve as (value: unknown) => void, reject });
      this.committing ??= this.commitAll();
    });
  }

  async ping(): Promise<void> {
    try {
      this.reader.prepare('select 1 from schema_migrations limit 1').get();
    } catch (cause) {
      throw translate(cause);
    }
  }

  onCommit(listener: (topic: Topic) => void): () => void {
    return this.news.listen(listener);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.committing;
    this.reader.close();
    this.writer.close();
  }

  private async commitAll(): Promise<void> {
    // Let everything that this turn of the loop brings join the first group.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) await this.commitGroup(this.waiting.splice(0, groupLimit));
    this.committing = undefined;
  }

  private async commitGroup(group: readonly Pending[]): Promise<void> {
    const touched = new Set<Topic>();
    const verdicts: Verdict[] = [];
    try {
      await patiently(() => this.writer.exec('begin immediate'));
      // What fails alone is undone with the transaction.
      const apart = group.length > 1;
      for (const pending of group) await this.apply(pending, apart, touched, verdicts);
      this.writer.exec('commit');
    } catch (cause) {
      // The group as a whole failed: nothing of it is stored, and each is told so.
      if (this.writer.inTransaction) this.writer.exec('rollback');
      const error = translate(cause);
      for (const { reject } of group) reject(error);
      return;
    }
    for (const { pending, value } of verdicts) pending.resolve(value);
    this.news.tell(touched);
  }

  private async apply(pending: Pending, apart: boolean, touched: Set<Topic>, verdicts: Verdict[]): Promise<void> {
    const own = new Set<Topic>();
    // One writer at a time is every lock there could be.
    const tx: Tx = { db: this.write_, dialect: 'sqlite', lock: async () => undefined, touch: (topic) => own.add(topic) };
    if (apart) this.savepoint.run();
    try {
      const value = await pending.change(tx);
      if (apart) this.release.run();
      for (const topic of own) touched.add(topic);
      verdicts.push({ pending, value });
    } catch (cause) {
      // A full disk makes SQLite roll the whole transaction back; then the group has failed, not this change alone.
      if (!apart || !this.writer.inTransaction) throw cause;
      this.writer.exec('rollback to change');
      this.release.run();
      pending.reject(translate(cause));
    }
  }
}

/** Waits for another process's lock without blocking the event loop. */
async function patiently(lock: () => unknown): Promise<void> {
  const start = systemClock.monotonic();
  for (;;) {
    try {
      lock();
      return;
    } catch (cause) {
      if (!sqliteCode(cause).startsWith('SQLITE_BUSY') || systemClock.monotonic() - start > busyPatienceMs) throw cause;
      await wait(systemClock, 20);
    }
  }
}

async function open(path: string): Promise<Database.Database> {
  let database: Database.Database | undefined;
  try {
    // Create it before SQLite does, so that it is never readable by others.
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    const opened = new Database(path, { timeout: 0 });
    database = opened;
    // The first to open a new file, or one whose owner died, holds it for a moment.
    await patiently(() => opened.pragma('journal_mode = wal'));
    opened.pragma('synchronous = full');
    opened.pragma('foreign_keys = on');
    opened.pragma('cache_size = -16000');
    opened.pragma('wal_autocheckpoint = 4000');
    return opened;
  } catch (cause) {
    database?.close();
    throw unusable(path, cause);
  }
}

async function prepare(database: Database.Database, path: string): Promise<void> {
  try {
    await patiently(() => database.exec('begin exclusive'));
  } catch (cause) {
    throw unusable(path, cause);
  }
  try {
    await migrate({
      dialect: 'sqlite',
      run: async (statement) => void database.exec(statement),
      version: async () => database.prepare<[], number>('select coalesce(max(version), 0) from schema_migrations').pluck().get() ?? 0,
      record: async (version, name) =>
        void database.prepare('insert into schema_migrations (version, name) values (?, ?)').run(version, name),
    });
    database.exec('commit');
  } catch (cause) {
    if (database.inTransaction) database.exec('rollback');
    throw cause instanceof Unusable ? cause : unusable(path, cause);
  }
}

/** Queries over one connection, without Kysely's own transactions: the store opens and closes those. */
const queriesOn = (database: Database.Database): SqliteDialect => new SqliteDialect({ database: preparedOnce(database) });

/** Preparing a statement costs more than running it; the short ones recur and are kept. */
function preparedOnce(database: Database.Database): SqliteDatabase {
  const kept = new Map<string, Database.Statement>();
  return {
    close: () => {},
    prepare(sql) {
      let statement = kept.get(sql);
      if (!statement) {
        statement = database.prepare(sql);
        if (sql.length < 4_000 && kept.size < 500) kept.set(sql, statement);
      }
      return statement as unknown as ReturnType<SqliteDatabase['prepare']>;
    },
  };
}

const sqliteCode = (cause: unknown): string => (cause instanceof Database.SqliteError ? cause.code : '');

function translate(cause: unknown): unknown {
  const code = sqliteCode(cause);
  if (code === 'SQLITE_FULL') {
    return new StoreUnavailable(
      'store-full',
      'The disk that holds the database is full. Nothing was stored. Free some space; the server goes on by itself.',
      cause,
    );
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new StoreUnavailable(
      'store-locked',
      'Another process holds the database. Nothing was stored. End whatever has the file open, then try again.',
      cause,
    );
  }
  if (code.startsWith('SQLITE_READONLY')) {
    return new StoreUnavailable(
      'store-read-only',
      'The database cannot be written. Nothing was stored. Check the permissions of the home and whether its disk is mounted read-only.',
      cause,
    );
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return new StoreUnavailable(
      'store-corrupt',
      'The database file is damaged. Nothing was stored. Stop the server and restore a backup.',
      cause,
    );
  }
  if (code.startsWith('SQLITE_IOERR') || code === 'SQLITE_CANTOPEN') {
    return new StoreUnavailable('store-io', `The disk that holds the database answers with an error (${code}). Nothing was stored.`, cause);
  }
  return cause;
}

function unusable(path: string, cause: unknown): Unusable {
  const known = translate(cause);
  if (known instanceof StoreUnavailable) return new Unusable(known.code, `${path}: ${known.message}`, cause);
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Unusable('store-unusable', `${path}: the database cannot be opened: ${why}`, cause);
}
