import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { until } from '../../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../../test/support/stores.ts';
import type { KeptFinding } from '../../domain/finding.ts';
import type { FollowedUp } from '../../domain/follow-up.ts';
import { noResult } from '../../domain/result.ts';
import type { Task } from '../../domain/task.ts';
import type { Ask, Question } from '../../gateway/ask.ts';
import { createIds } from '../../platform/ids.ts';
import { silentLog } from '../../platform/log.ts';
import { createQueue } from '../../queue/durable-queue.ts';
import { meaningOf } from '../../queue/meaning.ts';
import { pgBossLine } from '../../queue/pg-boss.ts';
import type { Line, Queue, Submission, Wish } from '../../queue/queue.ts';
import { sqliteLine } from '../../queue/sqlite.ts';
import { insertFindings } from '../../store/findings.ts';
import { takeFollowUps } from '../../store/follow-ups.ts';
import { readAfter } from '../../store/journal.ts';
import { enrol, removeNode } from '../../store/nodes.ts';
import { saveResult } from '../../store/results.ts';
import type { Store } from '../../store/store.ts';
import { listTasks } from '../../store/tasks.ts';
import { createFollowUps, type FollowUpSettings, type FollowUps, followUpsOf } from './follow-ups.ts';

const repository = 'https://git.example/acme/shop';
const settings: FollowUpSettings = { tasks: 'approve', review: false, perRun: 3, perDay: 20, depth: 2 };
const idea = (title: string, worth: number) => ({ title, body: `do ${title}`, worth, kind: 'tests' });
const silent: Ask = async () => ({ ok: false, code: 'unavailable', message: 'Nobody answers.' });
const answers =
  (...followUps: readonly object[]): Ask =>
  async () => ({ ok: true, value: { followUps } as never });

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`what follows from runs, on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let line: Line;
    let queue: Queue;
    let clock: ManualClock;
    const running: FollowUps[] = [];

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      line = dialect === 'sqlite' ? sqliteLine : await pgBossLine(store, () => undefined);
      clock = new ManualClock(Date.UTC(2026, 5, 1, 12));
      queue = createQueue({
        ...{ store, line, clock, newId: createIds(clock), chance: () => 0.5, defaultEngine: 'claude' },
        changed: (tx, tasks) => followUpsOf(tx, tasks, clock.now()),
      });
      await store.write((tx) => enrol(tx, { id: 'node-a', address: null }, clock.now()));
    });
    afterEach(async () => {
      for (const each of running.splice(0)) await each.stop();
      await line.stop();
      await store.close();
      await database.remove();
    });

    const finding = (code: string, more: Partial<KeptFinding> = {}): KeptFinding => ({
      ...{
        category: 'deprecation',
        code,
        message: `${code} is old`,
        file: 'src/a.ts',
        line: 3,
        worth: 3,
        signature: `sig-${code}`,
        gone: false,
      },
      ...more,
    });

    /** A run that found something, up to its success. */
    const wished = { source: 'api', requestedBy: 'owner', trust: 'owner', priority: 'high', repository } as const;

    function taskOf(submission: Submission): Task {
      if (submission.kind !== 'created') throw new Error(submission.kind);
      return submission.task;
    }

    async function succeeds(
      findings: readonly KeptFinding[] = [],
      wish: Partial<Wish> = {},
      diff = '+ // a change',
    ): Promise<{ taskId: string; runId: string }> {
      taskOf(await queue.submit({ title: `Task ${clock.now()} ${Math.random()}`, ...wished, ...wish }));
      const [claim] = await queue.claim('node-a', 1);
      if (!claim) throw new Error('nothing to claim');
      return ends(claim.task, claim.run.id, findings, diff);
    }

    async function ends(
      task: Task,
      runId: string,
      findings: readonly KeptFinding[],
      diff = '+ // a change',
    ): Promise<{ taskId: string; runId: string }> {
      await store.write(async (tx) => {
        await insertFindings(tx, { taskId: task.id, runId }, findings, clock.now());
        await saveResult(tx, runId, { ...noResult, diff, filesChanged: [] });
      });
      await queue.settle({ taskId: task.id, runId, outcome: { kind: 'succeeded' } });
      return { taskId: task.id, runId };
    }

    const pending = async (): Promise<number> => (await store.read.selectFrom('follow_ups').selectAll().execute()).length;

    /** Looks at all that is pending. */
    async function follow(more: Partial<FollowUpSettings> = {}, ask: Ask = silent, node = 'node-a'): Promise<FollowUps> {
      const parts = { store, queue, clock, log: silentLog, node, ask, engine: 'claude', newWord: () => 'fence' };
      const followUps = createFollowUps({ ...parts, settings: { ...settings, ...more } });
      running.push(followUps);
      await followUps.start();
      await until('it to be looked at', async () => (await pending()) === 0);
      return followUps;
    }
    const children = async (): Promise<readonly Task[]> =>
      (await listTasks(store.read, { source: 'agent' }, { before: null, limit: 100 })).items.toReversed();
    const events = async (): Promise<readonly FollowedUp[]> =>
      (await readAfter(store, '0', 1_000)).flatMap(({ type, data }) => (type === 'task.follow-ups' ? (data as unknown as FollowedUp) : []));

    test('become tasks of their own: low, linked to their parent, waiting for a person', async () => {
      const { taskId, runId } = await succeeds([finding('DEP1'), finding('mended', { gone: true }), finding('little', { worth: 2 })], {
        ref: 'next',
        budgetUsd: 2,
      });
      await follow();
      const [child, ...others] = await children();
      expect(others).toEqual([]);
      expect(child).toMatchObject({
        title: 'Replace what is deprecated: DEP1 is old',
        status: 'awaiting-approval',
        ...{
          priority: 'low',
          source: 'agent',
          trust: 'owner',
          engine: 'claude',
          parentTaskId: taskId,
          repository,
          ref: 'next',
          budgetUsd: 2,
        },
      });
      expect(child?.body).toContain('Where: src/a.ts:3');
      expect(await events()).toEqual([
        {
          runId,
          tasks: [{ id: child?.id, title: child?.title, from: 'finding' }],
          leftOut: { known: 0, perRun: 0, perDay: 0, tooDeep: 0 },
          reviewSkipped: null,
        },
      ]);
    });

    test('what a change leaves to do is one as well, whoever wrote it', async () => {
      const diff = 'diff --git a/a.js b/a.js\n--- a/a.js\n+++ b/a.js\n@@ -0,0 +1 @@\n+// TODO: finish';
      await succeeds([], {}, diff);
      await follow();
      expect((await children()).map(({ title }) => title)).toEqual(['Do what was left to do in a.js: TODO: finish']);
    });

    test('may begin by themselves where the operator says so, but never for somebody who is not trusted', async () => {
      await succeeds([finding('DEP1')]);
      await follow({ tasks: 'run' });
      await succeeds([finding('DEP2')], { trust: 'untrusted' });
      await until('it to be looked at', async () => (await pending()) === 0);
      expect((await children()).map(({ status, trust }) => `${trust} ${status}`)).toEqual(['owner queued', 'untrusted awaiting-approval']);
    });

    test('are never made twice, whatever became of the first: refused, done, or in another run', async () => {
      await succeeds([finding('DEP1'), finding('DEP2')]);
      await follow();
      const [refused, done] = (await children()) as [Task, Task];
      await queue.deny(refused.id, 'owner');
      await queue.approve(done.id, 'owner');
      const [claim] = await queue.claim('node-a', 1);
      if (!claim) throw new Error('nothing to claim');
      await ends(claim.task, claim.run.id, [finding('DEP1'), finding('DEP2')]);
      await succeeds([finding('DEP1'), finding('DEP2')]);
      await until('them to be looked at', async () => (await pending()) === 0);
      expect(await children()).toHaveLength(2);
      expect((await events()).slice(1).map(({ leftOut }) => leftOut.known)).toEqual([2, 2]);
      await succeeds([finding('DEP1')], { repository: `${repository}-other` });
      await until('it to be looked at', async () => (await pending()) === 0);
      expect(await children()).toHaveLength(3);
    });

    test('are no second task where one like it is open already', async () => {
      const { taskId } = await succeeds([]);
      await follow();
      const title = 'Replace what is deprecated: DEP1 is old';
      await queue.submit({
        ...{ title, source: 'api', requestedBy: 'owner', trust: 'owner', priority: 'high' },
        ...{ repository, dedupeKey: meaningOf({ title, repository }), needsApproval: true },
      });
      expect(taskId).toBeDefined();
      await succeeds([finding('DEP1')]);
      await until('it to be looked at', async () => (await pending()) === 0);
      expect(await children()).toEqual([]);
    });

    test('are few: by run, by day and by the length of the chain', async () => {
      await succeeds(Array.from({ length: 5 }, (_, i) => finding(`DEP${i}`)));
      await follow({ perDay: 4 });
      expect(await children()).toHaveLength(3);
      await succeeds(Array.from({ length: 5 }, (_, i) => finding(`NEXT${i}`)));
      await until('it to be looked at', async () => (await pending()) === 0);
      expect(await children()).toHaveLength(4);
      clock.advance(86_400_000);
      await succeeds([finding('TOMORROW')]);
      await until('it to be looked at', async () => (await pending()) === 0);
      expect(await children()).toHaveLength(5);

      for (const code of ['CHILD', 'GRANDCHILD']) {
        const [child] = (await children()).filter(({ status }) => status === 'awaiting-approval').slice(-1);
        await queue.approve(child?.id ?? '', 'owner');
        const [claim] = await queue.claim('node-a', 1);
        if (!claim) throw new Error('nothing to claim');
        await ends(claim.task, claim.run.id, [finding(code)]);
        await until('it to be looked at', async () => (await pending()) === 0);
      }
      expect(await children()).toHaveLength(6);
      expect((await events()).at(-1)).toMatchObject({ tasks: [], leftOut: { tooDeep: 1 } });
    });

    test('a review proposes what it holds to be worth it; that is trusted by nobody and always waits', async () => {
      const asked: Question<unknown>[] = [];
      const ask: Ask = async (question, signal) => {
        asked.push(question);
        return answers(idea('Test midnight', 5), idea('Rename a variable', 3))(question, signal);
      };
      const { taskId, runId } = await succeeds([]);
      await follow({ review: true, tasks: 'run' }, ask);
      expect(asked).toMatchObject([
        { kind: 'review', tier: 'light', taskId, runId, text: expect.stringContaining('<change-fence>\n+ // a change') },
      ]);
      expect(await children()).toMatchObject([
        {
          title: 'Test midnight',
          trust: 'untrusted',
          status: 'awaiting-approval',
          parentTaskId: taskId,
          body: expect.stringContaining('do Test midnight'),
        },
      ]);
    });

    test('without a model the review is left out, and that is said; findings count all the same', async () => {
      await succeeds([finding('DEP1')]);
      await follow({ review: true });
      expect(await events()).toMatchObject([{ tasks: [{ from: 'finding' }], reviewSkipped: { code: 'unavailable' } }]);
      const broken: Ask = async () => {
        throw new Error('broken');
      };
      await running.pop()?.stop();
      await succeeds([]);
      await follow({ review: true }, broken);
      expect((await events()).at(-1)).toMatchObject({ tasks: [], reviewSkipped: { code: 'internal', message: 'broken' } });
    });

    test('directories of this machine are not reviewed, since what comes of it could not be worked on', async () => {
      await succeeds([], { repository: '/srv/shop' });
      await follow({ review: true }, answers(idea('Test midnight', 5)));
      expect(await children()).toEqual([]);
      expect(await events()).toEqual([]);
    });

    test('a server that dies in the middle loses nothing and makes nothing twice', async () => {
      await succeeds([finding('DEP1')]);
      await store.write((tx) => enrol(tx, { id: 'node-b', address: null }, clock.now()));
      const [taken] = await store.write((tx) => takeFollowUps(tx, 'node-b', 5));
      expect(taken).toMatchObject({ attempts: 1 });
      // While it lives, nobody else takes it.
      expect(await store.write((tx) => takeFollowUps(tx, 'node-a', 5))).toEqual([]);
      await store.write((tx) => removeNode(tx, 'node-b'));
      await follow();
      expect(await children()).toHaveLength(1);

      // One that is stopped while it waits for a model gives it back.
      await running.pop()?.stop();
      await succeeds([finding('DEP2')]);
      let asking = false;
      const hanging: Ask = (_, signal) => {
        asking = true;
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }));
      };
      const parts = { store, queue, clock, log: silentLog, node: 'node-a', ask: hanging, engine: 'claude', newWord: () => 'fence' };
      const stopped = createFollowUps({ ...parts, settings: { ...settings, review: true } });
      await stopped.start();
      await until('it to ask', () => asking);
      await stopped.stop();
      expect(await pending()).toBe(1);
      expect(await children()).toHaveLength(1);
      await follow();
      expect((await children()).map(({ title }) => title)).toHaveLength(2);
    });

    test('what an interrupted run found counts for the one that went on with its work', async () => {
      const { id } = await taskOf(await queue.submit({ ...wished, title: 'Interrupted' }));
      const [first] = await queue.claim('node-a', 1);
      await store.write((tx) =>
        insertFindings(tx, { taskId: id, runId: first?.run.id ?? '' }, [finding('DEP1'), finding('DEP2')], clock.now()),
      );
      await queue.takeOver('node-a');
      clock.advance(60_000);
      await queue.promoteDue();
      const [second] = await queue.claim('node-a', 1);
      if (!second) throw new Error('nothing to claim');
      await ends(second.task, second.run.id, [finding('DEP2', { gone: true })]);
      await follow();
      expect((await children()).map(({ title }) => title)).toEqual(['Replace what is deprecated: DEP1 is old']);
    });

    test('of two that believe to have it in hand, one is right', async () => {
      await succeeds([finding('DEP1')]);
      const second = await database.open();
      try {
        const both = ['node-a', 'node-c'].map((node) =>
          createFollowUps({
            ...{ store: node === 'node-a' ? store : second, queue, clock, log: silentLog, node, ask: silent },
            engine: 'claude',
            newWord: () => 'x',
            settings,
          }),
        );
        await Promise.all(both.map((each) => each.start()));
        await until('it to be looked at', async () => (await pending()) === 0);
        await Promise.all(both.map((each) => each.stop()));
      } finally {
        await second.close();
      }
      expect(await children()).toHaveLength(1);
    });
  });
}
