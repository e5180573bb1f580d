import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import { defaultProfile, type Profile } from '../domain/profile.ts';
import { firstState, type Task } from '../domain/task.ts';
import { listExecuted } from './executions.ts';
import { deleteProfile, findProfile, findProfileById, findProfiles, insertProfile, listProfiles, replaceSettings } from './profiles.ts';
import type { Store } from './store.ts';
import { findTask, insertTasks } from './tasks.ts';

const now = 1_767_225_600_000;
const profile: Profile = {
  id: 'prf_01ARZ3NDEKTSV4RRFFQ69G5FAV',
  name: 'reviewer',
  description: 'reads only',
  promptTemplate: 'Review {{branch}}',
  instructions: 'Be brief.',
  tier: 'deep',
  model: 'a-model',
  tools: ['Read', 'Grep'],
  timeoutSeconds: 60,
  maxTurns: 5,
  budgetUsd: 0.25,
  engine: 'claude',
  createdAt: now,
  updatedAt: now,
};

describe.each(dialects)('profiles in %s', (dialect) => {
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

    const put = (id: string, more: Partial<Task> = {}): Promise<unknown> =>
      store.write((tx) => insertTasks(tx, [{ ...task(id), ...more }]));

    test('begin with the default one, and come back as they were stored', async () => {
      expect(await store.write((tx) => insertProfile(tx, profile))).toBe(true);
      expect(await findProfile(store.read, 'reviewer')).toEqual(profile);
      expect(await findProfileById(store.read, profile.id)).toEqual(profile);
      expect((await listProfiles(store.read)).map(({ name }) => name)).toEqual(['default', 'reviewer']);
      expect([...(await findProfiles(store.read, ['reviewer', 'nobody', 'reviewer'])).keys()]).toEqual(['reviewer']);
      expect((await findProfiles(store.read, [])).size).toBe(0);
      expect(await findProfile(store.read, defaultProfile)).toMatchObject({ id: expect.stringMatching(/^prf_/), tools: null, model: null });
    });

    test('have names of their own', async () => {
      await store.write((tx) => insertProfile(tx, profile));
      const twin = { ...profile, id: 'prf_01ARZ3NDEKTSV4RRFFQ69G5FAW', model: 'another' };
      expect(await store.write((tx) => insertProfile(tx, twin))).toBe(false);
      expect(await findProfile(store.read, 'reviewer')).toEqual(profile);
    });

    test('are replaced whole, and keep their id', async () => {
      await store.write((tx) => insertProfile(tx, profile));
      const { id, name, createdAt, updatedAt: _, ...settings } = profile;
      const changed = { ...settings, tools: [], model: null };
      expect(await store.write((tx) => replaceSettings(tx, name, changed, now + 9))).toEqual({
        ...changed,
        id,
        name,
        createdAt,
        updatedAt: now + 9,
      });
      expect(await store.write((tx) => replaceSettings(tx, 'nobody', settings, now))).toBeUndefined();
    });

    test('are not deleted while an open task needs them', async () => {
      await store.write((tx) => insertProfile(tx, profile));
      await put('tsk_1', { profile: 'reviewer' });
      await put('tsk_2', { profile: 'reviewer', status: 'succeeded', closedAt: now });
      const remove = (name: string) => store.write((tx) => deleteProfile(tx, name));
      expect(await remove('reviewer')).toEqual({ kind: 'in-use', openTasks: 1 });
      await store.write((tx) => tx.db.updateTable('tasks').set({ closed_at: now }).where('id', '=', 'tsk_1').execute());
      expect(await remove('reviewer')).toEqual({ kind: 'deleted' });
      expect(await remove('reviewer')).toEqual({ kind: 'not-found' });
    });

    test('stand in tasks, beside their tier and labels', async () => {
      await put('tsk_1', { profile: 'reviewer', tier: 'light', labels: ['bug', 'ü'] });
      expect(await findTask(store.read, 'tsk_1')).toMatchObject({ profile: 'reviewer', tier: 'light', labels: ['bug', 'ü'] });
    });

    test('choose among executions, together with status and time; what waits for a word is none', async () => {
      await put('tsk_1', { profile: 'reviewer', status: 'running', cancelRequestedAt: now });
      await put('tsk_2', { status: 'running' });
      await put('tsk_3', { status: 'awaiting-approval' });
      await put('tsk_4', { status: 'cancelled', closedAt: now, createdAt: now + 5 });
      const find = async (filter: Parameters<typeof listExecuted>[1], offset = 0, limit = 10) => {
        const { items, total } = await listExecuted(store.read, filter, { offset, limit });
        return { ids: items.map(({ id }) => id), total };
      };
      expect(await find({})).toEqual({ ids: ['tsk_4', 'tsk_2', 'tsk_1'], total: 3 });
      expect(await find({}, 1, 1)).toEqual({ ids: ['tsk_2'], total: 3 });
      expect(await find({ statuses: ['running'], calledOff: false })).toEqual({ ids: ['tsk_2'], total: 1 });
      expect(await find({ calledOff: true })).toEqual({ ids: ['tsk_4', 'tsk_1'], total: 2 });
      expect(await find({ profile: 'reviewer' })).toEqual({ ids: ['tsk_1'], total: 1 });
      expect(await find({ from: now + 1, to: now + 5 })).toEqual({ ids: ['tsk_4'], total: 1 });
      expect(await find({ ids: ['tsk_3'] })).toEqual({ ids: [], total: 0 });
    });
  });
});

const task = (id: string): Task => ({
  ...firstState({ waitingFor: 0, notBefore: null, needsApproval: false, maxAttempts: 3, now }),
  id,
  source: 'test',
  externalRef: null,
  doneWhen: null,
  maxRounds: null,
  parentTaskId: null,
  title: 't',
  body: null,
  repository: null,
  ref: null,
  priority: 'medium',
  dedupeKey: null,
  budgetUsd: null,
  verify: null,
  engine: null,
  profile: defaultProfile,
  tier: null,
  labels: [],
  deliverable: 'changes',
  branch: null,
  requestedBy: 'test',
  trust: 'owner',
  createdAt: now,
  updatedAt: now,
});
