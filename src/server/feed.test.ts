import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import type { Position } from '../domain/event.ts';
import { systemClock } from '../platform/clock.ts';
import { silentLog } from '../platform/log.ts';
import { append, comparePositions } from '../store/journal.ts';
import type { Store } from '../store/store.ts';
import { Feed } from './feed.ts';

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`the feed on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let feed: Feed;

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      feed = new Feed(store, systemClock, silentLog);
      await feed.start();
    });

    afterEach(async () => {
      await feed.stop();
      await store.close();
      await database.remove();
    });

    const tell = (texts: readonly string[]): Promise<void> =>
      store.write((tx) =>
        append(
          tx,
          texts.map((text) => ({ type: 'run.notice', data: { text } })),
          0,
        ),
      );

    async function walk(from: Position, end: Position): Promise<readonly unknown[]> {
      const texts: unknown[] = [];
      for (let position = from; comparePositions(position, end) < 0; ) {
        const next = await feed.next(position, () => true);
        if (next.position === position) throw new Error(`stuck at ${position}`);
        texts.push(...next.events.map(({ data }) => data['text']));
        position = next.position;
      }
      return texts;
    }

    test('gives every event from every position, at hand or not', async () => {
      const all: string[] = [];
      for (let batch = 0; batch < 25; batch++) {
        const texts = Array.from({ length: 400 }, (_, i) => `${batch}.${i}`);
        all.push(...texts);
        await tell(texts);
      }
      await until(
        'the end',
        async () => (await feed.next(feed.end, () => true)).events.length === 0 && (await walk('0', feed.end)).length === all.length,
      );
      const { end } = feed;
      expect(feed.holds(end)).toBe(true);
      expect(feed.holds('0')).toBe(false);
      expect(await walk('0', end)).toEqual(all);
    });

    test('forgets long events sooner, and still gives them', async () => {
      const long = 'x'.repeat(1024 * 1024);
      for (let i = 0; i < 40; i++) await tell([`${i} ${long}`]);
      const texts = await until('all', async () => {
        const found = await walk('0', feed.end);
        return found.length === 40 && found;
      });
      expect(texts.map((text) => String(text).split(' ')[0])).toEqual(Array.from({ length: 40 }, (_, i) => String(i)));
      expect(feed.holds('0')).toBe(false);
    });

    test('passes over what does not match, and says how far it got', async () => {
      await tell(['a', 'b', 'c']);
      const end = await until('them', () => feed.end !== '0' && feed.end);
      const next = await feed.next('0', ({ data }) => data['text'] === 'b');
      expect(next.events.map(({ data }) => data['text'])).toEqual(['b']);
      expect(next.position).toBe(end);
    });

    test('wakes who waits when something happens, when time is up, and when it stops', async () => {
      const never = new AbortController().signal;
      const news = feed.changed(feed.end, 60_000, never);
      await tell(['news']);
      await news;
      await feed.changed('0', 60_000, never);
      await feed.changed(feed.end, 1, never);
      const leaving = new AbortController();
      const waiting = [feed.changed(feed.end, 60_000, leaving.signal), feed.changed(feed.end, 60_000, never)];
      leaving.abort();
      await waiting[0];
      expect(feed.watchers).toBe(1);
      await feed.stop();
      await waiting[1];
      expect(feed.watchers).toBe(0);
    });
  });
}
