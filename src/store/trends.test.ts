import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import type { GateVerdict } from '../domain/gate.ts';
import type { LedgerEntry } from '../domain/spending.ts';
import { weeksBetween } from '../domain/trend.ts';
import { book, spendingOfRun } from './ledger.ts';
import { trends } from './migrations/023-trends.ts';
import { insertRound } from './rounds.ts';
import { insertRuns } from './runs.ts';
import type { Store } from './store.ts';
import { countGates, endsByDay, endsBySource, gatedRepositories, gatesBetween } from './trends.ts';

const verdict = (more: Partial<GateVerdict>): GateVerdict => ({
  gate: 'tests',
  kind: 'tests',
  passed: true,
  excuse: null,
  summary: '',
  findings: [],
  command: null,
  exitCode: null,
  counts: null,
  output: null,
  signature: null,
  durationMs: 1,
  cached: false,
  ...more,
});
const finding = { path: 'a.js', line: 1, text: 'is too long' };
const shop = 'https://git.example/shop';
const day = Date.parse('2026-11-20T23:59:59.999Z');

const verdicts = [
  verdict({ passed: false, findings: [finding] }),
  verdict({ gate: 'lint', kind: 'lint', excuse: 'red-before' }),
  verdict({ gate: 'complexity', kind: 'complexity', findings: [finding, finding] }),
  verdict({ gate: 'coverage', kind: 'coverage', coverage: { covered: 30, measured: 40 } }),
];

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`trends on ${dialect}`, () => {
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

    /** One that ended, as if by an older version, which counted nothing. */
    async function ended(id: string, status: 'succeeded' | 'failed', closedAt: number): Promise<void> {
      await store.write(async ({ db }) => {
        await db
          .insertInto('tasks')
          .values({
            id,
            source: 'api',
            title: id,
            priority: 'medium',
            status,
            requested_by: 'owner',
            trust: 'owner',
            attempts: 1,
            max_attempts: 3,
            losses: 0,
            waiting_for: 0,
            rank: 0,
            created_at: 0,
            updated_at: 0,
            closed_at: closedAt,
          } as never)
          .execute();
      });
    }

    const run = (id: string, taskId: string) =>
      store.write((tx) =>
        insertRuns(tx, [
          {
            id,
            taskId,
            nodeId: 'nod_1',
            engine: 'claude',
            attempt: 1,
            status: 'succeeded',
            reason: null,
            summary: null,
            startedAt: day,
            finishedAt: day,
          },
        ]),
      );

    test('what the gates said is added up by day and repository, once a run is at its end', async () => {
      await ended('tsk_1', 'succeeded', day);
      await run('run_1', 'tsk_1');
      const round = { tree: null, verdicts, rule: null, at: day };
      await store.write(async (tx) => {
        await insertRound(tx, 'run_1', null, shop, { ...round, number: 1, decision: 'continue' });
        await insertRound(tx, 'run_1', null, shop, { ...round, number: 2, decision: 'stop', rule: 'round-limit' });
      });
      await store.write((tx) => countGates(tx, shop, [verdict({})], day + 1));
      await store.write((tx) => countGates(tx, 'https://git.example/other', [verdict({})], day));
      const one = { runs: 1, red: 0, red_before: 0, findings: 0, complex: 0, covered_lines: 0, measured_lines: 0 };
      const first = { runs: 1, red: 1, red_before: 1, findings: 3, complex: 2, covered_lines: 30, measured_lines: 40 };
      expect(await gatesBetween(store.read, '2026-11-20', '2026-11-21', shop)).toEqual([
        { day: '2026-11-20', ...first },
        { day: '2026-11-21', ...one },
      ]);
      expect(await gatesBetween(store.read, '2026-11-20', '2026-11-20', undefined)).toEqual([{ day: '2026-11-20', ...first, runs: 2 }]);
      expect(await gatedRepositories(store.read, '2026-11-01', '2026-11-30', 5)).toEqual([
        { repository: shop, runs: 2 },
        { repository: 'https://git.example/other', runs: 1 },
      ]);
    });

    test('a history from before there were trends is not lost', async () => {
      await ended('tsk_1', 'succeeded', day);
      await ended('tsk_2', 'succeeded', day + 1);
      await ended('tsk_3', 'succeeded', day + 2);
      await run('run_1', 'tsk_1');
      await store.write(async (tx) => {
        await insertRound(tx, 'run_1', null, null, { number: 1, tree: null, verdicts, decision: 'finish', rule: null, at: day });
        await tx.db.insertInto('events').values({ at: day, type: 'task.approved', task_id: 'tsk_3', run_id: null, data: '{}' }).execute();
        await tx.db
          .insertInto('workspaces')
          .values({
            id: 'wsp_1',
            task_id: 'tsk_1',
            run_id: 'run_1',
            node_id: 'nod_1',
            status: 'completed',
            repository: `${shop}.git`,
            ref: 'main',
            branch: 'b',
            base_commit: 'c',
            tip: 'c',
            path: '/p',
            git_dir: '/g',
            created_at: day,
            completed_at: day,
            cleanup_at: null,
            removed_at: null,
          })
          .execute();
        for (const table of ['ends_by_day', 'gates_by_day']) await sql`drop table ${sql.table(table)}`.execute(tx.db);
        await sql`alter table tasks drop column helped`.execute(tx.db);
      });
      await store.write(async (tx) => {
        for (const statement of trends.statements(dialect)) await sql.raw(statement).execute(tx.db);
      });
      const one = { status: 'succeeded', helped: false, tasks: 1 };
      expect(await endsByDay(store.read, '2026-11-20', '2026-11-21')).toEqual([
        { ...one, since: '2026-11-20' },
        { ...one, since: '2026-11-21' },
        { ...one, since: '2026-11-21', helped: true },
      ]);
      expect(await endsBySource(store.read, weeksBetween('2026-11-15', '2026-11-21'))).toEqual([
        { ...one, since: '2026-11-16', source: 'api', tasks: 2 },
        { ...one, since: '2026-11-16', source: 'api', helped: true },
      ]);
      expect(await gatesBetween(store.read, '2026-11-20', '2026-11-20', shop)).toEqual([
        { day: '2026-11-20', runs: 1, red: 1, red_before: 1, findings: 3, complex: 2, covered_lines: 0, measured_lines: 0 },
      ]);
    });

    test('the calls of a run are told in order, those of a while together when there are many', async () => {
      const calls = Array.from({ length: 1_000 }, (_, i) => ({
        reservation: undefined,
        entry: {
          id: `cal_${i}`,
          at: day + i * 10,
          nodeId: 'nod_1',
          runId: 'run_1',
          taskId: null,
          conversationId: null,
          kind: 'task',
          provider: null,
          model: null,
          keyId: null,
          inputTokens: 1,
          outputTokens: 2,
          cacheReadTokens: 3,
          cacheWriteTokens: 4,
          costMicroUsd: 10,
          firstByteMs: null,
          latencyMs: null,
          status: null,
          end: 'complete',
          estimated: false,
        } as LedgerEntry,
      }));
      await store.write((tx) => book(tx, calls.slice(0, 3)));
      expect(await spendingOfRun(store.read, 'run_1', 5)).toEqual(
        [0, 10, 20].map((after) => ({ at: day + after, calls: 1, inputTokens: 8, outputTokens: 2, costMicroUsd: 10 })),
      );
      await store.write((tx) => book(tx, calls.slice(3)));
      const together = await spendingOfRun(store.read, 'run_1', 100);
      expect(together.length).toBeLessThanOrEqual(100);
      expect(together.reduce((sum, { costMicroUsd }) => sum + costMicroUsd, 0)).toBe(10_000);
      expect(together.map(({ at }) => at)).toEqual(together.map(({ at }) => at).sort((a, b) => a - b));
      expect(await spendingOfRun(store.read, 'run_2', 100)).toEqual([]);
    });
  });
}
