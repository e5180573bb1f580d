import Sqlite from 'better-sqlite3';
import { type Clock, wait } from '../platform/clock.ts';

export type Release = () => void;

/**
 * Holds the file for one process at a time. It is a file lock (SQLite's) that the system drops with its process, however
 * that dies: there is no stale lock to recognise, and no process id to be mistaken for another's. The file stays.
 * Undefined when the signal aborts first.
 */
export async function lockFile(path: string, clock: Clock, signal: AbortSignal): Promise<Release | undefined> {
  for (let pauseMs = 5; !signal.aborted; pauseMs = Math.min(250, pauseMs * 2)) {
    const lock = new Sqlite(path, { timeout: 0 });
    try {
      lock.pragma('journal_mode = memory');
      lock.exec('begin exclusive');
      return () => lock.close();
    } catch (cause) {
      lock.close();
      if (!(cause instanceof Sqlite.SqliteError) || !cause.code.startsWith('SQLITE_BUSY')) throw cause;
    }
    await wait(clock, pauseMs, signal);
  }
  return undefined;
}

/** Runs what is given under one name one after the other, in order of arrival, within this process. */
export class Turns {
  private readonly last = new Map<string, Promise<unknown>>();

  take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.then(
      () => undefined,
      () => undefined,
    );
    this.last.set(name, settled);
    void settled.then(() => {
      if (this.last.get(name) === settled) this.last.delete(name);
    });
    return mine;
  }
}
