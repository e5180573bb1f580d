import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { git, write } from '../../test/support/git-world.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';
import { systemClock } from '../platform/clock.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import { createQueue } from '../queue/durable-queue.ts';
import type { Claim } from '../queue/queue.ts';
import { sqliteLine } from '../queue/sqlite.ts';
import type { Store } from '../store/store.ts';
import { type Equipment, equip } from './equip.ts';
import { openPlace } from './place.ts';

let database: TestDatabase;
let store: Store;
let equipment: Equipment;
let repository: string;
let claim: Claim;

beforeEach(async () => {
  database = await createDatabase('sqlite');
  store = await database.open();
  const newId = createIds(systemClock);
  const queue = createQueue({ store, line: sqliteLine, clock: systemClock, newId, chance: () => 0.5, defaultEngine: 'command' });
  equipment = await equip(
    { store, queue, clock: systemClock, newId, log: silentLog, nodeId: 'node-a', nodeMarker: {}, engines: new Map() },
    {
      home: database.home,
      owner: { home: tmpdir(), path: process.env['PATH'] ?? '' },
      sandbox: 'off',
      providers: [],
      models: { llmModel: undefined, llmModelLight: undefined, llmModelDeep: undefined, fallback: undefined, patienceMs: 0 },
      gitToken: async () => undefined,
      hooks: [],
      timeoutMs: 60_000,
      keepRunsMs: null,
      quota: { bytes: 2 ** 30, files: 1_000 },
      repositories: [],
      network: {},
      limits: { day: null, ceiling: null, proactive: null, run: null, conversation: null },
      prices: {},
      onBooked: () => undefined,
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

test('a place is left without a word when its end cannot be stored: how the run ended stands', async () => {
  const stop = new AbortController();
  const opened = await openPlace(
    equipment.runner,
    claim,
    { models: false },
    () => undefined,
    () => undefined,
    async () => undefined,
    stop.signal,
  );
  if (!opened.ok) throw new Error(JSON.stringify(opened.outcome));
  expect(readdirSync(opened.place.directory)).toContain('README.md');
  await store.close();
  stop.abort('draining');
  await expect(opened.place.leave('completed')).resolves.toBeUndefined();
});
