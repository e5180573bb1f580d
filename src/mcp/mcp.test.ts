import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { startTestServer, type TestServer, testToken } from '../../test/support/server.ts';
import { createIds } from '../platform/ids.ts';
import type { Api } from './api.ts';
import { mcpOverHttp } from './http.ts';

let home: string;
let server: TestServer;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'nightshift-mcp-'));
  server = await startTestServer({ home, databaseUrl: undefined });
});

afterAll(async () => {
  await server.running.stop();
  rmSync(home, { recursive: true, force: true });
});

const launcher = fileURLToPath(new URL('../../bin/nightshift.js', import.meta.url));
const overStdio = (): StdioClientTransport =>
  new StdioClientTransport({
    command: process.execPath,
    args: [launcher, 'mcp', '--url', server.running.address, '--home', home],
    env: { NIGHTSHIFT_TOKEN: testToken, PATH: process.env['PATH'] ?? '' },
  });
const overHttp = (key = testToken): StreamableHTTPClientTransport =>
  new StreamableHTTPClientTransport(new URL('/mcp', server.running.address), {
    requestInit: { headers: { authorization: `Bearer ${key}` } },
  });

const textOf = ({ content }: { readonly content?: unknown }): string =>
  (content as readonly { readonly text: string }[] | undefined)?.map(({ text }) => text).join('\n') ?? '';

describe.each([
  ['standard input and output', overStdio],
  ['streamable HTTP', () => overHttp()],
] as const)('an MCP client over %s', (_, transport) => {
  let client: Client;
  beforeAll(async () => {
    client = new Client({ name: 'test', version: '1' });
    await client.connect(transport());
  });
  afterAll(() => client.close());

  const call = (name: string, args: Record<string, unknown>) => client.callTool({ name, arguments: args });

  test('finds what was noted', async () => {
    await server.api.call('POST', '/api/notes', { body: { title: 'Flaky clock', text: 'clockTest fails at midnight' } });
    await server.api.call('POST', '/api/notes', { body: { title: 'Other', text: 'nothing', repository: 'https://git.example/a/b.git' } });
    const titles = async (args: Record<string, unknown>): Promise<readonly string[]> =>
      ((await call('search_notes', args)).structuredContent as { readonly items: readonly { readonly title: string }[] }).items.map(
        ({ title }) => title,
      );
    expect(await titles({ query: 'clock test?' })).toEqual(['Flaky clock']);
    expect(await titles({ repository: 'https://git.example/a/b', condensed: true, kind: 'learning', limit: 5 })).toEqual(['Other']);
    expect(textOf(await call('search_notes', { repository: 'no address' }))).toContain('invalid-repository');
  });

  test('files a task, follows it to its end and reads what came of it', async () => {
    const filed = await call('file_task', { title: 'Say hello', body: 'echo hello' });
    const { id } = filed.structuredContent as { readonly id: string };
    const over = await call('follow_task', { id, seconds: 60 });
    expect(over.structuredContent).toMatchObject({ id, status: 'succeeded', source: 'api' });
    const { runs } = over.structuredContent as { readonly runs: readonly { readonly id: string }[] };
    const run = await call('show_run', { id: runs[0]?.id });
    expect(run.structuredContent).toMatchObject({ taskId: id, status: 'succeeded' });
    const read = await client.readResource({ uri: `nightshift://runs/${runs[0]?.id}` });
    expect(JSON.parse(String((read.contents[0] as { readonly text: string }).text))).toMatchObject({ taskId: id });
    expect((await call('list_tasks', { status: ['succeeded'], limit: 1 })).structuredContent).toMatchObject({ items: [{ id }] });
  });

  test('hears how a task stands while it follows it', async () => {
    const filed = await call('file_task', { title: 'Come first', body: 'true' });
    const { id } = filed.structuredContent as { readonly id: string };
    const slow = await call('file_task', { title: 'Take a moment', body: 'sleep 1', dependsOn: [id] });
    const told: { readonly progress: number; readonly message?: string | undefined }[] = [];
    const { id: slowId } = slow.structuredContent as { readonly id: string };
    const over = await client.callTool(
      { name: 'follow_task', arguments: { id: slowId, seconds: 60 } },
      { onprogress: (progress) => void told.push(progress) },
    );
    expect(over.structuredContent).toMatchObject({ id: slowId, status: 'succeeded' });
    expect(told.length).toBeGreaterThan(0);
    expect(told[0]?.message).toMatch(/^The task is \w+\.$/);
    expect(told.map(({ progress }) => progress)).toEqual(told.map(({ progress }) => progress).toSorted((a, b) => a - b));
  });

  test('is told why something cannot be, in the words of the API', async () => {
    const filed = await call('file_task', { title: 'Sleep', body: 'true' });
    const { id } = filed.structuredContent as { readonly id: string };
    await call('follow_task', { id, seconds: 60 });
    const late = await call('cancel_task', { id });
    expect([late.isError, textOf(late)]).toEqual([true, expect.stringContaining('already succeeded')]);
    const missing = await call('show_task', { id: 'tsk_01KEXAMPLE000000000000000'.padEnd(30, '0') });
    expect(missing.isError).toBe(true);
  });

  test.each([
    ['show_task', { id: '../queue/pause' }],
    ['cancel_task', { id: 'tsk_..%2f..' }],
    ['show_run', { id: '' }],
    ['file_task', { title: '' }],
    ['file_task', { title: 'x', priority: 'urgent' }],
    ['list_tasks', { limit: 10_000 }],
  ])('cannot lead %s astray with %j', async (name, args) => {
    const outcome = await call(name, args).catch((error: unknown) => ({ isError: true, content: [{ text: String(error) }] }));
    expect(outcome.isError).toBe(true);
  });

  test('decides about what awaits a person: lets it go, refuses it, calls it off, and asks for it again', async () => {
    const filed = async (title: string): Promise<string> => {
      const { structuredContent } = await call('file_task', { title, body: 'true', needsApproval: true });
      return (structuredContent as { readonly id: string }).id;
    };
    const statusAfter = async (name: string, id: string): Promise<unknown> => {
      const decided = await call(name, { id });
      expect([decided.isError ?? false, textOf(decided)]).toEqual([false, expect.stringContaining(id)]);
      return ((await call('follow_task', { id, seconds: 60 })).structuredContent as { readonly status: string }).status;
    };
    const [good, bad, late] = [await filed('Approve me'), await filed('Deny me'), await filed('Cancel me')];
    // Somebody has to act, so there is nothing to wait for.
    expect((await call('follow_task', { id: good, seconds: 300 })).structuredContent).toMatchObject({ status: 'awaiting-approval' });
    expect(await statusAfter('approve_task', good)).toBe('succeeded');
    expect(await statusAfter('deny_task', bad)).toBe('cancelled');
    expect(await statusAfter('cancel_task', late)).toBe('cancelled');
    // To ask for it again is not to approve it.
    expect(await statusAfter('retry_task', late)).toBe('awaiting-approval');
    expect(await statusAfter('approve_task', late)).toBe('succeeded');
  });

  test.each([
    ['show_task', 'tsk'],
    ['follow_task', 'tsk'],
    ['approve_task', 'tsk'],
    ['deny_task', 'tsk'],
    ['cancel_task', 'tsk'],
    ['retry_task', 'tsk'],
    ['show_run', 'run'],
  ])('hears from %s that there is no such thing', async (name, prefix) => {
    const answered = await call(name, { id: `${prefix}_${'0'.repeat(26)}` });
    expect([answered.isError, textOf(answered)]).toEqual([true, expect.stringMatching(/There is no .*\(no-such-\w+\)/)]);
  });

  test.each(['approve_task', 'deny_task', 'retry_task'])('hears from %s that it comes too late', async (name) => {
    const { structuredContent } = await call('file_task', { title: 'Be done', body: 'true' });
    const { id } = structuredContent as { readonly id: string };
    await call('follow_task', { id, seconds: 60 });
    const answered = await call(name, { id });
    expect([answered.isError, textOf(answered)]).toEqual([true, expect.stringContaining('succeeded')]);
  });

  test('files a task once under one key, and pages through a list', async () => {
    const wish = { title: 'Only once', body: 'true', dedupeKey: `once-${Math.random()}`, needsApproval: true, priority: 'low' };
    const ids = [await call('file_task', wish), await call('file_task', wish)].map(
      ({ structuredContent }) => (structuredContent as { readonly id: string }).id,
    );
    expect(ids[0]).toBe(ids[1]);
    interface Page {
      readonly items: readonly { readonly id: string }[];
      readonly nextCursor: string | null;
    }
    const first = (await call('list_tasks', { limit: 1 })).structuredContent as Page;
    expect(first.items.map(({ id }) => id)).toEqual([ids[0]]);
    const second = (await call('list_tasks', { limit: 1, cursor: first.nextCursor })).structuredContent as Page;
    expect(second.items.map(({ id }) => id)).not.toEqual([ids[0]]);
    expect((await call('list_tasks', { cursor: 'no cursor' })).isError).toBe(true);
    await call('cancel_task', { id: ids[0] });
  });

  test('reads resources that exist, with their type, and hears why others cannot be read', async () => {
    const { resourceTemplates } = await client.listResourceTemplates();
    expect(resourceTemplates.map(({ uriTemplate, mimeType }) => [uriTemplate, mimeType])).toEqual([
      ['nightshift://runs/{id}', 'application/json'],
      ['nightshift://runs/{id}/diff', 'text/x-diff'],
    ]);
    expect((await client.listResources()).resources).toEqual([]);
    const { structuredContent } = await call('file_task', { title: 'Change nothing', body: 'true' });
    const over = await call('follow_task', { id: (structuredContent as { readonly id: string }).id, seconds: 60 });
    const run = (over.structuredContent as { readonly runs: readonly { readonly id: string }[] }).runs[0]?.id;
    const uri = `nightshift://runs/${run}/diff`;
    expect((await client.readResource({ uri })).contents).toEqual([{ uri, mimeType: 'text/x-diff', text: '' }]);
    for (const bad of [
      `nightshift://runs/run_${'0'.repeat(26)}`,
      'nightshift://runs/x/diff',
      'nightshift://runs/..%2fqueue',
      'file:///etc/passwd',
    ])
      await expect(client.readResource({ uri: bad })).rejects.toThrow();
  });

  test('cannot call what is not there', async () => {
    const outcome = await call('no_such_tool', {}).catch((error: unknown) => ({ isError: true, content: [{ text: String(error) }] }));
    expect([outcome.isError, textOf(outcome)]).toEqual([true, expect.stringContaining('no_such_tool')]);
  });

  test('is told which tools change something and which only look', async () => {
    const { tools } = await client.listTools();
    const looking = tools.filter(({ annotations }) => annotations?.readOnlyHint === true).map(({ name }) => name);
    expect(looking.toSorted()).toEqual(['follow_task', 'list_tasks', 'search_notes', 'show_run', 'show_task']);
    const changing = tools.filter(({ annotations }) => annotations?.readOnlyHint !== true).map(({ name }) => name);
    expect(changing.toSorted()).toEqual(['approve_task', 'cancel_task', 'deny_task', 'file_task', 'retry_task']);
    expect(tools.find(({ name }) => name === 'cancel_task')?.annotations?.destructiveHint).toBe(true);
  });
});

test('without a valid key there is no MCP', async () => {
  const client = new Client({ name: 'test', version: '1' });
  await expect(client.connect(overHttp('not-the-key-of-anybody'))).rejects.toThrow();
  const plain = await fetch(new URL('/mcp', server.running.address), { method: 'POST', body: '{}' });
  expect(plain.status).toBe(401);
});

test('a page from elsewhere may not use it, whatever key it has', async () => {
  const answer = await fetch(new URL('/mcp', server.running.address), {
    method: 'POST',
    headers: { authorization: `Bearer ${testToken}`, origin: 'http://elsewhere.example' },
    body: '{}',
  });
  expect([answer.status, ((await answer.json()) as { readonly code: string }).code]).toEqual([403, 'foreign-origin']);
});

test('garbage over HTTP is refused and harms nothing', async () => {
  for (const body of [
    '',
    '{',
    '[]',
    '{"jsonrpc": "2.0"}',
    JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'no_such' } }),
  ]) {
    const answer = await fetch(new URL('/mcp', server.running.address), {
      method: 'POST',
      headers: { authorization: `Bearer ${testToken}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body,
    });
    expect(answer.status).toBeLessThan(500);
    await answer.body?.cancel();
  }
  expect((await server.api.call('GET', '/health')).status).toBe(200);
});

test('whoever hangs up is not followed for any longer', async () => {
  const clock = new ManualClock();
  let looks = 0;
  const api: Api = {
    async request() {
      looks += 1;
      return { status: 200, body: { status: 'running' } };
    },
  };
  const handler = mcpOverHttp({ clock, version: '1', apiFor: () => api });
  const params = { name: 'follow_task', arguments: { id: createIds(clock)('tsk'), seconds: 300 } };
  const answering = await handler.fetch(
    new Request('http://127.0.0.1/mcp', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
    }),
  );
  await expect.poll(() => clock.pending).toBe(1);
  await answering.body?.cancel();
  await expect.poll(() => clock.pending).toBe(0);
  expect(looks).toBeLessThanOrEqual(2);
  await handler.close();
});
