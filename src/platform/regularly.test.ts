import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { regularly } from './regularly.ts';

test('works at once and then regularly, also after a failure, until it is stopped', async () => {
  const clock = new ManualClock();
  const failures: unknown[] = [];
  let times = 0;
  const regular = regularly(
    clock,
    1_000,
    async () => {
      times += 1;
      if (times === 2) throw new Error('not today');
    },
    (error) => void failures.push(error),
  );
  for (const wanted of [1, 2, 3]) {
    await expect.poll(() => clock.pending).toBe(1);
    expect(times).toBe(wanted);
    clock.advance(1_000);
  }
  await regular.stop();
  expect(failures).toEqual([new Error('not today')]);
  expect(clock.pending).toBe(0);
});

test('a stop calls off what is under way and waits for its end', async () => {
  const clock = new ManualClock();
  let ended = false;
  const regular = regularly(
    clock,
    1_000,
    (signal) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () =>
          setImmediate(() => {
            ended = true;
            resolve();
          }),
        ),
      ),
    () => undefined,
  );
  await regular.stop();
  expect(ended).toBe(true);
  expect(clock.pending).toBe(0);
});
