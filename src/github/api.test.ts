import { createVerify, generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { type GitHubCall, GitHubServer } from '../../test/support/github-api.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';
import { silentLog } from '../platform/log.ts';
import { insertArrivals } from '../store/inbox.ts';
import type { Store } from '../store/store.ts';
import { createApi, type GitHubApi } from './api.ts';
import { catchUp } from './catch-up.ts';
import { at, repo } from './client.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});

let github: GitHubServer;
let url: string;
let clock: ManualClock;
const never = new AbortController().signal;

beforeEach(async () => {
  github = new GitHubServer();
  url = await github.start();
  clock = new ManualClock();
});

afterEach(() => github.stop());

const app = (): GitHubApi =>
  createApi({ apiUrl: url, identity: { kind: 'app', appId: '42', privateKey }, clock, userAgent: 'nightshift/test' });

/** An App that is installed in octo/garden. */
function install(more: (call: GitHubCall) => unknown = () => undefined): void {
  let tokens = 0;
  github.mishap = (call) => {
    const { method, path } = call;
    if (method === 'GET' && path === '/repos/octo/garden/installation') return { kind: 'answer', status: 200, body: { id: 7 } };
    if (method === 'POST' && path === '/app/installations/7/access_tokens') {
      tokens += 1;
      return { kind: 'answer', status: 201, body: { token: `ghs_${tokens}` } };
    }
    const body = more(call);
    return body === undefined ? undefined : { kind: 'answer', status: 200, body };
  };
}

describe('a GitHub App', () => {
  test('proves who it is, and works with a token of its installation until that is old', async () => {
    install();
    github.things.set('/repos/octo/garden/issues/1', { number: 1 });
    const api = app();
    const read = (): ReturnType<GitHubApi['in']> => api.in('octo/garden', { method: 'GET', path: '/repos/octo/garden/issues/1' }, never);
    expect(await read()).toMatchObject({ kind: 'ok' });
    expect(await read()).toMatchObject({ kind: 'ok' });
    expect(await api.gitToken('octo/garden', never)).toBe('ghs_1');
    clock.advance(51 * 60_000);
    expect(await api.gitToken('Octo/Garden', never)).toBeUndefined(); // GitHub knows no such path here
    expect(await api.gitToken('octo/garden', never)).toBe('ghs_2');

    const authorization = github.authorizations.find((header) => header.startsWith('Bearer ey')) as string;
    const [head, claims, signature] = authorization.replace('Bearer ', '').split('.') as [string, string, string];
    expect(createVerify('RSA-SHA256').update(`${head}.${claims}`).verify(publicKey, signature, 'base64url')).toBe(true);
    const { iat, exp, iss } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<'iat' | 'exp', number> & { iss: string };
    expect([iss, exp - iat]).toEqual(['42', 600]);
  });

  test('proves who it is by GitHub’s clock when ours is wrong', async () => {
    const theirs = clock.now() - 3_600_000;
    install();
    const given = github.mishap;
    github.mishap = (call) => {
      const token = github.authorizations.at(-1)?.replace('Bearer ', '') ?? '';
      const { iat = 0 } = token.startsWith('ey')
        ? (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { iat: number })
        : {};
      if (iat * 1_000 > theirs) {
        return {
          kind: 'answer',
          status: 401,
          headers: { date: new Date(theirs).toUTCString() },
          body: { message: "'Issued at' is in the future" },
        };
      }
      return given(call);
    };
    const api = app();
    expect(await api.gitToken('octo/garden', never)).toBe('ghs_1');
    expect(github.calls).toHaveLength(3);
    github.mishap = () => ({ kind: 'answer', status: 401, headers: { date: new Date(theirs).toUTCString() } });
    expect(await api.asApp({ method: 'GET', path: '/app' }, never)).toMatchObject({ kind: 'refused', status: 401 });
    expect(github.calls).toHaveLength(4);
  });

  test('finds the deliveries that were missed, and only those', async () => {
    const database: TestDatabase = await createDatabase('sqlite');
    const store: Store = await database.open();
    try {
      install(({ path }) => {
        if (path.startsWith('/app/hook/deliveries?')) {
          return ['known', 'missed', 'missed-too'].map((guid, id) => ({ id: id + 1, guid, event: 'ping' }));
        }
        return path.startsWith('/app/hook/deliveries/') ? { request: { payload: { at: path } } } : undefined;
      });
      const arrival = { id: 'inb_1', source: 'github', key: 'known', kind: 'ping', headers: {}, body: Buffer.from('{}') };
      await store.write((tx) => insertArrivals(tx, [arrival], 0));
      const received: { key: string; body: string }[] = [];
      const inbox = {
        receive: async ({ key, body }: { key: string; body: Buffer }) => {
          received.push({ key, body: body.toString() });
          return { kind: 'stored', id: key } as const;
        },
      };
      const policy = {
        botName: 'nightshift',
        repositories: undefined,
        associations: [],
        allow: [],
        others: 'ignore',
        label: 'x',
        branches: [],
        reviews: 'request-changes',
        engine: 'claude',
      } as const;
      await catchUp({ api: app(), policy, inbox, store, clock, log: silentLog }, never);
      expect(received).toEqual([
        { key: 'missed-too', body: '{"at":"/app/hook/deliveries/3"}' },
        { key: 'missed', body: '{"at":"/app/hook/deliveries/2"}' },
      ]);
    } finally {
      await store.close();
      await database.remove();
    }
  });
});

describe('a call', () => {
  test('cannot leave its place by what is filled in', () => {
    expect(at`/issues/${'../../user'}/x`).toBe('/issues/..%2F..%2Fuser/x');
    expect(repo('octo/a?b')).toBe('/repos/octo/a%3Fb');
  });

  test('follows a repository that was renamed, and stays what it was', async () => {
    github.mishap = ({ path }) =>
      path.startsWith('/repos/old/')
        ? { kind: 'answer', status: 301, headers: { location: `${url}/repos/octo/garden/issues/1/comments` } }
        : undefined;
    const api = createApi({ apiUrl: url, identity: { kind: 'token', token: 't' }, clock, userAgent: 'x' });
    const answer = await api.in(
      'old/garden',
      { method: 'POST', path: '/repos/old/garden/issues/1/comments', body: { body: 'hello' } },
      never,
    );
    expect(answer).toMatchObject({ kind: 'ok', status: 201 });
    expect(github.comments.map(({ body }) => body)).toEqual(['hello']);
  });

  test('takes its token to nobody else', async () => {
    const elsewhere = new GitHubServer();
    const other = await elsewhere.start();
    github.mishap = () => ({ kind: 'answer', status: 302, headers: { location: `${other}/repos/octo/garden/issues/1` } });
    const api = createApi({ apiUrl: url, identity: { kind: 'token', token: 't' }, clock, userAgent: 'x' });
    expect(await api.in('octo/garden', { method: 'GET', path: '/repos/octo/garden/issues/1' }, never)).toMatchObject({ kind: 'refused' });
    expect(elsewhere.calls).toEqual([]);
    await elsewhere.stop();
  });

  test.each([
    ['a secondary limit with a time', 403, { 'retry-after': '7' }, {}, { kind: 'limited', afterMs: 7_000 }],
    [
      'a limit that is used up',
      403,
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'in 90 s' },
      {},
      { kind: 'limited', afterMs: 91_000 },
    ],
    ['the same as 429', 429, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'in 90 s' }, {}, { kind: 'limited', afterMs: 91_000 }],
    [
      'a limit that is over already',
      429,
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1' },
      {},
      { kind: 'limited', afterMs: 1_000 },
    ],
    ['a limit of days', 429, { 'retry-after': '999999' }, {}, { kind: 'limited', afterMs: 3_600_000 }],
    ['a limit without a time', 429, {}, {}, { kind: 'limited', afterMs: 60_000 }],
    ['a limit in words', 403, {}, { message: 'You have exceeded a secondary rate limit.' }, { kind: 'limited', afterMs: 60_000 }],
    ['a refusal', 403, { 'x-ratelimit-remaining': '4000' }, { message: 'Resource not accessible' }, { kind: 'refused', status: 403 }],
    ['a bad gateway', 502, {}, '<html>502</html>', { kind: 'unreachable', doubtful: true }],
    ['a server that is being mended', 503, {}, {}, { kind: 'unreachable', doubtful: false }],
    ['a login page', 200, {}, Buffer.from('<html>'), { kind: 'unreachable', doubtful: true }],
    ['a repository that is gone', 404, {}, {}, { kind: 'missing' }],
    ['a repository that was barred by law', 451, {}, {}, { kind: 'missing' }],
    ['a repository that was taken down', 410, {}, {}, { kind: 'missing' }],
  ] as const)('tells %s from other failures', async (_what, status, headers, body, expected) => {
    // Ours is a day ahead.
    const theirs = Math.floor((clock.now() - 86_400_000) / 1_000) * 1_000;
    const given = Object.fromEntries(
      Object.entries(headers).map(([name, text]) => [name, text === 'in 90 s' ? String(Math.floor(theirs / 1_000) + 90) : text]),
    );
    github.mishap = () => ({ kind: 'answer', status, headers: { date: new Date(theirs).toUTCString(), ...given }, body });
    const api = createApi({ apiUrl: url, identity: { kind: 'token', token: 't' }, clock, userAgent: 'x' });
    const answer = await api.in('octo/garden', { method: 'POST', path: '/repos/octo/garden/issues/1/comments', body: {} }, never);
    expect(answer).toMatchObject(expected);
  });

  test('that is never answered ends, and may have been heard', async () => {
    github.mishap = () => ({ kind: 'hang' });
    const api = createApi({ apiUrl: url, identity: { kind: 'token', token: 't' }, clock, userAgent: 'x' });
    const asking = api.in('octo/garden', { method: 'POST', path: '/repos/octo/garden/issues/1/comments', body: {} }, never);
    while (github.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(20_000);
    expect(await asking).toMatchObject({ kind: 'unreachable', doubtful: true });
    await github.stop();
    const refused = await api.in('octo/garden', { method: 'POST', path: '/x', body: {} }, never);
    expect(refused).toMatchObject({ kind: 'unreachable' });
    github = new GitHubServer();
    await github.start();
  });
});
