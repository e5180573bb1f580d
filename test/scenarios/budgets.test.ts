import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventStream } from '../support/event-stream.ts';
import { git, write } from '../support/git-world.ts';
import { Api, type ApiRun, type ApiTask, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';

interface Budgets {
  readonly items: readonly {
    readonly scope: string;
    readonly limit: number | null;
    readonly spent: number | null;
    readonly reserved: number | null;
  }[];
}
interface Usage {
  readonly items: readonly { readonly key: string; readonly calls: number; readonly costUsd: number }[];
  readonly total: { readonly calls: number; readonly costUsd: number };
}

const writes = (file: string, content: string): object => ({ tool: 'Write', input: { file_path: `{{cwd}}/${file}`, content } });

/** At the list price of its model the first answer of the dear ones costs 90 cents. */
const script = {
  name: 'budgets',
  turns: [
    {
      when: { first: true, prompt: 'dear' },
      say: 'I begin.',
      call: writes('half.txt', 'half\n'),
      usage: { input: 10, output: 60_000, cacheRead: 0, cacheWrite: 0 },
    },
    { when: { prompt: 'dear', tool: 'Bash' }, say: 'Done after all.' },
    {
      when: { prompt: 'dear', said: 'interrupted' },
      say: 'I go on.',
      call: { tool: 'Bash', input: { command: 'echo whole > whole.txt', description: 'Write the other half' } },
    },
    { when: { prompt: 'dear', tool: 'Write' }, say: 'Done at once.' },
    { when: { first: true, prompt: 'hanging' }, say: 'Never.', fail: { hang: true } },
    {
      when: { first: true, prompt: 'delegate' },
      say: 'Somebody else shall do it.',
      call: { tool: 'Agent', input: { description: 'Look around', prompt: 'Subordinate: look.', subagent_type: 'general-purpose' } },
    },
    { when: { first: true, prompt: 'Subordinate' }, say: 'I have looked.' },
    { when: { prompt: 'delegate', tool: 'Agent' }, say: 'I write it down.', call: writes('seen.txt', 'seen\n') },
    { say: 'That is all.' },
  ],
};

/** The real server in a process of its own, with the real agent engine. Only the model follows a script. */
describe('the money of a run', () => {
  let root: string;
  let home: string;
  let repository: string;
  let server: ServerProcess;
  let api: Api;

  const begin = async (): Promise<void> => {
    server = spawnServer(home, {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      LLM_MODEL: 'claude-sonnet-4-5',
      NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
      NIGHTSHIFT_DRAIN_SECONDS: '0',
      DAILY_BUDGET_USD: '30',
    });
    api = new Api(await server.address, testToken);
  };

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-budgets-'));
    [home, repository] = [join(root, 'home'), join(root, 'repository')];
    for (const directory of [home, repository]) mkdirSync(directory);
    writeFileSync(join(root, 'script.json'), JSON.stringify(script));
    git(repository, 'init', '--quiet', '--initial-branch=main');
    write(repository, { 'README.md': '# Sample\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
    await begin();
  });

  afterAll(async () => {
    server.child.kill('SIGTERM');
    await server.exited;
    rmSync(root, { recursive: true, force: true });
  });

  const submit = (title: string, more: object = {}): Promise<ApiTask> =>
    api.submit({ title, body: undefined, repository, verify: ['true'], ...more });
  const runOf = async (id: string, index = 0): Promise<ApiRun> => api.run((await api.task(id)).runs[index]?.id ?? '');
  const budget = async (scope: string): Promise<Budgets['items'][number] | undefined> =>
    (await api.call<Budgets>('GET', '/api/budgets')).body.items.find((each) => each.scope === scope);

  test('ends it over budget with its work kept, and it goes on in the same session when there is more', async () => {
    const task = await submit('dear work', { budgetUsd: 1 });
    expect(await api.becomes(task.id, 'over-budget', 'failed', 'delayed', 'succeeded')).toMatchObject({
      status: 'over-budget',
      reason: { code: 'task-budget', message: expect.stringContaining('Raise it') },
    });
    const first = await runOf(task.id);
    expect(first).toMatchObject({ status: 'over-budget', costUsd: 0.90003, diff: expect.stringContaining('+half'), commits: [] });
    expect(first.tokens).toMatchObject({ inputTokens: 10, outputTokens: 60_000 });

    const raised = await api.call<ApiTask>('PATCH', `/api/tasks/${task.id}`, { body: { budgetUsd: 10 } });
    expect(raised).toMatchObject({ status: 200, body: { budgetUsd: 10, status: 'over-budget' } });
    await api.call('POST', `/api/tasks/${task.id}/retry`);
    expect(await api.becomes(task.id, 'over-budget', 'failed', 'delayed', 'succeeded')).toMatchObject({ status: 'succeeded' });
    const second = await runOf(task.id, 1);
    expect(second).toMatchObject({ status: 'succeeded', sessionId: first.sessionId });
    expect(second.filesChanged.map(({ path }) => path)).toEqual(['half.txt', 'whole.txt']);
    const stream = await EventStream.open(api, `/api/events?task=${task.id}`);
    await stream.seen(
      'the change of the budget',
      ({ type, data }) => type === 'task.budget' && data['to'] === 10 && data['by'] === 'owner',
    );
    await stream.leave();
  });

  test('counts what its subagents ask as well', async () => {
    const task = await submit('delegate it');
    await api.becomes(task.id, 'succeeded', 'failed', 'delayed', 'over-budget');
    const { body: usage } = await api.call<Usage>('GET', '/api/usage?by=task');
    // Two turns before and after the subordinate's own, and its own.
    const mine = usage.items.find(({ key }) => key === task.id);
    expect(mine?.calls).toBeGreaterThanOrEqual(4);
    expect(mine?.costUsd).toBeCloseTo((await runOf(task.id)).costUsd, 6);
  });

  test('stops at the budget of the day for everybody; the task goes on by itself when that begins anew', async () => {
    const { body } = await api.call<Budgets>('PUT', '/api/budgets/day', { body: { limit: 0 } });
    expect(body.items.find(({ scope }) => scope === 'day')).toMatchObject({ limit: 0 });
    const task = await submit('dear work again');
    const delayed = await api.becomes(task.id, 'delayed', 'over-budget', 'failed', 'succeeded');
    expect(delayed).toMatchObject({ status: 'delayed', attempts: 0, reason: { code: 'day-budget' } });
    expect(delayed.notBefore).toMatch(/T00:00:00/);
    expect(await runOf(task.id)).toMatchObject({ status: 'over-budget' });
    await api.call('PUT', '/api/budgets/day', { body: { limit: 50 } });
    await api.call('POST', `/api/tasks/${task.id}/retry`);
    expect(await api.becomes(task.id, 'succeeded', 'over-budget', 'failed')).toMatchObject({ status: 'succeeded' });
    const metrics = (await api.call<string>('GET', '/metrics')).body;
    expect(metrics).toMatch(/agent_llm_requests_total\{provider="rehearsal",model="claude-sonnet-4-5",status="success"\} [1-9]/);
    expect(metrics).toMatch(/agent_llm_tokens_total\{provider="rehearsal",model="claude-sonnet-4-5",type="output"\} [1-9]/);
    expect(metrics).toMatch(/\nllm_calls_total [1-9]/);
    expect(metrics).toMatch(/cost_total_per_model_usd\{model="claude-sonnet-4-5"\} [0-9.]+/);
    expect(metrics).toMatch(/\ndaily_cost_remaining_usd 4\d\./);
    expect(metrics).toMatch(/\nagent_budget_reservations 0\n/);
    expect(metrics).toMatch(/\nagent_llm_breaker_state\{provider="rehearsal",model="claude-sonnet-4-5"\} 0\n/);
    expect(metrics).toMatch(/\nagent_llm_calls_waiting 0\n/);
  });

  test('is known after a SIGKILL in the middle of a call: booked at the most that it can have cost', async () => {
    const before = (await budget('day'))?.spent ?? 0;
    const task = await submit('hanging call');
    await until('the call to be under way', async () => ((await budget('day'))?.reserved ?? 0) > 0);
    const held = (await budget('day'))?.reserved ?? 0;
    server.child.kill('SIGKILL');
    await server.exited;
    await begin();
    await api.call('POST', `/api/tasks/${task.id}/cancel`);
    await api.becomes(task.id, 'cancelled');
    const lost = await runOf(task.id);
    expect(lost).toMatchObject({ status: 'lost' });
    expect(lost.costUsd).toBeCloseTo(held, 6);
    expect((await budget('day'))?.spent).toBeGreaterThanOrEqual(before + held - 1e-6);
  });
});
