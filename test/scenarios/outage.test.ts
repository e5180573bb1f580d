import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../support/clock.ts';
import { EventStream } from '../support/event-stream.ts';
import { type ModelUpstream, refuses, says, startUpstream } from '../support/model-upstream.ts';
import { type ApiTask, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';

const key = 'sk-ant-the-operators-own-key';
const minute = 60_000;

interface Providers {
  readonly providers: readonly { readonly name: string; readonly keys: readonly { readonly id: string; readonly state: string }[] }[];
  readonly breakers: readonly { readonly id: string; readonly state: string; readonly until: string | null }[];
  readonly waiting: readonly { readonly runId: string; readonly calls: number }[];
}

let database: TestDatabase;
let upstream: ModelUpstream;
let server: TestServer;
let clock: ManualClock;

beforeEach(async () => {
  database = await createDatabase('sqlite');
  upstream = await startUpstream(refuses(529, `Overloaded, said to ${key}`));
  clock = new ManualClock(Date.now());
  server = await startTestServer(
    database,
    { llmProvider: 'claude', llmApiKey: key, llmBaseUrl: upstream.url, engine: 'claude', sandbox: 'off', runTimeoutSeconds: '1800' },
    clock,
  );
});

afterEach(async () => {
  await server?.running.stop();
  await upstream?.close();
  await database?.remove();
});

const providers = async (): Promise<Providers> => (await server.api.call<Providers>('GET', '/api/providers')).body;

/** The task when it is over; time passes meanwhile, a second for each moment. */
async function ending(id: string): Promise<ApiTask> {
  let over = false;
  const ended = server.api.becomes(id, 'succeeded', 'failed', 'delayed', 'escalated').finally(() => {
    over = true;
  });
  while (!over) {
    clock.advance(1_000);
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }
  return ended;
}

/** The real agent engine; only its provider is a stand-in, and only the server's clock is moved. */
test('a run survives an outage of an hour of its provider, which is longer than a run may take', async () => {
  const { api } = server;
  const { id } = await api.submit({ title: 'Say hello', body: undefined, verify: ['true'] });
  await until('its first call to wait', async () => (await providers()).waiting.length > 0);
  const runId = (await api.task(id)).runs[0]?.id ?? '';

  const before = clock.monotonic();
  while (clock.monotonic() - before < 61 * minute) {
    clock.advance(5_000);
    await new Promise<void>((resolve) => setImmediate(resolve));
    await server.api.call('GET', '/api/queue'); // the server gets on with what the time that passed brought up
  }
  const state = await providers();
  expect(state.breakers.find(({ state: each }) => each !== 'closed')).toBeDefined();
  expect(state.waiting).toEqual([{ runId, calls: expect.any(Number) }]);
  expect((await api.task(id)).status).toBe('running');

  upstream.behaves(says('Hello, at last.'));
  expect(await ending(id)).toMatchObject({ status: 'succeeded', attempts: 1 });

  const stream = await EventStream.open(api, `/api/runs/${runId}/events`);
  await stream.over;
  const told = (type: string) => stream.events.filter((event) => event.type === type).map(({ data }) => data);
  expect(told('run.model')).toEqual([{ tier: 'standard', model: 'claude-sonnet-5-5', reason: expect.stringMatching(/./) }]);
  expect(told('run.waiting')[0]).toMatchObject({ reason: 'unavailable', provider: 'claude' });
  expect(told('run.retry')).toEqual([]); // the agent noticed nothing
  expect(told('run.finished')).toMatchObject([{ status: 'succeeded' }]);
  expect([...server.logged, JSON.stringify(stream.events), JSON.stringify(await providers())].join('\n')).not.toContain(key);
});

test('a breaker is closed by hand over the API', async () => {
  const { api } = server;
  const { id: taskId } = await api.submit({ title: 'Say hello', body: undefined, verify: ['true'] });
  await until('the breaker to open', async () => {
    clock.advance(500);
    return (await providers()).breakers.some(({ state }) => state === 'open');
  });
  const { breakers, providers: chain } = await providers();
  expect(chain).toEqual([{ name: 'claude', keys: [{ id: expect.stringMatching(/^claude:[0-9a-f]{8}$/), state: 'ok', until: null }] }]);
  const open = breakers.find(({ state }) => state === 'open');
  expect(open?.until).toMatch(/^\d{4}-/);
  expect(await api.refusal('POST', '/api/providers/breakers/claude:nothing/reset')).toMatchObject({ status: 404, code: 'no-such-breaker' });
  upstream.behaves(says('Hello.'));
  const { status, body } = await api.call<Providers>('POST', `/api/providers/breakers/${encodeURIComponent(open?.id ?? '')}/reset`);
  expect([status, body.breakers.find(({ id }) => id === open?.id)?.state]).toEqual([200, 'closed']);
  expect((await ending(taskId)).status).toBe('succeeded');
});

test('models are reached on the port of the server too, but not with the key of the owner', async () => {
  const { api } = server;
  for (const headers of [{}, { authorization: `Bearer ${api.token}` }, { 'x-api-key': api.token }] as Record<string, string>[]) {
    const answer = await fetch(`${api.address}/v1/messages`, { method: 'POST', headers, body: '{}' });
    expect([answer.status, await answer.json()]).toMatchObject([401, { type: 'error', error: { type: 'authentication_error' } }]);
  }
  // The server itself looks now and then whether its provider is there.
  expect(upstream.seen.filter(({ url }) => url !== '/v1/models?limit=1')).toEqual([]);
});
