import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import { Unusable } from './domain/errors.ts';
import { idPrefixes, isId } from './domain/id.ts';
import type { NewId } from './platform/ids.ts';

/** What a running server says of itself in its home, for the command line to find it. */
export interface Whereabouts {
  readonly pid: number;
  readonly address: string;
}

export interface Home {
  readonly path: string;
  readonly nodeId: string;
  announce(whereabouts: Whereabouts): void;
  release(): void;
}

/** Makes the home if need be, closed to everybody else. Idempotent. */
export function prepareHome(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (!statSync(path).isDirectory()) throw new Error('not a directory');
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new Unusable(
      'home-unusable',
      `The home ${path} cannot be used: ${messageOf(cause)}. Set NIGHTSHIFT_HOME to a directory that you may write.`,
      cause,
    );
  }
}

/**
 * Takes the home for this process. The lock is a file lock that the system drops with the process, however it dies,
 * so there is nothing stale to clean up.
 */
export async function takeHome(path: string, newId: NewId): Promise<Home> {
  prepareHome(path);
  // Loaded here alone: the command line reads this file's other half and must start fast.
  const { default: Sqlite } = await import('better-sqlite3');
  const lock = lockHome(path, Sqlite);
  const whereabouts = join(path, 'server.json');
  return {
    path,
    nodeId: identity(path, newId),
    announce: (told) => writeFileSync(whereabouts, `${JSON.stringify(told)}\n`, { mode: 0o600 }),
    release() {
      rmSync(whereabouts, { force: true });
      lock.close();
    },
  };
}

export function whereaboutsIn(path: string): Whereabouts | undefined {
  try {
    return JSON.parse(readFileSync(join(path, 'server.json'), 'utf8')) as Whereabouts;
  } catch {
    return undefined;
  }
}

const tokenFile = (home: string): string => join(home, 'token');

/** The owner's key: the configured one, else the one in the home. */
export function readToken(home: string, configured: string | undefined): string | undefined {
  if (configured !== undefined) return configured;
  return existsSync(tokenFile(home)) ? readFileSync(tokenFile(home), 'utf8').trim() || undefined : undefined;
}

/** Makes a new owner's key and keeps it in the home, readable by its owner alone. A full disk leaves the old one in force. */
export function makeToken(home: string): string {
  const token = `ns_${randomBytes(32).toString('base64url')}`;
  prepareHome(home);
  const fresh = `${tokenFile(home)}.new`;
  rmSync(fresh, { force: true });
  writeFileSync(fresh, `${token}\n`, { mode: 0o600 });
  renameSync(fresh, tokenFile(home));
  return token;
}

/** The key as it is now, also after `nightshift token rotate` has replaced the file under a running server. */
export function currentToken(home: string, configured: string | undefined): () => string {
  if (configured !== undefined) return () => configured;
  let token = readToken(home, undefined) ?? makeToken(home);
  let changed = statSync(tokenFile(home)).mtimeMs;
  return () => {
    const mtime = statSync(tokenFile(home), { throwIfNoEntry: false })?.mtimeMs;
    if (mtime !== undefined && mtime !== changed) {
      // Remembered only when it was read: a replaced key is never accepted because its successor cannot be read.
      token = readToken(home, undefined) ?? token;
      changed = mtime;
    }
    return token;
  };
}

function lockHome(path: string, Sqlite: typeof Database): Database.Database {
  let lock: Database.Database | undefined;
  try {
    lock = new Sqlite(join(path, 'lock'), { timeout: 0 });
    lock.pragma('journal_mode = memory');
    lock.exec('begin exclusive');
    return lock;
  } catch (cause) {
    lock?.close();
    if (!(cause instanceof Sqlite.SqliteError) || cause.code !== 'SQLITE_BUSY') {
      throw new Unusable('home-unusable', `The home ${path} cannot be locked: ${messageOf(cause)}.`, cause);
    }
    const other = whereaboutsIn(path);
    const who = other ? ` (process ${other.pid} at ${other.address})` : '';
    throw new Unusable(
      'home-taken',
      `Another Nightshift server is running on ${path}${who}. Stop it, or give this one a home of its own with NIGHTSHIFT_HOME.`,
      cause,
    );
  }
}

/** A node keeps its name over restarts, so that it knows its own unfinished work. */
function identity(path: string, newId: NewId): string {
  const file = join(path, 'node-id');
  const known = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  if (isId('node', known)) return known;
  const id = newId(idPrefixes.node);
  writeFileSync(file, `${id}\n`, { mode: 0o600 });
  return id;
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
