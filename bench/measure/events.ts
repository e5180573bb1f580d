import { append } from '../../src/store/journal.ts';
import type { Place } from '../support/bench.ts';
import { concurrently, type Summary, summary, timed, timeEach } from '../support/stats.ts';
import { openQueue } from './open.ts';

export interface EventFigures {
  /** The first ones of a process, while SQLite's log file still grows: a longer file costs the disk a second write. */
  readonly fresh: Summary;
  readonly alone: Summary;
  readonly together: Summary;
  readonly togetherPerSecond: number;
}

export const writers = 32;

/** One event in a transaction of its own: by a single writer, and by many at once. */
export async function measureEvents({ place, events }: { readonly place: Place; readonly events: number }): Promise<EventFigures> {
  const { store, close } = await openQueue(place);
  const data = { stream: 'stdout', text: 'ok 17 - answers within the limit\n' } as const;
  const appendOne = (): Promise<void> => store.write((tx) => append(tx, [{ type: 'run.output', data }], Date.now()));

  await timeEach(50, appendOne);
  const fresh = await timeEach(Math.ceil(events / 4), appendOne);
  await timeEach(events, appendOne);
  const alone = await timeEach(events, appendOne);
  await concurrently(events, writers, appendOne);
  const together: number[] = [];
  const start = performance.now();
  await concurrently(2 * events, writers, async () => together.push(await timed(appendOne)));
  const seconds = (performance.now() - start) / 1_000;
  await close();
  return { fresh: summary(fresh), alone: summary(alone), together: summary(together), togetherPerSecond: (2 * events) / seconds };
}
