import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import {
  documentedServer,
  documentedServerWithTags,
  type ListServer,
  memoryMcpServer,
  strictDocumentedServer,
} from '../../../test/support/memory-lists.ts';
import type { MemoryFailure, MemoryList } from './list.ts';
import { findList } from './probe.ts';

const key = 'gh-token';
const never = new AbortController().signal;
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

const dialects = [
  ['documented', documentedServer],
  ['memory-mcp', memoryMcpServer],
] as const;

const put = ({ tasks }: ListServer, id: string, more: object = {}): unknown =>
  tasks.set(id, { id, description: `do ${id}`, status: 'pending', priority: 5, tags: [], ...more });

async function open(make: (key: string) => Promise<ListServer>): Promise<{ server: ListServer; list: MemoryList; clock: ManualClock }> {
  const server = await make(key);
  undo.push(() => server.stop());
  const clock = new ManualClock();
  const found = await findList({ baseUrl: `${server.url}/`, clock }, key, never);
  if (!found.ok) throw new Error(found.failure.message);
  return { server, list: found.value, clock };
}

async function failureOf(list: MemoryList): Promise<MemoryFailure> {
  const answered = await list.listed('pending', never);
  if (answered.ok) throw new Error('it was understood');
  return answered.failure;
}

const answers =
  (status: number, body: string, headers: Record<string, string> = {}) =>
  (_: unknown, response: ServerResponse): boolean => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
    return true;
  };

describe.each(dialects)('a list in the %s dialect', (dialect, make) => {
  test('is read to its end past entries that make no sense', async () => {
    const { server, list } = await open(make);
    for (let i = 0; i < 210; i++) put(server, `t${i}`, i === 7 ? { description: '' } : {});
    const read = await list.listed('pending', never);
    expect(read.ok && [read.value.items.length, read.value.odd]).toEqual([209, [expect.objectContaining({ id: 't7', description: '' })]]);
  });

  test('is recognised, and read to its end, each item once', async () => {
    const { server, list } = await open(make);
    expect(list.dialect).toBe(dialect);
    for (let i = 0; i < 250; i++) put(server, `t${i}`, { priority: (i % 10) + 1 });
    put(server, 'waits', { status: 'blocked' });
    let pages = 0;
    server.interfere = (request) => {
      // Somebody adds a task in front while we turn the page: one is shown twice.
      if (request.url?.includes('tasks') && ++pages === 2) {
        const before = [...server.tasks.entries()];
        server.tasks.clear();
        put(server, 'new', { priority: 10 });
        for (const [id, task] of before) server.tasks.set(id, task);
      }
      return false;
    };
    const read = await list.listed('pending', never);
    const ids = read.ok ? read.value.items.map(({ id }) => id) : [];
    expect(ids.length).toBe(new Set(ids).size);
    expect(new Set(ids)).toEqual(new Set([...Array.from({ length: 250 }, (_, i) => `t${i}`)]));
  });

  test('says how urgent an item is, where ten is most, and when it is due, in seconds or not', async () => {
    const { server, list } = await open(make);
    put(server, 'a', { priority: 9, due_date: 1_800_000_000, tags: ['ui'] });
    put(server, 'b', { priority: 4, due_date: 1_800_000_000_000 });
    put(server, 'c', { priority: 1, due_date: null });
    put(server, 'd', { priority: 'High' });
    put(server, 'e', { priority: 99 });
    put(server, 'f', { priority: -4 });
    put(server, 'g', { priority: 'whatever' });
    put(server, 'nothing to do', { description: '  ' });
    const read = await list.listed('pending', never);
    const items = read.ok ? [...read.value.items].sort((x, y) => x.id.localeCompare(y.id)) : [];
    expect(items.map(({ id, priority, dueAt }) => [id, priority, dueAt])).toEqual([
      ['a', 'high', 1_800_000_000_000],
      ['b', 'medium', 1_800_000_000_000],
      ['c', 'low', null],
      ['d', 'high', null],
      ['e', 'high', null],
      ['f', 'low', null],
      ['g', 'medium', null],
    ]);
    expect(items[0]?.tags).toEqual(['ui']);
  });

  test('whose ids lead astray, or hold what no database keeps, has odd entries; other zeros in texts are left out', async () => {
    const { server, list } = await open(make);
    for (const id of ['.', '..', 'a\0b', 'fine', 'x'.repeat(201)]) put(server, id, { description: 'do\0 it' });
    const read = await list.listed('pending', never);
    expect(read.ok && read.value.items.map(({ id, description }) => [id, description])).toEqual([['fine', 'do it']]);
    expect(read.ok && read.value.odd).toHaveLength(4);
  });

  test('counts as far as it could be read when it fails midway', async () => {
    const { server, list } = await open(make);
    for (let i = 0; i < 250; i++) put(server, `t${i}`);
    for (const [status, body, kind] of [
      [429, '{"error": "slow down"}', 'unavailable'],
      [200, '<html>', 'not-understood'],
      [200, '{"tasks": [{"id": "t1', 'not-understood'],
      [403, '{}', 'refused'],
    ] as const) {
      let pages = 0;
      server.interfere = (request, response) =>
        /tasks/.test(request.url ?? '') && ++pages > 2 ? answers(status, body)(request, response) : false;
      const read = await list.listed('pending', never);
      expect(read.ok && [read.value.items.length, read.value.cut?.kind]).toEqual([200, kind]);
    }
  });

  test('is found out at the cost of one page, and read no further than 10,000 items at once', async () => {
    const server = await make(key);
    undo.push(() => server.stop());
    for (let i = 0; i < 10_050; i++) put(server, `t${i}`);
    const found = await findList({ baseUrl: server.url, clock: new ManualClock() }, key, never);
    const asked = server.requests.filter((request) => request.includes('tasks')).length;
    expect(asked).toBe(dialect === 'documented' ? 1 : 2);
    const read = found.ok && (await found.value.listed('pending', never));
    expect(read && 'value' in read && [read.value.items.length, read.value.cut]).toEqual([10_000, undefined]);
  });

  test('may take ten seconds for the whole of an answer, however slowly it comes', async () => {
    const { server, list, clock } = await open(make);
    let dripping: NodeJS.Timeout | undefined;
    undo.push(() => clearInterval(dripping));
    server.interfere = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      dripping = setInterval(() => response.write(' '), 5);
      return true;
    };
    const waiting = failureOf(list);
    await expect.poll(() => dripping && clock.pending).toBe(1);
    clock.advance(10_000);
    expect((await waiting).message).toContain('did not answer within 10 s');
  });

  test('is told how it stands, and what is gone from it is said to be gone', async () => {
    const { server, list } = await open(make);
    for (const id of ['a', 'b']) put(server, id);
    expect((await list.report('a', { status: 'in_progress' }, never)).ok).toBe(true);
    expect(server.tasks.get('a')?.status).toBe('in_progress');
    await list.report('a', { status: 'completed' }, never);
    await list.report('b', { status: 'blocked', reason: 'the tests are red' }, never);
    expect([...server.tasks.values()].map(({ status }) => status)).toEqual(['completed', 'blocked']);
    expect(await list.report('gone/../x', { status: 'completed' }, never)).toMatchObject({ ok: false, failure: { kind: 'no-such-item' } });
  });

  test('is not understood any more when something else answers there', async () => {
    const { server, list } = await open(make);
    for (const [status, body] of [
      [200, '<html>Please log in</html>'],
      [200, '{"tasks": [{"id": "a", "descr'],
      [200, '{"items": []}'],
      [302, ''],
    ] as const) {
      server.interfere = answers(status, body, status === 302 ? { location: 'http://127.0.0.1:1/' } : {});
      expect((await failureOf(list)).kind).toBe('not-understood');
    }
  });

  test('is left alone for as long as it asks for, and asked again when it was down', async () => {
    const { server, list, clock } = await open(make);
    server.interfere = answers(429, '{"error": "slow down"}', { 'x-ratelimit-reset': String((clock.now() + 40_000) / 1_000) });
    expect(await failureOf(list)).toMatchObject({ kind: 'unavailable', afterMs: 40_000 });
    server.interfere = answers(429, '{}', { 'x-ratelimit-reset': String(clock.now() + 40_000) });
    expect(await failureOf(list)).toMatchObject({ kind: 'unavailable', afterMs: 300_000 });
    server.interfere = answers(502, '<html>bad gateway</html>');
    expect((await failureOf(list)).kind).toBe('unavailable');
    server.interfere = (_, response) => {
      response.destroy();
      return true;
    };
    expect((await failureOf(list)).kind).toBe('unavailable');
    server.interfere = () => true; // never answers
    const waiting = failureOf(list);
    await expect.poll(() => clock.pending).toBeGreaterThan(0);
    clock.advance(10_000);
    expect((await waiting).message).toContain('did not answer within 10 s');
    server.interfere = answers(200, `{"tasks": ["${'x'.repeat(9_000_000)}"]}`);
    expect((await failureOf(list)).message).toContain('more than');
  });
});

test.each([
  ['the real server', memoryMcpServer, ['ui', 'nightshift:one']],
  ['a documented one that keeps tags', documentedServerWithTags, ['ui', 'nightshift:one']],
  ['a documented one that forgets them', documentedServer, ['ui']],
  ['a documented one that refuses them', strictDocumentedServer, ['ui']],
])('an item of %s is put in progress by a claim, with its tags where they are kept', async (_, make, tags) => {
  const { server, list } = await open(make);
  put(server, 'a', { tags: ['ui'] });
  expect(await list.claim('a', ['ui', 'nightshift:one'], never)).toEqual({ ok: true, value: undefined });
  expect(server.tasks.get('a')).toMatchObject({ status: 'in_progress', tags });
  const held = await list.listed('in_progress', never);
  expect(held.ok && held.value.items.map(({ id }) => id)).toEqual(['a']);
  expect(await list.claim('gone', [], never)).toMatchObject({ ok: false, failure: { kind: 'no-such-item' } });
});

test('a session that ends in the middle is renewed once, without anybody noticing', async () => {
  const { server, list } = await open(memoryMcpServer);
  for (let i = 0; i < 150; i++) put(server, `t${i}`);
  let pages = 0;
  server.interfere = (request) => {
    if (request.url === '/api/tasks/list' && ++pages === 2) server.expireSessions();
    return false;
  };
  const read = await list.listed('pending', never);
  expect(read.ok && [read.value.items.length, read.value.cut]).toEqual([150, undefined]);
  server.interfere = (request, response) =>
    request.url === '/api/authenticate' ? answers(400, '{"error": "Authentication failed"}')(request, response) : false;
  server.expireSessions();
  expect((await failureOf(list)).kind).toBe('refused');
});

test('a reason is kept as a note beside the item where the item itself has no place for it', async () => {
  const { server, list } = await open(memoryMcpServer);
  put(server, 'a');
  await list.report('a', { status: 'blocked', reason: 'the tests are red' }, never);
  expect(server.notes).toEqual([{ key: 'nightshift/a', value: 'the tests are red' }]);
});

test('a wrong key is told from a server that is no list', async () => {
  for (const make of [documentedServer, memoryMcpServer]) {
    const server = await make(key);
    undo.push(() => server.stop());
    const found = await findList({ baseUrl: server.url, clock: new ManualClock() }, 'wrong', never);
    expect(found).toMatchObject({ ok: false, failure: { kind: 'refused' } });
    // Another client's dialect: an action in the body, and an answer for everything.
    server.interfere = (request, response) => answers(200, '{"ok": true, "result": {"tasks": []}}')(request, response);
    expect(await findList({ baseUrl: server.url, clock: new ManualClock() }, key, never)).toMatchObject({
      ok: false,
      failure: { kind: 'not-understood' },
    });
  }
});
