import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { silentLog } from './log.ts';
import { Pump } from './pump.ts';

interface Item {
  readonly name: string;
  readonly due: number;
}

/** A pump over a list, as a store would serve it; `meanwhile` happens while it answers, and says whether it gives anything. */
function pumpOver(clock: ManualClock, waiting: Item[], meanwhile: () => boolean) {
  const done: string[] = [];
  let looks = 0;
  const pump = new Pump<Item>({
    name: 'test',
    clock,
    log: silentLog,
    capacity: 4,
    take: async (free, now) => {
      looks += 1;
      const due = meanwhile() ? waiting.filter((each) => each.due <= now).slice(0, free) : [];
      for (const each of due) waiting.splice(waiting.indexOf(each), 1);
      return due;
    },
    nextDue: async (now) => waiting.map(({ due }) => due).find((due) => due > now) ?? null,
    work: async ({ name }) => void done.push(name),
  });
  return { pump, done, looks: () => looks };
}

test('what becomes due while it looks is taken at once, and not when it happens to look again', async () => {
  const clock = new ManualClock();
  const start = clock.now();
  const { pump, done } = pumpOver(clock, [{ name: 'soon', due: start + 5 }], () => {
    clock.advance(start + 5 - clock.now());
    return true;
  });
  pump.wake();
  await expect.poll(() => clock.pending).toBe(1);
  expect(done).toEqual([]);
  clock.advance(1);
  await expect.poll(() => done).toEqual(['soon']);
  await pump.stop();
  expect(clock.pending).toBe(0);
});

test('what is due and cannot be taken does not make it look again and again', async () => {
  const clock = new ManualClock();
  const { pump, looks } = pumpOver(clock, [{ name: 'held elsewhere', due: 0 }], () => false);
  pump.wake();
  await expect.poll(() => clock.pending).toBe(1);
  clock.advance(1_000);
  await new Promise((resolve) => setImmediate(resolve));
  expect([looks(), clock.pending]).toEqual([1, 1]);
  await pump.stop();
});
