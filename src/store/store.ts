import { EventEmitter } from 'node:events';
import type { Kysely } from 'kysely';
import type { Dialect } from './migrations/migration.ts';
import type { Schema } from './schema.ts';

/**
 * What a commit made news of. Topics are hints that save polling, never the message itself:
 * whoever hears one reads the store, and whoever misses one finds the same by its own slow poll.
 */
export const topics = ['journal', 'line', 'control', 'inbox', 'outbox', 'access', 'follow-ups'] as const;
export type Topic = (typeof topics)[number];

export type LockName = 'dependencies' | 'queue-schema' | 'schedules' | 'todo' | 'memory' | 'alerts' | 'offspring' | 'origins';

/** An open write transaction. Nothing but queries may be awaited while one is open. */
export interface Tx {
  readonly db: Kysely<Schema>;
  readonly dialect: Dialect;
  /** Holds the named lock until the transaction ends. */
  lock(name: LockName): Promise<void>;
  /** Tells listeners after the commit, on this node and on the others. */
  touch(topic: Topic): void;
}

/**
 * Everything durable. `write` resolves when the change is on disk and not before; when it rejects, nothing of it is.
 * The change may be run again after a conflict, so it does nothing but query. A store waits by the real clock alone:
 * what it waits for is other processes.
 */
export interface Store {
  readonly dialect: Dialect;
  /** Committed state only. */
  readonly read: Kysely<Schema>;
  write<T>(change: (tx: Tx) => Promise<T>): Promise<T>;
  /** Resolves if the store answers, rejects with the reason if it does not. */
  ping(): Promise<void>;
  onCommit(listener: (topic: Topic) => void): () => void;
  /** Finishes what has been accepted, then closes. */
  close(): Promise<void>;
}

export class CommitNews {
  private readonly emitter = new EventEmitter().setMaxListeners(0);

  listen(listener: (topic: Topic) => void): () => void {
    this.emitter.on('commit', listener);
    return () => this.emitter.off('commit', listener);
  }

  tell(touched: Iterable<Topic>): void {
    for (const topic of touched) this.emitter.emit('commit', topic);
  }
}
