import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import { utcDay } from '../domain/budget.ts';
import type { Profile } from '../domain/profile.ts';
import type { Task, Trust } from '../domain/task.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import { readAfter } from '../store/journal.ts';
import { plannedAttempt, takeAttempt } from '../store/next-attempts.ts';
import { enrol, listNodes } from '../store/nodes.ts';
import { deleteProfile, insertProfile, replaceSettings } from '../store/profiles.ts';
import { findRun, runsOfTasks } from '../store/runs.ts';
import type { Store } from '../store/store.ts';
import { findTask } from '../store/tasks.ts';
import { endsByDay, endsBySource } from '../store/trends.ts';
import { createQueue } from './durable-queue.ts';
import { Liveness } from './liveness.ts';
import { pgBossLine } from './pg-boss.ts';
import type { Claim, Line, Queue, Submission, Wish } from './queue.ts';
import { sqliteLine } from './sqlite.ts';

/** What every queue must do, whichever database it stands on. */
for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`queue on ${dialect}`, () => {
    let database: TestDatabase;
    let clock: ManualClock;
    let store: Store;
    let line: Line;
    let queue: Queue;
    const opened: { store: Store; line: Line }[] = [];

    /** A queue of another process on the same database. */
    async function open(chance = 0.5): Promise<{ store: Store; queue: Queue; line: Line }> {
      const another = await database.open();
      const place = another.dialect === 'sqlite' ? sqliteLine : await pgBossLine(another, () => undefined);
      opened.push({ store: another, line: place });
      return {
        store: another,
        line: place,
        queue: createQueue({ store: another, line: place, clock, newId: createIds(clock), chance: () => chance, defaultEngine: 'command' }),
      };
    }

    beforeEach(async () => {
      database = await createDatabase(dialect);
      clock = new ManualClock();
      ({ store, queue, line } = await open());
    });

    afterEach(async () => {
      for (const each of opened.splice(0)) {
        await each.line.stop();
        await each.store.close();
      }
      await database.remove();
    });

    const wish = (title: string, more: Partial<Wish> = {}): Wish => ({
      title,
      source: 'api',
      requestedBy: 'owner',
      trust: 'owner',
      priority: 'medium',
      ...more,
    });

    async function submit(title: string, more: Partial<Wish> = {}): Promise<Task> {
      const submission = await queue.submit(wish(title, more));
      if (submission.kind === 'refused') throw new Error(submission.refusal.message);
      return submission.task;
    }

    async function claimOne(of: Queue = queue, node = 'node-a'): Promise<Claim> {
      const [claim] = await of.claim(node, 1);
      if (!claim) throw new Error('nothing to claim');
      return claim;
    }

    const task = async (id: string): Promise<Task> => {
      const found = await findTask(store.read, id);
      if (!found) throw new Error(`no task ${id}`);
      return found;
    };
    const status = async ({ id }: { id: string }): Promise<string> => (await task(id)).status;
    const settle = ({ task: { id }, run }: Claim, outcome: Parameters<Queue['settle']>[0]['outcome'], of = queue) =>
      of.settle({ taskId: id, runId: run.id, outcome });
    const succeed = (claim: Claim) => settle(claim, { kind: 'succeeded' });
    const fail = (claim: Claim, retryable = false, afterMs?: number) =>
      settle(claim, {
        kind: 'failed',
        reason: { code: 'exit-1', message: 'It exited with 1.' },
        retryable,
        ...(afterMs === undefined ? {} : { afterMs }),
      });

    test('takes more wishes at the same time than the database has connections, on a node that has just started', async () => {
      const filed = Array.from({ length: 40 }, (_, n) => store.write((tx) => queue.enqueue(tx, [wish(`wish ${n}`)])));
      expect((await Promise.all(filed)).flatMap((each) => each.map(({ kind }) => kind))).toEqual(Array(40).fill('created'));
    });

    describe('order', () => {
      test('gives high before medium before low, and older before younger', async () => {
        for (const [title, priority] of [
          ['low 1', 'low'],
          ['medium 1', 'medium'],
          ['high 1', 'high'],
          ['low 2', 'low'],
          ['high 2', 'high'],
          ['medium 2', 'medium'],
        ] as const) {
          await submit(title, { priority });
          clock.advance(2_000);
        }
        const claims = await queue.claim('node-a', 10);
        expect(claims.map((claim) => claim.task.title)).toEqual(['high 1', 'high 2', 'medium 1', 'medium 2', 'low 1', 'low 2']);
      });

      test('puts urgent work first however much else has been waiting, and yet starves nobody', async () => {
        for (const title of ['patient', 'patient too']) await submit(title, { priority: 'low' });
        clock.advance(3 * 3_600_000);
        for (let i = 0; i < 20; i++) await submit(`urgent ${i}`, { priority: 'high' });
        const order: string[] = [];
        for (let i = 0; i < 10; i++) order.push((await claimOne()).task.title);
        expect(order[0]).toBe('urgent 0');
        expect(order.filter((title) => title.startsWith('patient'))).toEqual(['patient', 'patient too']);
        expect(await queue.claim('node-a', 10)).toHaveLength(10);
      });

      test('a claim is full when there is enough, also when the first in line is the one that has waited too long', async () => {
        for (let i = 0; i < 12; i++) await submit(`patient ${i}`, { priority: 'low' });
        clock.advance(3_600_000);
        expect(await queue.claim('node-a', 6)).toHaveLength(6);
        expect(await queue.claim('node-a', 6)).toHaveLength(6);
      });

      test('a changed priority changes the place in line', async () => {
        await submit('first');
        clock.advance(2_000);
        const second = await submit('second');
        expect(await queue.setPriority(second.id, 'high')).toMatchObject({ ok: true, task: { priority: 'high' } });
        expect((await claimOne()).task.id).toBe(second.id);
        expect(await queue.setPriority(second.id, 'low')).toMatchObject({ ok: false, refusal: { code: 'not-waiting' } });
      });
    });

    describe('claims', () => {
      test('hands each task to one holder only, however many ask at once', async () => {
        for (let i = 0; i < 60; i++) await submit(`task ${i}`);
        const others = dialect === 'postgres' ? [await open(), await open()] : [];
        const askers = [queue, ...others.map((each) => each.queue), queue];
        const claims = (
          await Promise.all(askers.flatMap((asker, i) => [asker.claim(`node-${i}`, 10), asker.claim(`node-${i}`, 10)]))
        ).flat();
        expect(new Set(claims.map((claim) => claim.task.id)).size).toBe(claims.length);
        let rest = await queue.claim('node-z', 100);
        let total = claims.length + rest.length;
        while (rest.length > 0) {
          rest = await queue.claim('node-z', 100);
          total += rest.length;
        }
        expect(total).toBe(60);
      });

      test('records the attempt as a run with an event', async () => {
        const { id } = await submit('one');
        const claim = await claimOne();
        expect(claim.task).toMatchObject({ id, status: 'running', attempts: 1 });
        expect(await findRun(store.read, claim.run.id)).toMatchObject({
          taskId: id,
          nodeId: 'node-a',
          status: 'running',
          attempt: 1,
          engine: 'command',
        });
        const types = (await readAfter(store, '0', 100)).map(({ type }) => type);
        expect(types).toEqual(['task.submitted', 'task.status', 'run.started']);
      });

      test('gives nothing while paused, on every node, and goes on after', async () => {
        await submit('one');
        await queue.pause('owner');
        expect(await queue.claim('node-a', 1)).toEqual([]);
        expect(await (await open()).queue.isPaused()).toBe(true);
        await queue.resume('owner');
        expect(await queue.claim('node-a', 1)).toHaveLength(1);
      });
    });

    describe('deduplication', () => {
      test('while a task is open, its key stands for it', async () => {
        const first = await submit('one', { dedupeKey: 'same' });
        expect(await queue.submit(wish('one again', { dedupeKey: 'same' }))).toMatchObject({
          kind: 'duplicate',
          task: { id: first.id, title: 'one' },
        });
        await succeed(await claimOne());
        expect(await queue.submit(wish('one later', { dedupeKey: 'same' }))).toMatchObject({ kind: 'created' });
      });

      test('a hundred at once make one task', async () => {
        const queues = dialect === 'postgres' ? [queue, (await open()).queue] : [queue];
        const submissions = await Promise.all(
          Array.from({ length: 100 }, (_, i) => (queues[i % queues.length] as Queue).submit(wish(`try ${i}`, { dedupeKey: 'race' }))),
        );
        const kinds = submissions.map(({ kind }) => kind);
        expect(kinds.filter((kind) => kind === 'created')).toHaveLength(1);
        expect(kinds.filter((kind) => kind === 'duplicate')).toHaveLength(99);
        expect(new Set(submissions.map((submission) => (submission as Extract<Submission, { task: Task }>).task.id)).size).toBe(1);
      });

      test('a closed task is not retried while its work is open under the same key', async () => {
        const first = await submit('one', { dedupeKey: 'same' });
        await fail(await claimOne());
        const second = await submit('two', { dedupeKey: 'same' });
        expect(await queue.retry(first.id)).toMatchObject({
          ok: false,
          refusal: { status: 409, code: 'duplicate-open', details: { id: second.id } },
        });
      });
    });

    describe('dependencies', () => {
      test('a task waits for all it depends on', async () => {
        const [a, b] = [await submit('a'), await submit('b')];
        const c = await submit('c', { dependsOn: [a.id, b.id, a.id] });
        expect(c.status).toBe('blocked');
        const claims = await queue.claim('node-a', 10);
        expect(claims.map((claim) => claim.task.title).sort()).toEqual(['a', 'b']);
        await succeed(claims[0] as Claim);
        expect(await status(c)).toBe('blocked');
        await succeed(claims[1] as Claim);
        expect(await status(c)).toBe('queued');
        expect((await claimOne()).task.id).toBe(c.id);
      });

      test('two dependencies that end in the same moment are both counted', async () => {
        const parents = await Promise.all(Array.from({ length: 20 }, (_, i) => submit(`parent ${i}`)));
        const child = await submit('child', { dependsOn: parents.map(({ id }) => id) });
        const other = dialect === 'postgres' ? (await open()).queue : queue;
        const claims = await queue.claim('node-a', 20);
        await Promise.all(claims.map((claim, i) => settle(claim, { kind: 'succeeded' }, i % 2 ? queue : other)));
        expect(await task(child.id)).toMatchObject({ status: 'queued', waitingFor: 0 });
      });

      test('a dependency that ends while its dependent is being submitted is not missed', async () => {
        for (let round = 0; round < 10; round++) {
          const parent = await submit(`parent ${round}`);
          const claim = await claimOne();
          const other = dialect === 'postgres' ? (await open()).queue : queue;
          const [submission] = await Promise.all([other.submit(wish('child', { dependsOn: [parent.id] })), succeed(claim)]);
          expect(await status((submission as Extract<Submission, { task: Task }>).task)).toBe('queued');
          await succeed(await claimOne());
        }
      });

      test('one that succeeded already is no reason to wait', async () => {
        const a = await submit('a');
        await succeed(await claimOne());
        expect((await submit('b', { dependsOn: [a.id] })).status).toBe('queued');
      });

      test('one that does not exist is refused by name, and nothing is stored', async () => {
        const ghost = 'tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV';
        expect(await queue.submit(wish('b', { dependsOn: [ghost] }))).toMatchObject({
          kind: 'refused',
          refusal: { code: 'unknown-dependency', message: expect.stringContaining(ghost) },
        });
        expect(await queue.claim('node-a', 1)).toEqual([]);
      });

      test('a failure fails everything that waits for it, and a retry revives it', async () => {
        const a = await submit('a');
        const b = await submit('b', { dependsOn: [a.id] });
        const c = await submit('c', { dependsOn: [b.id] });
        await fail(await claimOne());
        expect(await task(b.id)).toMatchObject({
          status: 'failed',
          reason: { code: 'dependency-failed', message: expect.stringContaining(a.id) },
        });
        expect(await task(c.id)).toMatchObject({
          status: 'failed',
          reason: { code: 'dependency-failed', message: expect.stringContaining(b.id) },
        });
        expect(await queue.retry(b.id)).toMatchObject({ ok: false, refusal: { code: 'dependency-failed', details: { id: a.id } } });

        expect(await queue.retry(a.id)).toMatchObject({ ok: true, task: { status: 'queued' } });
        expect([await status(b), await status(c)]).toEqual(['blocked', 'blocked']);
        for (const title of ['a', 'b', 'c']) {
          const claim = await claimOne();
          expect(claim.task.title).toBe(title);
          await succeed(claim);
        }
        expect(await status(c)).toBe('succeeded');
      });

      test('a cancelled dependency has the same effect, and one that ended before is as if it ended just now', async () => {
        const a = await submit('a');
        const b = await submit('b', { dependsOn: [a.id] });
        await queue.cancel(a.id, 'owner');
        expect(await status(b)).toBe('failed');
        const late = await submit('late', { dependsOn: [a.id] });
        expect(late).toMatchObject({ status: 'failed', reason: { code: 'dependency-failed' } });
        await queue.retry(a.id);
        expect(await status(late)).toBe('blocked');
      });

      test('is not revived while another of its dependencies is still down', async () => {
        const [a, b] = [await submit('a'), await submit('b')];
        const c = await submit('c', { dependsOn: [a.id, b.id] });
        for (const claim of await queue.claim('node-a', 2)) await fail(claim);
        await queue.retry(a.id);
        expect(await status(c)).toBe('failed');
        await queue.retry(b.id);
        expect(await status(c)).toBe('blocked');
      });

      test('one that waited under the key of its dependency stays down when that one is retried', async () => {
        const a = await submit('a', { dedupeKey: 'same' });
        await fail(await claimOne());
        const b = await submit('b', { dedupeKey: 'same', dependsOn: [a.id] });
        expect(await queue.retry(a.id)).toMatchObject({ ok: true, task: { status: 'queued' } });
        expect(await status(b)).toBe('failed');
      });

      test('an edit and the end of a dependency at the same moment do not free a task too early', async () => {
        const other = dialect === 'postgres' ? (await open()).queue : queue;
        for (let round = 0; round < 15; round++) {
          const [p, q] = [await submit(`p ${round}`), await submit(`q ${round}`, { notBefore: clock.now() + 1_000_000 })];
          const c = await submit(`c ${round}`, { dependsOn: [p.id] });
          const claim = await claimOne();
          await Promise.all([other.setDependencies(c.id, [q.id]), succeed(claim)]);
          const after = await task(c.id);
          // Either the edit came first and it waits for q, or p ended first and the edit made it wait for q again.
          expect([after.status, after.waitingFor]).toEqual(['blocked', 1]);
        }
      });

      test('a cycle is refused with its whole length named', async () => {
        const a = await submit('a');
        const b = await submit('b', { dependsOn: [a.id] });
        const c = await submit('c', { dependsOn: [b.id] });
        const answer = await queue.setDependencies(a.id, [c.id]);
        expect(answer).toMatchObject({ ok: false, refusal: { code: 'dependency-cycle', details: { cycle: [a.id, c.id, b.id, a.id] } } });
        expect(await queue.setDependencies(a.id, [a.id])).toMatchObject({ ok: false, refusal: { code: 'dependency-cycle' } });
        expect(await status(a)).toBe('queued');
      });

      test('two edits that would each close half of a cycle do not both succeed', async () => {
        const other = dialect === 'postgres' ? (await open()).queue : queue;
        const [a, b] = [await submit('a'), await submit('b')];
        const answers = await Promise.all([queue.setDependencies(a.id, [b.id]), other.setDependencies(b.id, [a.id])]);
        expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
      });

      test('changed dependencies block and free a waiting task', async () => {
        const [a, b] = [await submit('a'), await submit('b')];
        expect(await queue.setDependencies(b.id, [a.id])).toMatchObject({ ok: true, task: { status: 'blocked' } });
        expect(await queue.setDependencies(b.id, [])).toMatchObject({ ok: true, task: { status: 'queued' } });
        expect(await queue.claim('node-a', 5)).toHaveLength(2);
      });
    });

    describe('delay and retry', () => {
      test('is not claimed before its time', async () => {
        const delayed = await submit('later', { notBefore: clock.now() + 60_000 });
        expect(delayed.status).toBe('delayed');
        expect(await queue.promoteDue()).toBe(clock.now() + 60_000);
        expect(await queue.claim('node-a', 1)).toEqual([]);
        clock.advance(60_000);
        expect(await queue.promoteDue()).toBeNull();
        expect((await claimOne()).task.id).toBe(delayed.id);
      });

      test('a retryable failure waits longer each time, then is final', async () => {
        const { id } = await submit('flaky');
        const delays: number[] = [];
        for (let attempt = 1; attempt <= 2; attempt++) {
          await fail(await claimOne(), true);
          const { status: now, notBefore } = await task(id);
          expect(now).toBe('delayed');
          delays.push((notBefore as number) - clock.now());
          clock.advance(delays.at(-1) as number);
          await queue.promoteDue();
        }
        expect(delays).toEqual([1_000, 2_000]);
        await fail(await claimOne(), true);
        expect(await task(id)).toMatchObject({ status: 'failed', attempts: 3, reason: { code: 'exit-1' } });
      });

      test('the jitter spreads what failed together', async () => {
        const early = (await open(0)).queue;
        const late = (await open(0.99)).queue;
        const [a, b] = [await submit('a'), await submit('b')];
        const [first, second] = (await queue.claim('node-a', 2)) as [Claim, Claim];
        await settle(first, { kind: 'failed', reason: { code: 'x', message: 'x' }, retryable: true }, early);
        await settle(second, { kind: 'failed', reason: { code: 'x', message: 'x' }, retryable: true }, late);
        expect((await task(b.id)).notBefore).toBeGreaterThan((await task(a.id)).notBefore as number);
      });

      test('a failure that names its own time is retried then', async () => {
        const { id } = await submit('limited');
        await fail(await claimOne(), true, 300_000);
        expect((await task(id)).notBefore).toBe(clock.now() + 300_000);
      });

      test('a wall clock that jumps back delays nothing that is in line', async () => {
        await submit('before');
        clock.jump(-3_600_000);
        await submit('after');
        expect(await queue.claim('node-a', 5)).toHaveLength(2);
      });
    });

    describe('recovery', () => {
      const stuck = { kind: 'needs-human', reason: { code: 'no-progress', message: 'It led nowhere.' }, tried: 'It went left.' } as const;
      const happened = async (type: string): Promise<unknown[]> =>
        (await readAfter(store, '', 10_000)).filter((event) => event.type === type).map(({ data }) => data);
      const escalate = async (title: string, more: Partial<Wish> = {}): Promise<string> => {
        const { id } = await submit(title, { maxAttempts: 1, ...more });
        await settle(await claimOne(), stuck);
        expect(await status({ id })).toBe('escalated');
        return id;
      };

      test('goes another way once, planned with the end of the run, and then asks a person', async () => {
        const { id } = await submit('hard');
        const first = await claimOne();
        expect(await settle(first, stuck)).toBe('settled');
        expect(await settle(first, stuck)).toBe('lease-lost');
        expect(await task(id)).toMatchObject({ status: 'queued', attempts: 1, reason: { code: 'no-progress' } });
        expect(await plannedAttempt(store.read, id)).toMatchObject({
          by: 'recovery',
          takenBy: null,
          background: expect.stringContaining('It went left.'),
        });
        expect(await findRun(store.read, first.run.id)).toMatchObject({ status: 'failed' });
        const second = await claimOne();
        await settle(second, stuck);
        expect(await task(id)).toMatchObject({ status: 'escalated', attempts: 2 });
        expect(await findRun(store.read, second.run.id)).toMatchObject({ status: 'escalated' });
        expect(await happened('task.recovery')).toMatchObject([{ plan: 'alternative', checkpoint: null }, { plan: 'escalate' }]);
      });

      test('a retry begins as the attempt did that it repeats', async () => {
        const { id } = await submit('hard');
        await settle(await claimOne(), stuck);
        const second = await claimOne();
        await store.write((tx) => takeAttempt(tx, id, second.run.id));
        await settle(second, { kind: 'failed', reason: { code: 'network', message: 'No way out.' }, retryable: true });
        expect(await status({ id })).toBe('delayed');
        expect(await plannedAttempt(store.read, id)).toMatchObject({ otherWay: true, takenBy: null });
      });

      test('what was called off is not recovered', async () => {
        const { id } = await submit('hard');
        const claim = await claimOne();
        await queue.cancel(id, 'owner');
        await settle(claim, stuck);
        expect(await status({ id })).toBe('cancelled');
        expect(await plannedAttempt(store.read, id)).toBeUndefined();
        expect(await happened('task.recovery')).toEqual([]);
      });

      test('a person has it tried again with what was said, or with more money', async () => {
        const id = await escalate('hard');
        expect(await queue.resolve(id, { choice: 'retry', note: 'Go right.' }, 'ann')).toMatchObject({
          ok: true,
          task: { status: 'queued', attempts: 0 },
        });
        expect(await plannedAttempt(store.read, id)).toMatchObject({ by: 'person', background: expect.stringContaining('Go right.') });
        await settle(await claimOne(), stuck);
        expect(await queue.resolve(id, { choice: 'raise-budget', budgetUsd: 3, note: null }, 'ann')).toMatchObject({
          ok: true,
          task: { status: 'queued', budgetUsd: 3 },
        });
        expect(await plannedAttempt(store.read, id)).toBeUndefined();
        await settle(await claimOne(), { kind: 'over-budget', reason: { code: 'over-budget', message: 'Used up.' } });
        expect(await queue.resolve(id, { choice: 'raise-budget', budgetUsd: 3, note: null }, 'ann')).toMatchObject({
          refusal: { status: 422, code: 'not-raised' },
        });
        expect(await task(id)).toMatchObject({ status: 'over-budget', budgetUsd: 3 });
        expect(await happened('task.resolved')).toEqual([
          { choice: 'retry', by: 'ann', note: 'Go right.' },
          { choice: 'raise-budget', by: 'ann', note: null },
        ]);
      });

      test('a person ends it, and of two who answer one is refused', async () => {
        const [mine, nobodys] = [await escalate('hard'), await escalate('harder')];
        const child = await submit('after', { dependsOn: [mine] });
        const { queue: other } = await open();
        const answers = await Promise.all([
          queue.resolve(mine, { choice: 'take-over', note: null }, 'ann'),
          other.resolve(mine, { choice: 'give-up', note: null }, 'bob'),
        ]);
        expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
        expect(answers.find(({ ok }) => !ok)).toMatchObject({ refusal: { status: 409, code: 'not-escalated' } });
        expect(['taken-over', 'given-up']).toContain((await task(mine)).reason?.code);
        expect(await status(child)).toBe('failed');
        await queue.resolve(nobodys, { choice: 'give-up', note: 'Not worth it.' }, 'ann');
        expect(await task(nobodys)).toMatchObject({
          status: 'cancelled',
          reason: { code: 'given-up', message: 'ann has given it up. Not worth it.' },
        });
        expect(await happened('task.resolved')).toHaveLength(2);
        expect(await queue.resolve('tsk_none', { choice: 'give-up', note: null }, 'ann')).toMatchObject({ refusal: { status: 404 } });
      });

      test('is not asked of a person about a task that does not need one', async () => {
        const { id } = await submit('easy');
        expect(await queue.resolve(id, { choice: 'give-up', note: null }, 'ann')).toMatchObject({
          refusal: { status: 409, code: 'not-escalated' },
        });
        expect(await status({ id })).toBe('queued');
      });
    });

    describe('cancel', () => {
      test('whatever waits is over at once', async () => {
        const parent = await submit('parent', { notBefore: clock.now() + 1_000 });
        const waiting = [
          await submit('queued'),
          parent,
          await submit('blocked', { dependsOn: [parent.id] }),
          await submit('unapproved', { needsApproval: true }),
        ];
        expect(waiting.map((each) => each.status)).toEqual(['queued', 'delayed', 'blocked', 'awaiting-approval']);
        for (const { id } of [...waiting].reverse())
          expect(await queue.cancel(id, 'owner')).toMatchObject({ ok: true, task: { status: 'cancelled' } });
        clock.advance(2_000);
        await queue.promoteDue();
        expect(await queue.claim('node-a', 10)).toEqual([]);
      });

      test('what runs is marked, its holder is told, and its end is "cancelled" even when it finished first', async () => {
        const { id } = await submit('busy');
        const claim = await claimOne();
        expect(await queue.cancel(id, 'owner')).toMatchObject({ ok: true, task: { status: 'running', cancelRequestedAt: clock.now() } });
        expect(await queue.calledOff('node-a')).toEqual([claim.run.id]);
        expect(await succeed(claim)).toBe('settled');
        expect(await task(id)).toMatchObject({ status: 'cancelled' });
        expect(await findRun(store.read, claim.run.id)).toMatchObject({ status: 'cancelled' });
      });

      test('what is over stays as it is', async () => {
        const { id } = await submit('done');
        await succeed(await claimOne());
        expect(await queue.cancel(id, 'owner')).toMatchObject({ ok: false, refusal: { status: 409, code: 'already-over' } });
        expect(await queue.retry(id)).toMatchObject({ ok: false, refusal: { code: 'not-retryable' } });
        expect(await queue.cancel('tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV', 'owner')).toMatchObject({ ok: false, refusal: { status: 404 } });
      });

      test('a cancelled task can be taken up again', async () => {
        const { id } = await submit('changed my mind');
        await queue.cancel(id, 'owner');
        expect(await queue.retry(id)).toMatchObject({ ok: true, task: { status: 'queued', attempts: 0, cancelRequestedAt: null } });
        expect((await claimOne()).task.id).toBe(id);
      });
    });

    describe('what ended is counted', () => {
      const counted = async (): Promise<unknown> =>
        (await endsBySource(store.read, [{ from: '2000-01-01', to: '2100-01-01' }])).map(({ source, status, helped, tasks }) =>
          [source, status, helped ? 'helped' : 'alone', tasks].join(' '),
        );
      const days = async (): Promise<unknown> => (await endsByDay(store.read, '2000-01-01', '2100-01-01')).map(({ since }) => since);

      test('by day, source and status, and whether a person had to help', async () => {
        await submit('one', { source: 'github' });
        await submit('two');
        await succeed(await claimOne());
        await succeed(await claimOne());
        const asked = await submit('ask first', { needsApproval: true });
        await queue.approve(asked.id, 'ann');
        await succeed(await claimOne());
        const { id } = await submit('never mind');
        await queue.cancel(id, 'ann');
        expect(await counted()).toEqual([
          'api cancelled alone 1',
          'api succeeded alone 1',
          'api succeeded helped 1',
          'github succeeded alone 1',
        ]);
      });

      test('once, on the day on which it has ended for good', async () => {
        const { id } = await submit('again');
        await queue.cancel(id, 'ann');
        clock.advance(86_400_000);
        await queue.retry(id);
        expect(await counted()).toEqual([]);
        await succeed(await claimOne());
        expect(await counted()).toEqual(['api succeeded helped 1']);
        expect(await days()).toEqual([utcDay(clock.now())]);
      });

      test('and what is called off while it waits for an answer, or taken over, was not done alone', async () => {
        for (const end of [
          (id: string) => queue.cancel(id, 'ann'),
          (id: string) => queue.resolve(id, { choice: 'take-over', note: null }, 'ann'),
        ]) {
          const { id } = await submit('stuck', { maxAttempts: 1 });
          await settle(await claimOne(), { kind: 'over-budget', reason: { code: 'over-budget', message: 'It is used up.' } });
          expect(await end(id)).toMatchObject({ ok: true, task: { status: 'cancelled' } });
        }
        expect(await counted()).toEqual(['api cancelled helped 2']);
      });

      test('but a person who is only in a hurry has not helped', async () => {
        const { id } = await submit('soon', { notBefore: clock.now() + 60_000 });
        await queue.retry(id);
        await succeed(await claimOne());
        expect(await counted()).toEqual(['api succeeded alone 1']);
      });
    });

    describe('leases', () => {
      test('a dead holder’s work is taken up again, and the loss is not counted as an attempt', async () => {
        const { id } = await submit('orphan');
        const lost = await claimOne();
        expect(await queue.takeOver('node-a')).toBe(1);
        expect(await queue.takeOver('node-a')).toBe(0);
        const again = await claimOne(queue, 'node-b');
        expect(again.task).toMatchObject({ id, attempts: 1, losses: 1 });
        expect((await runsOfTasks(store.read, [id])).get(id)?.map((run) => run.status)).toEqual(['lost', 'running']);
        expect(lost.run.id).not.toBe(again.run.id);
      });

      test('a holder that lost its lease cannot settle, whatever it says', async () => {
        const { id } = await submit('contested');
        const lost = await claimOne();
        await queue.takeOver('node-a');
        expect(await succeed(lost)).toBe('lease-lost');
        expect(await status({ id })).toBe('queued');
        const again = await claimOne(queue, 'node-b');
        expect(await fail(lost)).toBe('lease-lost');
        expect(await status({ id })).toBe('running');
        expect(await succeed(again)).toBe('settled');
        expect(await succeed(again)).toBe('lease-lost');
        expect(await status({ id })).toBe('succeeded');
      });

      test('a task that takes its holder down again and again has to wait, and at last needs a person', async () => {
        const { id } = await submit('deadly');
        for (let death = 1; death <= 10; death++) {
          await claimOne();
          await queue.takeOver('node-a');
          expect(await status({ id })).toBe(death <= 2 ? 'queued' : death < 10 ? 'delayed' : 'escalated');
          clock.advance(60_000);
          await queue.promoteDue();
        }
        expect(await task(id)).toMatchObject({ losses: 10, reason: { code: 'holder-lost' } });
        expect(await queue.retry(id)).toMatchObject({ ok: true, task: { status: 'queued', losses: 0 } });
      });

      test('a run given back unharmed runs again at once', async () => {
        const { id } = await submit('drained');
        await settle(await claimOne(), { kind: 'released', reason: { code: 'draining', message: 'The server stopped.' } });
        expect(await task(id)).toMatchObject({ status: 'queued', attempts: 0, losses: 0 });
        expect((await claimOne()).task.id).toBe(id);
      });

      test('what was called off stays off when its holder dies', async () => {
        const { id } = await submit('doomed');
        await claimOne();
        await queue.cancel(id, 'owner');
        await queue.takeOver('node-a');
        expect(await status({ id })).toBe('cancelled');
      });

      test('a node whose heart stands still is found dead by another, without comparing clocks', async () => {
        const { id } = await submit('orphan');
        await claimOne(queue, 'node-a');
        await store.write((tx) => enrol(tx, { id: 'node-a', address: null }, clock.now()));
        await store.write((tx) => enrol(tx, { id: 'node-b', address: null }, clock.now()));
        const watcher = new Liveness({
          queue,
          store,
          clock,
          log: silentLog,
          node: 'node-b',
          leaseMs: 30_000,
          report: async () => {
            throw new Error('the disk does not answer');
          },
          reconcile: (heartbeat) => heartbeat().then(() => []),
        });

        await watcher.beatOnce();
        clock.jump(86_400_000);
        await watcher.beatOnce();
        expect(await status({ id })).toBe('running');

        clock.advance(20_000);
        await queue.heartbeat('node-a');
        await watcher.beatOnce();
        clock.advance(20_000);
        await watcher.beatOnce();
        expect(await status({ id })).toBe('running');

        clock.advance(10_000);
        await watcher.beatOnce();
        expect(await status({ id })).toBe('queued');
        expect((await listNodes(store.read)).map((node) => node.id)).toEqual(['node-b']);
      });

      test('a heart beats on where how the node stands is never told, and asks once', async () => {
        let asked = 0;
        const liveness = new Liveness({
          ...{ queue, store, clock, log: silentLog, node: 'node-a', leaseMs: 30_000 },
          report: () => {
            asked += 1;
            return new Promise(() => undefined);
          },
          reconcile: (heartbeat) => heartbeat().then(() => []),
        });
        for (const beat of [1, 2]) {
          const beating = liveness.beatOnce();
          clock.advance(2_500);
          await beating;
          expect(await listNodes(store.read)).toMatchObject([{ id: 'node-a', beat, report: null }]);
        }
        expect(asked).toBe(1);
      });

      test('a node that was struck off while it was frozen is watched again as soon as it claims or beats', async () => {
        await submit('before');
        await claimOne(queue, 'node-a');
        expect(await queue.bury('node-a')).toBe(1);
        expect(await listNodes(store.read)).toEqual([]);
        await claimOne(queue, 'node-a');
        expect((await listNodes(store.read)).map(({ id }) => id)).toEqual(['node-a']);
        await queue.bury('node-a');
        await queue.heartbeat('node-a');
        expect((await listNodes(store.read)).map(({ id }) => id)).toEqual(['node-a']);
      });

      test('only the named runs of a holder are put back, when they are named', async () => {
        const [a, b] = [await submit('a'), await submit('b')];
        const claims = await queue.claim('node-a', 2);
        const lost = claims.find((claim) => claim.task.id === a.id) as Claim;
        expect(await queue.takeOver('node-a', [lost.run.id])).toBe(1);
        expect([await status(a), await status(b)]).toEqual(['queued', 'running']);
      });

      test('a heartbeat says how the node stands, and keeps what was said when it says nothing', async () => {
        const machine = { serverMemoryBytes: 1, memoryBytes: 2, memoryFreeBytes: 1, cpus: 2, load: 0.5, diskBytes: 9, diskFreeBytes: 8 };
        const report = { machine, breakers: [{ id: 'claude/opus', state: 'open' as const }] };
        await store.write((tx) => enrol(tx, { id: 'node-a', address: null }, clock.now()));
        expect(await listNodes(store.read)).toMatchObject([{ report: null }]);
        await queue.heartbeat('node-a', report);
        await queue.heartbeat('node-a');
        expect(await listNodes(store.read)).toMatchObject([{ beat: 3, report }]);
        await store.write((tx) => enrol(tx, { id: 'node-a', address: null }, clock.now()));
        expect(await listNodes(store.read)).toMatchObject([{ report: null }]);
      });

      test('a heartbeat tells a node what it still holds', async () => {
        await submit('one');
        await submit('two');
        const claims = await queue.claim('node-a', 2);
        await store.write((tx) => enrol(tx, { id: 'node-a', address: null }, clock.now()));
        await succeed(claims[0] as Claim);
        expect(await queue.heartbeat('node-a')).toEqual([(claims[1] as Claim).run.id]);
      });
    });

    describe('a profile', () => {
      const nothing = {
        description: null,
        promptTemplate: null,
        instructions: null,
        tier: null,
        model: null,
        tools: null,
        timeoutSeconds: null,
        maxTurns: null,
        budgetUsd: null,
        engine: null,
      };
      const make = async (name: string, more: Partial<Profile> = {}): Promise<Profile> => {
        const profile = { ...nothing, id: createIds(clock)('prf'), name, createdAt: clock.now(), updatedAt: clock.now(), ...more };
        await store.write((tx) => insertProfile(tx, profile));
        return profile;
      };

      test('must exist when a task is submitted with it', async () => {
        expect(await queue.submit(wish('lost', { profile: 'nobody' }))).toMatchObject({
          kind: 'refused',
          refusal: { status: 422, code: 'unknown-profile' },
        });
        expect(await submit('found')).toMatchObject({ profile: 'default', tier: null, labels: [] });
      });

      test('comes along with the claim as it is then, and names the engine of a task that names none', async () => {
        await make('builder', { engine: 'claude' });
        await submit('one', { profile: 'builder' });
        await submit('two', { profile: 'builder', engine: 'command', tier: 'deep', labels: ['a', 'b', 'a'] });
        await store.write((tx) => replaceSettings(tx, 'builder', { ...nothing, engine: 'claude', maxTurns: 7 }, clock.now()));
        const claims = await queue.claim('node-a', 2);
        expect(claims.map(({ run, profile }) => [run.engine, profile?.maxTurns])).toEqual([
          ['claude', 7],
          ['command', 7],
        ]);
        expect(claims[1]?.task).toMatchObject({ tier: 'deep', labels: ['a', 'b'] });
      });

      test('gives its budget to tasks that have none', async () => {
        await make('thrifty', { budgetUsd: 0.5 });
        expect((await submit('one', { profile: 'thrifty' })).budgetUsd).toBe(0.5);
        expect((await submit('two', { profile: 'thrifty', budgetUsd: 2 })).budgetUsd).toBe(2);
      });

      test('is not deleted by one while another submits a task with it: one of the two is refused', async () => {
        const other = await open();
        for (let round = 0; round < 10; round++) {
          await make('fleeting');
          const [submission, deletion] = await Promise.all([
            queue.submit(wish('one', { profile: 'fleeting' })),
            other.store.write((tx) => deleteProfile(tx, 'fleeting')),
          ]);
          expect([submission.kind, deletion.kind]).toEqual(submission.kind === 'created' ? ['created', 'in-use'] : ['refused', 'deleted']);
          if (submission.kind !== 'created') continue;
          await queue.cancel(submission.task.id, 'owner');
          await store.write((tx) => deleteProfile(tx, 'fleeting'));
        }
      });

      test('that vanished all the same leaves a claim that says so', async () => {
        await make('gone');
        await submit('one', { profile: 'gone' });
        await store.write((tx) => tx.db.deleteFrom('profiles').where('name', '=', 'gone').execute());
        expect((await claimOne()).profile).toBeUndefined();
      });

      test('is given to a task with the word that it may go ahead, together with what else is said; to one of two', async () => {
        await make('worker', { budgetUsd: 3, engine: 'claude' });
        const { id, budgetUsd } = await submit('item', { body: 'What it is.', needsApproval: true });
        expect(budgetUsd).toBeNull();
        expect(await queue.claim('node-a', 1)).toEqual([]);
        const other = await open();
        const amendment = { profile: 'worker', addition: 'And this.', repository: '/srv/shop' };
        const answers = await Promise.all([queue.approve(id, 'owner', amendment), other.queue.approve(id, 'owner', amendment)]);
        expect(answers.map(({ ok }) => ok).sort()).toEqual([false, true]);
        expect(answers.find(({ ok }) => ok)).toMatchObject({ task: { id, status: 'queued', profile: 'worker' } });
        expect(answers.find(({ ok }) => !ok)).toMatchObject({ refusal: { status: 409, code: 'not-awaiting-approval' } });
        const { task: claimed, run } = await claimOne();
        expect(claimed).toMatchObject({ id, body: 'What it is.\n\nAnd this.', repository: '/srv/shop', profile: 'worker', budgetUsd: 3 });
        expect(run.engine).toBe('claude');
        const types = (await readAfter(store, '0', 100)).map(({ type }) => type);
        expect(types).toEqual(['task.submitted', 'task.approved', 'task.status', 'task.status', 'run.started']);
      });

      test('by somebody else leaves the task no more trusted than both are', async () => {
        await make('worker');
        const trustAfter = async (trust: Trust, by: Trust): Promise<Trust | undefined> => {
          const { id } = await submit('item', { body: 'What it is.', needsApproval: true, trust });
          await queue.approve(id, 'somebody', { profile: 'worker', addition: 'And this.', trust: by });
          return (await task(id))?.trust;
        };
        expect(await trustAfter('owner', 'known')).toBe('known');
        expect(await trustAfter('untrusted', 'owner')).toBe('untrusted');
        expect(await trustAfter('owner', 'owner')).toBe('owner');
      });

      test('that does not exist changes nothing about a task that awaits the word', async () => {
        const { id } = await submit('item', { body: 'What it is.', needsApproval: true });
        expect(await queue.approve(id, 'owner', { profile: 'nobody', addition: 'no' })).toMatchObject({
          refusal: { code: 'unknown-profile' },
        });
        expect(await queue.approve('tsk_0', 'owner')).toMatchObject({ refusal: { status: 404 } });
        expect(await task(id)).toMatchObject({ status: 'awaiting-approval', body: 'What it is.', profile: 'default' });
        expect(await queue.approve(id, 'owner')).toMatchObject({ ok: true, task: { status: 'queued', body: 'What it is.' } });
      });
    });

    test('a change, its event and its place in line come and go together', async () => {
      await expect(
        store.write(async (tx) => {
          await queue.enqueue(tx, [wish('never')]);
          throw new Error('something after it failed');
        }),
      ).rejects.toThrow('something after it failed');
      expect(await queue.claim('node-a', 1)).toEqual([]);
      expect(await readAfter(store, '0', 10)).toEqual([]);
    });

    test('parked work waits for a person and keeps its dependents waiting', async () => {
      const parked = await submit('dear');
      const child = await submit('child', { dependsOn: [parked.id] });
      await settle(await claimOne(), { kind: 'over-budget', reason: { code: 'run-cap', message: 'The run reached its cap.' } });
      expect([await status(parked), await status(child)]).toEqual(['over-budget', 'blocked']);
      expect(await queue.retry(parked.id)).toMatchObject({ ok: true, task: { status: 'queued' } });
    });

    test('keeps no place in line for what is over', async () => {
      const tasks = await Promise.all(Array.from({ length: 10 }, (_, i) => submit(`task ${i}`)));
      await queue.cancel((tasks[0] as Task).id, 'owner');
      for (const claim of await queue.claim('node-a', 10)) await succeed(claim);
      expect(await store.write((tx) => line.take(tx, 10))).toEqual([]);
      if (dialect === 'postgres') expect((await sql`select id from pgboss.job`.execute(store.read)).rows).toEqual([]);
    });
  });
}
