import type { MiddlewareHandler } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type OpenApi, resolveRef, routesOf, type Schema } from '../../test/support/openapi.ts';
import { type Api, startTestServer, type TestServer } from '../../test/support/server.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';
import { silentLog } from '../platform/log.ts';
import { createApp } from './app.ts';
import type { ServerParts } from './parts.ts';

let database: TestDatabase;
let server: TestServer;
let api: Api;
let document: OpenApi;

beforeAll(async () => {
  database = await createDatabase('sqlite');
  // So that each wrong key can come from an address of its own.
  server = await startTestServer(database, { trustedProxies: '127.0.0.1' });
  ({ api } = server);
  document = await api.document();
});

afterAll(async () => {
  await server?.running.stop();
  await database?.remove();
});

const passOn: MiddlewareHandler = (_, next) => next();
const open = new Set(['/health', '/ready']);
const filledIn = (path: string): string => path.replaceAll('{id}', 'tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV').replaceAll('{name}', 'a.txt');
let addresses = 0;
const fromElsewhere = (): Readonly<Record<string, string>> => ({
  'x-forwarded-for': `10.1.${(addresses >> 8) & 255}.${addresses++ & 255}`,
});
/** Without a key there must be a way to show one. */
const signIn = 'POST /api/session';

describe('the served OpenAPI document', () => {
  test('lists every route that there is', () => {
    // The routes come from the app itself; nothing of these parts is used before a request comes.
    const { routes } = createApp({
      log: silentLog,
      corsOrigins: [],
      access: {},
      audit: { record: passOn },
    } as unknown as ServerParts);
    const served = routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    const listed = routesOf(document).map(({ method, path }) => `${method} ${path}`);
    expect(listed.sort()).toEqual([...new Set(served)].sort());
  });

  test('is OpenAPI 3.1: parameters are declared, answers described, references lead somewhere', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(document.info).toMatchObject({ title: 'Nightshift', version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
    expect(document.components.securitySchemes).toEqual({
      key: { type: 'http', scheme: 'bearer' },
      signature: { type: 'apiKey', in: 'header', name: 'x-hub-signature-256' },
    });
    for (const { method, path, operation } of routesOf(document)) {
      const at = `${method} ${path}`;
      expect(operation.summary, at).toMatch(/./);
      const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
      const declared = operation.parameters?.filter((each) => each.in === 'path' && each.required).map(({ name }) => name) ?? [];
      expect(declared, at).toEqual(inPath);
      expect(Object.keys(operation.responses).length, at).toBeGreaterThan(0);
      for (const [status, { description }] of Object.entries(operation.responses)) {
        expect(status, at).toMatch(/^[1-5]\d\d$/);
        expect(description, `${at} ${status}`).toMatch(/./);
      }
    }
    for (const ref of referencesIn(document)) expect(resolveRef(document, ref), ref).toBeDefined();
  });

  test('tells what a new task may have', () => {
    const wish = document.components.schemas?.['NewTask'] as Schema;
    expect(wish.required).toEqual(['title']);
    expect(wish.additionalProperties).toBe(false);
    expect(Object.keys(wish.properties ?? {}).sort()).toEqual(
      [
        'title',
        'body',
        'repository',
        'ref',
        'priority',
        'dependsOn',
        'needsApproval',
        'notBefore',
        'dedupeKey',
        'budgetUsd',
        'verify',
        'doneWhen',
        'maxRounds',
        'engine',
        'profile',
        'tier',
        'labels',
        'maxAttempts',
      ].sort(),
    );
    expect(wish.properties?.['verify']).toMatchObject({ anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] });
  });

  test('is browsable, with the key as password', async () => {
    const basic = `Basic ${Buffer.from(`anybody:${api.token}`).toString('base64')}`;
    const { status, body, headers } = await api.call<string>('GET', '/api/docs', { key: null, headers: { authorization: basic } });
    expect(status).toBe(200);
    for (const { path } of routesOf(document)) expect(body).toContain(`<code>${path}</code>`);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(body).not.toContain('<script');
    const refused = await api.call('GET', '/api/docs', { key: null });
    expect(refused.headers.get('www-authenticate')).toMatch(/^Basic /);
    // The password prompt of a browser opens nothing that could change anything, or be embedded by another site.
    expect(await api.refusal('GET', '/api/tasks', { key: null, headers: { authorization: basic } })).toMatchObject({ code: 'no-key' });
  });
});

describe('a key', () => {
  test('is wanted on every route but health, readiness and signing in', async () => {
    for (const { method, path, operation } of routesOf(document)) {
      if (open.has(path)) {
        expect(operation.security).toEqual([]);
        expect((await api.call(method, path, { key: null })).status).toBe(200);
        continue;
      }
      if (path.startsWith('/webhook')) {
        // Signed by their sender, and shut while no source is set up.
        expect(operation.security).toEqual([{ signature: [] }]);
        expect(await api.refusal(method, path, { key: null })).toMatchObject({ status: 404, code: 'source-off' });
        continue;
      }
      if (`${method} ${path}` === signIn) {
        expect(operation.security).toEqual([]);
        expect(await api.refusal(method, path, { key: null, body: { key: `${api.token}x` }, headers: fromElsewhere() })).toMatchObject({
          status: 401,
          code: 'wrong-key',
        });
        continue;
      }
      expect(operation.security ?? document.security, `${method} ${path}`).toEqual([{ key: [] }]);
      expect(await api.refusal(method, filledIn(path), { key: null })).toMatchObject({ status: 401, code: 'no-key' });
      expect(await api.refusal(method, filledIn(path), { key: `${api.token}x`, headers: fromElsewhere() })).toMatchObject({
        status: 401,
        code: 'wrong-key',
      });
    }
  });

  test('is wanted before anything is said about what there is', async () => {
    expect(await api.refusal('GET', '/api/nothing', { key: null })).toMatchObject({ status: 401 });
    expect(await api.refusal('DELETE', '/api/tasks', { key: null })).toMatchObject({ status: 401 });
    expect(await api.refusal('POST', '/api/tasks', { key: null, body: '{' })).toMatchObject({ status: 401 });
  });

  test('is taken as a bearer key only, and only whole', async () => {
    const { token } = api;
    for (const authorization of [
      'Bearer',
      'Bearer ',
      token,
      `Token ${token}`,
      `Bearer ${token} x`,
      `Bearer ${token.slice(0, -1)}`,
      `bearer\t`,
    ]) {
      expect(
        await api.refusal('GET', '/api/tasks', { key: null, headers: { authorization, ...fromElsewhere() } }),
        authorization,
      ).toMatchObject({
        status: 401,
      });
    }
    expect((await api.call('GET', '/api/tasks', { key: null, headers: { authorization: `bearer ${token}` } })).status).toBe(200);
    expect(await api.refusal('GET', `/api/tasks?token=${token}`, { key: null })).toMatchObject({ status: 401 });
  });

  test('appears nowhere in the log', async () => {
    await api.call('GET', '/api/tasks');
    await api.refusal('GET', '/api/tasks', { key: 'a-wrong-key-that-somebody-tried' });
    const log = server.logged.join('');
    expect(log).toContain('nightshift is up');
    expect(log).not.toContain(api.token);
    expect(log).not.toContain('a-wrong-key-that-somebody-tried');
  });
});

function referencesIn(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, each]) => (key === '$ref' ? [String(each)] : referencesIn(each)));
}
