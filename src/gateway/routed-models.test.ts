import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { callerOf } from '../../test/support/callers.ts';
import { ManualClock } from '../../test/support/clock.ts';
import {
  type Behaviour,
  cutsOff,
  drips,
  garbles,
  hangs,
  type ModelUpstream,
  pours,
  refuses,
  says,
  saysWhole,
  showsPage,
  startUpstream,
  textEvents,
} from '../../test/support/model-upstream.ts';
import { until } from '../../test/support/server-process.ts';
import { freeTries } from '../../test/support/tries.ts';
import { systemClock } from '../platform/clock.ts';
import { chooseProviders, type ProviderSettings } from './choose-providers.ts';
import type { FailedTry } from './models.ts';
import type { ModelRequest } from './providers/provider.ts';
import { createRoutedModels, type RoutingParts, type Waiting } from './routed-models.ts';

const keyOne = 'sk-ant-the-first-key-0123456789';
const keyTwo = 'sk-ant-the-second-key-0123456789';
const minute = 60_000;

let undo: (() => unknown)[];
beforeEach(() => {
  undo = [];
});
afterEach(async () => {
  for (const step of undo.reverse()) await step();
});

async function upstreamThat(...behaviours: Behaviour[]): Promise<ModelUpstream> {
  const upstream = await startUpstream(...behaviours);
  undo.push(() => upstream.close());
  return upstream;
}

const bare: ProviderSettings = {
  llmProvider: undefined,
  llmApiKey: undefined,
  llmBaseUrl: undefined,
  anthropicApiKey: undefined,
  openrouterApiKey: undefined,
  aiGatewayApiKey: undefined,
  aiGatewayToken: undefined,
  aiGatewayAccount: undefined,
  aiGatewayId: undefined,
  features: [],
  llmModel: undefined,
  llmModelLight: undefined,
  llmModelDeep: undefined,
  llmModelNames: {},
  rehearsalScript: undefined,
};

const requestOf = (
  runId: string,
  more: Partial<ModelRequest> & { readonly model?: string; readonly stream?: boolean } = {},
): ModelRequest => {
  const { model = 'claude-sonnet-5-5', stream = true, ...rest } = more;
  const message = { model, stream, max_tokens: 10, messages: [] };
  return {
    caller: callerOf(runId),
    endpoint: 'messages',
    query: '?beta=true',
    headers: new Headers(),
    body: Buffer.from(JSON.stringify(message)),
    message,
    ...rest,
  };
};

/** The routing before providers that are all served by local upstreams. */
function route(
  upstreams: Readonly<Partial<Record<'openrouter' | 'claude', ModelUpstream>>>,
  { settings = {}, ...parts }: Partial<Pick<RoutingParts, 'fallbackModel' | 'patienceMs'>> & { settings?: Partial<ProviderSettings> } = {},
) {
  const clock = new ManualClock();
  const around = { clock, chance: () => 0.5, warn: () => undefined };
  const chain = Object.entries(upstreams).flatMap(([name, { url }]) =>
    chooseProviders(
      {
        ...bare,
        llmProvider: name as 'claude',
        llmApiKey: name === 'claude' ? keyOne : 'sk-or-the-key-of-openrouter',
        llmBaseUrl: url,
        ...settings,
      },
      around,
    ).slice(0, 1),
  );
  const tries: FailedTry[] = [];
  const waits: (readonly [string, Waiting | null])[] = [];
  const models = createRoutedModels({
    chain,
    fallbackModel: undefined,
    models: ['claude-sonnet-5-5'],
    patienceMs: 2 * 60 * minute,
    clock,
    chance: () => 0.5,
    onWaiting: ({ runId }, waiting) => void waits.push([runId, waiting]),
    ...parts,
  });
  undo.push(() => models.close());
  const ask = (runId = 'run_1', more: Parameters<typeof requestOf>[1] = {}, signal = new AbortController().signal) => {
    const request = requestOf(runId, more);
    return models.answer(
      request,
      signal,
      freeTries(request, (failed) => void tries.push(failed)),
    );
  };
  /** Until somebody waits for the clock, then moves it on, and so on until it is over. */
  const through = async <T>(asked: Promise<T>, stepMs = 1_000, steps = 20_000): Promise<T> => {
    let over = false;
    void asked.then(
      () => (over = true),
      () => (over = true),
    );
    for (let step = 0; step < steps && !over; step++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (models.describe().waiting.length > 0) clock.advance(stepMs);
    }
    return asked;
  };
  /** Until the one breaker that there is has opened, and not a moment longer. */
  const trip = async (): Promise<void> => {
    while (models.describe().breakers[0]?.state !== 'open') {
      await new Promise<void>((resolve) => setImmediate(resolve));
      const { breakers, waiting } = models.describe();
      if (waiting.length > 0 && breakers[0]?.state === 'closed') clock.advance(500);
    }
  };
  return { models, clock, ask, tries, waits, through, trip };
}

const textOf = async ({ response }: { response: Response }): Promise<string> => response.text();
const errorOf = async ({ response }: { response: Response }): Promise<{ type: string; message: string }> =>
  ((await response.json()) as { error: { type: string; message: string } }).error;
const goes = (text: string): Behaviour => says(text);
const keysSeen = (upstream: ModelUpstream) => upstream.seen.map(({ headers }) => headers['x-api-key'] ?? headers.authorization);

test('the clock of the machine, which never stands still, is no different', async () => {
  const upstream = await upstreamThat(refuses(500, 'oops'), goes('ok'));
  const chain = chooseProviders(
    { ...bare, llmApiKey: keyOne, llmBaseUrl: upstream.url },
    { clock: systemClock, chance: Math.random, warn: () => undefined },
  );
  const parts = {
    chain,
    fallbackModel: undefined,
    models: [],
    patienceMs: minute,
    chance: () => 0,
    onWaiting: () => undefined,
  };
  const models = createRoutedModels({ ...parts, clock: systemClock });
  undo.push(() => models.close());
  const request = requestOf('run_1');
  expect(await textOf(await models.answer(request, new AbortController().signal, freeTries(request)))).toContain('ok');
});

describe('keys', () => {
  test('one of two that is refused is left alone, shown, and tried again later', async () => {
    const upstream = await upstreamThat(refuses(401, `invalid x-api-key ${keyOne}`), goes('from the second'));
    const { ask, models, tries, clock } = route({ claude: upstream }, { settings: { llmApiKey: `${keyOne},${keyTwo}` } });
    const answered = await ask();
    expect(await textOf(answered)).toContain('from the second');
    await textOf(await ask());
    expect(keysSeen(upstream)).toEqual([keyOne, keyTwo, keyTwo]);
    const [first, second] = models.describe().providers[0]?.keys ?? [];
    expect([first?.state, second?.state]).toEqual(['rejected', 'ok']);
    expect(answered.served).toEqual({ provider: 'claude', model: 'claude-sonnet-5-5', keyId: second?.id });
    expect(tries).toMatchObject([{ status: 401, served: { keyId: first?.id }, caller: { runId: 'run_1' } }]);
    expect(JSON.stringify([models.describe(), tries])).not.toMatch(/the-(?:first|second)-key/);
    clock.advance(5 * minute);
    await textOf(await ask());
    expect(keysSeen(upstream).at(-1)).toBe(keyOne);
    expect(models.describe().providers[0]?.keys[0]?.state).toBe('ok');
  });

  test('all refused is final at once, and asked anew by the next call', async () => {
    const upstream = await upstreamThat(refuses(401, 'no'));
    const { ask, tries } = route({ claude: upstream }, { settings: { llmApiKey: `${keyOne},${keyTwo}` } });
    const { response } = await ask();
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([401, 'false']);
    expect(tries).toHaveLength(1); // the other is the answer itself
    upstream.behaves(goes('paid at last'));
    expect(await textOf(await ask())).toContain('paid at last');
  });

  test('an account without credit is as good as a wrong key', async () => {
    const upstream = await upstreamThat(refuses(400, 'Your credit balance is too low to access the Anthropic API.'), goes('paid'));
    const { ask } = route({ claude: upstream }, { settings: { llmApiKey: `${keyOne},${keyTwo}` } });
    expect(await textOf(await ask())).toContain('paid');
  });

  test('a limited one steps back for as long as it was told to', async () => {
    const upstream = await upstreamThat(refuses(429, 'slow', { 'retry-after': '20' }), goes('second'), goes('second'), goes('first'));
    const { ask, models, clock } = route({ claude: upstream }, { settings: { llmApiKey: `${keyOne},${keyTwo}` } });
    await textOf(await ask());
    await textOf(await ask());
    expect(models.describe().providers[0]?.keys[0]).toMatchObject({ state: 'limited', until: clock.now() + 20_000 });
    clock.advance(20_000);
    await textOf(await ask());
    expect(keysSeen(upstream)).toEqual([keyOne, keyTwo, keyTwo, keyOne]);
  });

  test('in a file are replaced without a restart, and stay while it cannot be read', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nightshift-keys-'));
    undo.push(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'key');
    writeFileSync(file, `${keyOne}\n`);
    const upstream = await upstreamThat(goes('x'));
    const { ask, clock } = route({ claude: upstream }, { settings: { llmApiKey: `file:${file}` } });
    await textOf(await ask());
    rmSync(file);
    clock.advance(1_000);
    await textOf(await ask());
    writeFileSync(file, `${keyTwo}\n`);
    clock.advance(1_000);
    await textOf(await ask());
    expect(keysSeen(upstream)).toEqual([keyOne, keyOne, keyTwo]);
  });
});

describe('a provider that is in trouble', () => {
  test('is asked again after a growing while', async () => {
    const upstream = await upstreamThat(refuses(500, 'oops'), refuses(503, 'oops'), goes('well again'));
    const { ask, tries, through } = route({ claude: upstream });
    expect(await textOf(await through(ask()))).toContain('well again');
    expect(tries.map(({ status }) => status)).toEqual([500, 503]);
  });

  test.each([
    ['seconds', { 'retry-after': '20' }, 20_000],
    ['a date', { 'retry-after': new Date(Date.UTC(2026, 0, 1, 0, 0, 40)).toUTCString() }, 40_000],
    ['milliseconds', { 'retry-after-ms': '700', 'retry-after': '9' }, 700],
  ])('holds all its callers back for as long as it says in %s', async (_, headers, ms) => {
    const upstream = await upstreamThat(refuses(429, 'slow down', headers as Record<string, string>), goes('ok'));
    const { ask, clock, models } = route({ claude: upstream });
    const first = ask('run_1');
    await until('the first to wait', () => models.describe().waiting.length === 1);
    const second = ask('run_2');
    await until('both to wait', () => models.describe().waiting.length === 2);
    clock.advance(ms - 1);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(upstream.seen).toHaveLength(1);
    clock.advance(1);
    expect(await Promise.all([first, second].map(async (asked) => textOf(await asked)))).toEqual(Array(2).fill(textEvents('ok').join('')));
  });

  test.each([
    ['nothing', {}],
    ['nought', { 'retry-after': '0' }],
  ])('that says %s with its 429 is left alone for a growing moment', async (_, headers) => {
    const limits = refuses(429, 'slow', headers as Record<string, string>);
    const upstream = await upstreamThat(limits, limits, goes('ok'));
    const { ask, through, tries, clock } = route({ claude: upstream });
    await through(ask());
    expect(tries).toHaveLength(2);
    expect(clock.monotonic()).toBe(3_000);
  });

  test.each<[string, Behaviour]>([
    ['529', refuses(529, 'Overloaded')],
    ['408', refuses(408, 'too slow')],
    ['a broken connection', (response) => void response.destroy()],
    ['a page of something else', showsPage],
    [
      'OpenRouter’s error inside of a 200',
      (response) =>
        void response
          .writeHead(200, { 'content-type': 'application/json' })
          .end('{"error":{"code":502,"message":"Provider returned error"}}'),
    ],
    [
      'Cloudflare’s error',
      (response) =>
        void response
          .writeHead(500, { 'content-type': 'application/json' })
          .end('{"success":false,"errors":[{"code":2001,"message":"oh"}]}'),
    ],
  ])('%s is not the end', async (_, behaviour) => {
    const upstream = await upstreamThat(behaviour, goes('ok'));
    const { ask, through, tries } = route({ claude: upstream });
    expect(await textOf(await through(ask()))).toContain('ok');
    expect(tries).toHaveLength(1);
  });

  test('nobody at its address is waited for', async () => {
    const gone = await startUpstream();
    await gone.close();
    const { ask, through, tries } = route({ claude: gone }, { patienceMs: 3_000 });
    const { response } = await through(ask());
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([503, 'false']);
    expect(tries.length).toBeGreaterThan(1);
  });

  test('a name that cannot be found is no different', async () => {
    const { ask, through } = route({ claude: { url: 'http://nowhere.invalid' } as ModelUpstream }, { patienceMs: 0 });
    expect(await errorOf(await through(ask()))).toMatchObject({ type: 'api_error', message: expect.stringContaining('cannot be reached') });
  });

  test('one that hangs is given up, and asked again', async () => {
    const upstream = await upstreamThat(hangs, goes('awake'));
    const { ask, through, clock, tries } = route({ claude: upstream });
    const asked = ask();
    await until('the request to arrive', () => upstream.seen.length === 1);
    clock.advance(5 * minute);
    expect(await textOf(await through(asked))).toContain('awake');
    expect(tries).toMatchObject([{ status: 504, latencyMs: 5 * minute }]);
    await upstream.seen[0]?.gone;
  });

  test.each([400, 403, 413, 422])('%i is final at once', async (status) => {
    const upstream = await upstreamThat(refuses(status, 'never'));
    const { ask, tries } = route({ claude: upstream });
    const { response } = await ask();
    expect([response.status, response.headers.get('x-should-retry'), tries.length]).toEqual([status, 'false', 0]);
  });

  test.each<[string, Behaviour]>([
    ['a cut', cutsOff],
    [
      'broken compression',
      (response) => {
        const half = gzipSync(textEvents('x'.repeat(50_000)).join('')).subarray(0, 60);
        response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }).end(half);
      },
    ],
  ])('%s after the first byte is the agent’s to see', async (_, behaviour) => {
    const upstream = await upstreamThat(behaviour, goes('not asked'));
    const { ask } = route({ claude: upstream });
    await expect(textOf(await ask())).rejects.toThrow();
    expect(upstream.seen).toHaveLength(1);
  });

  test('garbage in a stream passes as it is', async () => {
    const upstream = await upstreamThat(garbles);
    expect(await textOf(await route({ claude: upstream }).ask())).toContain('][');
  });

  test('a byte a second is an answer, and an answer of 100 MB is read as fast as it is wanted', async () => {
    const pieces = [...textEvents('slowly').join('')].slice(0, 40);
    const drip = drips(pieces);
    const upstream = await upstreamThat(drip.behaviour);
    const { ask, clock } = route({ claude: upstream });
    const { response } = await ask();
    let read = '';
    const reader = response.body?.getReader();
    for (const piece of pieces) {
      clock.advance(1_000);
      drip.more();
      read += new TextDecoder().decode((await reader?.read())?.value);
      expect(read.endsWith(piece)).toBe(true);
    }
    await reader?.cancel();
    const big = pours(100 * 1024 * 1024);
    upstream.behaves(big.behaviour);
    let size = 0;
    for await (const chunk of (await ask()).response.body ?? []) size += chunk.length;
    expect(size).toBe(big.poured());
  });
});

describe('an outage of an hour', () => {
  test('is waited through, is told, and is not made worse by those who wait', async () => {
    const upstream = await upstreamThat(refuses(529, 'Overloaded'));
    const { ask, clock, waits, models, through } = route({ claude: upstream });
    const asked = Promise.all(['run_1', 'run_2', 'run_3'].map((run) => ask(run).then(textOf)));
    while (clock.monotonic() < 60 * minute) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (models.describe().waiting.length > 0) clock.advance(5_000);
    }
    expect(models.describe().breakers).toMatchObject([{ provider: 'claude', state: expect.stringMatching('open') }]);
    expect(upstream.seen.length).toBeLessThan(60);
    upstream.behaves(goes('back'));
    expect(await through(asked, 5_000)).toEqual(Array(3).fill(expect.stringContaining('back')));
    for (const run of ['run_1', 'run_2', 'run_3']) {
      const told = waits.filter(([runId]) => runId === run).map(([, waiting]) => waiting);
      expect(told[0]).toMatchObject({ reason: expect.any(String), provider: 'claude' });
      expect(told.at(-1)).toBeNull();
      expect(told.length).toBeLessThan(80);
    }
    expect(models.describe()).toMatchObject({ breakers: [{ state: 'closed', failures: 0 }], waiting: [] });
    expect(clock.pending).toBe(0);
  });

  test('beyond all patience ends with a final answer, and the same run is not waited for again', async () => {
    const upstream = await upstreamThat(refuses(500, 'down'));
    const { ask, through, clock, models } = route({ claude: upstream }, { patienceMs: 10 * minute });
    const { response } = await through(ask());
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([500, 'false']);
    expect(clock.monotonic()).toBeGreaterThan(5 * minute); // the next chance would have come after the end of its patience
    const before = clock.monotonic();
    expect((await ask()).response.headers.get('x-should-retry')).toBe('false');
    expect(clock.monotonic()).toBe(before);
    expect(models.describe().waiting).toEqual([]);
  });

  test('is asked once a day, whatever nonsense it says', async () => {
    const upstream = await upstreamThat(refuses(503, 'never', { 'retry-after': '99999999999' }), goes('well again'));
    const { ask, clock } = route({ claude: upstream });
    expect((await ask()).response.status).toBe(503);
    clock.advance(24 * 60 * minute);
    expect(await textOf(await ask())).toContain('well again');
  });

  test('a wait that would be longer than any patience is not begun', async () => {
    const upstream = await upstreamThat(refuses(429, 'next month', { 'retry-after': '2000000' }));
    const { ask, clock } = route({ claude: upstream });
    expect((await ask()).response.status).toBe(429);
    expect((await ask()).response.status).toBe(503);
    expect(clock.monotonic()).toBe(0);
  });

  test('is over when a person says so', async () => {
    const upstream = await upstreamThat(refuses(429, 'next month', { 'retry-after': '2000000' }), goes('paid for more'));
    const { ask, models } = route({ claude: upstream });
    await ask();
    models.reset('claude:claude-sonnet-5-5');
    expect(await textOf(await ask())).toContain('paid for more');
  });
});

describe('the breaker', () => {
  test('opens after failures in a row, lets one through, and closes when that works', async () => {
    const upstream = await upstreamThat(refuses(500, 'down'));
    const { ask, clock, models, through, trip } = route({ claude: upstream });
    const first = ask('run_1');
    await trip();
    const asked = [first, ask('run_2'), ask('run_3')];
    const before = upstream.seen.length;
    upstream.behaves(hangs);
    clock.advance(minute);
    await until('one to be let through', () => upstream.seen.length === before + 1);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(upstream.seen.length).toBe(before + 1);
    expect(models.describe().breakers[0]?.state).toBe('half-open');
    upstream.behaves(goes('ok'));
    clock.advance(5 * minute); // the one that hangs is given up, and it stays open for longer
    await through(Promise.all(asked));
    expect(models.describe().breakers[0]).toMatchObject({ id: 'claude:claude-sonnet-5-5', state: 'closed' });
  });

  test('is closed by hand', async () => {
    const upstream = await upstreamThat(refuses(500, 'down'));
    const { ask, models, through, trip } = route({ claude: upstream });
    const asked = ask();
    await trip();
    upstream.behaves(goes('ok'));
    expect(models.reset('claude:nothing')).toBe(false);
    expect(models.reset('claude:claude-sonnet-5-5')).toBe(true);
    expect(await textOf(await through(asked))).toContain('ok');
  });

  test('of one model says nothing about another', async () => {
    const upstream = await upstreamThat(refuses(500, 'down'));
    const { ask, through, trip } = route({ claude: upstream });
    const asked = ask();
    await trip();
    upstream.behaves(goes('ok'));
    expect(await textOf(await ask('run_2', { model: 'claude-haiku-5-5' }))).toContain('ok');
    await through(asked);
  });

  test('a request that is itself the trouble ends while others get through', async () => {
    const upstream = await upstreamThat((response, request) =>
      (response.req.headers['x-claude-poison'] === undefined ? goes('ok') : refuses(500, 'this very request'))(response, request),
    );
    const { ask, clock, models } = route({ claude: upstream });
    let over = false;
    const asked = ask('run_1', { headers: new Headers({ 'x-claude-poison': 'yes' }) }).finally(() => {
      over = true;
    });
    while (!over) {
      await until('it to wait, or to end', () => over || models.describe().waiting.length > 0);
      clock.advance(30_000);
      if (!over) await textOf(await ask('run_2'));
    }
    expect((await asked).response.status).toBe(500);
    expect(models.describe().breakers[0]?.state).toBe('closed');
  });
});

describe('those who wait', () => {
  test('take turns by run, however many calls one has', async () => {
    const upstream = await upstreamThat(refuses(429, 'slow', { 'retry-after': '30' }));
    const { ask, clock, models } = route({ claude: upstream });
    const first = ask('run_a');
    await until('the limit to be known', () => models.describe().waiting.length === 1);
    const rest = ['run_a', 'run_a', 'run_a', 'run_b', 'run_c'].map((run) => ask(run));
    await until('all to wait', () => models.describe().waiting.reduce((sum, { calls }) => sum + calls, 0) === 6);
    const order: string[] = [];
    [first, ...rest].forEach((asked, index) => void asked.then(() => order.push(index < 4 ? 'a' : index === 4 ? 'b' : 'c')));
    upstream.behaves(goes('ok'));
    clock.advance(30_000);
    await Promise.all([first, ...rest]);
    expect(order.slice(0, 3).sort()).toEqual(['a', 'b', 'c']);
  });

  test('go when their agent goes', async () => {
    const upstream = await upstreamThat(refuses(429, 'slow', { 'retry-after': '30' }));
    const { ask, clock, models, tries, waits } = route({ claude: upstream });
    const leaving = new AbortController();
    const asked = ask('run_1', {}, leaving.signal);
    await until('it to wait', () => models.describe().waiting.length === 1);
    clock.advance(6_000);
    leaving.abort();
    expect((await asked).response.status).toBe(499);
    expect(models.describe().waiting).toEqual([]);
    expect(tries).toHaveLength(1);
    expect(waits.map(([, waiting]) => waiting)).toEqual([
      { reason: 'rate-limited', provider: 'claude', until: clock.now() + 24_000 },
      null,
    ]);
    expect(clock.pending).toBe(0);
  });

  test('are sent away when the server stops', async () => {
    const upstream = await upstreamThat(refuses(429, 'slow', { 'retry-after': '30' }));
    const { ask, clock, models } = route({ claude: upstream });
    const asked = ask();
    await until('it to wait', () => models.describe().waiting.length === 1);
    models.close();
    expect(await errorOf(await asked)).toMatchObject({ message: 'Nightshift is stopping.' });
    expect(clock.pending).toBe(0);
  });
});

test('a key that is refused does not make the trouble of the other one final', async () => {
  const upstream = await upstreamThat(refuses(401, 'no'), ...Array<Behaviour>(8).fill(refuses(529, 'Overloaded')), goes('at last'));
  const { ask, through } = route({ claude: upstream }, { settings: { llmApiKey: `${keyOne},${keyTwo}` } });
  expect(await textOf(await through(ask()))).toContain('at last');
  const down = await upstreamThat(refuses(401, 'no'), refuses(529, 'Overloaded'));
  const late = route({ claude: down }, { settings: { llmApiKey: `${keyOne},${keyTwo}` }, patienceMs: minute });
  expect((await late.through(late.ask())).response.status).toBe(529);
});

describe('a chain of providers', () => {
  test('goes on with the next before the first byte, under the name that one has for the model', async () => {
    const openrouter = await upstreamThat(refuses(503, 'down'));
    const claude = await upstreamThat(goes('from claude'));
    const { ask, tries } = route({ openrouter, claude });
    const answered = await ask();
    expect(await textOf(answered)).toContain('from claude');
    expect(answered.served).toMatchObject({ provider: 'claude', model: 'claude-sonnet-5-5' });
    expect(tries).toMatchObject([{ served: { provider: 'openrouter', model: 'anthropic/claude-sonnet-5.5' }, status: 503 }]);
    expect(JSON.parse(openrouter.seen[0]?.body ?? '')).toMatchObject({
      model: 'anthropic/claude-sonnet-5.5',
      max_tokens: 10,
      stream: true,
    });
    expect(keysSeen(openrouter)).toEqual(['Bearer sk-or-the-key-of-openrouter']);
    expect(openrouter.seen[0]?.url).toBe('/v1/messages?beta=true');
  });

  test('does so too when the keys of the first are refused, or it does not know the model', async () => {
    for (const [status, message] of [
      [401, 'no'],
      [402, 'no credit'],
      [404, 'model not found'],
      [400, 'claude-x is not a valid model ID'],
    ] as const) {
      const openrouter = await upstreamThat(
        (response) =>
          void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { code: status, message } })),
      );
      const claude = await upstreamThat(goes('from claude'));
      expect(await textOf(await route({ openrouter, claude }).ask())).toContain('from claude');
    }
  });

  test('does not pass on what is wrong with the request itself', async () => {
    const openrouter = await upstreamThat(refuses(400, 'prompt is too long'));
    const claude = await upstreamThat(goes('not asked'));
    expect((await route({ openrouter, claude }).ask()).response.status).toBe(400);
    expect(claude.seen).toEqual([]);
  });

  test('that is limited as a whole waits for whichever comes back first', async () => {
    const openrouter = await upstreamThat(refuses(429, 'slow', { 'retry-after': '60' }));
    const claude = await upstreamThat(refuses(429, 'slow', { 'retry-after': '10' }), goes('claude was first'));
    const { ask, through, clock } = route({ openrouter, claude });
    expect(await textOf(await through(ask()))).toContain('claude was first');
    expect(clock.monotonic()).toBe(10_000);
  });
});

describe('a fallback model', () => {
  test('answers when the one that was asked for is refused', async () => {
    const upstream = await upstreamThat(refuses(404, 'model: claude-sonnet-5-5'), goes('from the fallback'));
    const { ask } = route({ claude: upstream }, { fallbackModel: 'claude-haiku-5-5' });
    expect((await ask()).served.model).toBe('claude-haiku-5-5');
    expect(JSON.parse(upstream.seen[1]?.body ?? '')).toMatchObject({ model: 'claude-haiku-5-5', messages: [] });
  });

  test('answers when the one that was asked for has been out of order for some time, not at its first failure', async () => {
    const upstream = await upstreamThat(...Array<Behaviour>(5).fill(refuses(529, 'Overloaded')), goes('from the fallback'));
    const { ask, through, tries } = route({ claude: upstream }, { fallbackModel: 'claude-haiku-5-5' });
    expect((await through(ask())).served.model).toBe('claude-haiku-5-5');
    expect(tries.map(({ served }) => served.model)).toEqual(Array(5).fill('claude-sonnet-5-5'));
  });

  test('without one, a model that nobody knows is final', async () => {
    const upstream = await upstreamThat(refuses(404, 'model: unheard-of'));
    const { response } = await route({ claude: upstream }).ask();
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([404, 'false']);
  });
});

describe('the list of models', () => {
  const models = { endpoint: 'models', body: null, message: {}, query: '' } as const;

  test('is the provider’s own where it has one', async () => {
    const upstream = await upstreamThat(saysWhole('[]'));
    expect((await route({ claude: upstream }).ask('run_1', models)).response.ok).toBe(true);
    expect(upstream.seen[0]?.url).toBe('/v1/models');
  });

  test('is that of the settings where it has none', async () => {
    for (const [name, behaviour] of [
      ['claude', refuses(404, 'no')],
      ['openrouter', saysWhole('[]')],
    ] as const) {
      const { response } = await route({ [name]: await upstreamThat(behaviour) }).ask('run_1', models);
      expect(await response.json()).toMatchObject({ data: [{ type: 'model', id: 'claude-sonnet-5-5' }], has_more: false });
    }
  });
});
