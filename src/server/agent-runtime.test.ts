import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, type ApiTask, startTestServer, type TestServer } from '../../test/support/server.ts';
import { processesWith, until } from '../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';

interface Execution {
  readonly id: string;
  readonly status: string;
  readonly [field: string]: unknown;
}
interface Page {
  readonly items: readonly Execution[];
  readonly total: number;
  readonly hasMore: boolean;
}
interface RuntimeRefusal {
  readonly status: number;
  readonly error: string;
  readonly statusCode: number;
  readonly details?: readonly { readonly path: readonly string[]; readonly message: string }[];
}

const ghost = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

for (const dialect of dialects) {
  /** As a client of that runtime sees it, by its paths, statuses and field names. */
  describe.skipIf(missing(dialect))(`the agent runtime on ${dialect}`, () => {
    let database: TestDatabase;
    let server: TestServer;
    let api: Api;
    let worker: string;

    beforeAll(async () => {
      database = await createDatabase(dialect);
      server = await startTestServer(database, { maxConcurrentRuns: '4' });
      ({ api } = server);
      const { body } = await api.call<{ workers: { id: string }[] }>('GET', '/api/workers');
      worker = body.workers[0]?.id ?? '';
    });
    afterAll(async () => {
      await server?.running.stop();
      await database?.remove();
    });

    /** It must be a problem document too. */
    const refusal = async (method: string, path: string, body?: unknown): Promise<RuntimeRefusal> =>
      (await api.refusal(method, path, body === undefined ? {} : { body })) as unknown as RuntimeRefusal;
    const execute = async (body: object): Promise<string> => {
      const answer = await api.call<{ executionId: string }>('POST', '/api/agent-runtime/execute', { body: { workerId: worker, ...body } });
      expect(answer.status, JSON.stringify(answer.body)).toBe(201);
      return answer.body.executionId;
    };
    const look = async (id: string): Promise<Execution> => (await api.call<Execution>('GET', `/api/agent-runtime/executions/${id}`)).body;
    const becomes = (id: string, status: string): Promise<Execution> =>
      until(`${id} to become ${status}`, async () => {
        const execution = await look(id);
        return execution.status === status && execution;
      });
    const cancel = (id: string) => api.call<Execution>('POST', `/api/agent-runtime/executions/${id}/cancel`);
    const item = async (more: object = {}): Promise<{ id: string }> => {
      const { status, body } = await api.call<{ id: string }>('POST', '/api/work-items', {
        body: { title: 'An item', type: 'task', createdBy: 'ann', ...more },
      });
      expect(status).toBe(201);
      return body;
    };
    /** Nothing is claimed while this lasts. */
    const whilePaused = async <T>(work: () => Promise<T>): Promise<T> => {
      await api.call('POST', '/api/queue/pause');
      return work().finally(() => api.call('POST', '/api/queue/resume'));
    };

    test('lists a worker for each profile, and gives one to whoever spawns it', async () => {
      const { body: profile } = await api.call<{ id: string }>('POST', '/api/profiles', { body: { name: 'extra' } });
      const { body } = await api.call<{ workers: object[] }>('GET', '/api/workers');
      expect(body).toMatchObject({ totalWorkers: 2, activeWorkers: 2, idleWorkers: 2 });
      expect(body.workers).toContainEqual(expect.objectContaining({ id: profile.id, name: 'extra', status: 'idle', spawnedAt: isoTime }));
      for (const templateId of [profile.id, 'extra']) {
        const spawned = await api.call('POST', '/api/workers/spawn', { body: { templateId, sessionId: 's1' } });
        expect(spawned).toMatchObject({ status: 201, body: { id: profile.id, templateId: profile.id } });
      }
      expect(await refusal('POST', '/api/workers/spawn', { templateId: 'x', sessionId: 's' })).toMatchObject({
        statusCode: 404,
        error: 'Template with id x not found',
      });
      expect(await refusal('POST', '/api/workers/spawn', { templateId: 'extra' })).toMatchObject({ error: 'Validation failed' });
    });

    describe('execute', () => {
      test('runs a prompt, and tells of it in the words of that runtime', async () => {
        const id = await execute({ prompt: 'sh -c "echo well"' });
        const done = await becomes(id, 'success');
        expect(done).toEqual({
          id,
          workerId: worker,
          templateId: worker,
          workItemId: id,
          workspaceId: null,
          status: 'success',
          startedAt: isoTime,
          completedAt: isoTime,
          durationMs: expect.any(Number),
          tokensUsed: 0,
          costUsd: 0,
          toolCallsCount: 0,
          errorMessage: null,
          output: { summary: 'sh exited with 0' },
          createdAt: isoTime,
        });
      });

      test('is known from the first moment, before there is any run', () =>
        whilePaused(async () => {
          const id = await execute({ prompt: 'true' });
          expect(await look(id)).toMatchObject({
            status: 'pending',
            startedAt: null,
            completedAt: null,
            durationMs: null,
            errorMessage: null,
            output: null,
          });
          await cancel(id);
        }));

      test('tells how it failed, and of each attempt under its own id', async () => {
        const id = await execute({ prompt: 'sh -c "exit 3"' });
        expect(await becomes(id, 'error')).toMatchObject({ errorMessage: expect.stringContaining('3'), completedAt: isoTime });
        const run = (await api.task(id)).runs[0]?.id ?? '';
        expect(await look(run)).toMatchObject({ id: run, workItemId: id, workerId: worker, status: 'error', completedAt: isoTime });
      });

      test('takes a worker by its name too, and does the work with its profile', async () => {
        await api.call('POST', '/api/profiles', { body: { name: 'named' } });
        const id = await execute({ workerId: 'named', prompt: 'true', repository: undefined });
        expect(await api.task(id)).toMatchObject({ profile: 'named', source: 'agent-runtime', body: 'true', title: 'true' });
        await becomes(id, 'success');
      });

      test('of a work item begins what was only stored until then', async () => {
        const { id } = await item({ description: 'sh -c "exit 0"', type: 'bug' });
        expect((await api.call('GET', `/api/work-items/${id}`)).body).toEqual({
          id,
          title: 'An item',
          type: 'bug',
          status: 'backlog',
          description: 'sh -c "exit 0"',
          repository: null,
          createdBy: 'ann',
          createdAt: isoTime,
          updatedAt: isoTime,
          startedAt: null,
          completedAt: null,
        });
        expect(await api.task(id)).toMatchObject({ status: 'awaiting-approval', labels: ['bug'], priority: 'high', requestedBy: 'ann' });
        expect(await refusal('GET', `/api/agent-runtime/executions/${id}`)).toMatchObject({ statusCode: 404 });
        expect(await execute({ workItemId: id })).toBe(id);
        expect(await becomes(id, 'success')).toMatchObject({ workItemId: id });
        expect((await api.call('GET', `/api/work-items/${id}`)).body).toMatchObject({
          status: 'done',
          startedAt: isoTime,
          completedAt: isoTime,
        });
      });

      test('of a work item with a prompt does not drop the prompt', async () => {
        const { id } = await item({ title: 'x' });
        await execute({ workItemId: id, prompt: '["sh", "-c", "echo prompted"]' });
        expect(await becomes(id, 'success')).toMatchObject({ output: { summary: 'sh exited with 0' } });
        const both = await item({ description: 'What it is.' });
        await api.call('POST', '/api/profiles', { body: { name: 'agent', engine: 'claude' } });
        await execute({ workerId: 'agent', workItemId: both.id, prompt: 'And do this.', repository: '/srv/shop' });
        expect(await api.task(both.id)).toMatchObject({ body: 'What it is.\n\nAnd do this.', repository: '/srv/shop', profile: 'agent' });
      });

      test('of the same item twice at once gives one 201 and one 409, and one run', async () => {
        for (let round = 0; round < 5; round++) {
          const { id } = await item({ description: 'true' });
          const both = await Promise.all(
            [1, 2].map(() =>
              api.call<RuntimeRefusal>('POST', '/api/agent-runtime/execute', { body: { workerId: worker, workItemId: id } }),
            ),
          );
          expect(both.map(({ status }) => status).sort()).toEqual([201, 409]);
          await becomes(id, 'success');
          expect((await api.task(id)).runs).toHaveLength(1);
        }
      });

      test('of an item that is executed or over says in what state it is', async () => {
        const id = await execute({ prompt: 'true' });
        await becomes(id, 'success');
        expect(await refusal('POST', '/api/agent-runtime/execute', { workerId: worker, workItemId: id })).toMatchObject({
          statusCode: 409,
          error: expect.stringContaining(`Work item with id ${id} has been executed already (current status: success)`),
        });
      });

      test('names an unknown worker first, then an unknown work item', async () => {
        const path = '/api/agent-runtime/execute';
        for (const workerId of ['nobody', `prf_${ghost}`, 'x'.repeat(100), '../../etc', 'a\0b']) {
          expect(await refusal('POST', path, { workerId, workItemId: 'w1', prompt: 'x' })).toMatchObject({
            status: 404,
            statusCode: 404,
            error: `Worker with id ${workerId} not found`,
          });
        }
        for (const workItemId of ['w1', `tsk_${ghost}`]) {
          expect(await refusal('POST', path, { workerId: worker, workItemId, prompt: 'x' })).toMatchObject({
            statusCode: 404,
            error: `Work item with id ${workItemId} not found`,
          });
        }
      });

      test.each([
        ['workerId', { prompt: 'x' }],
        ['workerId', { workerId: '', prompt: 'x' }],
        ['workerId', { workerId: 7, prompt: 'x' }],
        ['workItemId', { workItemId: '' }],
        ['prompt', { prompt: ' \n ' }],
        ['prompt', { prompt: 'a\0b' }],
        ['repository', { prompt: 'x', repository: 'a\nb' }],
        [undefined, {}],
        [undefined, { prompt: 'x', colour: 'blue' }],
      ])('refuses a bad %s with the place and the reason: %j', async (field, more) => {
        const body = field === 'workerId' ? more : { workerId: worker, ...more };
        const { error, statusCode, details } = await refusal('POST', '/api/agent-runtime/execute', body);
        expect({ error, statusCode }).toEqual({ error: 'Validation failed', statusCode: 400 });
        expect(details?.[0]).toEqual({ path: field === undefined ? [] : [field], message: expect.stringMatching(/./) });
      });

      test('refuses what is no JSON, no object, too large or could never run', async () => {
        const path = '/api/agent-runtime/execute';
        expect(await refusal('POST', path, '{')).toMatchObject({ statusCode: 400, error: 'Validation failed', details: [{ path: [] }] });
        expect(await refusal('POST', path, '[]')).toMatchObject({ statusCode: 400, error: 'Validation failed' });
        expect(await refusal('POST', path, `{"prompt":"${'x'.repeat(1_100_000)}"}`)).toMatchObject({ status: 413, statusCode: 413 });
        expect(await refusal('POST', path, { workerId: worker, prompt: 'an "open quote' })).toMatchObject({
          statusCode: 422,
          error: expect.stringContaining('could never run'),
        });
      });
    });

    describe('an execution', () => {
      test('that there is not is 404', async () => {
        for (const id of ['x', `tsk_${ghost}`, `run_${ghost}`, `prf_${ghost}`]) {
          const expected = { status: 404, statusCode: 404, error: `Execution with id ${id} not found` };
          expect(await refusal('GET', `/api/agent-runtime/executions/${id}`)).toMatchObject(expected);
          expect(await refusal('POST', `/api/agent-runtime/executions/${id}/cancel`)).toMatchObject(expected);
        }
      });

      test('is cancelled before it began: then it took no time', () =>
        whilePaused(async () => {
          const id = await execute({ prompt: 'true' });
          const { status, body } = await cancel(id);
          expect(status).toBe(200);
          expect(body).toMatchObject({ id, status: 'cancelled', completedAt: isoTime, durationMs: null });
          expect(body['startedAt']).toBe(body['completedAt']);
          expect(await refusal('POST', `/api/agent-runtime/executions/${id}/cancel`)).toMatchObject({
            statusCode: 409,
            error: `Execution with id ${id} is not running (current status: cancelled)`,
          });
        }));

      test('is cancelled while it runs: the answer comes when nothing of it is left', async () => {
        const id = await execute({ prompt: 'sh -c "trap : TERM; sleep 600 & wait; sleep 600"' });
        await becomes(id, 'running');
        const run = (await api.task(id)).runs[0]?.id ?? '';
        await until('the program to run', () => processesWith(`NIGHTSHIFT_RUN_ID=${run}`).length > 1);
        const { body } = await cancel(id);
        expect(body).toMatchObject({ status: 'cancelled', startedAt: isoTime, completedAt: isoTime, durationMs: expect.any(Number) });
        expect(processesWith(`NIGHTSHIFT_RUN_ID=${run}`)).toEqual([]);
        expect(await look(id)).toEqual(body);
        expect(await look(run)).toMatchObject({ status: 'cancelled', completedAt: body['completedAt'] });
        expect((await api.call('GET', `/api/work-items/${id}`)).body).toMatchObject({ status: 'review' });
      });

      test('can be cancelled by the id of its run', async () => {
        const id = await execute({ prompt: 'sleep 600' });
        await becomes(id, 'running');
        const run = (await api.task(id)).runs[0]?.id ?? '';
        expect((await cancel(run)).body).toMatchObject({ id: run, status: 'cancelled', completedAt: isoTime });
        expect(await look(id)).toMatchObject({ status: 'cancelled' });
      });

      test('that is over cannot be cancelled', async () => {
        const [well, badly] = [await execute({ prompt: 'true' }), await execute({ prompt: 'false' })];
        for (const [id, status] of [
          [well, 'success'],
          [badly, 'error'],
        ] as const) {
          await becomes(id, status);
          expect(await refusal('POST', `/api/agent-runtime/executions/${id}/cancel`)).toMatchObject({
            status: 409,
            error: `Execution with id ${id} is not running (current status: ${status})`,
          });
        }
      });
    });

    test('lists executions, newest first, by page, status, worker, item and time', async () => {
      const list = async (query: string): Promise<Page> => (await api.call<Page>('GET', `/api/executions${query}`)).body;
      const { id: waiting } = await item();
      const mine: string[] = [];
      for (let i = 0; i < 3; i++) mine.unshift(await execute({ workerId: 'extra', prompt: i === 0 ? 'false' : 'true' }));
      for (const id of mine) await until('it to end', async () => (await look(id))['completedAt'] !== null);
      const all = await list('?limit=200');
      expect(all.items.slice(0, 3).map(({ id }) => id)).toEqual(mine);
      expect(all).toMatchObject({ total: all.items.length, hasMore: false });
      expect(all.items.map(({ id }) => id)).not.toContain(waiting);
      expect((await list('')).items).toHaveLength(Math.min(20, all.total));
      expect(all.items[0]).toEqual(await look(mine[0] ?? ''));

      const page = await list('?workerId=extra&limit=2');
      expect(page).toMatchObject({ total: 3, hasMore: true, items: [{ id: mine[0] }, { id: mine[1] }] });
      expect(await list('?workerId=extra&limit=2&offset=2')).toMatchObject({ total: 3, hasMore: false, items: [{ id: mine[2] }] });
      expect(await list(`?workerId=extra&status=error`)).toMatchObject({ total: 1, items: [{ id: mine[2] }] });
      expect(await list(`?workItemId=${mine[1]}`)).toMatchObject({ total: 1, items: [{ id: mine[1] }] });
      for (const nobody of ['?workerId=nobody', '?workerId=%00', '?workItemId=x', '?workItemId=%00']) {
        expect(await list(nobody)).toEqual({ items: [], total: 0, hasMore: false });
      }
      expect(await api.refusal('GET', '/api/profiles/a%00b')).toMatchObject({ status: 404, code: 'no-such-profile' });
      expect(await list('?dateFrom=2099-01-01')).toEqual({ items: [], total: 0, hasMore: false });
      expect((await list('?status=cancelled')).items.every(({ status }) => status === 'cancelled')).toBe(true);
      for (const bad of ['?limit=0', '?limit=x', '?offset=-1', '?status=queued', '?dateTo=soon', '?colour=blue']) {
        expect(await refusal('GET', `/api/executions${bad}`)).toMatchObject({ statusCode: 400, error: 'Validation failed' });
      }
    });

    test.each([
      ['title', { title: '' }],
      ['title', { title: 'two\nlines' }],
      ['type', { type: 'epic' }],
      ['createdBy', { createdBy: undefined }],
      ['description', { description: 7 }],
    ])('refuses a work item with a bad %s: %j', async (field, more) => {
      const body = { title: 'x', type: 'bug', createdBy: 'ann', ...more };
      const { statusCode, details } = await refusal('POST', '/api/work-items', body);
      expect(statusCode).toBe(400);
      expect(details?.[0]?.path).toEqual([field]);
    });

    test('knows no work item and no workspace by an id that is not theirs', async () => {
      for (const id of ['x', `tsk_${ghost}`, `wsp_${ghost}`]) {
        expect(await refusal('GET', `/api/work-items/${id}`)).toMatchObject({
          error: `Work item with id ${id} not found`,
          statusCode: 404,
        });
        expect(await refusal('DELETE', `/api/agent-runtime/workspaces/${id}`)).toMatchObject({
          error: `Workspace with id ${id} not found`,
          statusCode: 404,
        });
        expect(await api.refusal('DELETE', `/api/workspaces/${id}`)).toMatchObject({ status: 404, code: 'no-such-workspace' });
      }
      expect((await api.call('GET', '/api/agent-runtime/workspaces')).body).toEqual([]);
      expect((await api.call('GET', '/api/workspaces')).body).toEqual({ items: [], nextCursor: null });
      expect(await api.refusal('GET', '/api/workspaces?status=lost')).toMatchObject({ status: 400 });
    });

    test('speaks its own words whoever refuses', async () => {
      const noKey = await api.refusal('GET', '/api/executions', { key: null });
      expect(noKey).toMatchObject({ status: 401, statusCode: 401, error: noKey.detail });
      expect(await refusal('GET', '/api/agent-runtime/nothing')).toMatchObject({ statusCode: 404, error: expect.stringMatching(/./) });
      expect(await refusal('PUT', '/api/work-items')).toMatchObject({ statusCode: 405 });
      expect(await api.refusal('GET', '/api/tasks/x')).not.toHaveProperty('statusCode');
    });

    test('survives a restart: what was accepted runs, and what was only stored still waits', async () => {
      const { id } = await item({ description: 'true' });
      await api.call('POST', '/api/queue/pause');
      const accepted = await execute({ prompt: 'true' });
      await server.running.stop();
      server = await startTestServer(database);
      ({ api } = server);
      await api.call('POST', '/api/queue/resume');
      await becomes(accepted, 'success');
      expect((await api.call<ApiTask>('GET', `/api/tasks/${id}`)).body).toMatchObject({ status: 'awaiting-approval' });
    });
  });
}
