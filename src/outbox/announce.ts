import type { NewEvent } from '../domain/event.ts';
import type { Origin, OutgoingMessage } from '../domain/mail.ts';
import { type Stage, stageFrom } from '../domain/stage.ts';
import type { Task } from '../domain/task.ts';
import { originsOf } from '../store/inbox.ts';
import { runsOfTasks } from '../store/runs.ts';
import type { Tx } from '../store/store.ts';
import { lockTasks } from '../store/tasks.ts';
import type { Outbox } from './outbox.ts';

/** Puts into words, for those who asked through one source, what becomes of their task. */
export interface Reporter {
  readonly source: string;
  /** Their wish has become a task, or one that is there already. */
  taken(tx: Tx, task: Task, origin: Origin): Promise<readonly OutgoingMessage[]>;
  /** The task has come to another status. */
  changed(tx: Tx, task: Task, origin: Origin): Promise<readonly OutgoingMessage[]>;
  /** Its run has come to another stage. */
  progressed?(task: Task, origin: Origin, stage: Stage): readonly OutgoingMessage[];
}

/** All are called in the transaction of the change that they tell of. */
export interface Announcer {
  taken(tx: Tx, asked: readonly { readonly task: Task; readonly origin: Origin }[]): Promise<void>;
  changed(tx: Tx, tasks: readonly Task[]): Promise<void>;
  /** An event of a run, which may begin another stage of it. */
  happened(tx: Tx, event: NewEvent): Promise<void>;
}

export function createAnnouncer(outbox: Pick<Outbox, 'put'>, reporters: readonly Reporter[]): Announcer {
  const bySource = new Map(reporters.map((reporter) => [reporter.source, reporter]));
  return {
    // All of them are put at once: a line that is held must not be waited for with another in hand.
    async taken(tx, asked) {
      const messages: OutgoingMessage[] = [];
      for (const { task, origin } of asked) messages.push(...((await bySource.get(origin.source)?.taken(tx, task, origin)) ?? []));
      await outbox.put(tx, messages);
    },
    async changed(tx, tasks) {
      if (tasks.length === 0 || bySource.size === 0) return;
      const byId = new Map(tasks.map((task) => [task.id, task]));
      const messages: OutgoingMessage[] = [];
      for (const origin of await originsOf(tx.db, [...byId.keys()])) {
        const task = byId.get(origin.taskId) as Task;
        messages.push(...((await bySource.get(origin.source)?.changed(tx, task, origin)) ?? []));
      }
      await outbox.put(tx, messages);
    },
    async happened(tx, event) {
      const stage = stageFrom(event);
      const { taskId, runId } = event;
      if (stage === undefined || taskId === undefined || bySource.size === 0) return;
      const origins = (await originsOf(tx.db, [taskId])).filter(({ source }) => bySource.get(source)?.progressed);
      if (origins.length === 0) return;
      // Held, so that this is not said after how it ended; and a run that was taken from its holder tells nothing any more.
      const task = (await lockTasks(tx, [taskId])).get(taskId);
      const current = (await runsOfTasks(tx.db, [taskId])).get(taskId)?.at(-1);
      if (task?.status !== 'running' || current?.id !== runId) return;
      for (const origin of origins) await outbox.put(tx, bySource.get(origin.source)?.progressed?.(task, origin, stage) ?? []);
    },
  };
}
