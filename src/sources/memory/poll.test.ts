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
import { settledAfterMs, verdictOn } from './claim.ts';
import { type MemoryLink, memoryLink } from './link.ts';
import { type MemoryWatch, type PollParts, pollMemory, watchMemory } from './poll.ts';
import { memoryChannel, memoryReporter } from './report.ts';
import { memoryItems } from './source.ts';

const node = 'nod_here';
const key = 'a-key';
const never = new AbortController().signal;
const servers = { documented: documentedServer, 'memory-mcp': memoryMcpServer };

for (const dialect of dialects) {
  describe.skipIf(missing(dialect)).each(Object.entries(servers))(`a Memory-MCP list (%s) and ${dialect}`, (dialectOfList, make) => {
    let database: TestDatabase;
    let server: ListServer;
    let store: Store;
    let queue: Queue;
    let link: MemoryLink;
    const undo: (() => unknown)[] = [];
    const newId = createIds(systemClock);
    /** How far time has been moved on; claims are settled only by time. */
    let later: number;
    const clock: Clock = { ...systemClock, now: () => systemClock.now() + later, monotonic: () => later };
    const parts = (): PollParts => ({ store, clock, newId, log: silentLog, link, list: server.url, everyMs: 30_000, node });
    let watch: MemoryWatch;

    beforeEach(async () => {
      database = await createDatabase(dialect);
      server = await make(key);
      store = await database.open();
      link = memoryLink({ baseUrl: server.url, clock }, key);
      later = 0;
      watch = watchMemory(parts());
      const line: Line = store.dialect === 'sqlite' ? sqliteLine : await pgBossLine(store, () => undefined);
      const base = { store, clock, newId, chance: () => 0, log: silentLog, node };
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

    const keepsNames = dialectOfList === 'memory-mcp';
    /** Another one on the same list, which shares nothing but it. */
    async function nightshift(name: string): Promise<{ readonly store: Store; readonly watch: MemoryWatch }> {
      const its = await createDatabase(dialect);
      const another = await its.open();
      undo.push(
        () => its.remove(),
        () => another.close(),
      );
      return { store: another, watch: watchMemory({ ...parts(), store: another, node: name }) };
    }
    const deliveriesIn = (where: Store) => listDeliveries(where.read, {}, { before: null, limit: 200 });
    /** What was taken in there as work. */
    const idsIn = async (where: Store): Promise<readonly string[]> =>
      (await deliveriesIn(where)).flatMap(({ key: name }) => /^\w+\/([^@]+)@\d+$/.exec(name)?.[1] ?? []);
    const put = (id: string, description: string, more: object = {}): unknown =>
      server.tasks.set(id, { id, description, status: 'pending', priority: 5, tags: [], ...more });
    const look = async (at = watch): Promise<void> => expect((await at.look(never)).failure).toBeUndefined();
    /** What is free is claimed, and what was claimed is ours. */
    const poll = async (at = watch): Promise<void> => {
      await look(at);
      later += settledAfterMs;
      await look(at);
    };
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
      await poll(watchMemory({ ...parts(), list: 'http://another/' }));
      await expect.poll(standing).toEqual(['Mend the login: queued', 'Paint the gate: queued']);
      await work({ kind: 'succeeded' });
      await work({ kind: 'succeeded' });
      const dead = await until(
        'it to be given up',
        async () => (await listMessages(store.read, { state: 'dead' }, { before: null, limit: 9 }))[0],
      );
      expect(dead.reason?.code).toBe('other-list');
    });

    test('is taken in as far as it could be read, and what makes no sense in it is shown once and can be read again', async () => {
      await poll();
      for (let i = 0; i < 150; i++) put(`t${i}`, `number ${i}`);
      put('t3', ' ');
      let pages = 0;
      server.interfere = (request, response) => {
        if (!/tasks(?:\?|\/list)/.test(request.url ?? '') || ++pages < 3) return false;
        response.writeHead(429, { 'content-type': 'application/json' }).end('{}');
        return true;
      };
      expect((await watch.look(never)).failure).toMatchObject({ kind: 'unavailable' });
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

    test('is shared with another Nightshift that has a store of its own: each item goes to one of them', async () => {
      const other = await nightshift('nod_there');
      for (let i = 0; i < 30; i++) put(`t${i}`, `number ${i}`);
      for (let round = 0; round < 12; round++) {
        await Promise.all([look(watch), look(other.watch)]);
        later += settledAfterMs;
      }
      const [here, there] = await Promise.all([idsIn(store), idsIn(other.store)]);
      if (keepsNames) expect([...here, ...there].sort()).toEqual([...server.tasks.keys()].sort());
      else expect(new Set([...here, ...there])).toEqual(new Set(server.tasks.keys()));
      expect([...server.tasks.values()].every(({ status }) => status === 'in_progress')).toBe(true);
      expect(watch.others()).toMatchObject(keepsNames ? { name: node, nameless: 0 } : { holders: new Map(), keepsTags: 'perhaps' });
      if (keepsNames) expect(watch.others()?.holders.get('nightshift:nod_there') ?? 0).toBe(there.length);
    });

    test('gives an item that was claimed by a server which was killed then to its next one, and not at once', async () => {
      put('a', 'Mend the login');
      await look();
      expect(server.tasks.get('a')?.status).toBe('in_progress');
      // A new process knows of the claim, but not whether it was written in time.
      const next = watchMemory(parts());
      await poll(next);
      expect(await idsIn(store)).toEqual([]);
      later += 65_000;
      await poll(next);
      expect(await idsIn(store)).toEqual(['a']);
    });

    test('claims anew all that a killed server had claimed, also when there is no time to write all of it at once', async () => {
      for (let i = 0; i < 4; i++) put(`t${i}`, `number ${i}`);
      await look();
      const next = watchMemory(parts());
      later += 65_000;
      // Two writings, and what was read is too old to be written upon.
      server.interfere = ({ method, url }) => {
        if (/update|PATCH/.test(`${method}${url}`)) later += 2_000;
        return false;
      };
      for (let round = 0; round < 4; round++) {
        await look(next);
        later += 65_000;
        await look(next);
      }
      await until('all of them', async () => {
        await poll(next);
        return (await idsIn(store)).length === 4;
      });
      expect([...(await idsIn(store))].sort()).toEqual(['t0', 't1', 't2', 't3']);
    });

    test('is taken in also when it takes longer to read than what was read first may be written upon', async () => {
      for (let i = 0; i < 250; i++) put(`t${i}`, `number ${i}`);
      server.interfere = (request) => {
        if (/status=pending&limit/.test(request.url ?? '') || /tasks.list/.test(request.url ?? '')) later += 1_700;
        return false;
      };
      await poll();
      expect((await idsIn(store)).length).toBeGreaterThan(0);
    });

    test('does not give an item to whoever writes on what they read long ago, and who has it says so again', async () => {
      const other = await nightshift('nod_there');
      put('a', 'Mend the login');
      let sleeps = true;
      server.interfere = ({ method, url }) => {
        // The machine falls asleep after it has read, and writes when it wakes.
        if (sleeps && /update|PATCH/.test(`${method}${url}`)) later += 60_000;
        sleeps &&= !/update|PATCH/.test(`${method}${url}`);
        return false;
      };
      await look(other.watch);
      server.interfere = undefined;
      await poll(other.watch);
      expect(await idsIn(other.store)).toEqual([]);
      if (!keepsNames) return;
      // Meanwhile it had been ours for long.
      server.tasks.set('a', { id: 'a', description: 'Mend the login', status: 'pending', priority: 5, tags: ['ui'] });
      await poll();
      await expect.poll(standing).toEqual(['Mend the login: queued']);
      put('a', 'Mend the login', { status: 'in_progress', tags: ['ui', 'nightshift:nod_there'] });
      await look();
      await expect.poll(() => server.tasks.get('a')?.tags).toEqual(['ui', `nightshift:${node}`]);
      later += 120_000;
      await poll(other.watch);
      expect(await idsIn(other.store)).toEqual([]);
      const lost = (await deliveriesIn(other.store)).map(({ key: name }) => name.slice(9));
      expect(lost).toEqual([expect.stringMatching(/^a@1!/)]);
    });

    test('leaves alone what somebody else has, says so, and takes it when a person makes it pending again', async () => {
      put('a', 'Mend the login', { status: 'in_progress', tags: ['nightshift:nod_gone'] });
      put('b', 'Paint it', { status: 'in_progress' });
      await poll();
      expect(await idsIn(store)).toEqual([]);
      expect(watch.others()).toMatchObject({ name: node, holders: new Map([['nightshift:nod_gone', 1]]), nameless: 1 });
      put('a', 'Mend the login', { tags: keepsNames ? ['nightshift:nod_gone'] : [] });
      await poll();
      expect(await idsIn(store)).toEqual(['a']);
      if (keepsNames) expect(server.tasks.get('a')?.tags).toEqual([`nightshift:${node}`]);
    });

    test('that still says pending because it has not heard yet makes no second task', async () => {
      put('a', 'Mend the login');
      let deaf = false;
      server.interfere = (request, response) => {
        if (!deaf || !/update|complete|PATCH/.test(`${request.method}${request.url}`)) return false;
        response.writeHead(502).end('<html>');
        return true;
      };
      await poll();
      await expect.poll(standing).toEqual(['Mend the login: queued']);
      deaf = true;
      // As a list that was put back from a copy.
      put('a', 'Mend the login');
      await work({ kind: 'succeeded' });
      await poll();
      await poll();
      expect(await standing()).toEqual(['Mend the login: succeeded']);
      server.interfere = undefined;
      await says('a', 'completed');
    });
  });
}

test('what was claimed on a list that forgets tags is not lost when its server keeps them from then on', () => {
  const claim = { mark: 'nightshift:us', writtenAt: 0, ageMs: 10_000, staleAfterMs: 65_000 };
  const item = { id: 'a', description: 'x', status: 'in_progress', priority: 'low', tags: ['ui'], dueAt: null } as const;
  const say = (more: object, tags: readonly string[] = ['ui']) =>
    verdictOn({ ...item, tags }, { ...claim, keepsTags: 'surely', ...more }, settledAfterMs);
  expect(say({ keepsTags: 'perhaps' })).toBe('ours');
  expect(say({})).toBe('again');
  expect(say({ writtenAt: undefined })).toBe('wait');
  expect(say({ writtenAt: undefined, ageMs: 65_000 })).toBe('again');
  expect(say({}, ['nightshift:us'])).toBe('ours');
  expect(say({ writtenAt: 1 }, ['nightshift:us'])).toBe('wait');
  expect(say({}, ['nightshift:them'])).toBe('theirs');
});

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
    const watch: MemoryWatch = {
      others: () => undefined,
      look: async () => {
        asked.push(clock.monotonic());
        return { failure: answers ? undefined : { kind: 'unavailable', message: 'down' }, soon: false };
      },
    };
    const polling = pollMemory({ clock, log: silentLog, list: 'x', everyMs }, watch);
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
