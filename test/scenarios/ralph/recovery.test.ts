import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventStream } from '../../support/event-stream.ts';
import { git, write } from '../../support/git-world.ts';
import { Api, type ApiEvent, type ApiTask, testToken } from '../../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../../support/server-process.ts';

const bash = (command: string): object => ({ tool: 'Bash', input: { command, description: 'Work' } });
const making = (file: string): object => bash(`echo ${file} > ${file}`);

/** It takes the wrong way, unless it was told of it, or what the right one is. */
const script = {
  name: 'recovery',
  turns: [
    { when: { tool: 'Bash' }, say: 'The file was the answer.' },
    {
      when: { first: true, prompt: '/Hard[\\s\\S]*led nowhere[\\s\\S]*The file was the answer/' },
      say: 'Another way.',
      call: making('good.txt'),
    },
    { when: { first: true, prompt: 'It is called good.txt' }, say: 'I was told.', call: making('good.txt') },
    { when: { first: true }, say: 'I work.', call: making('bad.txt') },
    { say: 'I am done.' },
  ],
};

interface Resolved {
  readonly task: ApiTask;
  readonly work: Readonly<Record<string, string | null>> | null;
}

describe('a task whose agent is stuck', () => {
  let root: string;
  let server: ServerProcess;
  let api: Api;

  const start = async (): Promise<void> => {
    server = spawnServer(join(root, 'home'), {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
      NIGHTSHIFT_DRAIN_SECONDS: '0',
      NIGHTSHIFT_MAX_ROUNDS: '1',
    });
    api = new Api(await server.address, testToken);
  };

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-recovery-'));
    const repository = join(root, 'repository');
    for (const directory of [join(root, 'home'), repository]) mkdirSync(directory);
    git(repository, 'init', '--quiet', '--initial-branch=main');
    write(repository, { 'README.md': '# Sample\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
    writeFileSync(join(root, 'script.json'), JSON.stringify(script));
    await start();
  });

  afterAll(async () => {
    server.child.kill('SIGTERM');
    const { code } = await server.exited;
    rmSync(root, { recursive: true, force: true });
    expect(code, server.output()).toBe(0);
  });

  const submit = (title: string, more: object = {}): Promise<ApiTask> =>
    api.submit({ title, body: undefined, repository: join(root, 'repository'), verify: ['test', '-f', 'good.txt'], ...more });
  const over = (id: string): Promise<ApiTask> => api.becomes(id, 'succeeded', 'failed', 'escalated', 'cancelled');
  const eventsOf = async (id: string): Promise<readonly ApiEvent[]> => {
    const stream = await EventStream.open(api, `/api/events?task=${id}&follow=false`);
    await stream.over;
    return stream.events;
  };
  const resolve = async (id: string, body: object): Promise<Resolved> => {
    const answer = await api.call<Resolved>('POST', `/api/tasks/${id}/resolve`, { body });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    return answer.body;
  };
  const escalated = async (title: string): Promise<string> => {
    const { id } = await submit(title, { maxAttempts: 1 });
    expect(await over(id)).toMatchObject({ status: 'escalated', reason: { code: 'round-limit' } });
    return id;
  };

  test('is tried another way, with a bigger model and told what led nowhere', { timeout: 60_000 }, async () => {
    const { id } = await submit('Hard');
    const task = await over(id);
    expect(task).toMatchObject({ status: 'succeeded', attempts: 2, runs: [{ status: 'failed' }, { status: 'succeeded' }] });
    const run = await api.run(task.runs[1]?.id ?? '');
    expect(run.filesChanged.map(({ path }) => path)).toEqual(['good.txt']);
    const events = await eventsOf(id);
    expect(events.flatMap(({ type, data }) => (type === 'run.model' ? [data['tier']] : []))).toEqual(['standard', 'deep']);
    expect(events.filter(({ type }) => type === 'task.recovery').map(({ data }) => data)).toMatchObject([
      { plan: 'alternative', reason: { code: 'round-limit' }, checkpoint: null, tier: 'deep' },
    ]);
    const [, mirror = ''] = /git fetch '?([^' ]+)/.exec(run.delivery?.fetchCommand ?? '') ?? [];
    expect(git(mirror, 'ls-tree', '--name-only', run.branch ?? '')).toBe('README.md\ngood.txt');
  });

  test('is tried another way where it has no repository either', { timeout: 60_000 }, async () => {
    const { id } = await submit('Hard', { repository: undefined });
    expect(await over(id)).toMatchObject({ status: 'succeeded', attempts: 2 });
  });

  test('goes to a person when the other way leads nowhere either, who can have it tried again with a hint', {
    timeout: 60_000,
  }, async () => {
    const { id } = await submit('Tough');
    expect(await over(id)).toMatchObject({ status: 'escalated', attempts: 2, runs: [{ status: 'failed' }, { status: 'escalated' }] });
    const { task } = await resolve(id, { choice: 'retry', note: 'It is called good.txt.' });
    expect(task.status).toBe('queued');
    expect(await over(id)).toMatchObject({ status: 'succeeded', attempts: 1 });
    const metrics = (await api.call<string>('GET', '/metrics')).body;
    expect(metrics).toMatch(/agent_recoveries_total\{plan="alternative"\} [1-9]/);
    expect(metrics).toMatch(/agent_escalations_total [1-9]/);
  });

  test('can have more money', { timeout: 60_000 }, async () => {
    const id = await escalated('Dear');
    const { task } = await resolve(id, { choice: 'raise-budget', budgetUsd: 4, note: 'It is called good.txt.' });
    expect(task.budgetUsd).toBe(4);
    expect(await over(id)).toMatchObject({ status: 'succeeded', budgetUsd: 4 });
  });

  test('can be taken over, with all that there is', { timeout: 60_000 }, async () => {
    const id = await escalated('Mine');
    const { task, work } = await resolve(id, { choice: 'take-over' });
    expect(task).toMatchObject({ status: 'cancelled', reason: { code: 'taken-over' } });
    expect(work).toMatchObject({ runId: task.runs[0]?.id, summary: expect.stringContaining('Still red: task') });
    expect(git(join(work?.['workspace'] ?? '', 'tree'), 'status', '--porcelain')).toBe('?? bad.txt');
    const clone = join(root, 'clone');
    git(root, 'clone', '--quiet', 'repository', 'clone');
    const [, mirror = '', branches = ''] = /^git fetch '?([^' ]+)'? '?([^' ]+)'?$/.exec(work?.['fetchCommand'] ?? '') ?? [];
    git(clone, 'fetch', '--quiet', mirror, branches);
    expect(git(clone, 'ls-tree', '--name-only', work?.['branch'] ?? '')).toBe('README.md\nbad.txt');
  });

  test('can be given up, once', { timeout: 60_000 }, async () => {
    const id = await escalated('Nobody’s');
    expect(await resolve(id, { choice: 'give-up', note: 'Not worth it.' })).toMatchObject({ task: { status: 'cancelled' }, work: null });
    const again = await api.call('POST', `/api/tasks/${id}/resolve`, { body: { choice: 'retry' } });
    expect(again).toMatchObject({ status: 409, body: { code: 'not-escalated' } });
    const unclear = await api.call('POST', `/api/tasks/${id}/resolve`, { body: { choice: 'raise-budget' } });
    expect(unclear.status).toBe(400);
  });

  test('is tried another way once, also when the server dies before that begins', { timeout: 60_000 }, async () => {
    const { id } = await submit('Hard and interrupted', { notBefore: new Date(Date.now() + 500).toISOString() });
    await api.becomes(id, 'running', 'queued', 'succeeded');
    await api.call('POST', '/api/queue/pause');
    await until('the first run to be over', async () => (await api.task(id)).runs[0]?.status === 'failed');
    expect(await api.task(id)).toMatchObject({ status: 'queued', attempts: 1 });
    server.child.kill('SIGKILL');
    await server.exited;
    await start();
    expect(await api.task(id)).toMatchObject({ status: 'queued', attempts: 1 });
    await api.call('POST', '/api/queue/resume');
    expect(await over(id)).toMatchObject({ status: 'succeeded', attempts: 2, runs: [{ status: 'failed' }, { status: 'succeeded' }] });
    expect((await eventsOf(id)).filter(({ type }) => type === 'task.recovery')).toHaveLength(1);
  });
});
