import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { createQueue } from '../../src/queue/durable-queue.ts';
import type { Wish } from '../../src/queue/queue.ts';
import { sqliteLine } from '../../src/queue/sqlite.ts';
import type { TestDatabase } from './stores.ts';

/** Puts a task of somebody else than the owner in line, as a source of such tasks does. Answers its id. */
export async function submitFor(
  trust: Wish['trust'],
  database: TestDatabase,
  wish: Pick<Wish, 'title'> & Partial<Wish>,
  defaultEngine = 'command',
): Promise<string> {
  const store = await database.open();
  try {
    const newId = createIds(systemClock);
    const queue = createQueue({ store, line: sqliteLine, clock: systemClock, newId, chance: Math.random, defaultEngine });
    const submission = await queue.submit({ source: 'test', requestedBy: 'somebody', priority: 'high', ...wish, trust });
    if (submission.kind !== 'created') throw new Error(`not accepted: ${JSON.stringify(submission)}`);
    return submission.task.id;
  } finally {
    await store.close();
  }
}
