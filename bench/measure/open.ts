import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { createQueue } from '../../src/queue/durable-queue.ts';
import type { Line, Queue, Wish } from '../../src/queue/queue.ts';
import { sqliteLine } from '../../src/queue/sqlite.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import type { Place } from '../support/bench.ts';

export interface Opened {
  readonly store: Store;
  readonly line: Line;
  readonly queue: Queue;
  close(): Promise<void>;
}

/** Store and queue, wired as the server wires them. */
export async function openQueue(place: Place): Promise<Opened> {
  const store = await openStore(place);
  const line = store.dialect === 'sqlite' ? sqliteLine : await openPgBoss(store);
  const queue = createQueue({
    store,
    line,
    clock: systemClock,
    newId: createIds(systemClock),
    chance: Math.random,
    defaultEngine: 'command',
  });
  return {
    store,
    line,
    queue,
    async close() {
      await line.stop();
      await store.close();
    },
  };
}

async function openPgBoss(store: Store): Promise<Line> {
  const { pgBossLine } = await import('../../src/queue/pg-boss.ts');
  return pgBossLine(store, (error) => console.error(error));
}

export const wish = (n: number): Wish => ({
  title: `Mend the flaky test number ${n}`,
  body: '["true"]',
  source: 'api',
  requestedBy: 'owner',
  trust: 'owner',
  priority: 'medium',
});
