import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask, figure, missingPromtool } from '../../../test/support/prometheus.ts';
import { type Api, startTestServer, type TestServer } from '../../../test/support/server.ts';
import { until } from '../../../test/support/server-process.ts';
import { createDatabase, type TestDatabase } from '../../../test/support/stores.ts';
import { boundedLabel } from './family.ts';

let database: TestDatabase;
let server: TestServer;
let api: Api;

beforeAll(async () => {
  database = await createDatabase('sqlite');
  server = await startTestServer(database);
  ({ api } = server);
});

afterAll(async () => {
  await server?.running.stop();
  await database?.remove();
});

const scrape = async (): Promise<string> => (await api.call<string>('GET', '/metrics')).body;

/** Counts are a moment behind what they count. */
const scrapeUntil = (name: string, value: number): Promise<string> =>
  until(`${name} to be ${value}`, async () => {
    const text = await scrape();
    return figure(text, name) === value && text;
  });

test('every name that dashboards of other agent servers know is there from the first scrape', async () => {
  const text = await scrape();
  for (const name of [
    'agent_tasks_executed_total',
    'agent_task_duration_seconds',
    'agent_queue_depth',
    'agent_tool_executions_total',
    'agent_tool_duration_seconds',
    'agent_llm_requests_total',
    'agent_llm_tokens_total',
    'agent_memory_bytes',
    'agent_workspace_bytes',
    'tasks_executed_total',
    'tasks_failed_total',
    'llm_calls_total',
    'current_tasks_in_progress',
    'task_execution_duration_seconds',
    'cost_total_per_model_usd',
    'daily_cost_remaining_usd',
    'nodejs_eventloop_lag_seconds',
  ]) {
    expect(text).toContain(`# TYPE ${name} `);
  }
});

test('tasks are counted by how they ended, with their durations, once each', async () => {
  const good = await api.submit({ title: 'good', body: 'true', verify: ['true'] });
  const bad = await api.submit({ title: 'bad', body: 'false' });
  await api.becomes(good.id, 'succeeded');
  await api.becomes(bad.id, 'failed');
  const text = await scrapeUntil('task_execution_duration_seconds_count', 2);
  expect(figure(text, 'agent_tasks_executed_total', 'status="succeeded",source="api"')).toBe(1);
  expect(figure(text, 'agent_tasks_executed_total', 'status="failed",source="api"')).toBe(1);
  expect(figure(text, 'tasks_executed_total')).toBe(1);
  expect(figure(text, 'tasks_failed_total')).toBe(1);
  expect(figure(text, 'agent_task_duration_seconds_count', 'task_type="run"')).toBe(2);
  expect(figure(text, 'nightshift_gate_results_total', 'gate="task",verdict="green"')).toBe(1);
  expect(figure(text, 'nightshift_gate_duration_seconds_count', 'gate="task"')).toBe(1);
  expect(figure(text, 'nightshift_rounds_per_run_count', 'decision="finish"')).toBe(1);
});

test('what is under way and what waits for a person is told', async () => {
  const long = await api.submit({ title: 'long', body: 'sleep 60' });
  await api.becomes(long.id, 'running');
  await api.submit({ title: 'asks first', body: 'true', needsApproval: true });
  const text = await scrapeUntil('current_tasks_in_progress', 1);
  expect(figure(text, 'agent_runs_active')).toBe(1);
  expect(figure(text, 'agent_tasks_needing_person', 'status="awaiting-approval"')).toBe(1);
  expect(figure(text, 'agent_longest_run_seconds')).toBeGreaterThan(0);
  await api.call('POST', `/api/tasks/${long.id}/cancel`);
  await api.becomes(long.id, 'cancelled');
});

test.skipIf(missingPromtool)('promtool finds nothing wrong with them', async () => {
  expect(ask('promtool', ['check', 'metrics'], await scrape())).toEqual({ ok: true, says: '' });
});

test('however many names come from outside, their labels stay few', () => {
  const labelOf = boundedLabel(2);
  expect(['a', 'b', 'c', 'a', null, ''].map(labelOf)).toEqual(['a', 'b', 'other', 'a', 'unknown', 'unknown']);
});
