import { request as plainRequest } from 'node:http';
import { sign } from 'hono/jwt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { type OpenApi, type Route, routesOf } from '../../../test/support/openapi.ts';
import { type Api, startTestServer, type TestServer } from '../../../test/support/server.ts';
import { createDatabase, type TestDatabase } from '../../../test/support/stores.ts';
import { type ApiKey, audiences, mayAct, type Role, roles } from '../../domain/access.ts';
import { createIds } from '../../platform/ids.ts';
import { insertKey } from '../../store/access.ts';
import type { Store } from '../../store/store.ts';
import { digestOf, owner } from './caller.ts';
import { createSessions } from './sessions.ts';

/**
 * Every route that there is, asked by everybody there can be. The routes come from the server itself, so one that is added
 * is asked as well. What changes something announces a body that is too long: whoever gets past the door learns that, and
 * nothing is done.
 */
let database: TestDatabase;
let server: TestServer;
let api: Api;
let store: Store;
let document: OpenApi;

beforeAll(async () => {
  database = await createDatabase('sqlite');
  server = await startTestServer(database, { trustedProxies: '127.0.0.1', keyRequestsPerMinute: '0', addressRequestsPerMinute: '0' });
  ({ api } = server);
  document = await api.document();
  store = await database.open();
});
afterAll(async () => {
  await store?.close();
  await server?.running.stop();
  await database?.remove();
});

type Headers = Readonly<Record<string, string>>;
interface Refusal {
  readonly status: number;
  readonly code: string | undefined;
}

let asked = 0;
/** Each time from another address, so that nobody is held up for the mistakes before. */
function ask({ method, path }: Pick<Route, 'method' | 'path'>, headers: Headers): Promise<Refusal> {
  asked += 1;
  const target = path.replaceAll('{id}', 'tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV').replaceAll(/\{\w+\}/g, 'nothing');
  const writes = method !== 'GET';
  return new Promise((resolve, reject) => {
    const sent = plainRequest(
      `${api.address}${target}${path === '/api/events' ? '?follow=false' : ''}`,
      {
        method,
        headers: {
          'x-forwarded-for': `10.${(asked >> 16) & 255}.${(asked >> 8) & 255}.${asked & 255}`,
          ...(writes ? { 'content-type': 'application/json', 'content-length': '30000000' } : {}),
          ...headers,
        },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () => {
          sent.destroy();
          const code =
            answer.headers['content-type'] === 'application/problem+json' ? (JSON.parse(text) as { code: string }).code : undefined;
          resolve({ status: answer.statusCode ?? 0, code });
        });
      },
    );
    sent.on('error', reject);
    if (writes) sent.flushHeaders();
    else sent.end();
  });
}

const roleOf = ({ operation }: Route): unknown => (operation as { readonly 'x-role'?: unknown })['x-role'];
const withKey = (key: string): Headers => ({ authorization: `Bearer ${key}` });

let made = 0;
async function newKey(role: Role, more: Readonly<Record<string, unknown>> = {}): Promise<{ readonly id: string; readonly secret: string }> {
  made += 1;
  const name = `${role}-number${made}`;
  const { status, body } = await api.call<{ id: string; secret: string }>('POST', '/api/keys', { body: { name, role, ...more } });
  expect(status).toBe(201);
  return body;
}

/** As a browser of our own pages. */
async function signedIn(key: string): Promise<Headers> {
  const { headers, status } = await api.call('POST', '/api/session', { key: null, body: { key } });
  expect(status).toBe(200);
  return fromOurPage(headers.get('set-cookie')?.split(';')[0] ?? '');
}
const fromOurPage = (cookie: string): Headers => ({ cookie, origin: api.address });

test('every route says whom it asks for', () => {
  for (const route of routesOf(document)) {
    const at = `${route.method} ${route.path}`;
    expect(audiences, `${at} lacks x-role`).toContain(roleOf(route));
    const open = route.operation.security !== undefined && !JSON.stringify(route.operation.security).includes('"key"');
    expect(roleOf(route) === 'anyone', `${at} is open, or is not, and says otherwise`).toBe(open);
    if (!open) for (const status of ['401', '403', '429']) expect(Object.keys(route.operation.responses), at).toContain(status);
  }
});

describe.each(roles)('a %s', (role) => {
  test.each(['key', 'session'] as const)('with a %s gets where the role leads, and no further', async (how) => {
    const { secret } = await newKey(role, how === 'key' ? {} : { expiresAt: null });
    const headers = how === 'key' ? withKey(secret) : await signedIn(secret);
    for (const route of routesOf(document)) {
      const at = `${route.method} ${route.path}`;
      const needed = audiences.find((each) => each === roleOf(route)) ?? 'owner';
      // Signing out would be the end of this.
      if (at === 'DELETE /api/session' && how === 'session') continue;
      const { status, code } = await ask(route, headers);
      if (needed !== 'anyone' && !mayAct(role, needed)) expect({ status, code }, at).toEqual({ status: 403, code: 'role-needed' });
      else if (route.method !== 'GET') expect(code, at).toMatch(/^(body-too-large|source-off)$/);
      else expect(code ?? '', at).toMatch(/^$|^no-such-/);
    }
  });
});

test('a key that is held to something reaches that, to read or to change as it says', async () => {
  const { secret } = await newKey('owner', { scopes: ['tasks:read', 'queue'] });
  const allowed: string[] = [];
  for (const route of routesOf(document)) {
    const { code } = await ask(route, withKey(secret));
    if (code !== 'scope-needed' && roleOf(route) !== 'anyone') allowed.push(`${route.method} ${route.path}`);
  }
  expect(allowed.sort()).toEqual(
    [
      'GET /api/tasks',
      'GET /api/tasks/{id}',
      'GET /api/queue',
      'POST /api/queue/pause',
      'POST /api/queue/resume',
      // Of everybody.
      'GET /api/docs',
      'GET /api/openapi.json',
      'DELETE /api/push',
      'GET /api/push',
      'PUT /api/push',
      'DELETE /api/session',
      'GET /api/session',
      'POST /api/session/code',
    ].sort(),
  );
});

describe('nobody gets anywhere', () => {
  const none = async (headers: Headers, code: string): Promise<void> => {
    for (const route of routesOf(document)) {
      const at = `${route.method} ${route.path}`;
      const answer = await ask(route, headers);
      if (roleOf(route) === 'anyone') expect(answer.code ?? '', at).toMatch(/^$|^body-too-large$|^source-off$/);
      else expect(answer, at).toEqual({ status: 401, code });
    }
  };

  test('without a key', () => none({}, 'no-key'));
  test('with a wrong key', () => none(withKey(`nsk_${'x'.repeat(43)}`), 'wrong-key'));
  test('with the hash of a key', async () => {
    const { secret } = await newKey('owner', { expiresAt: '2126-01-01T00:00:00Z' });
    await none(withKey(digestOf(secret)), 'wrong-key');
  });

  test('with an expired key', async () => {
    const key: ApiKey = {
      id: 'key_01ARZ3NDEKTSV4RRFFQ69G5FAV',
      name: 'long-ago',
      role: 'owner',
      scopes: null,
      createdBy: 'owner',
      createdAt: 0,
      expiresAt: 1,
      revokedAt: null,
      rotatedAt: null,
      oldSecretUntil: null,
      lastUsedAt: null,
    };
    await store.write((tx) => insertKey(tx, key, digestOf('an-expired-key')));
    await none(withKey('an-expired-key'), 'wrong-key');
  });

  test('with a revoked key, or a session of it', async () => {
    const { body } = await api.call<{ id: string; secret: string }>('POST', '/api/keys', { body: { name: 'gone', role: 'owner' } });
    const session = await signedIn(body.secret);
    expect(await ask({ method: 'GET', path: '/api/tasks' }, session)).toMatchObject({ status: 200 });
    await api.call('POST', `/api/keys/${body.id}/revoke`);
    await none(withKey(body.secret), 'wrong-key');
    await none(session, 'no-key');
  });

  test('with the secret of before a rotation without grace', async () => {
    const { body } = await api.call<{ id: string; secret: string }>('POST', '/api/keys', { body: { name: 'turned', role: 'owner' } });
    await api.call('POST', `/api/keys/${body.id}/rotate`, { body: { graceSeconds: 0 } });
    await none(withKey(body.secret), 'wrong-key');
  });

  test('with a session that was signed out', async () => {
    const session = await signedIn(api.token);
    expect((await fetch(`${api.address}/api/session`, { method: 'DELETE', headers: session })).status).toBe(204);
    await none(session, 'no-key');
  });

  test('with a session that has expired', async () => {
    const clock = new ManualClock(Date.now() - 8 * 24 * 3_600_000);
    const opened = await createSessions(() => api.token, { store, clock, newId: createIds(clock) }).open(owner);
    const [name] = ((await signedIn(api.token))['cookie'] ?? '').split('=');
    await none(fromOurPage(`${name}=${opened?.token}`), 'no-key');
  });

  describe('with a token that', () => {
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const now = Math.floor(Date.now() / 1_000);
    test.each([
      ['was tampered with', (header: string, claims: string, signature: string) => `${header}.${changed(claims)}.${signature}`],
      ['has alg: none', (_: string, claims: string) => `${encode({ alg: 'none', typ: 'JWT' })}.${claims}.`],
      [
        'has alg: none and a signature',
        (_: string, claims: string, signature: string) => `${encode({ alg: 'none' })}.${claims}.${signature}`,
      ],
      ['has no signature', (header: string, claims: string) => `${header}.${claims}.`],
      ['is signed with the key itself', () => sign({ sub: 'owner', sid: 'ses_1', iat: now, exp: now + 3_600 }, api.token, 'HS256')],
      ['is signed by another algorithm', () => sign({ sub: 'owner', sid: 'ses_1', iat: now, exp: now + 3_600 }, api.token, 'HS512')],
    ] as const)('%s', async (_, forge) => {
      const session = await signedIn(api.token);
      const [name = '', token = ''] = (session['cookie'] ?? '').split('=');
      const [header = '', claims = '', signature = ''] = token.split('.');
      expect(await ask({ method: 'GET', path: '/api/tasks' }, session)).toMatchObject({ status: 200 });
      await none(fromOurPage(`${name}=${await forge(header, claims, signature)}`), 'no-key');
    });

    const changed = (claims: string): string =>
      encode({ ...(JSON.parse(Buffer.from(claims, 'base64url').toString()) as object), exp: now + 99_999_999 });
  });
});
