import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { callerOf } from '../../test/support/callers.ts';
import { ManualClock } from '../../test/support/clock.ts';
import { incoming } from '../../test/support/incoming.ts';
import {
  type Behaviour,
  cutsOff,
  drips,
  failsInside,
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
import { onlyProvider } from '../../test/support/only-provider.ts';
import { until } from '../../test/support/server-process.ts';
import { silentLog } from '../platform/log.ts';
import { createCredentials } from './credentials.ts';
import { createGateway, type ModelCall } from './messages.ts';
import { anthropicProvider } from './providers/anthropic.ts';

const providerKey = 'sk-the-providers-own-key';
let upstream: ModelUpstream;
let directory: string;
let undo: (() => unknown)[];

beforeEach(async () => {
  upstream = await startUpstream();
  directory = mkdtempSync(join(tmpdir(), 'nightshift-gateway-'));
  undo = [() => rmSync(directory, { recursive: true, force: true }), () => upstream.close()];
});

afterEach(async () => {
  for (const step of undo.reverse()) await step();
});

/** The gateway before the upstream, with a run that may use it. */
function open({
  baseUrl = upstream.url,
  clock = new ManualClock(),
  onUsage,
  mostHeldBytes,
}: {
  baseUrl?: string;
  clock?: ManualClock;
  onUsage?: () => void;
  mostHeldBytes?: number;
} = {}) {
  const calls: ModelCall[] = [];
  const credentials = createCredentials(clock);
  const provider = anthropicProvider({ baseUrl, apiKey: providerKey }, clock);
  undo.push(() => provider.close());
  const gateway = createGateway({
    models: onlyProvider(provider),
    credentials,
    clock,
    log: silentLog,
    ...(mostHeldBytes === undefined ? {} : { mostHeldBytes }),
    onUsage(call) {
      calls.push(call);
      onUsage?.();
    },
  });
  const credential = credentials.issue(callerOf('run_1'));
  const ask = (
    body: unknown = { stream: true },
    headers: Record<string, string> = {},
    path = '/v1/messages?beta=true',
  ): Promise<Response> =>
    gateway.fetch(
      incoming(`http://localhost${path}`, {
        method: 'POST',
        headers: { 'x-api-key': credential, 'content-type': 'application/json', ...headers },
        body:
          typeof body === 'string' ? body : JSON.stringify({ model: 'claude-asked', max_tokens: 10, messages: [], ...(body as object) }),
      }),
    );
  return { gateway, credentials, credential, calls, clock, ask };
}

/** As an agent in a sandbox asks: over the socket. */
function askSocket(socketPath: string, credential: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = requestHttp(
      { socketPath, path: '/v1/messages', method: 'POST', headers: { authorization: `Bearer ${credential}` } },
      resolve,
    );
    request.on('error', reject);
    request.end(JSON.stringify({ model: 'claude-asked', stream: true, messages: [] }));
  });
}

const errorOf = async (response: Response): Promise<{ type: string; message: string }> =>
  ((await response.json()) as { error: { type: string; message: string } }).error;

describe('a request', () => {
  test('reaches the provider as it was, with the key of the provider and without that of the run', async () => {
    const { ask, credential } = open();
    const body = JSON.stringify({
      model: 'claude-asked',
      stream: true,
      messages: [{ role: 'user', content: 'Grüße 🌙' }],
      unheard_of: [1],
    });
    await (
      await ask(body, {
        'anthropic-beta': 'one,two',
        'anthropic-version': '2023-06-01',
        'x-stainless-retry-count': '1',
        authorization: 'Bearer something',
        cookie: 'a=b',
        'x-forwarded-for': '10.0.0.1',
        'cf-aig-authorization': 'mine',
      })
    ).text();
    const [seen] = upstream.seen;
    expect(seen).toMatchObject({ method: 'POST', url: '/v1/messages?beta=true', body });
    expect(seen?.headers).toMatchObject({ 'x-api-key': providerKey, 'anthropic-beta': 'one,two', 'x-stainless-retry-count': '1' });
    expect(Object.keys(seen?.headers ?? {})).not.toEqual(expect.arrayContaining(['authorization']));
    for (const name of ['authorization', 'cookie', 'x-forwarded-for', 'cf-aig-authorization'])
      expect(seen?.headers).not.toHaveProperty(name);
    expect(JSON.stringify(seen?.headers)).not.toContain(credential);
  });

  test.each(['', '/', '/v1', '/v1/'])('finds the API at a base URL that ends with "%s"', async (end) => {
    const { ask } = open({ baseUrl: `${upstream.url}/some/path${end}` });
    await (await ask()).text();
    expect(upstream.seen[0]?.url).toBe('/some/path/v1/messages?beta=true');
  });

  test('may count tokens and list models, which is no call of a model', async () => {
    const { gateway, credential, ask, calls } = open();
    upstream.behaves(saysWhole('[]'));
    expect((await ask({}, {}, '/v1/messages/count_tokens')).status).toBe(200);
    const models = await gateway.fetch(incoming('http://localhost/v1/models?limit=5', { headers: { 'x-api-key': credential } }));
    expect(models.status).toBe(200);
    await models.text();
    expect(upstream.seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'POST /v1/messages/count_tokens',
      'GET /v1/models?limit=5',
    ]);
    expect(calls).toEqual([]);
  });

  test('that nobody can read is refused here', async () => {
    const { ask } = open();
    const answers = await Promise.all([
      ask('{'),
      ask('[]'),
      ask({}, { 'content-length': String(64 * 1024 * 1024) }),
      ask({}, {}, '/v1/other'),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([400, 400, 413, 404]);
    expect(answers.map(({ headers }) => headers.get('x-should-retry'))).toEqual(answers.map(() => 'false'));
    expect(upstream.seen).toEqual([]);
  });

  test('is refused for a moment while its run has too much here that nobody answers', async () => {
    const { ask, gateway, credentials } = open({ mostHeldBytes: 25_000 });
    const large = { stream: true, system: 'x'.repeat(10_000) };
    upstream.behaves(hangs, hangs, says('Hello.'));
    const gone = new AbortController();
    const credential = credentials.issue(callerOf('run_2'));
    const waits = () =>
      gateway.fetch(
        incoming('http://localhost/v1/messages', {
          method: 'POST',
          headers: { 'x-api-key': credential },
          body: JSON.stringify(large),
          signal: gone.signal,
        }),
      );
    const waiting = [waits(), waits()];
    await until('both to be asked', () => upstream.seen.length === 2);
    const refused = await waits();
    expect([refused.status, refused.headers.get('retry-after'), (await errorOf(refused)).type]).toEqual([429, '5', 'rate_limit_error']);
    // Others are not held up by it, and an answer that has begun weighs nothing.
    for (let i = 0; i < 5; i++) expect((await ask(large)).status).toBe(200);
    gone.abort();
    await Promise.all(waiting);
  });

  test('without the credential of a run in progress gets nowhere', async () => {
    const { gateway, credentials, credential, ask } = open();
    const other = credentials.issue(callerOf('run_2'));
    const socket = join(directory, 'model.sock');
    const door = await gateway.listen(socket, 'run_1');
    undo.push(() => door.close());
    expect((await askSocket(socket, other)).statusCode).toBe(401);
    credentials.revoke('run_1');
    for (const headers of [{}, { 'x-api-key': '' }, { 'x-api-key': providerKey }]) expect((await ask({}, headers)).status).toBe(401);
    expect((await askSocket(socket, credential)).statusCode).toBe(401);
    expect(upstream.seen).toEqual([]);
  });
});

describe('an answer', () => {
  test('is passed on piece by piece as it comes', async () => {
    const { gateway, credential, calls } = open();
    const events = textEvents('slow');
    const drip = drips(events);
    upstream.behaves(drip.behaviour);
    const socket = join(directory, 'model.sock');
    const door = await gateway.listen(socket, 'run_1');
    undo.push(() => door.close());
    const response = await askSocket(socket, credential); // headers, before there is any body
    expect(response.headers['content-type']).toContain('text/event-stream');
    const chunks = response[Symbol.asyncIterator]();
    for (const expected of events) {
      drip.more();
      expect(String((await chunks.next()).value)).toBe(expected);
    }
    expect((await chunks.next()).done).toBe(true);
    await until('the call to be reported', () => calls.length === 1);
    expect(calls[0]).toMatchObject({
      caller: { runId: 'run_1' },
      served: { provider: 'claude' },
      model: 'claude-test-1',
      end: 'complete',
      status: 200,
    });
    expect(calls[0]?.usage).toEqual({ inputTokens: 12, outputTokens: 9, cacheReadTokens: 40, cacheWriteTokens: 3 });
  });

  test.each([false, true])('may come whole (compressed on the way: %s)', async (gzip) => {
    const { ask, calls } = open();
    upstream.behaves(saysWhole('at once', { gzip }));
    const response = await ask({ stream: false });
    expect(await response.json()).toMatchObject({ content: [{ text: 'at once' }] });
    expect(calls).toMatchObject([{ end: 'complete', model: 'claude-test-1', usage: { inputTokens: 12, outputTokens: 9 } }]);
  });

  test('of 500 KB arrives unharmed', async () => {
    const { ask } = open();
    const text = '🌒 night '.repeat(50_000);
    upstream.behaves(says(text));
    expect(await (await ask()).text()).toBe(textEvents(text).join(''));
  });

  test('that nobody reads is not fetched either', async () => {
    const { ask } = open();
    const source = pours(100 * 1024 * 1024);
    upstream.behaves(source.behaviour);
    const response = await ask();
    const reader = response.body?.getReader();
    await reader?.read();
    let before = -1;
    await until('the upstream to be held up', () => {
      const standing = source.poured() === before;
      before = source.poured();
      return standing && before > 0;
    });
    expect(source.poured()).toBeLessThan(16 * 1024 * 1024); // what the buffers of two sockets hold
    await reader?.cancel();
  });

  test('that the agent does not wait for ends upstream too', async () => {
    const { gateway, credential, calls } = open();
    const drip = drips(textEvents('never read'));
    upstream.behaves(drip.behaviour);
    const socket = join(directory, 'model.sock');
    const door = await gateway.listen(socket, 'run_1');
    undo.push(() => door.close());
    const response = await askSocket(socket, credential);
    drip.more();
    await response[Symbol.asyncIterator]().next();
    response.destroy();
    await upstream.seen[0]?.gone;
    await until('the call to be reported', () => calls.length === 1);
    expect(calls[0]).toMatchObject({ end: 'abandoned', usage: { inputTokens: 12, outputTokens: 1 } });
  });

  test('that has not begun when the agent leaves ends upstream too', async () => {
    const { gateway, credential, calls } = open();
    upstream.behaves(hangs);
    const leaving = new AbortController();
    const asked = gateway.fetch(
      incoming('http://localhost/v1/messages', {
        method: 'POST',
        headers: { 'x-api-key': credential },
        body: '{}',
        signal: leaving.signal,
      }),
    );
    await until('the request to arrive', () => upstream.seen.length === 1);
    leaving.abort();
    await upstream.seen[0]?.gone;
    await asked;
    expect(calls).toMatchObject([{ end: 'abandoned', status: null, usage: null, firstByteMs: null }]);
  });

  test('that is left on a connection that was used before is not asked again', async () => {
    const { ask, gateway, credential, calls } = open();
    await (await ask()).text();
    upstream.behaves(hangs);
    const leaving = new AbortController();
    const request = { method: 'POST', headers: { 'x-api-key': credential }, body: '{}', signal: leaving.signal };
    const asked = gateway.fetch(incoming('http://localhost/v1/messages', request));
    await until('the request to arrive', () => upstream.seen.length === 2);
    leaving.abort();
    await upstream.seen[1]?.gone;
    await asked;
    upstream.behaves(says('Hello.'));
    await (await ask()).text();
    expect(upstream.seen).toHaveLength(3);
    expect(calls.map(({ end }) => end)).toEqual(['complete', 'abandoned', 'complete']);
  });

  test('does not suffer when its cost cannot be recorded', async () => {
    const { ask } = open({
      onUsage() {
        throw new Error('the ledger is on fire');
      },
    });
    expect(await (await ask()).text()).toContain('message_stop');
  });
});

describe('a bad day of the provider', () => {
  test.each([
    [400, 'prompt is too long: 300000 tokens > 200000 maximum', 'false'],
    [401, 'invalid x-api-key', 'false'],
    [403, 'not yours', 'false'],
    [429, 'slow down', null],
    [500, 'oops', null],
    [529, 'Overloaded', null],
  ])('%i is passed on, final where it is final', async (status, message, retry) => {
    const { ask, calls } = open();
    upstream.behaves(refuses(status, message, { 'retry-after': '7', 'set-cookie': 'a=b', 'anthropic-organization-id': 'org' }));
    const response = await ask();
    expect(response.status).toBe(status);
    expect([...response.headers.keys()].sort()).toEqual(['content-type', 'retry-after', ...(retry ? ['x-should-retry'] : [])]);
    expect(response.headers.get('retry-after')).toBe('7');
    expect(await errorOf(response)).toEqual({ type: 'some_error', message });
    expect(calls).toMatchObject([{ end: 'refused', status, model: 'claude-asked', usage: null }]);
  });

  test('never shows the key, not even when the provider repeats it', async () => {
    const { ask } = open();
    upstream.behaves(refuses(401, `invalid key ${providerKey}`));
    expect((await errorOf(await ask())).message).toBe('invalid key [secret]');
  });

  test('an error without the form of the API gets it', async () => {
    const { ask } = open();
    upstream.behaves((response) => void response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>'));
    const response = await ask();
    expect([response.status, await errorOf(response)]).toEqual([
      502,
      { type: 'api_error', message: 'The provider answered with status 502.' },
    ]);
  });

  test.each([
    ['another site', showsPage],
    ['a redirection', (response) => void response.writeHead(302, { location: 'http://localhost/' }).end()],
  ] as [string, Parameters<ModelUpstream['behaves']>[0]][])('%s in its place is not taken for an answer', async (_, behaviour) => {
    const { ask } = open();
    upstream.behaves(behaviour);
    const response = await ask();
    expect(response.status).toBe(502);
    expect((await errorOf(response)).message).toContain('not the Messages API');
  });

  test('nobody there is 503', async () => {
    await upstream.close();
    undo.pop();
    undo.push(() => undefined);
    const { ask, calls } = open({ baseUrl: upstream.url });
    const response = await ask();
    expect([response.status, (await errorOf(response)).message]).toEqual([503, 'The provider cannot be reached (ECONNREFUSED).']);
    expect(calls).toMatchObject([{ end: 'refused', status: 503 }]);
    upstream = await startUpstream();
    undo.push(() => upstream.close());
  });

  test.each(['new', 'kept'])(
    'a %s connection that breaks after the request was sent is another thing than one that never was',
    async (connection) => {
      const { ask, calls } = open();
      const breaks: Behaviour = (response) => void response.socket?.destroy();
      if (connection === 'kept') {
        upstream.behaves(says('one'), breaks);
        await (await ask()).text();
      } else upstream.behaves(breaks);
      const response = await ask();
      expect([response.status, (await errorOf(response)).message]).toEqual([
        502,
        'The connection to the provider broke before it answered (ECONNRESET).',
      ]);
      expect(calls.at(-1)).toMatchObject({ end: 'refused', lost: true });
      expect(upstream.seen).toHaveLength(connection === 'kept' ? 2 : 1);
    },
  );

  test('no answer in time is 504, and the call is given up', async () => {
    const { ask, clock } = open();
    upstream.behaves(hangs);
    const asked = ask({ stream: false });
    await until('the request to arrive', () => upstream.seen.length === 1);
    clock.advance(300_000);
    expect((await asked).status).toBe(504);
    await upstream.seen[0]?.gone;
    expect(clock.pending).toBe(0);
  });

  test('silence in the middle of an answer ends it', async () => {
    const { ask, clock, calls } = open();
    const drip = drips(textEvents('then nothing'));
    upstream.behaves(drip.behaviour);
    const reader = (await ask()).body?.getReader();
    drip.more();
    await reader?.read();
    const next = reader?.read();
    await until('the silence to be measured', () => clock.pending === 1);
    clock.advance(300_000);
    await expect(next).rejects.toThrow('silent');
    expect(calls).toMatchObject([{ end: 'cut' }]);
  });

  test('a cut answer is cut for the agent too, never ended as if it were whole', async () => {
    const { ask, calls } = open();
    upstream.behaves(cutsOff);
    await expect((await ask()).text()).rejects.toThrow();
    expect(calls).toMatchObject([{ end: 'cut', usage: { inputTokens: 12, outputTokens: 1 } }]);
  });

  test('over the socket a cut shows as a cut', async () => {
    const { gateway, credential } = open();
    upstream.behaves(cutsOff);
    const socket = join(directory, 'model.sock');
    const door = await gateway.listen(socket, 'run_1');
    undo.push(() => door.close());
    const response = await askSocket(socket, credential);
    await expect(response.toArray()).rejects.toThrow('aborted');
  });

  test.each([
    ['an error in the stream', failsInside, 'refused'],
    ['garbage', garbles, 'cut'],
  ] as const)('%s passes as it is and is reported', async (_, behaviour, end) => {
    const { ask, calls } = open();
    upstream.behaves(behaviour);
    await (await ask()).text();
    expect(calls).toMatchObject([{ end, status: 200 }]);
  });
});

test('the socket opens for this user alone, and goes away', async () => {
  const { gateway } = open();
  const socket = join(directory, 'model.sock');
  const first = await gateway.listen(socket, 'run_1');
  expect(statSync(socket).mode & 0o777).toBe(0o600);
  await first.close();
  expect(existsSync(socket)).toBe(false);
});

test('a request that turns out too large is told so, also when it did not say how large it is', async () => {
  const { gateway, credential } = open();
  const socketPath = join(directory, 'model.sock');
  const door = await gateway.listen(socketPath, 'run_1');
  undo.push(() => door.close());
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = requestHttp({ socketPath, path: '/v1/messages', method: 'POST', headers: { 'x-api-key': credential } }, resolve);
    request.on('error', reject);
    const piece = Buffer.alloc(1024 * 1024, 'x');
    let left = 33;
    const more = (): void => {
      while (left-- > 0) if (!request.write(piece)) return;
    };
    request.on('drain', more);
    more();
  });
  expect(answer.statusCode).toBe(413);
  answer.resume();
});

test('a socket that a killed server left behind is in nobody’s way', async () => {
  const { gateway, credential } = open();
  const socket = join(directory, 'model.sock');
  await gateway.listen(socket, 'run_0').then((door) => undo.push(() => door.close()));
  const door = await gateway.listen(socket, 'run_1');
  undo.push(() => door.close());
  expect((await askSocket(socket, credential).then((response) => response.resume())).statusCode).toBe(200);
});
