import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, type ApiRun, type ApiTask, startTestServer, type TestServer } from '../../test/support/server.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';

interface Page {
  readonly items: readonly ApiTask[];
  readonly nextCursor: string | null;
}

const ghostTask = 'tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV';
const ghostRun = 'run_01ARZ3NDEKTSV4RRFFQ69G5FAV';

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`the API on ${dialect}`, () => {
    let database: TestDatabase;
    let server: TestServer;
    let api: Api;

    beforeAll(async () => {
      database = await createDatabase(dialect);
      server = await startTestServer(database);
      ({ api } = server);
    });

    afterAll(async () => {
      await server?.running.stop();
      await database?.remove();
    });

    /** A task that waits until it is asked for again: it is not due for a century. */
    const waiting = (more: Readonly<Record<string, unknown>> = {}): Promise<ApiTask> =>
      api.submit({ title: 'later', notBefore: '2126-01-01T00:00:00Z', ...more });

    test('keeps a connection for longer than a proxy does, which would lose what it sends on one that is closed at that moment', async () => {
      const { headers } = await api.call('GET', '/health', { key: null });
      expect(Number(/^timeout=(\d+)$/.exec(headers.get('keep-alive') ?? '')?.[1])).toBeGreaterThan(60);
    });

    describe('submitting', () => {
      test('answers 201 with the task as it is stored, and where it is', async () => {
        const parent = await waiting();
        const wish = {
          title: 'Mend the fence',
          body: '["true"]',
          repository: 'https://example.com/fence.git',
          ref: 'main',
          priority: 'high',
          dependsOn: [parent.id, parent.id],
          notBefore: '2126-05-01T12:00:00+02:00',
          dedupeKey: 'fence',
          budgetUsd: 2.5,
          verify: 'test -f "the gate"',
          engine: 'command',
        };
        const { status, body, headers } = await api.call<ApiTask>('POST', '/api/tasks', { body: wish });
        expect(status).toBe(201);
        expect(headers.get('location')).toBe(`/api/tasks/${body.id}`);
        expect(body).toMatchObject({
          ...wish,
          status: 'blocked',
          dependsOn: [parent.id],
          notBefore: '2126-05-01T10:00:00.000Z',
          verify: ['test', '-f', 'the gate'],
          source: 'api',
          requestedBy: 'owner',
          attempts: 0,
          runs: [],
        });
        expect(await api.task(body.id)).toEqual(body);
      });

      test('fills in what was left out', async () => {
        expect(await waiting()).toMatchObject({
          status: 'delayed',
          priority: 'medium',
          repository: null,
          dependsOn: [],
          dedupeKey: null,
          budgetUsd: null,
          verify: null,
          engine: null,
          reason: null,
          closedAt: null,
        });
      });

      test('answers 200 with the open task while its dedupe key is held', async () => {
        const first = await waiting({ dedupeKey: 'one of them' });
        const again = await api.call<ApiTask>('POST', '/api/tasks', { body: { title: 'again', body: 'true', dedupeKey: 'one of them' } });
        expect(again).toMatchObject({ status: 200, body: { id: first.id, title: 'later' } });
      });

      test('refuses a dependency that does not exist, by name', async () => {
        expect(await api.refusal('POST', '/api/tasks', { body: { title: 'x', body: 'true', dependsOn: [ghostTask] } })).toMatchObject({
          status: 422,
          code: 'unknown-dependency',
          details: { missing: [ghostTask] },
        });
      });

      test('refuses what no engine here could run', async () => {
        for (const wish of [{ engine: 'steam' }, { body: 'an "open quote' }, { body: undefined }]) {
          expect(await api.refusal('POST', '/api/tasks', { body: { title: 'x', body: 'true', ...wish } })).toMatchObject({
            status: 422,
            code: 'cannot-run',
          });
        }
      });
    });

    describe('a task', () => {
      test('that was executed shows its runs, and each run how it went', async () => {
        const { id } = await api.submit({ title: 'go', body: '["sh", "-c", "echo well"]' });
        const task = await api.becomes(id, 'succeeded');
        expect(task).toMatchObject({ attempts: 1, reason: null, closedAt: expect.any(String) });
        const [{ id: runId } = { id: '' }] = task.runs;
        expect(task.runs).toEqual([{ id: runId, status: 'succeeded' }]);
        const run = await api.run(runId);
        expect(run).toMatchObject({ taskId: id, attempt: 1, status: 'succeeded', engine: 'command', reason: null });
        expect(readFileSync(run.outputFile, 'utf8')).toBe('well\n');
      });

      test('gets another priority while it waits, and not afterwards', async () => {
        const { id } = await waiting();
        expect((await api.call<ApiTask>('PATCH', `/api/tasks/${id}`, { body: { priority: 'low' } })).body.priority).toBe('low');
        expect((await api.task(id)).priority).toBe('low');
        await api.call('POST', `/api/tasks/${id}/cancel`);
        expect(await api.refusal('PATCH', `/api/tasks/${id}`, { body: { priority: 'high' } })).toMatchObject({
          status: 409,
          code: 'not-waiting',
        });
      });

      test('gets other dependencies, but never a cycle', async () => {
        const [a, b] = [await waiting(), await waiting()];
        const changed = await api.call<ApiTask>('PATCH', `/api/tasks/${a.id}`, { body: { dependsOn: [b.id] } });
        expect(changed.body).toMatchObject({ status: 'blocked', dependsOn: [b.id] });
        expect(await api.refusal('PATCH', `/api/tasks/${b.id}`, { body: { dependsOn: [a.id] } })).toMatchObject({
          status: 422,
          code: 'dependency-cycle',
          details: { cycle: [b.id, a.id, b.id] },
        });
        expect(await api.refusal('PATCH', `/api/tasks/${b.id}`, { body: {} })).toMatchObject({ status: 400, code: 'invalid-request' });
        expect(await api.refusal('PATCH', `/api/tasks/${b.id}`, { body: { priority: 'low', dependsOn: [] } })).toMatchObject({
          status: 400,
        });
      });

      test('is cancelled, retried, and neither where that makes no sense', async () => {
        const { id } = await waiting();
        expect((await api.call<ApiTask>('POST', `/api/tasks/${id}/cancel`)).body).toMatchObject({
          status: 'cancelled',
          cancelRequestedAt: expect.any(String),
          closedAt: expect.any(String),
        });
        expect(await api.refusal('POST', `/api/tasks/${id}/cancel`)).toMatchObject({ status: 409, code: 'already-over' });
        expect((await api.call<ApiTask>('POST', `/api/tasks/${id}/retry`)).body.status).toBe('queued');
        await api.becomes(id, 'succeeded');
        expect(await api.refusal('POST', `/api/tasks/${id}/retry`)).toMatchObject({ status: 409, code: 'not-retryable' });
      });
    });

    describe('a task that needs approval', () => {
      test('waits until somebody decides, and only once', async () => {
        const approved = await api.submit({ title: 'risky', needsApproval: true });
        const denied = await api.submit({ title: 'riskier', needsApproval: true });
        expect([approved.status, denied.status]).toEqual(['awaiting-approval', 'awaiting-approval']);
        expect((await api.call<ApiTask>('POST', `/api/tasks/${approved.id}/approve`)).body.status).toBe('queued');
        expect((await api.call<ApiTask>('POST', `/api/tasks/${denied.id}/deny`)).body).toMatchObject({ status: 'cancelled' });
        for (const verb of ['approve', 'deny']) {
          for (const { id } of [approved, denied]) {
            expect(await api.refusal('POST', `/api/tasks/${id}/${verb}`)).toMatchObject({ status: 409, code: 'not-awaiting-approval' });
          }
        }
        await api.becomes(approved.id, 'succeeded');
      });

      test('is asked about again when it is retried and nobody ever approved it', async () => {
        for (const verb of ['deny', 'cancel']) {
          const { id } = await api.submit({ title: `called off by ${verb}`, needsApproval: true });
          await api.call('POST', `/api/tasks/${id}/${verb}`);
          expect((await api.call<ApiTask>('POST', `/api/tasks/${id}/retry`)).body).toMatchObject({ status: 'awaiting-approval' });
          expect(await api.refusal('POST', `/api/tasks/${id}/retry`)).toMatchObject({ status: 409, code: 'not-retryable' });
          expect((await api.call<ApiTask>('POST', `/api/tasks/${id}/approve`)).body.status).toBe('queued');
          await api.becomes(id, 'succeeded');
        }
      });
    });

    describe('what is not there', () => {
      test('is 404 with a code, whichever way it is asked for', async () => {
        for (const [method, path, body] of [
          ['GET', `/api/tasks/${ghostTask}`, undefined],
          ['PATCH', `/api/tasks/${ghostTask}`, { priority: 'low' }],
          ['POST', `/api/tasks/${ghostTask}/approve`, undefined],
          ['POST', `/api/tasks/${ghostTask}/deny`, undefined],
          ['POST', `/api/tasks/${ghostTask}/cancel`, undefined],
          ['POST', `/api/tasks/${ghostTask}/retry`, undefined],
        ] as const) {
          expect(await api.refusal(method, path, { body })).toMatchObject({ status: 404, code: 'no-such-task' });
        }
        expect(await api.refusal('GET', `/api/runs/${ghostRun}`)).toMatchObject({ status: 404, code: 'no-such-run' });
        expect(await api.refusal('GET', `/api/runs/${ghostRun}/events`)).toMatchObject({ status: 404, code: 'no-such-run' });
      });

      test('is told apart from an id of another kind', async () => {
        const { id } = await waiting();
        const wrong = await api.refusal('GET', `/api/runs/${id}`);
        expect(wrong).toMatchObject({ status: 404, code: 'no-such-run', detail: `${id} is the id of a task, not of a run.` });
        expect((await api.refusal('GET', `/api/tasks/${ghostRun}`)).detail).toBe(`${ghostRun} is the id of a run, not of a task.`);
        expect((await api.refusal('GET', `/api/events?task=${ghostRun}`)).detail).toContain('is the id of a run');
        expect(await api.refusal('POST', '/api/tasks', { body: { title: 'x', body: 'true', dependsOn: [ghostRun] } })).toMatchObject({
          status: 400,
          errors: [{ path: 'dependsOn.0', message: expect.stringContaining('must be a task id') }],
        });
      });

      test('includes names that are no ids at all', async () => {
        for (const name of ['1', 'tsk_', '%00', '%E0%A4%A', 'tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV%20', '%F0%9F%98%80', 'x'.repeat(4_000)]) {
          expect(await api.refusal('GET', `/api/tasks/${name}`)).toMatchObject({ status: 404 });
        }
      });

      test('includes routes, and a wrong method says which ones there are', async () => {
        expect(await api.refusal('GET', '/api/nothing')).toMatchObject({ status: 404, code: 'no-such-route' });
        expect(await api.refusal('POST', '/nothing')).toMatchObject({ status: 404, code: 'no-such-route' });
        expect(await api.refusal('GET', `/api/runs/${ghostRun}/artifacts/`)).toMatchObject({ status: 404, code: 'no-such-route' });
        for (const [method, path, allow] of [
          ['DELETE', '/api/tasks', 'GET, POST'],
          ['PUT', `/api/tasks/${ghostTask}`, 'GET, PATCH'],
          ['GET', `/api/tasks/${ghostTask}/cancel`, 'POST'],
          ['POST', '/health', 'GET'],
          ['POST', '/metrics', 'GET'],
        ] as const) {
          expect(await api.refusal(method, path)).toMatchObject({ status: 405, code: 'wrong-method' });
          expect((await api.call(method, path)).headers.get('allow')).toBe(allow);
        }
      });
    });

    describe('the list', () => {
      test('walks every task exactly once, newest first, while others are added', async () => {
        const source = (): Promise<ApiTask> => waiting({ repository: 'walked' });
        const before = (await Promise.all(Array.from({ length: 23 }, source))).map(({ id }) => id);
        const seen: string[] = [];
        let cursor: string | null = null;
        do {
          const page: Page = (
            await api.call<Page>('GET', `/api/tasks?repository=walked&limit=5${cursor === null ? '' : `&cursor=${cursor}`}`)
          ).body;
          expect(page.items.length).toBeLessThanOrEqual(5);
          seen.push(...page.items.map(({ id }) => id));
          cursor = page.nextCursor;
          await source();
        } while (cursor !== null);
        expect(seen).toEqual([...new Set(seen)].sort().reverse());
        expect(seen.sort()).toEqual(before.sort());
      });

      test('gives what matches all filters', async () => {
        const low = await waiting({ repository: 'filtered', priority: 'low' });
        const high = await waiting({ repository: 'filtered', priority: 'high' });
        const gone = await waiting({ repository: 'filtered', priority: 'low' });
        await api.call('POST', `/api/tasks/${gone.id}/cancel`);
        const listed = async (query: string): Promise<string[]> =>
          (await api.call<Page>('GET', `/api/tasks?repository=filtered&${query}`)).body.items.map(({ id }) => id);
        expect(await listed('')).toEqual([gone.id, high.id, low.id]);
        expect(await listed('priority=low')).toEqual([gone.id, low.id]);
        expect(await listed('status=cancelled')).toEqual([gone.id]);
        expect(await listed('status=cancelled,delayed&source=api')).toEqual([gone.id, high.id, low.id]);
        expect(await listed('status=delayed&priority=low')).toEqual([low.id]);
        expect(await listed('source=elsewhere')).toEqual([]);
      });

      test('refuses parameters that it does not know, and values that cannot be', async () => {
        for (const query of [
          'limit=0',
          'limit=201',
          'limit=ten',
          'limit=1.5',
          'limit=',
          'limit=1&limit=2',
          'repository=one&repository=other',
          'status=done',
          'status=',
          'priority=urgent',
          'sort=title',
          'Limit=5',
          'source=%00',
          'repository=a%00b',
          `source=${'x'.repeat(101)}`,
        ]) {
          expect(await api.refusal('GET', `/api/tasks?${query}`), query).toMatchObject({ status: 400, code: 'invalid-request' });
        }
      });

      test('refuses cursors that are not its own', async () => {
        const encoded = (text: string): string => Buffer.from(text).toString('base64url');
        for (const cursor of [
          'x',
          encoded('tasks:'),
          encoded('tasks:~'),
          encoded(`runs:${ghostTask}`),
          encoded(`tasks:${ghostRun}`),
          encoded(`tasks:${ghostTask}:`),
          encoded(`tasks:${ghostTask}' or 1=1`),
          '%00',
        ]) {
          expect(await api.refusal('GET', `/api/tasks?cursor=${cursor}`), cursor).toMatchObject({ status: 400, code: 'bad-cursor' });
        }
        expect(await api.refusal('GET', `/api/tasks?cursor=${'A'.repeat(5_000)}`)).toMatchObject({ status: 400, code: 'invalid-request' });
      });

      test('goes on after a cursor whose task is unknown, as it would after one that was removed', async () => {
        const cursor = Buffer.from(`tasks:${ghostTask}`).toString('base64url');
        expect((await api.call<Page>('GET', `/api/tasks?cursor=${cursor}`)).body).toEqual({ items: [], nextCursor: null });
      });
    });

    test('a run of a running task is shown without an end', async () => {
      const { id } = await api.submit({ title: 'long', body: 'sleep 60' });
      const task = await api.becomes(id, 'running');
      const run = (await api.call<ApiRun>('GET', `/api/runs/${task.runs[0]?.id}`)).body;
      expect(run).toMatchObject({ status: 'running', finishedAt: null, durationMs: null });
      await api.call('POST', `/api/tasks/${id}/cancel`);
      await api.becomes(id, 'cancelled');
      expect(await api.run(run.id)).toMatchObject({ status: 'cancelled', finishedAt: expect.any(String), durationMs: expect.any(Number) });
    });

    test('the queue tells what waits and who works, and is paused and resumed', async () => {
      const paused = await api.call<{ paused: boolean }>('POST', '/api/queue/pause');
      expect(paused.body.paused).toBe(true);
      const { id } = await api.submit({ title: 'held up' });
      const state = await api.call<{ paused: boolean; open: { status: string }[]; nodes: unknown[] }>('GET', '/api/queue');
      expect(state.body).toMatchObject({ paused: true, nodes: [{ address: api.address }] });
      expect(state.body.open).toContainEqual({ priority: 'medium', status: 'queued', count: 1 });
      await api.call('POST', '/api/queue/resume');
      await api.becomes(id, 'succeeded');
    });

    test('the metrics count what was done', async () => {
      const { id } = await api.submit({ title: 'counted' });
      await api.becomes(id, 'succeeded');
      const { body, headers } = await api.call<string>('GET', '/metrics');
      expect(headers.get('content-type')).toContain('text/plain');
      expect(body).toMatch(/agent_queue_depth\{priority="high"\} \d+/);
      expect(body).toMatch(/agent_memory_bytes \d+/);
    });

    test('readiness follows the store', async () => {
      expect(await api.call('GET', '/health', { key: null })).toMatchObject({ status: 200, body: { status: 'ok' } });
      expect(await api.call('GET', '/ready', { key: null })).toMatchObject({ status: 200, body: { status: 'ready' } });
    });
  });
}
