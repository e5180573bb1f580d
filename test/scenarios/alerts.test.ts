import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Api, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';

interface Alerts {
  readonly items: readonly {
    readonly name: string;
    readonly title: string;
    readonly raisedAt: string | null;
    readonly silencedUntil: string | null;
  }[];
  readonly conditions: readonly string[];
}

interface Told {
  readonly severity: string;
  readonly title: string;
  readonly resolved: boolean;
}

let database: TestDatabase;
let server: TestServer;
let api: Api;
let receiver: Server;
const told: Told[] = [];

beforeEach(async () => {
  told.length = 0;
  receiver = createServer(async (request, response) => {
    if (request.method === 'HEAD') return void response.end(); // whether anybody is there
    let body = '';
    for await (const chunk of request) body += String(chunk);
    told.push(JSON.parse(body) as Told);
    response.end();
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  database = await createDatabase('sqlite');
  server = await startTestServer(database, { alertWebhookUrl: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/` });
  ({ api } = server);
});

afterEach(async () => {
  await server?.running.stop();
  await database?.remove();
  receiver?.close();
});

test('people hear of a task that waits for them within half a minute, without a Prometheus', async () => {
  await api.submit({ title: 'asks first', body: 'true', needsApproval: true });
  await until('word of it', () => told.some(({ title }) => title === '1 task waits for a person'), 30);
  const { body } = await api.call<Alerts>('GET', '/api/alerts');
  expect(body.items).toMatchObject([{ name: 'person-needed', title: '1 task waits for a person', raisedAt: expect.any(String) }]);
  expect(body.conditions).toContain('dead-letters');
});

test('an alert is silenced and told again by name, and a name that there is not is refused with those that there are', async () => {
  expect((await api.call('PUT', '/api/alerts/person-needed/silence', { body: { minutes: 60 } })).status).toBe(200);
  await api.submit({ title: 'asks first', body: 'true', needsApproval: true });
  const silent = await until('it to be seen', async () => {
    const { body } = await api.call<Alerts>('GET', '/api/alerts');
    return body.items.length > 0 && body;
  });
  expect(silent.items).toMatchObject([{ name: 'person-needed', raisedAt: null, silencedUntil: expect.any(String) }]);
  expect((await api.call('DELETE', '/api/alerts/person-needed/silence')).status).toBe(204);
  await until('word of it', () => told.length > 0, 30);
  expect(await api.refusal('PUT', '/api/alerts/nonsense/silence', { body: { minutes: 60 } })).toMatchObject({
    status: 404,
    code: 'no-such-alert',
  });
  expect((await api.refusal('PUT', '/api/alerts/disk/silence', { body: { minutes: 0 } })).status).toBe(400);
});
