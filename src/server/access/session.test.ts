import { createHmac } from 'node:crypto';
import { sign } from 'hono/jwt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { Api, startTestServer, type TestServer } from '../../../test/support/server.ts';
import { createDatabase, type TestDatabase } from '../../../test/support/stores.ts';
import { makeToken, readToken } from '../../home.ts';
import { createIds } from '../../platform/ids.ts';
import type { Store } from '../../store/store.ts';
import { owner } from './caller.ts';
import { createGuesses } from './guesses.ts';
import { createSessions } from './sessions.ts';

let database: TestDatabase;
let server: TestServer;
let api: Api;
let host: string;

beforeAll(async () => {
  database = await createDatabase('sqlite');
  // The key of the home, so that it can be rotated.
  server = await startTestServer(database, { token: undefined, trustedProxies: '127.0.0.1' });
  api = new Api(server.running.address, key());
  host = new URL(api.address).host;
});
afterAll(async () => {
  await server?.running.stop();
  await database?.remove();
});

const key = (): string => readToken(database.home, undefined) ?? '';

interface SignedIn {
  readonly cookie: string;
  readonly attributes: string;
}

async function signIn(credential: object = { key: key() }, headers: Readonly<Record<string, string>> = {}): Promise<SignedIn> {
  const answer = await send('POST', '/api/session', { body: credential, headers });
  expect(answer.status).toBe(200);
  const [cookie = '', ...attributes] = (answer.headers.get('set-cookie') ?? '').split('; ');
  return { cookie, attributes: attributes.join('; ') };
}

/** A request as a browser makes it: no key, and whatever it adds of its own. */
function send(
  method: string,
  path: string,
  { body, headers = {} }: { body?: object; headers?: Readonly<Record<string, string>> } = {},
): Promise<Response> {
  return fetch(api.address + path, {
    method,
    headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
}

/** Fetch lets nobody set `Origin` and its like, so what a browser would send is sent over a plain socket. */
async function asBrowser(method: string, path: string, headers: Readonly<Record<string, string>>, body?: object): Promise<number> {
  const { request } = await import('node:http');
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(
      api.address + path,
      { method, headers: { ...headers, ...(text === undefined ? {} : { 'content-type': 'application/json' }) } },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });
}

const wish = { title: 'later', body: 'true', notBefore: '2126-01-01T00:00:00Z' };

describe('a browser', () => {
  test('is signed in with the key, by a cookie that no script and no other site gets', async () => {
    const { cookie, attributes } = await signIn();
    expect(cookie).toMatch(/^nightshift-\d+=[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(attributes).toMatch(/^Max-Age=604[78]\d\d; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(cookie).not.toContain(key());
    const me = await send('GET', '/api/session', { headers: { cookie } });
    expect(await me.json()).toEqual({ user: 'owner', role: 'owner', scopes: null, expiresAt: expect.stringMatching(/Z$/) });
    for (const path of ['/api/tasks', '/api/openapi.json', '/api/docs', '/metrics']) {
      expect((await send('GET', path, { headers: { cookie } })).status, path).toBe(200);
    }
  });

  test('gets a cookie for https alone when a proxy in front speaks https', async () => {
    const { attributes } = await signIn({ key: key() }, { 'x-forwarded-proto': 'https' });
    expect(attributes).toContain('; Secure');
  });

  test('is signed in by the code of a link, once', async () => {
    const issued = await api.call<{ code: string; expiresAt: string }>('POST', '/api/session/code', { key: key() });
    expect(issued.status).toBe(201);
    const { cookie } = await signIn({ code: issued.body.code });
    expect((await send('GET', '/api/tasks', { headers: { cookie } })).status).toBe(200);
    expect(await api.refusal('POST', '/api/session', { key: null, body: { code: issued.body.code } })).toMatchObject({
      status: 401,
      code: 'wrong-code',
    });
    expect(server.running.loginLink()).toMatch(new RegExp(`^http://${host}/#login=[\\w-]{32}$`));
    expect(server.logged.join('')).not.toContain(issued.body.code);
  });

  test('is signed out', async () => {
    const { cookie } = await signIn();
    const out = await send('DELETE', '/api/session', { headers: { cookie, origin: api.address } });
    expect(out.status).toBe(204);
    expect(out.headers.get('set-cookie')).toMatch(/^nightshift-\d+=; Max-Age=0; Path=\//);
    // Whoever copied the cookie has nothing.
    expect((await send('GET', '/api/tasks', { headers: { cookie } })).status).toBe(401);
  });

  test('changes something only from our own pages', async () => {
    const { cookie } = await signIn();
    const own = { cookie, host };
    for (const [what, headers, status] of [
      ['our page', { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }, 201],
      ['our page in an old browser', { origin: `http://${host}` }, 201],
      ['our page behind a proxy', { origin: 'https://nightshift.example', 'x-forwarded-host': 'nightshift.example' }, 201],
      ['another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, 403],
      ['another site in an old browser', { origin: 'https://evil.example' }, 403],
      ['another port of this machine', { origin: 'http://127.0.0.1:1', 'sec-fetch-site': 'same-site' }, 403],
      ['a page that hides where it is from', { origin: 'null' }, 403],
      ['nobody knows where', {}, 403],
    ] as const) {
      expect(await asBrowser('POST', '/api/tasks', { ...own, ...headers }, wish), what).toBe(status);
    }
    expect(await asBrowser('GET', '/api/tasks', { ...own, origin: 'https://evil.example' })).toBe(200);
    // A key is proof enough, whatever cookie comes along.
    expect(await asBrowser('POST', '/api/tasks', { ...own, authorization: `Bearer ${key()}` }, wish)).toBe(201);
  });

  test('is not signed in by another page, which could read along then', async () => {
    expect(await asBrowser('POST', '/api/session', { host, origin: 'https://evil.example' }, { key: key() })).toBe(403);
    expect(await asBrowser('POST', '/api/session', { host, origin: `http://${host}` }, { key: key() })).toBe(200);
  });

  test('cannot make up a session', async () => {
    const { cookie } = await signIn();
    const [name = '', token = ''] = cookie.split('=');
    const [header = '', claims = '', signature = ''] = token.split('.');
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const owner = { sub: 'owner', role: 'owner', iat: 0, exp: 99_999_999_999 };
    const forged: readonly (readonly [string, string])[] = [
      ['alg none', `${encode({ alg: 'none', typ: 'JWT' })}.${claims}.`],
      ['alg none in capitals', `${encode({ alg: 'NONE', typ: 'JWT' })}.${claims}.${signature}`],
      ['another algorithm', await sign(owner, 'x'.repeat(64), 'HS512')],
      ['the key itself as secret', await sign(owner, key(), 'HS256')],
      [
        'an empty secret',
        `${header}.${encode(owner)}.${createHmac('sha256', '')
          .update(`${header}.${encode(owner)}`)
          .digest('base64url')}`,
      ],
      ['other claims', `${header}.${encode(owner)}.${signature}`],
      ['no signature', `${header}.${claims}.`],
      ['a shorter signature', `${header}.${claims}.${signature.slice(0, -4)}`],
      ['no token', 'owner'],
      ['nothing', ''],
    ];
    for (const [what, made] of forged)
      expect((await send('GET', '/api/tasks', { headers: { cookie: `${name}=${made}` } })).status, what).toBe(401);
    // The cookie of another server on this machine says nothing here.
    expect((await send('GET', '/api/tasks', { headers: { cookie: `nightshift-1=${token}` } })).status).toBe(401);
  });

  test('is signed out everywhere when the key is rotated, and links end with it', async () => {
    const { cookie } = await signIn();
    const { body } = await api.call<{ code: string }>('POST', '/api/session/code', { key: key() });
    makeToken(database.home);
    expect((await send('GET', '/api/tasks', { headers: { cookie } })).status).toBe(401);
    expect((await send('POST', '/api/session', { body: { code: body.code } })).status).toBe(401);
    await signIn();
  });

  test('that guesses has to wait longer and longer, also with the right key; others need not', async () => {
    const from = (address: string) => ({ 'x-forwarded-for': `10.9.9.9, ${address}` });
    for (let i = 0; i < 5; i++)
      expect((await send('POST', '/api/session', { body: { key: `guess ${i}` }, headers: from('10.0.0.1') })).status).toBe(401);
    const refused = await send('POST', '/api/session', { body: { key: key() }, headers: from('10.0.0.1') });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ code: 'too-many-tries' });
    await signIn({ key: key() }, from('10.0.0.2'));
  });

  test('gives either a key or a code, in a small body', async () => {
    for (const body of [{}, { key: 'a', code: 'b' }, { key: 'a', extra: 1 }, { key: 'x'.repeat(601) }]) {
      expect(await api.refusal('POST', '/api/session', { key: null, body })).toMatchObject({ status: 400 });
    }
    expect(await api.refusal('POST', '/api/session', { key: null, body: `{"key":"${'x'.repeat(2 ** 20)}"}` })).toMatchObject({
      status: 413,
    });
    expect(
      await api.refusal('POST', '/api/session', { key: null, body: 'key=a', headers: { 'content-type': 'text/plain' } }),
    ).toMatchObject({ status: 415 });
  });
});

test('what a server has to work with is told to who is signed in', async () => {
  expect((await api.call('GET', '/api/server', { key: key() })).body).toMatchObject({
    store: 'sqlite',
    defaultEngine: 'command',
    engines: ['command', 'claude'],
    providers: [],
    sandbox: { active: expect.any(Boolean), summary: expect.stringMatching(/./) },
  });
});

describe('a session', () => {
  let store: Store;
  beforeAll(async () => {
    store = await database.open();
  });
  afterAll(() => store?.close());
  const sessionsBy = (clock: ManualClock) => createSessions(() => 'the key', { store, clock, newId: createIds(clock) });

  test('ends by itself, and outlives a restart of the server', async () => {
    const clock = new ManualClock();
    const { token = '', id } = (await sessionsBy(clock).open(owner)) ?? {};
    const restarted = sessionsBy(clock);
    expect(await restarted.read(token)).toBe(id);
    clock.advance(7 * 24 * 3_600_000 - 1_000);
    expect(await restarted.read(token)).toBe(id);
    clock.advance(1_000);
    expect(await restarted.read(token)).toBeUndefined();
  });

  test('is not had for a code that is too old, or one of very many', () => {
    const clock = new ManualClock();
    const sessions = sessionsBy(clock);
    const { code } = sessions.issueCode(owner);
    clock.advance(15 * 60_000);
    expect(sessions.redeem(code)).toBeUndefined();
    const first = sessions.issueCode(owner).code;
    const others = Array.from({ length: 100 }, () => sessions.issueCode(owner).code);
    expect(sessions.redeem(first)).toBeUndefined();
    expect(sessions.redeem(others.at(-1) ?? '')).toEqual(owner);
    expect(sessions.redeem('')).toBeUndefined();
  });
});

describe('guessing', () => {
  test('does not get far: the wait doubles up to a quarter of an hour, and a right one ends it', () => {
    const clock = new ManualClock();
    const guesses = createGuesses(clock);
    const waits: number[] = [];
    for (let i = 0; i < 20; i++) {
      guesses.wrong('a', 'guess');
      waits.push(guesses.waitMs('a', 'guess'));
      clock.advance(guesses.waitMs('a', 'guess'));
    }
    expect(waits.slice(0, 8)).toEqual([0, 0, 0, 0, 2_000, 4_000, 8_000, 16_000]);
    expect(waits.at(-1)).toBe(15 * 60_000);
    expect(guesses.waitMs('b', 'guess')).toBe(0);
    guesses.right('a', 'key');
    guesses.wrong('a', 'guess');
    expect(guesses.waitMs('a', 'guess')).toBe(0);
  });

  test('holds up nobody who was known at that address before, until their key is worth nothing', () => {
    const guesses = createGuesses(new ManualClock());
    guesses.right('a', 'key');
    for (let i = 0; i < 10; i++) guesses.wrong('a', `guess ${i}`);
    expect(guesses.waitMs('a', 'guess')).toBeGreaterThan(0);
    expect(guesses.waitMs('a', 'another key')).toBeGreaterThan(0);
    expect(guesses.waitMs('a', 'key')).toBe(0);
    // Their calls do not clear the guesser either.
    guesses.right('a', 'key');
    expect(guesses.waitMs('a', 'guess')).toBeGreaterThan(0);
    guesses.wrong('a', 'key');
    expect(guesses.waitMs('a', 'key')).toBeGreaterThan(0);
  });
});
