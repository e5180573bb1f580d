import { createHmac } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { documentedServer, type ListServer } from '../support/memory-lists.ts';
import { type ApiTask, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { temporaryHome } from '../support/stores.ts';

/** The real server with every source that needs nothing but itself, and a channel to be told through. */

let home: string;
let server: TestServer;
let list: ListServer;
let hook: Server;
let todo: string;
const heard: { readonly title: string }[] = [];

beforeAll(async () => {
  home = temporaryHome();
  todo = join(home, 'lists', 'TODO.md');
  mkdirSync(join(home, 'lists'));
  writeFileSync(todo, '# High\n- [ ] From the list\n');
  list = await documentedServer('a-key');
  list.tasks.set('m1', { id: 'm1', description: 'From memory', status: 'pending', priority: 5, tags: [] });
  hook = createServer(async (request, response) => {
    if (request.method === 'HEAD') return void response.end(); // whether anybody is there
    heard.push(JSON.parse(await text(request)) as { title: string });
    response.end();
  });
  await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
  writeFileSync(
    join(home, 'nightshift.yaml'),
    JSON.stringify({
      todoFiles: [{ path: 'lists/*.md' }],
      memoryMcpUrl: list.url,
      memoryMcpApiKey: 'a-key',
      pollInterval: 1,
      alertWebhookUrl: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`,
      webhooks: [
        { name: 'ci', secret: 'a-shared-secret', task: { title: 'Mend {{job}}', engine: 'command', body: 'true' }, trust: 'owner' },
      ],
    }),
  );
  server = await startTestServer(
    { home, databaseUrl: undefined },
    { llmProvider: 'rehearsal', rehearsalScript: script(), engine: 'claude' },
  );
});

afterAll(async () => {
  await server.running.stop();
  await list.stop();
  await new Promise((resolve) => hook.close(resolve));
  rmSync(home, { recursive: true, force: true });
});

/** A model that does what is wanted by saying so: these tasks have no repository. */
function script(): string {
  const file = join(home, 'script.yaml');
  writeFileSync(file, 'name: talk\nturns:\n  - say: Done.\n');
  return file;
}

const find = (title: string): Promise<ApiTask> =>
  until(`the task ${title}`, async () => {
    const { body } = await server.api.call<{ readonly items: readonly ApiTask[] }>('GET', '/api/tasks');
    return body.items.find((task) => task.title === title);
  });

test('an item of a TODO file becomes a task, and is ticked when it is done', async () => {
  const task = await find('From the list');
  expect(task).toMatchObject({ source: 'todo', priority: 'high', trust: 'owner', engine: 'claude' });
  await server.api.becomes(task.id, 'succeeded');
  await expect.poll(() => readFileSync(todo, 'utf8'), { timeout: 10_000 }).toBe('# High\n- [x] From the list\n');
});

test('an item of a Memory-MCP list becomes a task, and is reported as completed', async () => {
  const task = await find('From memory');
  expect(task).toMatchObject({ source: 'memory', priority: 'medium', trust: 'known', engine: 'claude' });
  await server.api.becomes(task.id, 'succeeded');
  await expect.poll(() => list.tasks.get('m1')?.status, { timeout: 10_000 }).toBe('completed');
});

test('what two sources name is one task, and both are told', async () => {
  await server.api.call('POST', '/api/queue/pause');
  list.tasks.set('m2', { id: 'm2', description: 'Wanted twice', status: 'pending', priority: 5, tags: [] });
  appendFileSync(todo, '- [ ] wanted  twice!\n');
  interface Entry {
    readonly source: string;
    readonly taskIds: readonly string[];
  }
  const taken = await until('both to be taken up', async () => {
    const { body } = await server.api.call<{ readonly items: readonly Entry[] }>('GET', '/api/inbox?state=done');
    const newest = ['todo', 'memory'].map((name) => body.items.filter(({ source }) => source === name));
    return newest.every((entries) => entries.length === 2) && newest.map(([entry]) => entry?.taskIds);
  });
  expect(taken[0]).toHaveLength(1);
  expect(taken[1]).toEqual(taken[0]);
  await server.api.call('POST', '/api/queue/resume');
  await server.api.becomes(String(taken[0]?.[0]), 'succeeded');
  await expect.poll(() => readFileSync(todo, 'utf8'), { timeout: 10_000 }).toContain('- [x] wanted  twice!');
  await expect.poll(() => list.tasks.get('m2')?.status, { timeout: 10_000 }).toBe('completed');
});

test('what a service posts with its signature becomes a task, and nothing else does', async () => {
  const body = JSON.stringify({ job: 'the build' });
  const post = (signature: string, path = '/webhook/ci'): Promise<{ readonly status: number }> =>
    server.api.call('POST', path, { key: null, body, headers: { 'x-hub-signature-256': signature } });
  const signature = `sha256=${createHmac('sha256', 'a-shared-secret').update(body).digest('hex')}`;
  expect([(await post(signature)).status, (await post(signature)).status]).toEqual([200, 200]);
  expect((await post('sha256=00')).status).toBe(401);
  expect((await post(signature, '/webhook/other')).status).toBe(404);
  const task = await find('Mend the build');
  expect(task).toMatchObject({ source: 'webhook:ci', priority: 'high' });
  await server.api.becomes(task.id, 'succeeded');
});

test('a channel for alerts can be tried', async () => {
  const { body } = await server.api.call<{ readonly state: string }>('POST', '/api/channels/webhook/test');
  expect(body.state).toBe('sent');
  expect(heard.map(({ title }) => title)).toEqual(['A test of Nightshift']);
  expect(await server.api.refusal('POST', '/api/channels/slack/test')).toMatchObject({ status: 404, code: 'no-such-channel' });
});
