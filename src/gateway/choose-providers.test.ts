import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { callerOf } from '../../test/support/callers.ts';
import { ManualClock } from '../../test/support/clock.ts';
import { type ModelUpstream, says, startUpstream } from '../../test/support/model-upstream.ts';
import { loadConfig } from '../config/config.ts';
import { chooseProviders } from './choose-providers.ts';
import { nameAt, tierModels } from './model-names.ts';

let upstream: ModelUpstream;
let home: string;
beforeEach(async () => {
  upstream = await startUpstream(says('ok'));
  home = mkdtempSync(join(tmpdir(), 'nightshift-providers-'));
});
afterEach(async () => {
  await upstream.close();
  rmSync(home, { recursive: true, force: true });
});

/** As an operator sets it up: by the environment. */
const chosen = (env: Readonly<Record<string, string>>) =>
  chooseProviders(loadConfig({ env: { NIGHTSHIFT_HOME: home, ...env }, flags: {}, cwd: home }).config, {
    clock: new ManualClock(),
    chance: () => 0.5,
    warn: () => undefined,
  });
const namesOf = (env: Readonly<Record<string, string>>): readonly string[] => chosen(env).map(({ name }) => name);

const anthropic = { ANTHROPIC_API_KEY: 'sk-ant-mine' };
const openrouter = { OPENROUTER_API_KEY: 'sk-or-mine' };
const aiGateway = { AI_GATEWAY_TOKEN: 'cf-token', AI_GATEWAY_ACCOUNT_ID: 'acc', AI_GATEWAY_ID: 'gate' };

describe('the chain of providers', () => {
  test.each<[string, Readonly<Record<string, string>>, readonly string[]]>([
    ['is empty without any key', {}, []],
    ['has those with keys, in its order', { ...anthropic, ...openrouter, ...aiGateway }, ['openrouter', 'ai-gateway', 'claude']],
    ['leaves out those without', { ...anthropic, ...aiGateway }, ['ai-gateway', 'claude']],
    ['begins with LLM_PROVIDER', { ...anthropic, ...openrouter, LLM_PROVIDER: 'claude' }, ['claude', 'openrouter']],
    ['begins with what a feature flag says', { ...anthropic, ...openrouter, NIGHTSHIFT_FEATURES: 'llm-claude' }, ['claude', 'openrouter']],
    [
      'heeds LLM_PROVIDER before a feature flag',
      { ...anthropic, ...openrouter, NIGHTSHIFT_FEATURES: 'llm-claude', LLM_PROVIDER: 'openrouter' },
      ['openrouter', 'claude'],
    ],
    ['takes a bare key for one of Claude', { LLM_API_KEY: 'sk-ant-x' }, ['claude']],
    ['knows a key of OpenRouter by its look', { LLM_API_KEY: 'sk-or-x', ...anthropic }, ['openrouter', 'claude']],
    [
      'of a server of one’s own has nothing else',
      { ...anthropic, LLM_PROVIDER: 'compatible', LLM_BASE_URL: 'http://localhost:1' },
      ['compatible'],
    ],
    ['of the rehearsal has nothing else', { ...anthropic, LLM_PROVIDER: 'rehearsal' }, ['rehearsal']],
  ])('%s', (_, env, names) => {
    expect(namesOf(env)).toEqual(names);
  });

  test.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['no key', { LLM_PROVIDER: 'openrouter' }, /provider is openrouter, but there is no key. Set OPENROUTER_API_KEY or LLM_API_KEY/],
    ['no gateway', { AI_GATEWAY_TOKEN: 'x', AI_GATEWAY_ACCOUNT_ID: 'acc' }, /AI_GATEWAY_ID must be set/],
    ['no address', { LLM_PROVIDER: 'compatible' }, /Set LLM_BASE_URL/],
    [
      'somebody else’s key',
      { ANTHROPIC_API_KEY: 'sk-or-mine' },
      /ANTHROPIC_API_KEY holds a key of OpenRouter.* Put it into OPENROUTER_API_KEY/,
    ],
    [
      'Anthropic’s key at OpenRouter',
      { OPENROUTER_API_KEY: 'sk-ant-mine' },
      /OPENROUTER_API_KEY holds a key of Anthropic.* Put it into ANTHROPIC_API_KEY/,
    ],
    [
      'Anthropic’s bare key at OpenRouter',
      { LLM_PROVIDER: 'openrouter', LLM_API_KEY: 'sk-ant-mine' },
      /^LLM_API_KEY holds a key.* Set LLM_PROVIDER=claude\.$/,
    ],
    ['only commas', { ANTHROPIC_API_KEY: ' , ' }, /ANTHROPIC_API_KEY holds no key/],
    ['a key that was copied with its dots', { ANTHROPIC_API_KEY: 'sk-ant-…' }, /ANTHROPIC_API_KEY holds a key with characters/],
    ['a file that is not there', { ANTHROPIC_API_KEY: 'file:/nowhere/key' }, /file that ANTHROPIC_API_KEY names cannot be read/],
    ['an unknown provider', { LLM_PROVIDER: 'openai' }, /LLM_PROVIDER\) cannot be "openai".*claude, openrouter/],
    ['an unknown feature', { NIGHTSHIFT_FEATURES: 'llm-gemini' }, /NIGHTSHIFT_FEATURES\) cannot be/],
  ])('%s is refused at the start, by the name of the variable and without the key', (_, env, message) => {
    expect(() => namesOf(env)).toThrow(message);
    expect(() => namesOf(env)).not.toThrow(/mine|sk-ant-…/);
  });

  test('a file of keys that is empty is refused by the name of the variable', () => {
    writeFileSync(join(home, 'keys'), '\n');
    expect(() => namesOf({ OPENROUTER_API_KEY: `file:${join(home, 'keys')}` })).toThrow(/OPENROUTER_API_KEY holds no key/);
  });
});

/** What the provider that is asked first sees. */
async function seenBy(env: Readonly<Record<string, string>>) {
  const [first] = chosen(env);
  const model = first?.nameOf('claude-sonnet-5-5') ?? '';
  const message = { model, stream: true };
  const key = first?.keys.next(new Set())?.key;
  const request = {
    caller: callerOf('run_1'),
    endpoint: 'messages',
    query: '',
    headers: new Headers(),
    body: Buffer.from('{}'),
    message,
  } as const;
  await (await key?.provider.answer(request, new AbortController().signal))?.text();
  first?.keys.close();
  const [seen] = upstream.seen;
  const { 'x-api-key': apiKey, authorization, 'cf-aig-authorization': gateway } = seen?.headers ?? {};
  return { url: seen?.url, apiKey, authorization, gateway, model, keyId: key?.id };
}

describe('a provider is asked at its place, with its kind of key, for its name of the model', () => {
  test('claude', async () => {
    expect(await seenBy({ ...anthropic, LLM_PROVIDER: 'claude', LLM_BASE_URL: `${upstream.url}/v1` })).toEqual({
      url: '/v1/messages',
      apiKey: 'sk-ant-mine',
      model: 'claude-sonnet-5-5',
      keyId: expect.stringMatching(/^claude:/),
    });
  });

  test('openrouter', async () => {
    expect(await seenBy({ LLM_PROVIDER: 'openrouter', LLM_API_KEY: 'sk-or-a,sk-or-b', LLM_BASE_URL: `${upstream.url}/api/v1` })).toEqual({
      url: '/api/v1/messages',
      authorization: 'Bearer sk-or-a',
      model: 'anthropic/claude-sonnet-5.5',
      keyId: expect.stringMatching(/^openrouter:/),
    });
  });

  test('ai-gateway, with a key to pass on', async () => {
    const url = `${upstream.url}/v1/acc/gate`;
    expect(await seenBy({ LLM_PROVIDER: 'ai-gateway', LLM_API_KEY: 'sk-ant-x', AI_GATEWAY_TOKEN: 'cf-token', LLM_BASE_URL: url })).toEqual({
      url: '/v1/acc/gate/anthropic/v1/messages',
      apiKey: 'sk-ant-x',
      gateway: 'Bearer cf-token',
      model: 'claude-sonnet-5-5',
      keyId: expect.stringMatching(/^ai-gateway:/),
    });
  });

  test('ai-gateway, that holds the key itself', async () => {
    expect(await seenBy({ ...aiGateway, LLM_PROVIDER: 'ai-gateway', LLM_BASE_URL: `${upstream.url}/v1/acc/gate/anthropic` })).toEqual({
      url: '/v1/acc/gate/anthropic/v1/messages',
      gateway: 'Bearer cf-token',
      model: 'claude-sonnet-5-5',
      keyId: null,
    });
  });

  test('a server of one’s own, that may want no key or either kind', async () => {
    expect(await seenBy({ LLM_PROVIDER: 'compatible', LLM_BASE_URL: upstream.url, LLM_API_KEY: 'x' })).toEqual({
      url: '/v1/messages',
      apiKey: 'x',
      authorization: 'Bearer x',
      model: 'claude-sonnet-5-5',
      keyId: expect.stringMatching(/^compatible:/),
    });
  });
});

describe('names of models', () => {
  test.each([
    ['openrouter', 'claude-sonnet-4-5-20250929', 'anthropic/claude-sonnet-4.5'],
    ['openrouter', 'claude-opus-5', 'anthropic/claude-opus-5'],
    ['openrouter', 'claude-3-5-haiku-20241022', 'anthropic/claude-3.5-haiku'],
    ['openrouter', 'anthropic/claude-sonnet-4.5', 'anthropic/claude-sonnet-4.5'],
    ['openrouter', 'moonshotai/kimi-k2', 'moonshotai/kimi-k2'],
    ['claude', 'anthropic/claude-sonnet-4.5', 'claude-sonnet-4-5'],
    ['claude', 'claude-sonnet-4-5-20250929', 'claude-sonnet-4-5-20250929'],
    ['ai-gateway', 'anthropic/claude-haiku-4.5', 'claude-haiku-4-5'],
    ['compatible', 'qwen3-coder', 'qwen3-coder'],
  ])('%s calls %s %s', (provider, model, name) => {
    expect(nameAt(provider, model)).toBe(name);
  });

  test('are overridden where the rule is wrong', () => {
    expect(nameAt('openrouter', 'claude-opus-5-5', { 'claude-opus-5-5': 'anthropic/claude-opus-latest' })).toBe(
      'anthropic/claude-opus-latest',
    );
  });

  const none = { llmModel: undefined, llmModelLight: undefined, llmModelDeep: undefined };

  test('one that was named for code does what is hard as well, and reading stays cheap', () => {
    expect(tierModels({ ...none, llmModel: 'anthropic/claude-sonnet-4.5' }, 'openrouter')).toEqual({
      light: 'claude-haiku-5-5',
      standard: 'claude-sonnet-4-5',
      deep: 'claude-sonnet-4-5',
    });
    expect(tierModels({ ...none, llmModel: 'a', llmModelLight: 'b', llmModelDeep: 'c' }, 'claude')).toEqual({
      light: 'b',
      standard: 'a',
      deep: 'c',
    });
    expect(tierModels({ ...none, llmModel: 'qwen' }, 'compatible')).toEqual({ light: 'qwen', standard: 'qwen', deep: 'qwen' });
    expect(tierModels(none, 'compatible').standard).toBeUndefined();
  });
});
