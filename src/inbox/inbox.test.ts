import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import type { Delivery } from '../domain/mail.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import { createQueue } from '../queue/durable-queue.ts';
import { pgBossLine } from '../queue/pg-boss.ts';
import type { Line, Wish } from '../queue/queue.ts';
import { sqliteLine } from '../queue/sqlite.ts';
import { deliveryBody, dropBodies, findDelivery, holdDelivery, listDeliveries, originsOf } from '../store/inbox.ts';
import { readAfter } from '../store/journal.ts';
import { enrol, removeNode } from '../store/nodes.ts';
import type { Store, Tx } from '../store/store.ts';
import { listTasks } from '../store/tasks.ts';
import { createInbox, type Inbox } from './inbox.ts';
import type { Reading, Source } from './source.ts';

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`the inbox on ${dialect}`, () => {
    let database: TestDatabase;
    let clock: ManualClock;
    let store: Store;
    const undo: (() => unknown)[] = [];
    /** What the source makes of a delivery; tests say so. */
    let meaning: (delivery: Delivery, node: string) => Reading | Promise<Reading>;
    let reads: string[];

    async function open(node: string, taken: (tx: Tx) => Promise<void> = async () => undefined): Promise<{ inbox: Inbox; store: Store }> {
      // News of a commit reaches other processes on PostgreSQL only; on SQLite there is but one.
      const another = dialect === 'sqlite' ? store : await database.open();
      const line: Line = another.dialect === 'sqlite' ? sqliteLine : await pgBossLine(another, () => undefined);
      const newId = createIds(clock);
      const queue = createQueue({ store: another, line, clock, newId, chance: () => 0.5, defaultEngine: 'command' });
      const source: Source = {
        name: 'test',
        read: async (delivery) => {
          reads.push(`${node} ${delivery.key}`);
          return meaning(delivery, node);
        },
      };
      await another.write((tx) => enrol(tx, { id: node, address: null }, clock.now()));
      const inbox = createInbox({ store: another, queue, clock, newId, chance: () => 0.5, log: silentLog, node, sources: [source], taken });
      if (another !== store) undo.push(() => another.close());
      undo.push(
        () => line.stop(),
        () => inbox.stop(),
      );
      return { inbox, store: another };
    }

    const arrival = (key: string, body = key) => ({ source: 'test', key, kind: 'wish', headers: {}, body: Buffer.from(body) });
    const work = (title: string, more: Partial<Wish> = {}): Reading => ({
      kind: 'work',
      wanted: [
        {
          wish: { title, source: 'test', requestedBy: 'somebody', trust: 'known', priority: 'high', ...more },
          trigger: title,
          address: { to: title },
        },
      ],
    });
    const titles = async (): Promise<readonly string[]> =>
      (await listTasks(store.read, {}, { before: null, limit: 200 })).items.map(({ title }) => title).sort();
    const settled = (state: Delivery['state'], count = 1): Promise<readonly Delivery[]> =>
      until(`${count} ${state}`, async () => {
        // What the store was too busy for is tried again after a while.
        clock.advance(100);
        const found = await listDeliveries(store.read, { state }, { before: null, limit: 500 });
        return found.length >= count && found;
      });

    beforeEach(async () => {
      database = await createDatabase(dialect);
      clock = new ManualClock();
      reads = [];
      meaning = (delivery) => work(delivery.key);
      store = await database.open();
      undo.push(() => store.close());
    });

    afterEach(async () => {
      for (const step of undo.splice(0).reverse()) await step();
      await database.remove();
    });

    test('keeps what arrives as it came, and makes its task once', async () => {
      const { inbox } = await open('nod_a');
      await inbox.start();
      const bytes = Buffer.from([0, 255, 10, 200, 0]);
      const receipt = await inbox.receive({ ...arrival('one'), headers: { event: 'x' }, body: bytes });
      expect(receipt).toMatchObject({ kind: 'stored' });
      const [done] = await settled('done');
      expect(done).toMatchObject({ key: 'one', headers: { event: 'x' }, bodySize: 5, attempts: 1 });
      expect(await deliveryBody(store.read, (done as Delivery).id)).toEqual(bytes);
      const [origin] = await originsOf(store.read, (done as Delivery).taskIds);
      expect(origin).toMatchObject({ source: 'test', trigger: 'one', address: { to: 'one' } });
      expect(await titles()).toEqual(['one']);
    });

    test('recognises a delivery that comes again, at the same moment, later, and after its body was dropped', async () => {
      const { inbox } = await open('nod_a');
      const receipts = await Promise.all(Array.from({ length: 60 }, () => inbox.receive(arrival('same'))));
      expect(receipts.filter(({ kind }) => kind === 'stored')).toHaveLength(1);
      await inbox.start();
      const [done] = await settled('done');
      expect(await inbox.receive(arrival('same'))).toEqual({ kind: 'duplicate' });
      clock.advance(1_000);
      expect(await store.write((tx) => dropBodies(tx, clock.now(), 10))).toBe(1);
      expect(await deliveryBody(store.read, (done as Delivery).id)).toBeNull();
      expect(await inbox.receive(arrival('same'))).toEqual({ kind: 'duplicate' });
      expect(await titles()).toEqual(['same']);
    });

    test('reads few large deliveries at a time, and small ones meanwhile', async () => {
      let goOn = (): void => undefined;
      const held = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      let largest = 0;
      let reading = 0;
      meaning = async ({ key, bodySize }) => {
        if (key.startsWith('large')) {
          reading += bodySize;
          largest = Math.max(largest, reading);
          await held;
          reading -= bodySize;
        }
        return { kind: 'ignored', reason: { code: 'x', message: 'x' } };
      };
      const { inbox } = await open('nod_a');
      const body = 'x'.repeat(24 * 1024 * 1024);
      for (let n = 0; n < 5; n++) await inbox.receive(arrival(`large ${n}`, `${n}${body}`));
      await inbox.start();
      await Promise.all(Array.from({ length: 50 }, (_, n) => inbox.receive(arrival(`small ${n}`))));
      expect((await settled('ignored', 50)).every(({ key }) => key.startsWith('small'))).toBe(true);
      await until('three to be read', () => reading > 3 * body.length);
      goOn();
      await settled('ignored', 55);
      expect(largest).toBeLessThan(4 * body.length);
    });

    test('makes no second task of one trigger, whichever deliveries it comes by', async () => {
      meaning = () => work('the same comment');
      const { inbox } = await open('nod_a');
      await inbox.start();
      await Promise.all(Array.from({ length: 20 }, (_, i) => inbox.receive(arrival(`by-way-${i}`))));
      const ignored = await settled('ignored', 19);
      expect(ignored[0]?.reason?.code).toBe('already-taken-up');
      expect(await titles()).toEqual(['the same comment']);
    });

    test('makes no second task of what it knows by another name, also when both come at once', async () => {
      meaning = ({ key }) => {
        const { wanted } = work(`at ${key}`) as Extract<Reading, { kind: 'work' }>;
        return { kind: 'work', wanted: wanted.map((each) => ({ ...each, aliases: ['at 1', 'at 2', 'at 3'] })) };
      };
      const { inbox } = await open('nod_a');
      await inbox.start();
      await Promise.all(['1', '2', '3'].map((key) => inbox.receive(arrival(key))));
      const ignored = await settled('ignored', 2);
      expect(ignored[0]?.reason?.code).toBe('already-taken-up');
      expect(await titles()).toHaveLength(1);
    });

    test('gives up on what the store will never take, shows why, and goes on with the rest', async () => {
      meaning = ({ key }) => work(key, key.startsWith('poison') ? { trust: null as never } : {});
      const { inbox } = await open('nod_a');
      await inbox.start();
      // More of them than there are hands.
      await Promise.all(Array.from({ length: 40 }, (_, i) => inbox.receive(arrival(`poison-${i}`))));
      await inbox.receive(arrival('sound'));
      await settled('done');
      const failed = await until('all to be given up', async () => {
        clock.advance(10_000);
        const found = await listDeliveries(store.read, { state: 'failed' }, { before: null, limit: 500 });
        return found.length === 40 && found;
      });
      expect(failed[0]?.reason?.code).toBe('not-storable');
      expect(await titles()).toEqual(['sound']);
    });

    test('keeps what nobody understands, says so in the journal, and reads it again when it is replayed', async () => {
      meaning = () => {
        throw new Error('a comma where none should be');
      };
      const { inbox } = await open('nod_a');
      await inbox.start();
      await inbox.receive(arrival('odd'));
      const [failed] = (await settled('failed')) as [Delivery];
      expect(failed.reason).toEqual({ code: 'internal', message: 'a comma where none should be' });
      expect((await readAfter(store, '0', 100)).filter(({ type }) => type === 'inbox.failed')).toHaveLength(1);

      meaning = (delivery) => work(delivery.key);
      expect(await inbox.replay(failed.id)).toMatchObject({ ok: true, delivery: { state: 'received' } });
      await settled('done');
      expect(await titles()).toEqual(['odd']);
      expect(await inbox.replay(failed.id)).toMatchObject({ ok: false, refusal: { status: 409, code: 'not-replayable' } });
      expect(await inbox.replay('inb_nothing')).toMatchObject({ ok: false, refusal: { status: 404 } });
    });

    test('tries again later what could not be read now, and gives up in the end', async () => {
      let tries = 0;
      meaning = () => {
        tries += 1;
        return { kind: 'later', reason: { code: 'unreachable', message: 'nobody answers' } };
      };
      const { inbox } = await open('nod_a');
      await inbox.start();
      await inbox.receive(arrival('slow'));
      await until('the end', async () => {
        clock.advance(15 * 60_000);
        return (await listDeliveries(store.read, { state: 'failed' }, { before: null, limit: 1 })).length === 1;
      });
      expect(tries).toBe(40);
      expect((await settled('failed'))[0]?.reason?.code).toBe('unreachable');
    });

    test('stores nothing of a delivery whose announcement fails, and does it again', async () => {
      let failures = 3;
      const { inbox } = await open('nod_a', async () => {
        failures -= 1;
        if (failures >= 0) throw new Error('not now');
      });
      await inbox.start();
      await inbox.receive(arrival('told'));
      await until('three failures', async () => {
        expect(await titles()).toEqual([]);
        clock.advance(1_000);
        return failures === 0;
      });
      await until('the fourth time', async () => {
        clock.advance(1_000);
        return failures < 0;
      });
      await settled('done');
      expect(await titles()).toEqual(['told']);
    });

    test('goes on after its node was killed in the middle, and leaves alone what another node works on', async () => {
      let release = (): void => undefined;
      const stuck = new Promise<void>((resolve) => {
        release = resolve;
      });
      const { inbox: first } = await open('nod_a');
      const { inbox: second } = await open('nod_b');
      undo.push(release);
      meaning = async (delivery, node) => {
        if (node === 'nod_a' && delivery.key === 'contested') await stuck;
        return work(delivery.key);
      };
      const receipt = await first.receive(arrival('contested'));
      await first.start();
      await until('the first node to read it', () => reads.includes('nod_a contested'));
      await second.start();
      await second.receive(arrival('another'));
      await settled('done');
      expect(reads.filter((read) => read === 'nod_b contested')).toEqual([]);

      // It stands still: it takes nothing more, and is struck off.
      const gone = first.stop();
      await until('the other to take it over', async () => {
        // Again and again: what it had begun before it stood still may have put it back on the list.
        await store.write((tx) => removeNode(tx, 'nod_a'));
        clock.advance(2_000);
        return reads.includes('nod_b contested');
      });
      await settled('done', 2);
      // When the first wakes up again, what it has read is not its to store any more.
      expect(receipt.kind === 'stored' && (await store.write((tx) => holdDelivery(tx, receipt.id, 'nod_a')))).toBe(false);
      release();
      await gone;
      expect(await titles()).toEqual(['another', 'contested']);
      expect(receipt.kind === 'stored' && (await findDelivery(store.read, receipt.id))?.state).toBe('done');
    });
  });
}
