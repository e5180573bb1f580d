import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { GitWorld, write } from '../../test/support/git-world.ts';
import { createIds } from '../platform/ids.ts';
import { findLeftovers, type Leftovers } from './leftovers.ts';

const day = 86_400_000;
let world: GitWorld;
let clock: ManualClock;

beforeEach(async () => {
  clock = new ManualClock();
  world = await GitWorld.open({ clock });
});
afterEach(() => world.remove());

const under = (...names: readonly string[]): string => join(world.home, ...names);
const begin = (keepRecordsMs: number | null = 90 * day): Promise<Leftovers> =>
  findLeftovers({
    store: world.store,
    clock,
    path: process.env['PATH'] ?? '',
    runsDirectory: under('runs'),
    sessionsDirectory: under('sessions'),
    keepRecordsMs,
  });

test('sessions of tasks that are over go, those of tasks that a run may still come for stay', async () => {
  const [open, over] = [await world.run(), await world.run()];
  await world.closeTask(over.taskId, 'failed');
  const unknown = world.newId('tsk');
  for (const name of [open.taskId, over.taskId, unknown, 'not-ours']) write(under('sessions', name), { 'session.jsonl': '{}' });
  expect(await (await begin()).clear(world.stop.signal)).toMatchObject({ sessions: 2 });
  expect(readdirSync(under('sessions')).sort()).toEqual([open.taskId, 'not-ours'].sort());
});

test('scratch directories of before the start go and their records stay; those of a run in progress are not looked at', async () => {
  const [before, after] = [await world.run(), await world.run()];
  write(under('runs', before.runId), { 'output.log': 'said', 'work/a/b.txt': 'b' });
  const leftovers = await begin();
  write(under('runs', after.runId), { 'work/a.txt': 'a' });
  expect(await leftovers.clear(world.stop.signal)).toMatchObject({ scratch: 1 });
  expect(readdirSync(under('runs', before.runId))).toEqual(['output.log']);
  expect(existsSync(under('runs', after.runId, 'work/a.txt'))).toBe(true);
  expect(await leftovers.clear(world.stop.signal)).toEqual({ scratch: 0, sessions: 0, records: 0 });
});

test('records go when their time after the end of the run is over, unless they are kept for ever', async () => {
  const newId = createIds(clock);
  world.newId = newId;
  const [ended, running] = [await world.run(), await world.run()];
  const unknown = newId('run');
  await world.endRun(ended.runId, 'succeeded', clock.now() + day);
  for (const name of [ended.runId, running.runId, unknown, 'began']) write(under('runs', name), { 'output.log': 'said' });
  clock.advance(90 * day + 1);
  expect(await (await begin()).clear(world.stop.signal)).toMatchObject({ records: 1 });
  expect(readdirSync(under('runs')).sort()).toEqual([ended.runId, running.runId, 'began'].sort());
  clock.advance(day);
  expect(await (await begin(null)).clear(world.stop.signal)).toMatchObject({ records: 0 });
  expect(await (await begin()).clear(world.stop.signal)).toMatchObject({ records: 1 });
  expect(readdirSync(under('runs')).sort()).toEqual([running.runId, 'began'].sort());
});
