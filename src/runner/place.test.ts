import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { git, write } from '../../test/support/git-world.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';
import { createKeys } from '../gateway/keys.ts';
import { rehearsalProvider } from '../gateway/providers/rehearsal.ts';
import type { Upstream } from '../gateway/routed-models.ts';
import { createMemory } from '../knowledge/memory/memory.ts';
import { systemClock } from '../platform/clock.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import { createQueue } from '../queue/durable-queue.ts';
import type { Claim, Queue } from '../queue/queue.ts';
import { sqliteLine } from '../queue/sqlite.ts';
import type { Store } from '../store/store.ts';
import type { Workspace } from '../workspace/workspace.ts';
import { type Equipment, equip } from './equip.ts';
import { openPlace, type Place } from './place.ts';

/** Names its models, and is never asked. */
const nobodyToAsk: Upstream = {
  name: 'rehearsal',
  keys: createKeys({
    provider: 'rehearsal',
    secrets: () => [],
    connect: () => rehearsalProvider([], systemClock),
    clock: systemClock,
    chance: () => 0.5,
  }),
  nameOf: (model) => model,
  listsModels: false,
};

let database: TestDatabase;
let store: Store;
let equipment: Equipment;
let repository: string;
let clock: ManualClock;
let queue: Queue;
let claim: Claim;

beforeEach(async () => {
  database = await createDatabase('sqlite');
  store = await database.open();
  const newId = createIds(systemClock);
  clock = new ManualClock(Date.now());
  queue = createQueue({ store, line: sqliteLine, clock, newId, chance: () => 0.5, defaultEngine: 'command' });
  equipment = await equip(
    {
      store,
      queue,
      clock: systemClock,
      newId,
      log: silentLog,
      nodeId: 'node-a',
      nodeMarker: {},
      engines: new Map(),
      happened: async () => undefined,
      memory: createMemory({ clock, newId }),
    },
    {
      home: database.home,
      owner: { home: tmpdir(), path: process.env['PATH'] ?? '' },
      sandbox: 'off',
      providers: [nobodyToAsk],
      models: { llmModel: undefined, llmModelLight: undefined, llmModelDeep: undefined, fallback: undefined, patienceMs: 0 },
      gitToken: async () => undefined,
      hooks: [],
      timeoutMs: 60_000,
      maxRounds: 8,
      noteTokens: 2_000,
      keepRunsMs: null,
      checkpoints: { everyCalls: 25, perRun: 50, keepMs: 3_600_000 },
      quota: { bytes: 2 ** 30, files: 1_000 },
      repositories: [{ match: join(tmpdir(), '*'), tier: 'light' }],
      network: {},
      limits: { day: null, ceiling: null, proactive: null, run: null, conversation: null },
      prices: {},
      onBooked: () => undefined,
      onDelivered: () => undefined,
    },
  );
  repository = mkdtempSync(join(tmpdir(), 'nightshift-place-'));
  git(repository, 'init', '--quiet', '--initial-branch=main');
  write(repository, { 'README.md': '# Sample\n' });
  git(repository, 'add', '--all');
  git(repository, 'commit', '--quiet', '-m', 'first');
  await queue.submit({
    title: 'somewhere',
    body: 'true',
    source: 'test',
    requestedBy: 'owner',
    trust: 'owner',
    priority: 'medium',
    repository,
  });
  [claim] = (await queue.claim('node-a', 1)) as [Claim];
});

afterEach(async () => {
  await equipment.stop();
  await store.close();
  await database.remove();
  rmSync(repository, { recursive: true, force: true });
});

async function open(signal = new AbortController().signal, models = false): Promise<Place> {
  const opened = await openPlace(
    equipment.runner,
    claim,
    { models },
    { exceeded: () => undefined, say: () => undefined, onSession: async () => undefined },
    signal,
  );
  if (!opened.ok) throw new Error(JSON.stringify(opened.outcome));
  return opened.place;
}

test('a place is left without a word when its end cannot be stored: how the run ended stands', async () => {
  const stop = new AbortController();
  const place = await open(stop.signal);
  expect(readdirSync(place.directory)).toContain('README.md');
  await store.close();
  stop.abort('draining');
  await expect(place.leave('completed')).resolves.toBeUndefined();
});

test('an agent gets the model that the settings name for its repository', async () => {
  const place = await open(undefined, true);
  expect(place.model).toMatchObject({ tier: 'light', reason: 'The settings ask for it in its repository.' });
  await place.leave('completed');
});

test('starts over from the last commit when the workspace of the run that was interrupted is gone, and says so', async () => {
  const { workspaces } = equipment.runner;
  const interrupted = await open();
  const workspace = interrupted.workspace as Workspace;
  write(interrupted.directory, { 'done.txt': 'half of it\n' });
  const person = { name: 'x', email: 'x@y' };
  const signal = new AbortController().signal;
  const wish = { message: 'half', author: person, committer: person, at: Date.now() };
  expect((await workspaces.commit(workspace, wish, signal)).ok).toBe(true);
  await interrupted.leave('resumable');
  await queue.takeOver('node-a');
  expect(await workspaces.remove(workspace.id, signal)).toBe('removed');
  clock.advance(3_600_000);
  await queue.promoteDue();
  [claim] = (await queue.claim('node-a', 1)) as [Claim];
  const anew = await open();
  expect(anew.notice).toMatch(/^Starts over from the last commit/);
  expect(readdirSync(anew.directory)).toContain('done.txt');
  expect(anew.workspace?.baseCommit).toBe(workspace.baseCommit);
  await anew.leave('completed');
});

test('what programs leave in their home is no part of the work, and goes with the run', async () => {
  const place = await open();
  const home = String(place.env['HOME']);
  write(home, { '.npm/log': 'noise' });
  expect(relative(place.directory, home)).toMatch(/^\.\./);
  expect(git(place.directory, 'status', '--porcelain')).toBe('');
  await place.leave('completed');
  expect(existsSync(home)).toBe(false);
});
