import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { UsageView } from '../../src/server/views.ts';
import { type ModelUpstream, startUpstream } from '../support/model-upstream.ts';
import { Api, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';

let place: string;
let temporary: string;
let home: string;
let server: ServerProcess | undefined;
let upstream: ModelUpstream;

async function begin(env: Readonly<Record<string, string>> = {}): Promise<Api> {
  server = spawnServer(home, { NIGHTSHIFT_TOKEN: testToken, TMPDIR: temporary, NIGHTSHIFT_DRAIN_SECONDS: '0', ...env });
  return new Api(await server.address, testToken);
}

beforeEach(async () => {
  place = mkdtempSync(join(tmpdir(), 'nightshift-here-'));
  [temporary, home] = [join(place, 'tmp'), join(place, 'home')];
  for (const directory of [temporary, home]) mkdirSync(directory);
  upstream = await startUpstream();
});
afterEach(async () => {
  if (server?.child.exitCode === null && server.child.signalCode === null) {
    server.child.kill('SIGTERM');
    expect((await server.exited).code, server.output()).toBe(0);
  }
  await upstream.close();
  rmSync(place, { recursive: true, force: true });
});

interface Begun {
  readonly taskId: string;
}
const demosLeft = (): readonly string[] => readdirSync(temporary).filter((name) => name.startsWith('nightshift-demo-'));
const mirrorsLeft = (): readonly string[] => readdirSync(join(home, 'mirrors')).filter((name) => name.endsWith('.git'));

async function expectCleanedUp(api: Api): Promise<void> {
  await until('the files of the demo to be gone', () => demosLeft().length === 0);
  expect(mirrorsLeft()).toEqual([]);
  expect((await api.call<{ items: unknown[] }>('GET', '/api/workspaces')).body.items).toEqual([]);
}

describe('the demo on a server that has a provider', () => {
  test('asks the script alone, spends nothing, and leaves only its record', async () => {
    const paying = { LLM_PROVIDER: 'claude', LLM_API_KEY: 'sk-ant-a-key-for-tests', LLM_BASE_URL: upstream.url };
    const api = await begin({ ...paying, DAILY_BUDGET_USD: '0.01' });
    const first = await api.call<Begun>('POST', '/api/demo');
    expect(first.status).toBe(201);
    const second = await api.call<Begun>('POST', '/api/demo');
    expect(second).toMatchObject({ status: 200, body: first.body });
    const task = await api.becomes(first.body.taskId, 'succeeded', 'failed', 'escalated', 'over-budget');
    expect(task, JSON.stringify(task.reason)).toMatchObject({ status: 'succeeded', source: 'demo' });
    const run = await api.run(task.runs[0]?.id ?? '');
    expect(run).toMatchObject({ costUsd: 0, delivery: null, tests: { passed: true }, filesChanged: [{ path: 'src/rota.js' }] });
    await expectCleanedUp(api);
    expect((await api.run(run.id)).diff).toContain('over midnight');
    expect((await api.call<UsageView>('GET', '/api/usage')).body).toMatchObject({ total: { calls: 0, costUsd: 0 } });
    expect(upstream.seen.filter(({ url }) => url.includes('/messages'))).toEqual([]);
    expect((await api.call<{ items: unknown[] }>('GET', '/api/notes')).body.items).toEqual([]);
  });
});

describe('the demo on a server that has no provider', () => {
  test('works, while agents with work of their own still wait for one', async () => {
    const api = await begin();
    const { body } = await api.call<Begun>('POST', '/api/demo');
    const real = await api.submit({ title: 'Think of something', engine: 'claude' });
    expect(await api.becomes(body.taskId, 'succeeded', 'failed', 'escalated')).toMatchObject({ status: 'succeeded' });
    expect(await api.becomes(real.id, 'escalated')).toMatchObject({ reason: { code: 'no-model' } });
    await expectCleanedUp(api);
  });

  test('goes on after the server was killed, and is cleaned up then', async () => {
    const api = await begin();
    const { body } = await api.call<Begun>('POST', '/api/demo');
    await api.becomes(body.taskId, 'running');
    server?.child.kill('SIGKILL');
    await server?.exited;
    const again = await begin();
    expect(await again.becomes(body.taskId, 'succeeded', 'failed', 'escalated')).toMatchObject({ status: 'succeeded' });
    await expectCleanedUp(again);
  });

  test('is not begun many times a minute', async () => {
    const api = await begin();
    await api.call('POST', '/api/queue/pause');
    for (let each = 0; each < 6; each += 1) expect((await api.call('POST', '/api/demo')).status).toBe(each === 0 ? 201 : 200);
    const refused = await api.call('POST', '/api/demo');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(demosLeft()).toHaveLength(1);
  });
});
