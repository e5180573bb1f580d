import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import { silentLog } from '../platform/log.ts';
import { insertArrivals } from '../store/inbox.ts';
import { listMessages, putMessages } from '../store/outbox.ts';
import type { Store } from '../store/store.ts';
import { forgetOldMail } from './retention.ts';

const day = 86_400_000;

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`old mail on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let clock: ManualClock;
    const undo: (() => unknown)[] = [];

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      clock = new ManualClock();
    });
    afterEach(async () => {
      for (const step of undo.splice(0).reverse()) await step();
      await store.close();
      await database.remove();
    });

    const start = (): void => {
      const forgetting = forgetOldMail({ store, clock, log: silentLog, keepMs: 30 * day });
      undo.push(() => forgetting.stop());
    };
    const arrive = (count: number): Promise<unknown> =>
      store.write((tx) =>
        insertArrivals(
          tx,
          Array.from({ length: count }, (_, n) => ({
            id: `inb_${n}`,
            source: 'test',
            key: String(n),
            kind: 'x',
            headers: {},
            body: Buffer.from('words'),
          })),
          clock.now(),
        ),
      );
    const put = (key: string, body: unknown): Promise<void> =>
      store.write((tx) =>
        putMessages(tx, [{ id: `msg_${key}_${body}`, channel: 'test', recipient: 'ann', kind: 'note', key, body }], clock.now()),
      );
    const end = (table: 'inbox' | 'outbox', state: string, ids: readonly string[]): Promise<unknown> =>
      store.write((tx) =>
        table === 'inbox'
          ? tx.db
              .updateTable('inbox')
              .set({ state: state as never, settled_at: clock.now() })
              .where('id', 'in', ids)
              .execute()
          : tx.db
              .updateTable('outbox')
              .set({ state: state as never, sent_at: clock.now() })
              .where('key', 'in', ids)
              .execute(),
      );
    const bodies = async (): Promise<Record<string, unknown>> => {
      const messages = await listMessages(store.read, {}, { before: null, limit: 100 });
      return Object.fromEntries(messages.map(({ key, body }) => [key, body]));
    };
    const dropped = (): Promise<number> =>
      store.read
        .selectFrom('inbox')
        .select('id')
        .where('id', 'not in', store.read.selectFrom('delivery_bodies').select('delivery'))
        .execute()
        .then((rows) => rows.length);

    test('loses its bodies, however much there is, and keeps those that somebody may still have to look at', async () => {
      await arrive(2_103);
      const ids = Array.from({ length: 2_100 }, (_, n) => `inb_${n}`);
      for (let from = 0; from < ids.length; from += 500) await end('inbox', 'ignored', ids.slice(from, from + 500));
      await end('inbox', 'failed', ['inb_2101']);
      for (const key of ['sent', 'dead', 'waiting']) await put(key, 'words');
      await end('outbox', 'sent', ['sent']);
      await end('outbox', 'dead', ['dead']);
      clock.advance(31 * day);
      start();
      await until('the sweep', async () => (await dropped()) === 2_100 && (await bodies())['sent'] === null);
      expect(await bodies()).toEqual({ sent: null, dead: 'words', waiting: 'words' });
    });

    test('is still recognised: the same text is not said again, another is', async () => {
      await put('status', 'done');
      await end('outbox', 'sent', ['status']);
      clock.advance(31 * day);
      start();
      await until('the sweep', async () => (await bodies())['status'] === null);
      await put('status', 'done');
      expect(await listMessages(store.read, { state: 'waiting' }, { before: null, limit: 9 })).toEqual([]);
      await put('status', 'done after all');
      expect(await bodies()).toEqual({ status: 'done after all' });
    });
  });
}
