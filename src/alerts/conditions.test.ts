import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';
import { type AlertName, alertNames } from '../domain/alert.ts';
import { microUsd, utcDay } from '../domain/budget.ts';
import { createIds } from '../platform/ids.ts';
import { createQueue } from '../queue/durable-queue.ts';
import type { Queue } from '../queue/queue.ts';
import { sqliteLine } from '../queue/sqlite.ts';
import { holdCounters, saveCounters } from '../store/budgets.ts';
import { insertArrivals } from '../store/inbox.ts';
import { putMessages } from '../store/outbox.ts';
import type { Store } from '../store/store.ts';
import { type ConditionParts, conditionsOf } from './conditions.ts';
import { createRecent, type Recent, type TaskEnd } from './recent.ts';

const minute = 60_000;

let database: TestDatabase;
let store: Store;
let clock: ManualClock;
let queue: Queue;
let ends: Recent<TaskEnd>;
let calls: Recent<'failed'>;
let openBreakers: readonly string[];
let backupTrouble: string | null | undefined;

beforeEach(async () => {
  database = await createDatabase('sqlite');
  store = await database.open();
  clock = new ManualClock();
  queue = createQueue({ store, line: sqliteLine, clock, newId: createIds(clock), chance: () => 0.5, defaultEngine: 'command' });
  ends = createRecent(clock);
  calls = createRecent(clock);
  openBreakers = [];
  backupTrouble = null;
});

afterEach(async () => {
  await store.close();
  await database.remove();
});

const partsOf = (settings: ConditionParts['settings']): ConditionParts => ({
  store,
  clock,
  home: database.home,
  limits: { day: microUsd(20), ceiling: microUsd(200), proactive: null, run: null, conversation: null },
  isPaused: () => queue.isPaused(),
  openBreakers: () => openBreakers,
  ends,
  calls,
  backupTrouble: async () => backupTrouble,
  failing: () => [],
  settings,
});

/** What one condition sees; the disk of whoever runs this is none of its business. */
const titleOf = async (name: AlertName, settings: ConditionParts['settings'] = {}): Promise<string | undefined> =>
  (
    await conditionsOf(partsOf(settings))
      .find((condition) => condition.name === name)
      ?.look()
  )?.title;

const submit = (more: object = {}) =>
  queue.submit({ title: 'work', body: 'true', source: 'test', requestedBy: 'owner', trust: 'owner', priority: 'medium', ...more });

test('a server at rest has nothing to tell', async () => {
  clock.advance(3 * 60 * minute);
  for (const name of alertNames.filter((each) => each !== 'disk')) expect(await titleOf(name), name).toBeUndefined();
});

test('failures count by their share, and a single one in a quiet night is none', async () => {
  ends.saw('failed');
  expect(await titleOf('failure-rate')).toBeUndefined();
  for (let more = 0; more < 7; more++) ends.saw('succeeded');
  expect(await titleOf('failure-rate')).toBe('1 of the last 8 tasks failed');
  expect(await titleOf('failure-rate', { 'failure-rate': { above: 0.5 } })).toBeUndefined();
  clock.advance(31 * minute);
  expect(await titleOf('failure-rate')).toBeUndefined();
});

test('work that waits while nothing ends is told, and that the queue is paused', async () => {
  await submit();
  expect(await titleOf('no-progress')).toBeUndefined();
  clock.advance(61 * minute);
  expect(await titleOf('no-progress')).toBe('1 task waits, and for an hour none has ended');
  ends.saw('succeeded');
  expect(await titleOf('no-progress')).toBeUndefined();
});

test('a node that has just begun to count does not take for well what the others see', async () => {
  const look = (name: AlertName) =>
    conditionsOf(partsOf({}))
      .find((condition) => condition.name === name)
      ?.look();
  await submit();
  expect([await look('no-progress'), await look('failure-rate')]).toEqual([undefined, undefined]);
  for (let more = 0; more < 5; more++) ends.saw('succeeded');
  expect([await look('no-progress'), await look('failure-rate')]).toEqual([null, null]);
  clock.advance(61 * minute);
  expect(await look('no-progress')).toMatchObject({ title: expect.stringContaining('none has ended') });
  expect(await look('failure-rate')).toBeNull();
});

test('a backlog is what waits for a turn, not what waits for a person', async () => {
  for (let more = 0; more < 3; more++) await submit();
  await submit({ needsApproval: true });
  expect(await titleOf('queue-backlog', { 'queue-backlog': { above: 2 } })).toBe('3 tasks wait');
  expect(await titleOf('queue-backlog', { 'queue-backlog': { above: 3 } })).toBeUndefined();
  expect(await titleOf('person-needed')).toBe('1 task waits for a person');
});

test('a run that lasts is told from when it began', async () => {
  await submit();
  await queue.claim('node-a', 1);
  clock.advance(59 * minute);
  expect(await titleOf('long-run')).toBeUndefined();
  clock.advance(2 * minute);
  expect(await titleOf('long-run')).toBe('A run has lasted 61 minutes');
});

test('a budget is told before it is spent, what is held for calls under way included', async () => {
  const day = `day:${utcDay(clock.now())}`;
  const spend = (spent: number, reserved: number): Promise<void> =>
    store.write(async (tx) => {
      await holdCounters(tx, [day]);
      await saveCounters(tx, new Map([[day, { spent: microUsd(spent), reserved: microUsd(reserved), exhausted: false }]]), clock.now());
    });
  await spend(10, 5);
  expect(await titleOf('budget')).toBeUndefined();
  await spend(15, 4);
  expect(await titleOf('budget')).toBe('$1.00 are left of the $20.00 of today');
  expect(await titleOf('ceiling')).toBeUndefined();
});

test('mail that stays, and mail that needs a person, is told with where it belongs', async () => {
  await store.write(async (tx) => {
    await putMessages(tx, [{ id: 'msg_1', channel: 'github', recipient: 'x', kind: 'comment', key: 'k', body: {} }], clock.now());
    const arrival = { id: 'inb_1', source: 'github', key: 'd', kind: 'issues', headers: {}, body: Buffer.from('{}') };
    await insertArrivals(tx, [arrival], clock.now());
  });
  expect(await titleOf('inbox-stuck')).toBeUndefined();
  clock.advance(6 * minute);
  expect(await titleOf('inbox-stuck')).toBe('What arrived has not been read for 6 minutes (github)');
  clock.advance(10 * minute);
  expect(await titleOf('outbox-stuck')).toBe('An answer waits to be sent for 16 minutes (github)');
  await store.write((tx) => tx.db.updateTable('outbox').set({ state: 'dead' }).execute());
  expect(await titleOf('dead-letters')).toBe('1 message could not be sent (github: 1)');
  expect(await titleOf('outbox-stuck')).toBeUndefined();
});

test('models that fail are told by how many calls, and by who does not answer', async () => {
  for (let more = 0; more < 61; more++) calls.saw('failed');
  expect(await titleOf('model-calls-failing')).toBe('61 model calls failed within five minutes');
  openBreakers = ['claude/claude-sonnet-5-5'];
  expect(await titleOf('breaker-open')).toBe('No answer from claude/claude-sonnet-5-5');
});

test('a backup that cannot be made is told with its reason', async () => {
  backupTrouble = 'no room';
  const condition = conditionsOf(partsOf({})).find(({ name }) => name === 'backup');
  expect(await condition?.look()).toEqual({ title: 'No backup is made', text: 'no room' });
  backupTrouble = undefined;
  expect(await condition?.look()).toBe(undefined);
});

test('one that is switched off is not looked at', async () => {
  expect(conditionsOf(partsOf({ disk: 'off' })).map(({ name }) => name)).not.toContain('disk');
});
