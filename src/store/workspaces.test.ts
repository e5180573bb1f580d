import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import type { WorkspaceRecord } from '../domain/workspace.ts';
import type { Store } from './store.ts';
import {
  abandonedWorkspaces,
  beginCleaning,
  dueForCleaning,
  endWorkspace,
  findWorkspace,
  insertWorkspace,
  listWorkspaces,
  markRemoved,
  setTip,
  takeOverWorkspace,
} from './workspaces.ts';

describe.each(dialects)('workspaces in %s', (dialect) => {
  describe.skipIf(missing(dialect))('are rows that', () => {
    let database: TestDatabase;
    let store: Store;
    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
    });
    afterEach(async () => {
      await store.close();
      await database.remove();
    });

    const record = (id: string, more: Partial<WorkspaceRecord> = {}): WorkspaceRecord => ({
      id,
      taskId: `tsk_${id}`,
      runId: `run_${id}`,
      nodeId: 'nod_1',
      status: 'active',
      repository: 'https://example.org/a/b',
      ref: 'main',
      branch: 'nightshift/x',
      baseCommit: 'a'.repeat(40),
      tip: 'a'.repeat(40),
      path: '/home/workspaces/x',
      gitDir: '/home/mirrors/x.git',
      createdAt: 1_767_225_600_000,
      completedAt: null,
      cleanupAt: null,
      removedAt: null,
      ...more,
    });

    const put = async (workspace: WorkspaceRecord, run = 'running', task = 'running'): Promise<WorkspaceRecord> => {
      await store.write(async (tx) => {
        const now = 1_767_225_600_000;
        const row = {
          id: workspace.taskId,
          source: 'test',
          title: 't',
          priority: 'medium',
          status: task,
          requested_by: 'test',
          trust: 'owner',
          attempts: 0,
          max_attempts: 3,
          losses: 0,
          waiting_for: 0,
          rank: 1,
          created_at: now,
          updated_at: now,
        } as const;
        await tx.db
          .insertInto('tasks')
          .values(row as never)
          .execute();
        const ended = run === 'running' ? null : now + 5;
        const held = {
          id: workspace.runId,
          task_id: workspace.taskId,
          node_id: 'nod_1',
          attempt: 1,
          status: run,
          started_at: now,
          finished_at: ended,
        };
        await tx.db
          .insertInto('runs')
          .values(held as never)
          .execute();
        await insertWorkspace(tx, workspace);
      });
      return workspace;
    };
    const statusOf = async (id: string): Promise<string | undefined> => (await findWorkspace(store.read, id))?.status;

    test('come back as they were stored, and are listed while they are on disk', async () => {
      const [one, two] = [await put(record('wsp_1')), await put(record('wsp_2', { nodeId: 'nod_2' }))];
      expect(await findWorkspace(store.read, 'wsp_1')).toEqual(one);
      expect(await listWorkspaces(store.read)).toEqual([one, two]);
      expect(await listWorkspaces(store.read, { nodeId: 'nod_2' })).toEqual([two]);
      expect(await listWorkspaces(store.read, { after: 'wsp_1', limit: 1 })).toEqual([two]);
      expect(await listWorkspaces(store.read, { taskId: one.taskId, statuses: ['active'] })).toEqual([one]);
      await store.write((tx) => setTip(tx, 'wsp_1', 'b'.repeat(40)));
      await store.write((tx) => markRemoved(tx, 'wsp_1', 7));
      expect(await listWorkspaces(store.read)).toEqual([two]);
      expect(await findWorkspace(store.read, 'wsp_1')).toMatchObject({ status: 'removed', removedAt: 7, tip: 'b'.repeat(40) });
    });

    test('end once', async () => {
      await put(record('wsp_1'));
      const end = (status: 'completed' | 'error') =>
        store.write((tx) => endWorkspace(tx, 'wsp_1', { status, completedAt: 5, cleanupAt: 9 }));
      expect([await end('completed'), await end('error')]).toEqual([true, false]);
      expect(await findWorkspace(store.read, 'wsp_1')).toMatchObject({ status: 'completed', completedAt: 5, cleanupAt: 9 });
    });

    test('pass to another run only when theirs is over, and to one only', async () => {
      const live = await put(record('wsp_1'));
      const dead = await put(record('wsp_2'), 'lost');
      const take = (workspace: WorkspaceRecord, to: string) =>
        store.write((tx) => takeOverWorkspace(tx, workspace.id, workspace.runId, to));
      expect(await take(live, dead.runId)).toBe(false);
      expect(await Promise.all([take(dead, live.runId), take(dead, live.runId)]).then((all) => all.filter(Boolean))).toHaveLength(1);
    });

    test('are cleaned when their time has come or when it was begun, and never under a live run', async () => {
      const over = { status: 'completed', completedAt: 1, cleanupAt: 100 } as const;
      await put(record('wsp_1', over), 'succeeded');
      await put(record('wsp_2', { ...over, cleanupAt: 200 }), 'succeeded');
      await put(record('wsp_3', over), 'running');
      await put(record('wsp_4', { status: 'cleaning' }), 'failed');
      await put(record('wsp_5', over), 'failed').then(() => store.write((tx) => markRemoved(tx, 'wsp_5', 50)));
      expect((await dueForCleaning(store.read, 'nod_1', 100)).map(({ id }) => id)).toEqual(['wsp_1', 'wsp_4']);
      expect(await dueForCleaning(store.read, 'nod_2', 100)).toEqual([]);
      const begin = (id: string, meant: 'ended' | 'any') => store.write((tx) => beginCleaning(tx, id, meant));
      expect([await begin('wsp_1', 'ended'), await begin('wsp_3', 'any'), await begin('wsp_5', 'any')]).toEqual([true, false, false]);
      expect([await statusOf('wsp_1'), await statusOf('wsp_3')]).toEqual(['cleaning', 'completed']);
    });

    test('are found when their run is over and nobody ended them', async () => {
      await put(record('wsp_1'));
      await put(record('wsp_2'), 'lost', 'queued');
      await put(record('wsp_3'), 'succeeded', 'succeeded');
      await put(record('wsp_4', { status: 'error' }), 'failed', 'failed');
      const found = await abandonedWorkspaces(store.read, 'nod_1');
      expect(found.map(({ workspace, taskClosed, succeeded, since }) => [workspace.id, taskClosed, succeeded, since])).toEqual([
        ['wsp_2', false, false, 1_767_225_600_005],
        ['wsp_3', true, true, 1_767_225_600_005],
      ]);
    });
  });
});
