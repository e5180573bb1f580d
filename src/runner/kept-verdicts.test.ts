import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import type { GateVerdict } from '../domain/gate.ts';
import { commandGate } from '../gates/command.ts';
import { coverageGate } from '../gates/coverage.ts';
import type { Gate } from '../gates/gate.ts';
import { mostKept, verdictsKept } from '../store/kept-verdicts.ts';
import type { Store } from '../store/store.ts';
import { insertWorkspace, markRemoved } from '../store/workspaces.ts';
import type { Workspace } from '../workspace/workspace.ts';
import { type KeptVerdictsParts, keptVerdicts } from './kept-verdicts.ts';

const command = (id: string, kind: Gate['kind'], ...argv: readonly string[]): Gate =>
  commandGate({ id, kind, argv, timeoutMs: 1_000, required: false });
const [lint, tests, coverage] = [command('lint', 'lint', 'make', 'lint'), command('tests', 'tests', 'make', 'test'), coverageGate(80)];
const green = ({ id, kind }: Gate, more: Partial<GateVerdict> = {}): GateVerdict => ({
  gate: id,
  kind,
  passed: true,
  excuse: null,
  summary: 'green',
  findings: [],
  command: kind === 'coverage' ? null : ['make'],
  exitCode: 0,
  counts: null,
  output: null,
  signature: null,
  durationMs: 5,
  cached: false,
  ...more,
});

describe.each(dialects)('verdicts in %s', (dialect) => {
  describe.skipIf(missing(dialect))('that are kept', () => {
    let database: TestDatabase;
    let store: Store;
    let parts: KeptVerdictsParts;
    const clock = new ManualClock(1_000);
    const { signal } = new AbortController();

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      parts = { store, clock, place: { env: { PATH: '/usr/bin' }, enclosure: undefined } };
      for (const id of ['one', 'two']) await insertWorkspaceOf(store, id);
    });
    afterEach(async () => {
      await store.close();
      await database.remove();
    });

    const at = (id: string, gates: readonly Gate[], tree = 'tree', more: Partial<KeptVerdictsParts> = {}) =>
      keptVerdicts({ ...parts, ...more }, { id } as Workspace, tree, gates, signal);
    const known = async (...asked: Parameters<typeof at>) => (await at(...asked)).known.map(({ gate }) => gate).toSorted();
    const keep = async (gates: readonly Gate[], ...verdicts: readonly GateVerdict[]): Promise<void> => {
      const kept = await at('one', gates);
      for (const verdict of verdicts) await kept.keep(verdict);
    };

    test('hold for the same files of the same workspace, the same definition and the same tools', async () => {
      await keep([lint], green(lint));
      expect(await known('one', [lint])).toEqual(['lint']);
      expect(await known('two', [lint])).toEqual([]);
      expect(await known('one', [lint], 'another tree')).toEqual([]);
      expect(await known('one', [command('lint', 'lint', 'make', 'all')])).toEqual([]);
      expect(await known('one', [lint], 'tree', { place: { env: { PATH: '/opt/bin' }, enclosure: undefined } })).toEqual([]);
    });

    test('are not those that were red, flaky, excused, or known before', async () => {
      for (const not of [{ passed: false }, { excuse: 'flaky' }, { excuse: 'red-before' }, { cached: true }] as const) {
        await keep([lint], green(lint, not));
      }
      expect(await known('one', [lint])).toEqual([]);
    });

    test('of tests hold only with what was measured by them, red or not', async () => {
      const gates = [lint, tests, coverage];
      await keep(gates, green(lint), green(tests));
      expect(await known('one', gates)).toEqual(['lint']);
      await keep(gates, green(coverage, { passed: false }));
      expect(await known('one', gates)).toEqual(['coverage', 'lint', 'tests']);
      expect(await known('one', [lint, tests])).toEqual(['lint', 'tests']);
    });

    test('are bounded, and go with their workspace', async () => {
      for (let index = 0; index <= mostKept; index++) {
        clock.advance(1);
        await (await at('one', [lint], `tree-${index}`)).keep(green(lint));
      }
      expect(await known('one', [lint], 'tree-0')).toEqual([]);
      expect(await known('one', [lint], 'tree-1')).toEqual(['lint']);
      await store.write((tx) => markRemoved(tx, 'one', clock.now()));
      expect(await verdictsKept(store.read, { workspaceId: 'one', tree: 'tree-1' })).toEqual([]);
    });
  });
});

const now = 1_767_225_600_000;

/** With all that a row of a workspace stands on. */
async function insertWorkspaceOf(store: Store, id: string): Promise<void> {
  const [taskId, runId] = [`tsk_${id}`, `run_${id}`];
  const task = { id: taskId, source: 'test', title: 't', priority: 'medium', status: 'running', requested_by: 'test', trust: 'owner' };
  const counts = { attempts: 0, max_attempts: 3, losses: 0, waiting_for: 0, rank: 1 };
  const run = { id: runId, task_id: taskId, node_id: 'nod_1', attempt: 1, status: 'running', started_at: now };
  await store.write(async (tx) => {
    await tx.db
      .insertInto('tasks')
      .values({ ...task, ...counts, created_at: now, updated_at: now } as never)
      .execute();
    await tx.db
      .insertInto('runs')
      .values(run as never)
      .execute();
    await insertWorkspace(tx, {
      id,
      taskId,
      runId,
      nodeId: 'nod_1',
      status: 'active',
      repository: 'https://example.org/a/b',
      ref: 'main',
      branch: `nightshift/${id}`,
      baseCommit: 'a'.repeat(40),
      tip: 'a'.repeat(40),
      path: '/home/workspaces/x',
      gitDir: '/home/mirrors/x.git',
      createdAt: now,
      completedAt: null,
      cleanupAt: null,
      removedAt: null,
    });
  });
}
