import type { Origin, OutgoingMessage } from '../domain/mail.ts';
import type { Task } from '../domain/task.ts';
import { originsOf } from '../store/inbox.ts';
import type { Tx } from '../store/store.ts';
import type { Outbox } from './outbox.ts';

/** Puts into words, for those who asked through one source, what becomes of their task. */
export interface Reporter {
  readonly source: string;
  /** Their wish has become a task, or one that is there already. */
  taken(tx: Tx, task: Task, origin: Origin): Promise<readonly OutgoingMessage[]>;
  /** The task has come to another status. */
  changed(tx: Tx, task: Task, origin: Origin): Promise<readonly OutgoingMessage[]>;
}

/** Both are called in the transaction of the change that they tell of. */
export interface Announcer {
  taken(tx: Tx, asked: readonly { readonly task: Task; readonly origin: Origin }[]): Promise<void>;
  changed(tx: Tx, tasks: readonly Task[]): Promise<void>;
}

export function createAnnouncer(outbox: Pick<Outbox, 'put'>, reporters: readonly Reporter[]): Announcer {
  const bySource = new Map(reporters.map((reporter) => [reporter.source, reporter]));
  return {
    async taken(tx, asked) {
      for (const { task, origin } of asked) {
        const reporter = bySource.get(origin.source);
        if (reporter) await outbox.put(tx, await reporter.taken(tx, task, origin));
      }
    },
    async changed(tx, tasks) {
      if (tasks.length === 0 || bySource.size === 0) return;
      const byId = new Map(tasks.map((task) => [task.id, task]));
      for (const origin of await originsOf(tx.db, [...byId.keys()])) {
        const reporter = bySource.get(origin.source);
        if (reporter) await outbox.put(tx, await reporter.changed(tx, byId.get(origin.taskId) as Task, origin));
      }
    },
  };
}
