import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTestServer, type TestServer, testToken } from '../../../test/support/server.ts';
import { createDatabase, type TestDatabase } from '../../../test/support/stores.ts';

const token = 'for-prometheus-alone-0123';
let database: TestDatabase;
let server: TestServer | undefined;

beforeEach(async () => {
  database = await createDatabase('sqlite');
});

afterEach(async () => {
  await server?.running.stop();
  server = undefined;
  await database.remove();
});

const bearer = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } });

test('a port of their own shows the figures to its token, and nothing else to anybody', async () => {
  server = await startTestServer(database, { metricsPort: '0', metricsToken: token });
  const { metricsAddress } = server.running;
  const ask = (path: string, init: RequestInit = {}): Promise<Response> => fetch(`${metricsAddress}${path}`, init);

  const scraped = await ask('/metrics', bearer(token));
  expect(scraped.status).toBe(200);
  expect(scraped.headers.get('content-type')).toMatch(/^text\/plain; version=/);
  expect(scraped.headers.get('x-content-type-options')).toBe('nosniff');
  expect(await scraped.text()).toContain('# TYPE tasks_executed_total counter');

  expect((await ask('/metrics')).status).toBe(401);
  expect((await ask('/metrics', bearer(testToken))).status).toBe(401);
  for (const path of ['/', '/api/tasks', '/health', '/metrics/']) expect((await ask(path, bearer(token))).status, path).toBe(404);
  expect((await ask('/metrics', { ...bearer(token), method: 'POST' })).status).toBe(404);
  // What opens this port opens no other.
  expect((await server.api.call('GET', '/metrics', { key: token })).status).toBe(401);
  expect((await server.api.call('GET', '/metrics')).status).toBe(200);
  expect(server.logged.join('\n')).not.toContain(token);
});

test('whoever guesses at the token waits longer and longer, and whoever has it does not', async () => {
  server = await startTestServer(database, { metricsPort: '0', metricsToken: token });
  const ask = (key: string): Promise<Response> => fetch(`${server?.running.metricsAddress}/metrics`, bearer(key));
  expect((await ask(token)).status).toBe(200);
  for (const guess of ['a', 'b', 'c', 'd', 'e']) expect((await ask(guess)).status).toBe(401);
  const held = await ask('f');
  expect([held.status, Number(held.headers.get('retry-after')) > 0]).toEqual([429, true]);
  expect((await ask(token)).status).toBe(200);
});

test('without a token there is no such port, and the server says so instead of opening it', async () => {
  await expect(startTestServer(database, { metricsPort: '0' })).rejects.toMatchObject({
    code: 'bad-setting',
    message: expect.stringContaining('METRICS_TOKEN'),
  });
  // A token alone, as compose passes one on to everybody, opens nothing.
  server = await startTestServer(database, { metricsToken: token });
  expect(server.running.metricsAddress).toBeUndefined();
});
