import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { documentedServer, type ListServer, memoryMcpServer } from '../../../test/support/memory-lists.ts';
import { until } from '../../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../../test/support/stores.ts';
import type { Outcome } from '../../domain/outcome.ts';
import type { Task } from '../../domain/task.ts';
import { createInbox } from '../../inbox/inbox.ts';
import { createAnnouncer } from '../../outbox/announce.ts';
import { createOutbox } from '../../outbox/outbox.ts';
import { type Clock, systemClock } from '../../platform/clock.ts';
import { createIds } from '../../platform/ids.ts';
import { silentLog } from '../../platform/log.ts';
import { createQueue } from '../../queue/durable-queue.ts';
import { pgBossLine } from '../../queue/pg-boss.ts';
import type { Line, Queue } from '../../queue/queue.ts';
import { sqliteLine } from '../../queue/sqlite.ts';
import { listDeliveries } from '../../store/inbox.ts';
import { enrol } from '../../store/nodes.ts';
import { listMessages } from '../../store/outbox.ts';
import type { Store } from '../../store/store.ts';
import { listTasks } from '../../store/tasks.ts';
import { type MemoryLink, memoryLink } from './link.ts';
import { type PollParts, pollMemory, pollOnce } from './poll.ts';
import { memoryChannel, memoryReporter } from './report.ts';
import { memoryItems } from './source.ts';

const node = 'nod_here';
const key = 'a-key';
const never = new AbortController().signal;
const servers = { documented: documentedServer, 'memory-mcp': memoryMcpServer };

for (const dialect of dialects) {
  describe.skipIf(missing(dialect)).each(Object.entries(servers))(`a Memory-MCP list (%s) and ${dialect}`, (_, make) => {
    let database: TestDatabase;
    let server: ListServer;
    let store: Store;
    let queue: Queue;
    let link: MemoryLink;
    const undo: (() => unknown)[] = [];
    const newId = createIds(systemClock);
    const parts = (clock: Clock = systemClock): PollParts => ({
      store,
      clock,
      newId,
      log: silentLog,
      link,
      list: server.url,
      everyMs: 30_000,
    });

    beforeEach(async () => {
      database = await createDatabase(dialect);
      server = await make(key);
      store = await database.open();
      link = memoryLink({ baseUrl: server.url, clock: systemClock }, key);
      const line: Line = store.dialect === 'sqlite' ? sqliteLine : await pgBossLine(store, () => undefined);
      const base = { store, clock: systemClock, newId, chance: () => 0, log: silentLog, node };
      const outbox = createOutbox({ ...base, channels: [memoryChannel(link, server.url)] });
      const announcer = createAnnouncer(outbox, [memoryReporter]);
      queue = createQueue({ ...base, line, defaultEngine: 'command', changed: announcer.changed });
      const inbox = createInbox({ ...base, queue, sources: [memoryItems], taken: announcer.taken });
      await store.write((tx) => enrol(tx, { id: node, address: null }, systemClock.now()));
      await inbox.start();
      await outbox.start();
      undo.push(
        () => database.remove(),
        () => store.close(),
        () => line.stop(),
        () => server.stop(),
        () => outbox.stop(),
        () => inbox.stop(),
      );
    });
    afterEach(async () => {
      for (const step of undo.splice(0).toReversed()) await step();
    });

    const put = (id: string, description: string, more: object = {}): unknown =>
      server.tasks.set(id, { id, description, status: 'pending', priority: 5, tags: [], ...more });
    const poll = async (): Promise<void> => expect(await pollOnce(parts(), never)).toBeUndefined();
    const tasks = async (): Promise<readonly Task[]> => (await listTasks(store.read, {}, { before: null, limit: 200 })).items.toReversed();
    const standing = async (): Promise<readonly string[]> => (await tasks()).map(({ title, status }) => `${title}: ${status}`).sort();
    const says = (id: string, status: string): Promise<void> =>
      expect.poll(() => server.tasks.get(id)?.status, { timeout: 20_000 }).toBe(status);
    const work = async (outcome: Outcome): Promise<void> => {
      const [claim] = await until('something to claim', async () => {
        const claims = await queue.claim(node, 1);
        return claims.length > 0 && claims;
      });
      if (claim) await queue.settle({ taskId: claim.task.id, runId: claim.run.id, outcome });
    };

    test('becomes tasks, each once, and hears what became of them', async () => {
      put('a', 'Mend the login\nIt is slow.', { priority: 9, tags: ['repo:https://example.org/app.git'] });
      put('b', 'Paint it', { status: 'blocked' });
      await poll();
      await expect.poll(standing).toEqual(['Mend the login: queued']);
      await says('a', 'in_progress');
      expect((await tasks())[0]).toMatchObject({ priority: 'high', trust: 'known', repository: 'https://example.org/app.git' });
      await poll();
      await work({ kind: 'succeeded' });
      await says('a', 'completed');
      expect(await standing()).toEqual(['Mend the login: succeeded']);
      expect(server.tasks.get('b')?.status).toBe('blocked');
    });

    test('is told that something failed as blocked, and wants it again when a person says so', async () => {
      put('a', 'Mend the login');
      await poll();
      await work({ kind: 'failed', reason: { code: 'x', message: 'the tests are red' }, retryable: false });
      await says('a', 'blocked');
      await expect.poll(standing).toEqual(['Mend the login: failed']);
      put('a', 'Mend the login');
      await until('the end to be told of', async () => {
        await poll();
        return (await tasks()).length === 2;
      });
      await expect.poll(standing).toEqual(['Mend the login: failed', 'Mend the login: queued']);
      await says('a', 'in_progress');
    });

    test('is not mistaken for another list that has items under the same ids, nor told of theirs', async () => {
      put('1', 'Mend the login');
      await poll();
      await says('1', 'in_progress');
      put('1', 'Paint the gate');
      expect(await pollOnce({ ...parts(), list: 'http://another/' }, never)).toBeUndefined();
      await expect.poll(standing).toEqual(['Mend the login: queued', 'Paint the gate: queued']);
      const dead = await until(
        'it to be given up',
        async () => (await listMessages(store.read, { state: 'dead' }, { before: null, limit: 9 }))[0],
      );
      expect(dead.reason?.code).toBe('other-list');
      expect(server.tasks.get('1')?.status).toBe('pending');
    });

    test('is taken in as far as it could be read, and what makes no sense in it is shown once and can be read again', async () => {
      await poll();
      for (let i = 0; i < 150; i++) put(`t${i}`, `number ${i}`);
      put('t3', ' ');
      let pages = 0;
      server.interfere = (request, response) => {
        if (!/tasks(?:\?|\/list)/.test(request.url ?? '') || ++pages < 2) return false;
        response.writeHead(429, { 'content-type': 'application/json' }).end('{}');
        return true;
      };
      expect(await pollOnce(parts(), never)).toMatchObject({ kind: 'unavailable' });
      await expect.poll(async () => (await standing()).length, { timeout: 20_000 }).toBe(99);
      const failed = () => listDeliveries(store.read, { state: 'failed' }, { before: null, limit: 9 });
      const odd = await failed();
      expect(odd.map(({ source, reason }) => [source, reason?.code])).toEqual([['memory', 'not-an-item']]);
      server.interfere = undefined;
      // While we say which ones we have, pages move: what slipped through between two is there next time.
      await until('all to be taken in', async () => {
        await poll();
        return (await standing()).length === 149;
      });
      expect(await failed()).toHaveLength(1);
    });

    test('that still says pending because it has not heard yet makes no second task', async () => {
      put('a', 'Mend the login');
      server.interfere = (request, response) => {
        if (!/update|complete|PATCH/.test(`${request.method}${request.url}`)) return false;
        response.writeHead(502).end('<html>');
        return true;
      };
      await poll();
      await work({ kind: 'succeeded' });
      await poll();
      await poll();
      expect(await standing()).toEqual(['Mend the login: succeeded']);
      server.interfere = undefined;
      await says('a', 'completed');
    });
  });
}

test.each([
  [30_000, [30_000, 60_000, 120_000, 300_000, 300_000, 30_000, 30_000]],
  [120_000, [120_000, 240_000, 300_000, 300_000, 300_000, 120_000, 120_000]],
  [600_000, [600_000, 600_000, 600_000, 600_000, 600_000, 600_000, 600_000]],
])(
  'a list that is asked every %d ms and cannot be reached is asked less and less often, and as before when it answers',
  async (everyMs, waits) => {
    const clock = new ManualClock();
    const asked: number[] = [];
    let answers = false;
    const link: MemoryLink = {
      use: async () => {
        asked.push(clock.monotonic());
        return answers
          ? { ok: true, value: { items: [], odd: [], cut: undefined } as never }
          : { ok: false, failure: { kind: 'unavailable', message: 'down' } };
      },
    };
    const polling = pollMemory({ store: {} as Store, clock, newId: createIds(clock), log: silentLog, link, list: 'x', everyMs });
    for (const waitMs of waits) {
      const before = asked.length;
      await expect.poll(() => clock.pending).toBe(1);
      clock.advance(waitMs - 1);
      expect(asked).toHaveLength(before);
      if (before === 5) answers = true;
      clock.advance(1);
      await expect.poll(() => asked.length).toBe(before + 1);
    }
    await polling.stop();
    expect(clock.pending).toBe(0);
  },
);
