import { rmSync } from 'node:fs';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { EventStream } from '../../test/support/event-stream.ts';
import { type Api, startTestServer, type TestServer } from '../../test/support/server.ts';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase, temporaryHome } from '../../test/support/stores.ts';
import { append, readAfter } from '../store/journal.ts';
import type { Store } from '../store/store.ts';
import type { SnapshotView } from './views.ts';

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`event streams on ${dialect}`, () => {
    let database: TestDatabase;
    let server: TestServer;
    let api: Api;
    let store: Store;

    beforeAll(async () => {
      database = await createDatabase(dialect);
      server = await startTestServer(database);
      ({ api } = server);
      store = await database.open();
    });

    afterAll(async () => {
      await store?.close();
      await server?.running.stop();
      await database?.remove();
    });

    const journal = async (): Promise<readonly string[]> => {
      const ids: string[] = [];
      for (let page = await readAfter(store, '0', 1_000); page.length > 0; page = await readAfter(store, ids.at(-1) ?? '0', 1_000))
        ids.push(...page.map(({ id }) => id));
      return ids;
    };

    const done = async (title: string, body = 'true'): Promise<{ readonly id: string; readonly runId: string }> => {
      const { id } = await api.submit({ title, body });
      const { runs } = await api.becomes(id, 'succeeded', 'failed');
      return { id, runId: runs[0]?.id ?? '' };
    };

    test('goes on from a snapshot and misses nothing that is not in it', async () => {
      const { id } = await api.submit({ title: 'Waits', notBefore: '2126-01-01T00:00:00Z' });
      const { body, headers } = await api.call<SnapshotView>('GET', '/api/snapshot', { headers: { 'accept-encoding': 'gzip' } });
      expect(headers.get('content-encoding')).toBe('gzip');
      expect(body.tasks.filter((task) => task.id === id)).toMatchObject([{ title: 'Waits', status: 'delayed' }]);
      expect(new Set(body.tasks.map((task) => task.id)).size).toBe(body.tasks.length);
      expect(body).toMatchObject({ session: { user: 'owner', role: 'owner' }, queue: { paused: false } });
      for (const part of ['session', 'queue'] as const) expect(body[part]).toEqual((await api.call('GET', `/api/${part}`)).body);
      for (const part of ['budgets', 'alerts'] as const)
        expect(body[part]).toEqual((await api.call<{ items: unknown }>('GET', `/api/${part}`)).body.items);

      const { id: after } = await done('after the snapshot');
      const stream = await EventStream.open(api, '/api/events', body.position);
      await stream.seen('the new task', ({ type, taskId }) => type === 'run.finished' && taskId === after);
      expect(stream.events.find(({ taskId }) => taskId === after)?.type).toBe('task.submitted');
      await stream.leave();
    });

    test('begins with a run and its task, when a page of one asks', async () => {
      const { id, runId } = await done('long ago');
      const withRun = await api.call<SnapshotView>('GET', `/api/snapshot?run=${runId}`);
      expect(withRun.body.run).toEqual((await api.call('GET', `/api/runs/${runId}`)).body);
      expect(withRun.body.tasks.filter((task) => task.id === id)).toHaveLength(1);
      expect((await api.call<SnapshotView>('GET', '/api/snapshot')).body.run).toBeNull();
      // Whatever stands in the address of a page, the rest of it comes.
      for (const none of ['run_none', 'x'.repeat(200), '%00', ''])
        expect((await api.call<SnapshotView>('GET', `/api/snapshot?run=${none}`)).body.run).toBeNull();
    });

    test('gives what has happened in a tenth of its bytes to whoever can unpack it, and the live stream as it comes', async () => {
      const { runId } = await done('told briefly');
      const told = async (query: string, encoding: string) => {
        const { headers, body } = await api.call('GET', `/api/runs/${runId}/events${query}`, { headers: { 'accept-encoding': encoding } });
        return { encoding: headers.get('content-encoding'), body };
      };
      const plain = await told('?follow=false', 'identity');
      expect(plain).toMatchObject({ encoding: null, body: expect.stringContaining('run.finished') });
      expect(await told('?follow=false', 'gzip')).toEqual({ encoding: 'gzip', body: plain.body });
      expect(await told('?follow=false', 'deflate, gzip;q=0')).toEqual(plain);
      expect(await told('', 'gzip')).toEqual({ encoding: null, body: plain.body });
    });

    test('begins now, or where the client says', async () => {
      const { id: before } = await done('before');
      const now = await EventStream.open(api, '/api/events');
      const all = await EventStream.open(api, '/api/events?after=0');
      const { id: after } = await done('after');
      const isEnd = (of: string) => (event: { type: string; taskId: string | null }) =>
        event.type === 'run.finished' && event.taskId === of;
      await now.seen('the new task in the live stream', isEnd(after));
      await all.seen('the new task in the whole stream', isEnd(after));
      expect(now.events.some(({ taskId }) => taskId === before)).toBe(false);
      expect(all.events.map(({ id }) => id)).toEqual((await journal()).slice(0, all.events.length));

      const middle = all.events[Math.floor(all.events.length / 2)];
      const resumed = await EventStream.open(api, '/api/events', middle?.id);
      await resumed.seen('the rest', isEnd(after));
      expect(resumed.events).toEqual(
        all.events.slice(all.events.findIndex(({ id }) => id === middle?.id) + 1).slice(0, resumed.events.length),
      );
      await Promise.all([now, all, resumed].map((stream) => stream.leave()));
    });

    test('of one task holds its whole story and nothing else', async () => {
      const { id } = await done('told', '["sh", "-c", "echo out; echo err >&2"]');
      await done('another');
      const stream = await EventStream.open(api, `/api/events?task=${id}`);
      await stream.seen('its end', ({ type }) => type === 'run.finished');
      await stream.leave();
      expect(new Set(stream.events.map(({ taskId }) => taskId))).toEqual(new Set([id]));
      const types = stream.events.map(({ type }) => type);
      expect(types.slice(0, 3)).toEqual(['task.submitted', 'task.status', 'run.started']);
      expect(types.slice(3, -2)).toEqual(['run.output', 'run.output']);
      expect(types.slice(-2)).toEqual(['task.status', 'run.finished']);
    });

    test('of one run ends with it, and tells a client that comes back to stop', async () => {
      const { id } = await api.submit({ title: 'short', body: '["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.05; done"]' });
      const runId = await until('the run', async () => (await api.task(id)).runs[0]?.id);
      const live = await EventStream.open(api, `/api/runs/${runId}/events`);
      expect(await live.over).toBe('ended');
      expect(live.events.at(-1)?.type).toBe('run.finished');
      expect(new Set(live.events.map((event) => event.runId))).toEqual(new Set([runId]));

      const replayed = await EventStream.open(api, `/api/runs/${runId}/events`);
      expect(await replayed.over).toBe('ended');
      expect(replayed.events).toEqual(live.events);

      const rest = await EventStream.open(api, `/api/runs/${runId}/events`, live.events.at(-3)?.id);
      expect(await rest.over).toBe('ended');
      expect(rest.events).toEqual(live.events.slice(-2));

      const headers = { 'last-event-id': live.lastId ?? '' };
      expect((await api.call('GET', `/api/runs/${runId}/events`, { headers })).status).toBe(204);
      expect((await api.call('GET', `/api/runs/${runId}/events?after=${live.lastId}`)).status).toBe(204);
    });

    test('of one run begins near its end when only that is wanted', async () => {
      const { id } = await api.submit({ title: 'short', body: '["sh", "-c", "echo 1"]' });
      const runId = (await api.becomes(id, 'succeeded')).runs[0]?.id;
      const all = await EventStream.open(api, `/api/runs/${runId}/events`);
      await all.over;
      for (const [last, expected] of [
        [1, all.events.slice(-1)],
        [2, all.events.slice(-2)],
        [all.events.length, all.events],
        [1_000, all.events],
      ] as const) {
        const some = await EventStream.open(api, `/api/runs/${runId}/events?last=${last}`);
        await some.over;
        expect(some.events, String(last)).toEqual(expected);
      }
      const resumed = await EventStream.open(api, `/api/runs/${runId}/events?last=1`, all.events[0]?.id);
      await resumed.over;
      expect(resumed.events).toEqual(all.events.slice(1));
      for (const last of ['0', '1001', 'x']) expect((await api.refusal('GET', `/api/runs/${runId}/events?last=${last}`)).status).toBe(400);
    });

    test('refuses positions that never were', async () => {
      const future = dialect === 'sqlite' ? '99999999999999' : '99999999999999-1';
      for (const position of ['x', '-1', '1.5', '1e3', '1-', '1-2-3', future]) {
        expect(await api.refusal('GET', `/api/events?after=${position}`), position).toMatchObject({ status: 400, code: 'bad-position' });
        expect(await api.refusal('GET', '/api/events', { headers: { 'last-event-id': position } })).toMatchObject({ code: 'bad-position' });
      }
      for (const query of [`after=${'1'.repeat(101)}`, 'since=0', 'task=', 'task=x'])
        expect((await api.refusal('GET', `/api/events?${query}`)).status, query).toBeGreaterThanOrEqual(400);
    });

    test('misses nothing and doubles nothing, however often a client comes back while much happens', { timeout: 60_000 }, async () => {
      const start = (await journal()).at(-1) ?? '0';
      const tasks = 80;
      let submitted = 0;
      const submitting = Promise.all(
        Array.from({ length: 6 }, async () => {
          while (submitted < tasks) {
            submitted += 1;
            await api.submit({ title: `load ${submitted}` });
          }
        }),
      );
      // On PostgreSQL, a transaction that stays open while later ones commit: its events belong before theirs.
      const held = dialect === 'postgres' ? holdOpen(store) : undefined;
      await held?.open;

      const seen: string[] = [];
      const finished = new Set<string>();
      let patience = 1;
      while (finished.size < tasks) {
        const stream: EventStream = await EventStream.open(api, '/api/events', seen.at(-1) ?? start);
        const quota = patience++ % 30;
        if (submitted >= tasks) held?.release();
        await until(
          'some events',
          () => stream.events.length > quota || finished.size + ends(stream) >= tasks || (held && submitted < tasks),
        );
        await stream.leave();
        seen.push(...stream.events.map(({ id }) => id));
        for (const event of stream.events) if (event.type === 'run.finished') finished.add(event.runId ?? '');
      }
      await submitting;
      await held?.done;
      const all = await journal();
      const from = all.indexOf(start) + 1;
      expect(seen).toEqual(all.slice(from, from + seen.length));
      expect(new Set(seen).size).toBe(seen.length);
      if (held) expect((await readAfter(store, start, 10_000)).filter(({ type }) => type === 'queue.paused')).toHaveLength(1);
    });

    test('end in good order when the server stops', async () => {
      const own = await createDatabase(dialect);
      const stopping = await startTestServer(own);
      const streams = await Promise.all([1, 2, 3].map(() => EventStream.open(stopping.api, '/api/events')));
      await until('all to be watching', () => streams.every(({ comments }) => comments.length > 0));
      await stopping.running.stop();
      expect(await Promise.all(streams.map(({ over }) => over))).toEqual(['ended', 'ended', 'ended']);
      await own.remove();
    });

    test('show that they live while nothing happens, also when much happens that is not for them', async () => {
      const own = await createDatabase(dialect);
      const clock = new ManualClock();
      const quiet = await startTestServer(own, {}, clock);
      await quiet.api.call('POST', '/api/queue/pause');
      const { id } = await quiet.api.submit({ title: 'watched' });
      const [all, one] = [await EventStream.open(quiet.api, '/api/events'), await EventStream.open(quiet.api, `/api/events?task=${id}`)];
      const isHeartbeat = (comment: string): boolean => comment === 'still here';
      await until('a heartbeat on a quiet stream', () => {
        clock.advance(5_000);
        return all.comments.some(isHeartbeat);
      });
      const already = one.comments.filter(isHeartbeat).length;
      await until('a heartbeat while others are busy', async () => {
        await quiet.api.submit({ title: 'busy' });
        clock.advance(5_000);
        return one.comments.filter(isHeartbeat).length > already;
      });
      await Promise.all([all.leave(), one.leave()]);
      await quiet.running.stop();
      await own.remove();
    });

    if (dialect === 'sqlite') return;

    test('bring the events of other nodes', async () => {
      const home = temporaryHome();
      const other = await startTestServer({ home, databaseUrl: database.databaseUrl }, { maxConcurrentRuns: '1' });
      const [here, there] = [await EventStream.open(api, '/api/events'), await EventStream.open(other.api, '/api/events')];
      const { id } = await other.api.submit({ title: 'from over there' });
      for (const stream of [here, there]) await stream.seen('its end', ({ type, taskId }) => type === 'run.finished' && taskId === id);
      await Promise.all([here.leave(), there.leave()]);
      await other.running.stop();
      rmSync(home, { recursive: true, force: true });
    });
  });
}

const ends = (stream: EventStream): number => stream.events.filter(({ type }) => type === 'run.finished').length;

/** A transaction that has written an event and is not committed before `release`. */
function holdOpen(store: Store): { readonly open: Promise<void>; readonly release: () => void; readonly done: Promise<void> } {
  const opened = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const done = store.write(async (tx) => {
    await append(tx, [{ type: 'queue.paused', data: { by: 'somebody slow' } }], 0);
    await sql`select 1`.execute(tx.db);
    opened.resolve();
    await released.promise;
  });
  return { open: opened.promise, release: released.resolve, done };
}
