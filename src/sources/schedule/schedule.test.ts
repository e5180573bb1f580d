import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../../test/support/stores.ts';
import { dueTimes, faultOf, mostAtOnce, nextTime } from '../../domain/rhythm.ts';
import { createIds } from '../../platform/ids.ts';
import { createLog, silentLog } from '../../platform/log.ts';
import { createQueue } from '../../queue/durable-queue.ts';
import { pgBossLine } from '../../queue/pg-boss.ts';
import type { Line } from '../../queue/queue.ts';
import { sqliteLine } from '../../queue/sqlite.ts';
import type { Store } from '../../store/store.ts';
import { listTasks } from '../../store/tasks.ts';
import { type Schedule, Scheduler } from './schedule.ts';

const at = (time: string): number => Date.parse(time);
const daily = { cron: '0 3 * * *', timezone: 'Europe/Berlin' };

describe('the times of a schedule', () => {
  test('follow its time zone, also over the change to summer time', () => {
    expect(nextTime(daily, at('2026-03-27T12:00:00Z'))).toBe(at('2026-03-28T02:00:00Z'));
    expect(nextTime(daily, at('2026-03-29T12:00:00Z'))).toBe(at('2026-03-30T01:00:00Z'));
  });

  test('come once in the hour that is there twice, and at once after the one that is left out', () => {
    const nightly = { cron: '30 2 * * *', timezone: 'Europe/Berlin', catchUp: 'all' } as const;
    // On 25 October 2026, 02:30 is at 00:30 and again at 01:30 UTC; on 29 March the clock jumps from 02:00 to 03:00, 01:00 UTC.
    const autumn = dueTimes(nightly, at('2026-10-24T12:00:00Z'), at('2026-10-26T00:00:00Z'));
    expect(autumn.times).toEqual([at('2026-10-25T00:30:00Z')]);
    const spring = dueTimes(nightly, at('2026-03-28T12:00:00Z'), at('2026-03-30T12:00:00Z'));
    expect(spring.times).toEqual([at('2026-03-29T01:00:00Z'), at('2026-03-30T00:30:00Z')]);
    const hourly = dueTimes({ ...nightly, cron: '0 * * * *' }, at('2026-10-24T22:00:00Z'), at('2026-10-25T03:00:00Z'));
    expect(hourly.times).toHaveLength(5);
  });

  test.each([
    ['none', []],
    ['one', ['2026-06-10T01:00:00Z']],
    ['all', ['2026-06-08T01:00:00Z', '2026-06-09T01:00:00Z', '2026-06-10T01:00:00Z']],
  ] as const)('that passed while the server was down: %s', (catchUp, expected) => {
    const { times, missed } = dueTimes({ ...daily, catchUp }, at('2026-06-07T12:00:00Z'), at('2026-06-10T12:00:00Z'));
    expect(times).toEqual(expected.map(at));
    expect(missed).toBe(3 - expected.length);
  });

  test('are not missed when the server is merely a little late', () => {
    const due = dueTimes({ ...daily, catchUp: 'none' }, at('2026-06-09T12:00:00Z'), at('2026-06-10T01:00:30Z'));
    expect(due.times).toEqual([at('2026-06-10T01:00:00Z')]);
  });

  test('never come in a storm, however long it was down', () => {
    const { times } = dueTimes({ cron: '* * * * *', catchUp: 'all' }, at('2026-01-01T00:00:00Z'), at('2026-06-01T00:00:00Z'));
    expect(times).toHaveLength(mostAtOnce);
    expect(times.at(-1)).toBe(at('2026-06-01T00:00:00Z'));
  });

  test('are refused when they make no sense', () => {
    expect(faultOf(daily)).toBeUndefined();
    expect(faultOf({ cron: '99 * * * *' })).toBeDefined();
    expect(faultOf({ cron: 'tomorrow' })).toBeDefined();
    expect(faultOf({ cron: '0 0 30 2 *' })).toBe('it never comes');
    expect(faultOf({ cron: '0 3 * * *', timezone: 'Mars/Olympus' })).toBeDefined();
  });
});

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`scheduled work on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let line: Line;
    let clock: ManualClock;

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      line = dialect === 'sqlite' ? sqliteLine : await pgBossLine(store, () => undefined);
      clock = new ManualClock(at('2026-06-07T12:00:00Z'));
      return async () => {
        await line.stop();
        await store.close();
        await database.remove();
      };
    });

    const scheduler = (...schedules: readonly Schedule[]): Scheduler => {
      const queue = createQueue({ store, line, clock, newId: createIds(clock), chance: () => 0.5, defaultEngine: null });
      return new Scheduler({ store, queue, clock, log: silentLog, schedules });
    };
    const filed = async (): Promise<readonly (string | null)[]> =>
      (await listTasks(store.read, {}, { before: null, limit: 200 })).items.map(({ externalRef }) => externalRef).toReversed();
    const nightly: Schedule = { name: 'nightly', ...daily, catchUp: 'one', task: { title: 'Update the dependencies' } };

    test('is filed at its time, once, whatever restarts and however many servers look', async () => {
      await scheduler(nightly).lookOnce();
      expect(await filed()).toEqual([]);
      clock.advance(at('2026-06-08T01:00:00Z') - clock.now());
      await Promise.all([scheduler(nightly).lookOnce(), scheduler(nightly).lookOnce()]);
      await scheduler(nightly).lookOnce();
      expect(await filed()).toEqual(['nightly@2026-06-08T01:00:00.000Z']);
    });

    test('is not filed again while the last one is still open', async () => {
      const one = scheduler(nightly);
      await one.lookOnce();
      for (const day of ['08', '09']) {
        clock.advance(at(`2026-06-${day}T01:00:00Z`) - clock.now());
        await one.lookOnce();
      }
      expect(await filed()).toEqual(['nightly@2026-06-08T01:00:00.000Z']);
    });

    test('begins anew when its times are changed, and does not make up for what it never was', async () => {
      await scheduler(nightly).lookOnce();
      clock.advance(3 * 86_400_000);
      await scheduler({ ...nightly, cron: '0 4 * * *' }).lookOnce();
      expect(await filed()).toEqual([]);
    });

    test('does not come twice when somebody sets the clock back', async () => {
      const all = scheduler({ ...nightly, catchUp: 'all' });
      await all.lookOnce();
      clock.advance(at('2026-06-08T01:00:00Z') - clock.now());
      await all.lookOnce();
      clock.jump(-3_600_000);
      await all.lookOnce();
      clock.advance(3_600_000);
      await all.lookOnce();
      expect(await filed()).toHaveLength(1);
    });

    test('that is refused is told of in the log', async () => {
      const logged: string[] = [];
      const log = createLog('warn', [{ write: (line) => void logged.push(line) }]);
      const cannotRun = () => 'there is nothing to run it';
      const queue = createQueue({ store, line, clock, newId: createIds(clock), chance: () => 0.5, defaultEngine: null, cannotRun });
      const one = new Scheduler({ store, queue, clock, log, schedules: [nightly] });
      await one.lookOnce();
      clock.advance(at('2026-06-08T01:00:00Z') - clock.now());
      await one.lookOnce();
      expect(await filed()).toEqual([]);
      expect(logged.join('')).toContain('there is nothing to run it');
    });

    test('is looked after by itself, and leaves nothing behind when it is stopped', async () => {
      const one = scheduler(nightly);
      one.start();
      await expect.poll(() => clock.pending).toBe(1);
      clock.advance(at('2026-06-08T01:00:00Z') - clock.now());
      await expect.poll(filed).toEqual(['nightly@2026-06-08T01:00:00.000Z']);
      await one.stop();
      expect(clock.pending).toBe(0);
    });
  });
}
