import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';
import type { Budget, Task, Trends, Usage } from './api.ts';
import { amount } from './wording.ts';

let desk: Desk;
beforeAll(async () => {
  desk = new Desk();
  await desk.startServer({ engine: 'command' });
});
afterAll(() => desk.remove());

describe('budget', () => {
  test('shows what may be spent and what has been', async () => {
    const { items } = await desk.json<{ items: readonly Budget[] }>('budget');
    expect(items.map(({ scope, limit, spent }) => [scope, limit, spent])).toEqual([
      ['day', 20, 0],
      ['ceiling', 200, 0],
      ['proactive', 7_000_000, 0],
      ['run', 5, null],
      ['conversation', 100_000, null],
    ]);
    expect((await desk.call(['budget', 'show'])).out).toContain('day\t$20.00\t$0.00\t$0.00\t$20.00\t');
  });

  test('sets one, takes one away, and sets that of a task', async () => {
    expect((await desk.call(['budget', 'set', 'day', '30'])).out).toContain('day\t$30.00\t');
    expect((await desk.call(['budget', 'set', 'run', 'none'])).out).toContain('run\tnone\t');
    const task = await desk.json<Task>('new', 'cheap', '--body', 'true');
    expect(await desk.json<Task>('budget', 'set', task.id, '7.50')).toMatchObject({ id: task.id, budgetUsd: 7.5 });
  });

  test.each([
    [['day', 'much'], 2],
    [['week', '3'], 2],
    [['ceiling', 'none'], 5],
  ])('set %j is refused', async (words, code) => {
    expect(await desk.call(['budget', 'set', ...words])).toMatchObject({ code, out: '' });
  });
});

test('usage shows what there was, which is nothing yet', async () => {
  expect(await desk.json<Usage>('usage', '--by', 'model')).toMatchObject({ by: 'model', items: [], total: { calls: 0, costUsd: 0 } });
  expect((await desk.call(['usage', '--summary', '--to', '2026-02-01'])).out).toBe('2026-02-01: no model calls.\n');
});

test('trends show how tasks ended, week by week, day by day and by source', async () => {
  expect((await desk.json<Trends>('trends')).weeks).toHaveLength(12);
  const { out } = await desk.call(['trends', '--by', 'day', '--from', '2026-02-01', '--to', '2026-02-02']);
  expect(out).toBe('2026-02-01\t0\t0\t0\n2026-02-02\t0\t0\t0\n');
  expect((await desk.call(['trends', '--from', '2026-02-02', '--to', '2026-02-08'])).out).toBe('2026-02-02\t0\t0\t-\n');
  expect((await desk.call(['trends', '--by', 'gates'])).out).toBe('');
  expect(await desk.call(['trends', '--repository', 'x'])).toMatchObject({ code: 2 });
});

test('amounts are as exact as they need to be', () => {
  expect([0, 0.0042, 7.5, 1_234.567].map((value) => amount('usd', value))).toEqual(['$0.00', '$0.0042', '$7.50', '$1234.57']);
  expect([0, 9_999, 43_210, 7_000_000].map((value) => amount('tokens', value))).toEqual(['0', '9999', '43k', '7.0M']);
});
