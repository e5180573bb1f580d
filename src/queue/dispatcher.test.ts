import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';
import type { Outcome } from '../domain/outcome.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import type { Store } from '../store/store.ts';
import { findTask } from '../store/tasks.ts';
import { Dispatcher, type Ran } from './dispatcher.ts';
import { createQueue } from './durable-queue.ts';
import type { Claim, Queue, Wish } from './queue.ts';
import { sqliteLine } from './sqlite.ts';

/** Time stands still in these tests, so whatever happens does so because it was told, not because somebody looked. */
describe('dispatcher', () => {
  let database: TestDatabase;
  let clock: ManualClock;
  let store: Store;
  let queue: Queue;
  let dispatcher: Dispatcher;
  let running: Map<string, { readonly claim: Claim; readonly signal: AbortSignal; readonly finish: (outcome: Outcome) => void }>;
  let most: number;
  let unfit: boolean;

  beforeEach(async () => {
    database = await createDatabase('sqlite');
    clock = new ManualClock();
    store = await database.open();
    queue = createQueue({ store, line: sqliteLine, clock, newId: createIds(clock), chance: () => 0.5, defaultEngine: 'command' });
    running = new Map();
    most = 0;
    unfit = false;
    dispatcher = new Dispatcher({ queue, store, clock, log: silentLog, node: 'node-a', capacity: 3, run: hold });
    dispatcher.start();
  });

  afterEach(async () => {
    await dispatcher.drain(0, AbortSignal.abort());
    expect(clock.pending).toBe(0);
    await store.close();
    await database.remove();
  });

  /** A run that ends when the test says so, or when it is told to stop. */
  async function hold(claim: Claim, signal: AbortSignal): Promise<Ran> {
    const outcome = await new Promise<Outcome>((finish) => {
      running.set(claim.task.title, { claim, signal, finish });
      most = Math.max(most, running.size);
      const stop = (): void =>
        finish(
          signal.reason === 'called-off'
            ? { kind: 'cancelled' }
            : { kind: 'released', reason: { code: 'draining', message: 'The server stopped.' } },
        );
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop);
    });
    running.delete(claim.task.title);
    await queue.settle({ taskId: claim.task.id, runId: claim.run.id, outcome });
    return unfit ? 'host-unfit' : 'ran';
  }

  async function submit(title: string, more: Partial<Wish> = {}): Promise<string> {
    const submission = await queue.submit({ title, source: 'api', requestedBy: 'owner', trust: 'owner', priority: 'medium', ...more });
    if (submission.kind === 'refused') throw new Error(submission.refusal.message);
    return submission.task.id;
  }

  const status = async (id: string): Promise<string | undefined> => (await findTask(store.read, id))?.status;
  const isRunning = (title: string) => until(`${title} to run`, () => running.get(title));

  test('fills free slots at once and never more than there are', async () => {
    for (let i = 1; i <= 8; i++) await submit(`task ${i}`);
    await until('three runs', () => running.size === 3);
    for (let done = 0; done < 8; done++) {
      const [title, run] = [...running][0] as [string, { finish: (outcome: Outcome) => void }];
      run.finish({ kind: 'succeeded' });
      await until(`${title} to make room`, () => !running.has(title) && running.size === Math.min(3, 7 - done));
    }
    expect(most).toBe(3);
    expect(dispatcher.active).toBe(0);
  });

  test('starts a dependent as soon as its dependency has succeeded', async () => {
    const first = await submit('first');
    await submit('second', { dependsOn: [first] });
    (await isRunning('first')).finish({ kind: 'succeeded' });
    await isRunning('second');
  });

  test('starts a delayed task when its time comes, and a failed one when its backoff is over', async () => {
    await submit('later', { notBefore: clock.now() + 60_000 });
    const flaky = await submit('flaky');
    (await isRunning('flaky')).finish({ kind: 'failed', reason: { code: 'x', message: 'It failed.' }, retryable: true });
    await until('the backoff', async () => (await status(flaky)) === 'delayed');
    await until('the alarm to be set', () => {
      clock.advance(1_000);
      return running.has('flaky');
    });
    clock.advance(60_000);
    await isRunning('later');
  });

  test('goes on at once after a pause', async () => {
    await queue.pause('owner');
    const id = await submit('patient');
    expect(await status(id)).toBe('queued');
    await queue.resume('owner');
    await isRunning('patient');
  });

  test('tells a run that its task was called off', async () => {
    const id = await submit('doomed');
    const { signal } = await isRunning('doomed');
    await queue.cancel(id, 'owner');
    await until('the end', async () => (await status(id)) === 'cancelled');
    expect(signal.reason).toBe('called-off');
  });

  test('a run that a drain gave back can no longer be settled by its former holder', async () => {
    const id = await submit('contested');
    const { signal, claim } = await isRunning('contested');
    await dispatcher.drain(0, AbortSignal.abort());
    expect(await status(id)).toBe('queued');
    expect(signal.aborted).toBe(true);
    expect(await queue.settle({ taskId: id, runId: claim.run.id, outcome: { kind: 'succeeded' } })).toBe('lease-lost');
  });

  test('stops what its heartbeat no longer says it holds, but not what was launched meanwhile', async () => {
    await submit('mine');
    await submit('lost');
    const [mine, lost] = [await isRunning('mine'), await isRunning('lost')];
    await dispatcher.reconcile(async () => {
      await submit('new');
      await isRunning('new');
      return [mine.claim.run.id];
    });
    expect([mine.signal.aborted, lost.signal.reason, running.get('new')?.signal.aborted]).toEqual([false, 'lease-lost', false]);
  });

  test('a task that comes back before its lost run has ended waits for that end: both would work in one workspace', async () => {
    const ends: (() => void)[] = [];
    const begun: { readonly claim: Claim; readonly signal: AbortSignal }[] = [];
    await dispatcher.drain(0, AbortSignal.abort());
    const lingering = async (claim: Claim, signal: AbortSignal): Promise<Ran> => {
      begun.push({ claim, signal });
      await new Promise<void>((resolve) => ends.push(resolve));
      await queue.settle({ taskId: claim.task.id, runId: claim.run.id, outcome: { kind: 'succeeded' } });
      return 'ran';
    };
    dispatcher = new Dispatcher({ queue, store, clock, log: silentLog, node: 'node-a', capacity: 3, run: lingering });
    dispatcher.start();
    const id = await submit('shared');
    await until('the first run', () => begun.length === 1);
    await queue.takeOver('node-a');
    await until('the second run to be claimed', () => {
      clock.advance(1_000);
      return dispatcher.active === 2;
    });
    expect([begun.length, begun[0]?.signal.reason]).toEqual([1, 'lease-lost']);
    ends[0]?.();
    await until('the second run', () => begun.length === 2);
    expect(begun[1]?.signal.aborted).toBe(false);
    ends[1]?.();
    await until('the end', async () => (await status(id)) === 'succeeded');
  });

  test('finds a claim whose answer got lost, and not before the second look', async () => {
    const held = async (): Promise<readonly string[]> => ['run_nobody_runs'];
    expect(await dispatcher.reconcile(held)).toEqual([]);
    expect(await dispatcher.reconcile(held)).toEqual(['run_nobody_runs']);
  });

  test('takes a rest when the machine cannot run what it claims, and goes on afterwards', async () => {
    unfit = true;
    for (const title of ['one', 'two', 'three', 'four']) await submit(title);
    await until('three runs', () => running.size === 3);
    running.get('one')?.finish({ kind: 'released', reason: { code: 'host-unfit', message: 'The disk is full.' } });
    await until('it to be given back', () => !running.has('one'));
    running.get('two')?.finish({ kind: 'succeeded' });
    await until('it to end', () => !running.has('two'));
    expect(running.size).toBe(1);
    unfit = false;
    await until('the rest to be over', () => {
      clock.advance(1_000);
      return running.size === 3;
    });
  });

  test('a task that is called off during a drain is stopped at once', async () => {
    const id = await submit('long');
    await isRunning('long');
    const drained = dispatcher.drain(3_600_000);
    await queue.cancel(id, 'owner');
    await drained;
    expect(await status(id)).toBe('cancelled');
  });

  test('a drain claims nothing more, waits for what runs, and gives back the rest when its patience ends', async () => {
    for (const title of ['quick', 'slow', 'third', 'waiting']) await submit(title);
    await until('three runs', () => running.size === 3);
    const slow = running.get('slow')?.claim.task.id as string;
    const drained = dispatcher.drain(10_000);
    running.get('quick')?.finish({ kind: 'succeeded' });
    running.get('third')?.finish({ kind: 'succeeded' });
    await until('two ends', () => running.size === 1);
    expect(running.has('waiting')).toBe(false);
    await until('its patience to begin', () => clock.pending > 0);
    clock.advance(10_000);
    await drained;
    expect(await status(slow)).toBe('queued');
  });
});
