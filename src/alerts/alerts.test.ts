import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import { type Trouble, wellForMs } from '../domain/alert.ts';
import type { Notice } from '../domain/notice.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import { readMachine } from '../platform/machine.ts';
import { listAlerts, silence } from '../store/alerts.ts';
import { beat, enrol, removeNode } from '../store/nodes.ts';
import { listMessages, putMessages } from '../store/outbox.ts';
import type { Store } from '../store/store.ts';
import { type AlertParts, lookAround } from './alerts.ts';
import type { Condition } from './condition.ts';

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`alerts on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let clock: ManualClock;
    let trouble: Trouble | null;

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      clock = new ManualClock();
      trouble = { title: '3 messages could not be sent', text: 'Look at them.' };
      for (const id of ['node-a', 'node-b']) await store.write((tx) => enrol(tx, { id, address: null }, clock.now()));
    });

    afterEach(async () => {
      await store.close();
      await database.remove();
    });

    const condition = (more: Partial<Condition> = {}): Condition => ({
      name: 'dead-letters',
      severity: 'warning',
      scope: 'everybody',
      forMs: 20_000,
      look: async () => trouble,
      ...more,
    });

    const partsOf = (more: Partial<AlertParts> = {}): AlertParts => {
      const newId = createIds(clock);
      return {
        store,
        clock,
        log: silentLog,
        node: 'node-a',
        channels: ['slack', 'pagerduty'],
        conditions: [condition()],
        outbox: {
          async put(tx, messages) {
            await putMessages(
              tx,
              messages.map((message) => ({ ...message, id: newId('msg') })),
              clock.now(),
            );
          },
        },
        ...more,
      };
    };

    const said = async (): Promise<readonly string[]> =>
      (await listMessages(store.read, {}, { before: null, limit: 100 }))
        .map(({ channel, body }) => `${channel}: ${(body as Notice).resolved ? 'over: ' : ''}${(body as Notice).title}`)
        .sort();

    async function pass(ms: number, parts = partsOf()): Promise<void> {
      for (let passed = 0; passed < ms; passed += 10_000) {
        clock.advance(10_000);
        await lookAround(parts);
      }
    }

    test('each channel is told once of what lasts, and under the same key that it is over', async () => {
      await lookAround(partsOf());
      expect(await said()).toEqual([]);
      await pass(60_000);
      expect(await said()).toEqual(['pagerduty: 3 messages could not be sent', 'slack: 3 messages could not be sent']);
      trouble = null;
      await pass(wellForMs + 10_000);
      expect(await said()).toEqual(['pagerduty: over: 3 messages could not be sent', 'slack: over: 3 messages could not be sent']);
      expect(await listAlerts(store.read)).toEqual([]);
    });

    test('a restart says nothing again, and neither does a second node', async () => {
      await pass(40_000);
      await pass(40_000, partsOf({ node: 'node-b' }));
      await Promise.all([lookAround(partsOf()), lookAround(partsOf({ node: 'node-b' }))]);
      expect(await said()).toHaveLength(2);
    });

    test('what each node sees for itself is told for each', async () => {
      const own = [condition({ name: 'disk', scope: 'node' })];
      await pass(40_000, partsOf({ conditions: own }));
      await pass(40_000, partsOf({ conditions: own, node: 'node-b' }));
      expect((await listAlerts(store.read)).map(({ node }) => node).sort()).toEqual(['node-a', 'node-b']);
      expect(await said()).toHaveLength(4);
    });

    test('what is silenced is told to nobody, and when the silence is over it is, if it still stands', async () => {
      await store.write((tx) => silence(tx, { name: 'dead-letters', until: clock.now() + 100_000, by: 'owner' }));
      await pass(90_000);
      expect(await said()).toEqual([]);
      await pass(20_000);
      expect(await said()).toHaveLength(2);
    });

    test('a condition that cannot be looked at keeps the others from nothing, and is not taken for well', async () => {
      await pass(40_000);
      const broken = condition({ look: () => Promise.reject(new Error('the store hangs')) });
      const other = condition({ name: 'disk', forMs: 0, look: async () => ({ title: 'full', text: 'make room' }) });
      await pass(wellForMs * 2, partsOf({ conditions: [broken, other] }));
      expect((await listAlerts(store.read)).map(({ name }) => name).sort()).toEqual(['dead-letters', 'disk']);
    });

    test('a node that cannot say yet does not keep the others from telling', async () => {
      const undecided = partsOf({ node: 'node-b', conditions: [condition({ look: async () => undefined })] });
      for (let look = 0; look < 4; look++) {
        await pass(10_000);
        await lookAround(undecided);
      }
      expect(await said()).toEqual(['pagerduty: 3 messages could not be sent', 'slack: 3 messages could not be sent']);
    });

    /** What a node says of itself with its heart, if it does. */
    const beats = async (id: string, alerts?: readonly string[]): Promise<void> => {
      const report = { machine: await readMachine(tmpdir()), breakers: [], ...(alerts ? { alerts } : {}) };
      await store.write((tx) => beat(tx, id, clock.now(), report));
    };

    test('what one node has switched off stays as long as another looks at it', async () => {
      await pass(40_000);
      for (const says of [undefined, ['dead-letters']]) {
        await beats('node-b', says);
        await lookAround(partsOf({ conditions: [] }));
        expect(await listAlerts(store.read)).toHaveLength(1);
      }
      expect((await said()).filter((each) => each.includes('over: '))).toEqual([]);
    });

    test('what was seen by a condition that is switched off, or by a node that is gone, is forgotten, and closed where it was told', async () => {
      await pass(40_000);
      await beats('node-b', []);
      await lookAround(partsOf({ conditions: [] }));
      expect(await listAlerts(store.read)).toEqual([]);
      expect(await said()).toEqual(['pagerduty: over: 3 messages could not be sent', 'slack: over: 3 messages could not be sent']);

      const own = [condition({ name: 'disk', scope: 'node' })];
      await pass(40_000, partsOf({ conditions: own, node: 'node-b' }));
      await store.write((tx) => removeNode(tx, 'node-b'));
      trouble = null;
      await lookAround(partsOf({ conditions: own }));
      expect(await listAlerts(store.read)).toEqual([]);
      expect((await said()).filter((each) => !each.includes('over: '))).toEqual([]);
    });
  });
}
