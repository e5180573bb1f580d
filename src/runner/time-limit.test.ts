import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { startTimeLimit } from './time-limit.ts';

function limited(ms: number) {
  const clock = new ManualClock();
  let exceeded = 0;
  const limit = startTimeLimit(clock, ms, () => {
    exceeded += 1;
  });
  return { clock, limit, exceeded: () => exceeded };
}

test('a limit counts the time in which nothing holds it', () => {
  const { clock, limit, exceeded } = limited(1_000);
  clock.advance(600);
  limit.hold();
  limit.hold();
  clock.advance(10_000);
  limit.letGo();
  clock.advance(10_000);
  expect(exceeded()).toBe(0);
  limit.letGo();
  clock.advance(399);
  expect(exceeded()).toBe(0);
  clock.advance(1);
  expect(exceeded()).toBe(1);
});

test('a limit that is cancelled is over, whatever still holds it', () => {
  const { clock, limit, exceeded } = limited(1_000);
  limit.hold();
  limit.cancel();
  limit.letGo();
  clock.advance(10_000);
  expect([exceeded(), clock.pending]).toEqual([0, 0]);
});
