import { afterEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { giveBackAtRest, youngMemory } from './spare-memory.ts';

let stop = (): void => undefined;
afterEach(() => stop());

test('gives young memory back when the process is at rest, and not while it works', () => {
  const clock = new ManualClock();
  let busy = 0.9;
  stop = giveBackAtRest(clock, () => busy);
  workHard();
  const taken = youngMemory();
  expect(taken).toBeGreaterThan(4 * 2 ** 20);

  clock.advance(60_000);
  expect(youngMemory()).toBeGreaterThanOrEqual(taken);

  busy = 0.01;
  clock.advance(5_000);
  expect(youngMemory()).toBeLessThan(taken / 2);
});

/** Young memory grows while much of what was made lately is still in use. */
function workHard(): void {
  const inUse: unknown[] = Array.from({ length: 100_000 });
  for (let n = 0; n < 2_000_000; n++) inUse[n % inUse.length] = { n, text: `${n}` };
}
