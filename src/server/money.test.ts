import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, startTestServer, type TestServer } from '../../test/support/server.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import { utcDay } from '../domain/budget.ts';
import type { LedgerEntry } from '../domain/spending.ts';
import { beginning, readAfter } from '../store/journal.ts';
import { book } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';

interface Budget {
  readonly scope: string;
  readonly limit: number | null;
}
interface Item {
  readonly key: string;
  readonly calls: number;
  readonly costUsd: number;
}

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`over the API on ${dialect}`, () => {
    let database: TestDatabase;
    let server: TestServer;
    let store: Store;
    let api: Api;

    beforeAll(async () => {
      database = await createDatabase(dialect);
      server = await startTestServer(database, { dailyBudgetUsd: '12.5' });
      store = await database.open();
      ({ api } = server);
    });

    afterAll(async () => {
      await store?.close();
      await server?.running.stop();
      await database?.remove();
    });

    const budgets = async (): Promise<Record<string, number | null>> =>
      Object.fromEntries((await api.call<{ items: Budget[] }>('GET', '/api/budgets')).body.items.map(({ scope, limit }) => [scope, limit]));

    test('budgets are those of the settings, until the owner sets others', async () => {
      expect(await budgets()).toEqual({ day: 12.5, ceiling: 200, proactive: 7_000_000, run: 5, conversation: 100_000 });
      await api.call('PUT', '/api/budgets/day', { body: { limit: 30 } });
      await api.call('PUT', '/api/budgets/run', { body: { limit: null } });
      await api.call('PUT', '/api/budgets/day', { body: { limit: 30 } });
      expect(await budgets()).toMatchObject({ day: 30, run: null });
      const changes = (await readAfter(store, beginning, 1_000)).filter(({ type }) => type === 'budget.changed');
      expect(changes.map(({ data }) => data)).toEqual([
        { scope: 'day', from: 12.5, to: 30, by: 'owner' },
        { scope: 'run', from: 5, to: null, by: 'owner' },
      ]);
    });

    test.each([
      ['nothing', { limit: 1 }, 404, 'no-such-budget'],
      ['ceiling', { limit: null }, 422, 'ceiling-needed'],
      ['proactive', { limit: 1.5 }, 422, 'not-whole'],
      ['day', { limit: 2_000_000 }, 422, 'limit-too-high'],
      ['day', { limit: -1 }, 400, 'invalid'],
      ['day', { limit: '20' }, 400, 'invalid'],
      ['day', {}, 400, 'invalid'],
    ])('a budget %s of %j is refused', async (scope, body, status, code) => {
      const before = await budgets();
      const refusal = await api.refusal('PUT', `/api/budgets/${scope}`, { body });
      expect(refusal.status).toBe(status);
      if (status !== 400) expect(refusal.code).toBe(code);
      expect(await budgets()).toEqual(before);
    });

    test("a task's budget can be changed in any state, but not be nothing", async () => {
      const task = await api.submit({ title: 'x', budgetUsd: 2 });
      await api.becomes(task.id, 'succeeded');
      expect((await api.call('PATCH', `/api/tasks/${task.id}`, { body: { budgetUsd: 3 } })).body).toMatchObject({ budgetUsd: 3 });
      expect((await api.call('PATCH', `/api/tasks/${task.id}`, { body: { budgetUsd: null } })).body).toMatchObject({ budgetUsd: null });
      for (const body of [{ budgetUsd: 0 }, { budgetUsd: 3, priority: 'high' }, {}])
        expect(await api.refusal('PATCH', `/api/tasks/${task.id}`, { body })).toMatchObject({ status: 400 });
    });

    test('usage adds up by whatever is asked for', async () => {
      const today = utcDay(Date.now());
      let count = 0;
      const entry = (more: Partial<LedgerEntry>): LedgerEntry => ({
        id: `cal_${count++}`,
        at: Date.now(),
        nodeId: 'nod_1',
        runId: 'run_1',
        taskId: 'tsk_a',
        conversationId: null,
        kind: 'task',
        provider: 'claude',
        model: 'claude-sonnet-4-5',
        keyId: 'k1',
        inputTokens: 1,
        outputTokens: 2,
        cacheReadTokens: 3,
        cacheWriteTokens: 4,
        costMicroUsd: 10,
        firstByteMs: 1,
        latencyMs: 2,
        status: 200,
        end: 'complete',
        estimated: false,
        ...more,
      });
      const entries = [
        entry({ at: Date.parse('2026-01-31T23:59:59.999Z') }),
        entry({ at: Date.parse('2026-02-01T00:00:00Z'), taskId: 'tsk_b', model: 'claude-opus-5', costMicroUsd: 500_000 }),
        entry({
          at: Date.parse('2026-02-01T12:00:00Z'),
          end: 'refused',
          status: 529,
          provider: null,
          model: null,
          keyId: null,
          costMicroUsd: 0,
        }),
        entry({ at: Date.parse('2026-02-02T12:00:00Z'), kind: 'reactive', taskId: null, keyId: 'k2' }),
      ];
      for (const each of entries) await store.write((tx) => book(tx, [{ entry: each, reservation: undefined }]));
      const usage = async (query: string): Promise<{ items: Item[]; total: Item & { failedCalls: number } }> =>
        (await api.call<{ items: Item[]; total: Item & { failedCalls: number } }>('GET', `/api/usage?${query}`)).body;
      const range = 'from=2026-01-31&to=2026-02-02';
      const by = async (what: string): Promise<unknown> =>
        (await usage(`${range}&by=${what}`)).items.map(({ key, calls, costUsd }) => [key, calls, costUsd]);
      expect(await by('day')).toEqual([
        ['2026-01-31', 1, 0.00001],
        ['2026-02-01', 2, 0.5],
        ['2026-02-02', 1, 0.00001],
      ]);
      expect(await by('task')).toEqual([
        ['tsk_b', 1, 0.5],
        ['tsk_a', 2, 0.00001],
      ]);
      expect(await by('model')).toEqual([
        ['claude-opus-5', 1, 0.5],
        ['claude-sonnet-4-5', 2, 0.00002],
        ['', 1, 0],
      ]);
      expect(await by('kind')).toEqual([
        ['task', 3, 0.50001],
        ['reactive', 1, 0.00001],
      ]);
      expect(await by('key')).toEqual([
        ['k1', 2, 0.50001],
        ['k2', 1, 0.00001],
        ['', 1, 0],
      ]);
      expect((await usage(range)).total).toMatchObject({ calls: 4, failedCalls: 1, costUsd: 0.50002 });
      expect((await usage('to=2026-02-01&from=2026-02-01')).total).toMatchObject({ calls: 2 });
      const { body: summary } = await api.call<{ text: string }>('GET', '/api/usage/summary?day=2026-02-01');
      expect(summary.text).toContain('2026-02-01: $0.50');
      expect(summary.text).toContain('2 model calls, 1 of them failed');
      expect((await api.call<{ text: string }>('GET', '/api/usage/summary')).body.text).toBe(`${today}: no model calls.`);
    });

    test.each(['from=2026-02-02&to=2026-02-01', 'from=2024-01-01&to=2026-01-01', 'from=yesterday', 'by=colour', 'limit=5'])(
      'usage asked for with %s is refused',
      async (query) => {
        expect([400, 422]).toContain((await api.refusal('GET', `/api/usage?${query}`)).status);
      },
    );
  });
}
