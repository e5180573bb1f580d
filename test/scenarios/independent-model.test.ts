import { LLMock } from '@copilotkit/aimock';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { chooseProviders } from '../../src/gateway/choose-providers.ts';
import { createCredentials } from '../../src/gateway/credentials.ts';
import { createGateway, type ModelCall } from '../../src/gateway/messages.ts';
import type { FailedTry } from '../../src/gateway/models.ts';
import { createRoutedModels } from '../../src/gateway/routed-models.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLog } from '../../src/platform/log.ts';
import { callerOf } from '../support/callers.ts';
import { incoming } from '../support/incoming.ts';
import { freeTries } from '../support/tries.ts';

/** A stand-in for the API that others wrote: what we believe about the API is not in it. */
let mock: LLMock;
beforeEach(async () => {
  mock = new LLMock({ port: 0 });
  mock.onMessage('hello', { content: 'Hi there, friend!' }, { chunkSize: 4 });
  mock.onMessage('broken', { content: 'This sentence is not going to be whole.' }, { chunkSize: 4, latency: 20, truncateAfterChunks: 3 });
  await mock.start();
});
afterEach(() => mock.stop());

function gatewayBefore(url: string) {
  const tries: FailedTry[] = [];
  const calls: ModelCall[] = [];
  const { config } = loadConfig({ env: { LLM_PROVIDER: 'claude', LLM_API_KEY: 'sk-one,sk-two', LLM_BASE_URL: url }, flags: {}, cwd: '/' });
  const models = createRoutedModels({
    chain: chooseProviders(config, { clock: systemClock, chance: Math.random, warn: () => undefined }),
    fallbackModel: undefined,
    models: [],
    patienceMs: 60_000,
    clock: systemClock,
    chance: () => 0,
    onWaiting: () => undefined,
  });
  const credentials = createCredentials(systemClock);
  const gateway = createGateway({
    models: {
      answer: (request, signal) =>
        models.answer(
          request,
          signal,
          freeTries(request, (failed) => void tries.push(failed)),
        ),
    },
    credentials,
    clock: systemClock,
    log: silentLog,
    onUsage: (call) => void calls.push(call),
  });
  const credential = credentials.issue(callerOf('run_1'));
  const ask = async (text: string, stream: boolean): Promise<Response> =>
    gateway.fetch(
      incoming('http://localhost/v1/messages', {
        method: 'POST',
        headers: { 'x-api-key': credential, 'content-type': 'application/json', 'anthropic-version': '2023-06-01' },
        body: JSON.stringify({ model: 'claude-sonnet-5-5', max_tokens: 100, stream, messages: [{ role: 'user', content: text }] }),
      }),
    );
  return { ask, tries, calls, models };
}

const saidIn = (events: string): string => [...events.matchAll(/"text_delta","text":"([^"]*)"/g)].map(([, text]) => text).join('');

test('an answer is the same with the gateway between, in a stream and whole', async () => {
  const { ask, calls, models } = gatewayBefore(mock.url);
  expect(saidIn(await (await ask('hello', true)).text())).toBe('Hi there, friend!');
  expect(await (await ask('hello', false)).json()).toMatchObject({ role: 'assistant', content: [{ text: 'Hi there, friend!' }] });
  expect(calls.map(({ end }) => end)).toEqual(['complete', 'complete']);
  models.close();
});

test('what goes wrong before an answer is not noticed by whoever asked', async () => {
  const { ask, tries, models } = gatewayBefore(mock.url);
  for (const [status, type] of [
    [429, 'rate_limit_error'],
    [529, 'overloaded_error'],
    [500, 'api_error'],
    [401, 'authentication_error'],
  ] as const) {
    mock.nextRequestError(status, { message: 'not now', type });
    const response = await ask('hello', true);
    expect([response.status, saidIn(await response.text())]).toEqual([200, 'Hi there, friend!']);
  }
  expect(tries.map(({ status }) => status)).toEqual([429, 529, 500, 401]);
  models.close();
});

test('an answer that breaks off is not whole for whoever asked either', async () => {
  const { ask, calls, models } = gatewayBefore(mock.url);
  await expect((await ask('broken', true)).text()).rejects.toThrow();
  expect(calls.map(({ end }) => end)).toEqual(['cut']);
  models.close();
});
