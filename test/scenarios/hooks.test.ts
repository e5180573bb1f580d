import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Hook, type HookFacts, type OnError, type OnTaskComplete, Unasked } from '../../src/runner/hooks/hook.ts';
import { findTask } from '../../src/store/tasks.ts';
import { EventStream } from '../support/event-stream.ts';
import { git, write } from '../support/git-world.ts';
import { type Api, type ApiEvent, type ApiRun, type ApiTask, startTestServer, type TestServer } from '../support/server.ts';
import { processesWith, until } from '../support/server-process.ts';
import { createDatabase, type TestDatabase, temporaryHome } from '../support/stores.ts';

/** Refuses by words in the title; the rest of what is configured writes down what it was told. */
const gate = `export default ({ task }) => {
  if (task.title.includes('refuse me')) return { allow: false, reason: 'not on a Friday' };
  if (task.title.includes('break me')) throw new Error('the gate is broken');
};`;
const settings = `
hooks:
  - id: gate
    on: pre-run
    module: ./hooks/gate.mjs
  - id: second
    on: pre-run
    command: hooks/note second
  - on: post-run
    command: [./hooks/note, after]
  - id: alarm
    on: error
    command: ./hooks/note alarm
    timeoutSeconds: 5
`;
/** Notes go beside the script, one file for each run, and can be told from a hook that hangs by the task's title. */
const note = `#!/bin/sh
facts=$(cat)
printf '%s' "$facts" > "$(dirname "$0")/$NIGHTSHIFT_RUN_ID.$1"
case "$1 $facts" in 'second '*'hang please'*) setsid sleep 600 & while :; do sleep 600; done;; esac
`;

describe('hooks', () => {
  let database: TestDatabase;
  let server: TestServer;
  let api: Api;
  let repository: string;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    mkdirSync(join(database.home, 'hooks'));
    writeFileSync(join(database.home, 'nightshift.yaml'), settings);
    writeFileSync(join(database.home, 'hooks', 'gate.mjs'), gate);
    writeFileSync(join(database.home, 'hooks', 'note'), note, { mode: 0o755 });
    repository = temporaryHome();
    git(repository, 'init', '--quiet', '--initial-branch=main');
    write(repository, { 'README.md': '# Sample\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
    server = await startTestServer(database, { maxConcurrentRuns: '4' });
    ({ api } = server);
  });

  afterAll(async () => {
    await server?.running.stop();
    await database?.remove();
    rmSync(repository, { recursive: true, force: true });
  });

  const added: string[] = [];
  afterEach(() => {
    for (const id of added.splice(0)) server.running.hooks.unregister(id);
  });
  const register = (hook: Partial<Hook> & Pick<Hook, 'id' | 'on' | 'run'>): void => {
    server.running.hooks.register({ timeoutMs: 30_000, ...hook });
    added.push(hook.id);
  };

  async function ended(task: Readonly<Record<string, unknown>>): Promise<{ task: ApiTask; run: ApiRun; events: readonly ApiEvent[] }> {
    const { id } = await api.submit(task);
    const over = await api.becomes(id, 'succeeded', 'failed', 'delayed', 'escalated');
    const run = await api.run(over.runs[0]?.id ?? '');
    const stream = await EventStream.open(api, `/api/runs/${run.id}/events`);
    await stream.over;
    return { task: over, run, events: stream.events };
  }
  const noted = (run: ApiRun, what: string): HookFacts | undefined => {
    const file = join(database.home, 'hooks', `${run.id}.${what}`);
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as HookFacts) : undefined;
  };
  const verdicts = (events: readonly ApiEvent[]): readonly unknown[] =>
    events.filter(({ type }) => type === 'run.hook').map(({ data }) => `${data['point']} ${data['id']} ${data['verdict']}`);

  test('are called around the run, in the order of the settings, and those after it see what came of it', async () => {
    const { task, run, events } = await ended({
      title: 'write',
      body: JSON.stringify(['sh', '-c', 'echo made > made.txt']),
      repository,
      verify: ['true'],
    });
    expect(task).toMatchObject({ status: 'succeeded', reason: null });
    expect(events.map(({ type }) => type).filter((type) => type.startsWith('run.') && type !== 'run.gate')).toEqual([
      'run.started',
      'run.hook',
      'run.hook',
      'run.verified',
      'run.round',
      'run.checkpoint',
      'run.hook',
      'run.finished',
    ]);
    expect(verdicts(events)).toEqual(['pre-run gate passed', 'pre-run second passed', 'post-run post-run-3 passed']);
    expect(noted(run, 'second')).toMatchObject({ point: 'pre-run', outcome: null, result: null, run: { id: run.id, attempt: 1 } });
    const facts = noted(run, 'after');
    expect(facts).toMatchObject({
      point: 'post-run',
      task: { id: task.id, title: 'write', repository, trust: 'owner' },
      workspace: { branch: run.branch, baseCommit: run.baseCommit },
      outcome: { kind: 'succeeded' },
      result: { commits: run.commits, filesChanged: [{ path: 'made.txt', kind: 'added' }], tests: { passed: true }, costUsd: 0 },
    });
    expect(run.commits).toHaveLength(1);
    expect(readFileSync(join(facts?.workspace?.directory ?? '', 'made.txt'), 'utf8')).toBe('made\n');
    expect(noted(run, 'alarm')).toBeUndefined();
  });

  test('before the run may refuse it: nothing is run, the reason is kept, and the error hooks hear of it', async () => {
    const { task, run, events } = await ended({ title: 'refuse me', body: 'touch done', repository });
    expect(task).toMatchObject({
      status: 'failed',
      attempts: 1,
      reason: { code: 'refused-by-hook', message: 'The hook gate refused it: not on a Friday' },
    });
    expect(run.reason).toEqual(task.reason);
    expect(verdicts(events)).toEqual(['pre-run gate refused', 'error alarm passed']);
    expect(events.find(({ data }) => data['id'] === 'gate')?.data).toMatchObject({
      message: 'not on a Friday',
      durationMs: expect.any(Number),
    });
    expect(noted(run, 'second')).toBeUndefined();
    expect(noted(run, 'alarm')).toMatchObject({ outcome: { kind: 'failed', reason: { code: 'refused-by-hook' } } });
    expect(existsSync(join(noted(run, 'alarm')?.workspace?.directory ?? '', 'done'))).toBe(false);
  });

  test('before the run that fail refuse it as well', async () => {
    const { task } = await ended({ title: 'break me' });
    expect(task).toMatchObject({
      status: 'failed',
      reason: { code: 'refused-by-hook', message: 'The hook gate, which has to pass before the run, did not: the gate is broken' },
    });
  });

  test('of errors hear of a red check, with its report', async () => {
    const { task, run, events } = await ended({ title: 'red', body: 'true', verify: ['false'] });
    expect(task).toMatchObject({ status: 'delayed', reason: { code: 'verify-failed' } });
    expect(verdicts(events)).toEqual(['pre-run gate passed', 'pre-run second passed', 'error alarm passed']);
    expect(noted(run, 'alarm')).toMatchObject({
      point: 'error',
      outcome: { kind: 'failed', reason: { code: 'verify-failed' }, retryable: true },
      result: { tests: { command: ['false'], passed: false, exitCode: 1 }, commits: [] },
    });
  });

  test('of errors hear of a run that never had a place to work in', async () => {
    const { task, run } = await ended({ title: 'nowhere', repository: join(database.home, 'nowhere') });
    expect(task.status).toBe('failed');
    expect(noted(run, 'alarm')).toMatchObject({ workspace: null, outcome: { reason: task.reason } });
    const waiting = await ended({ title: 'without a model', engine: 'claude', body: 'do it' });
    expect(waiting.task).toMatchObject({ status: 'escalated', reason: { code: 'no-model' } });
    expect(noted(waiting.run, 'alarm')).toMatchObject({ outcome: { kind: 'needs-human' } });
  });

  test('after the run change nothing when they fail, not even for each other', async () => {
    const heard: HookFacts[] = [];
    register({
      id: 'throws',
      on: 'post-run',
      run() {
        throw new Error('out of ideas');
      },
    });
    register({ id: 'listens', on: 'post-run', run: (facts) => void heard.push(facts) });
    const { task, run, events } = await ended({ title: 'well' });
    expect(task).toMatchObject({ status: 'succeeded', reason: null });
    expect(verdicts(events).slice(2)).toEqual(['post-run post-run-3 passed', 'post-run throws failed', 'post-run listens passed']);
    expect(heard.map((facts) => facts.run.id)).toEqual([run.id]);
  });

  test('added in code are gone when they are removed by their id', async () => {
    register({ id: 'no', on: 'pre-run', run: () => false });
    expect((await ended({ title: 'before' })).task.reason).toEqual({ code: 'refused-by-hook', message: 'The hook no refused it.' });
    server.running.hooks.unregister('no');
    expect((await ended({ title: 'after' })).task.status).toBe('succeeded');
  });

  test('that this machine cannot start refuse nothing: the task waits, and no attempt is counted', async () => {
    register({
      id: 'short',
      on: 'pre-run',
      run() {
        throw new Unasked('true could not be started: spawn EAGAIN.');
      },
    });
    const { id } = await api.submit({ title: 'patient' });
    const task = await until('it to be given back', async () => {
      const found = await api.task(id);
      return found.status === 'queued' && found.runs.length === 1 && found;
    });
    expect(task).toMatchObject({ attempts: 0 });
    expect(await api.run(task.runs[0]?.id ?? '')).toMatchObject({ status: 'released', reason: { code: 'host-unfit' } });
    server.running.hooks.unregister('short');
    expect((await api.becomes(id, 'succeeded')).attempts).toBe(1);
  });

  test('that hang are ended by a cancel, with all their processes', async () => {
    const { id } = await api.submit({ title: 'hang please' });
    const runId = await until('the run', async () => (await api.task(id)).runs[0]?.id);
    await until('the hook to be at work', () => processesWith(`NIGHTSHIFT_HOOK=${runId}/pre-run/second`).length > 2);
    await api.call('POST', `/api/tasks/${id}/cancel`);
    await api.becomes(id, 'cancelled');
    expect(processesWith(`NIGHTSHIFT_RUN_ID=${runId}`)).toEqual([]);
    expect(noted(await api.run(runId), 'alarm')).toBeUndefined();
  });

  test('of errors hear of a run that took too long; those at work when the server stops are ended, and the run stays done', async () => {
    const own = await createDatabase('sqlite');
    const other = await startTestServer(own, { runTimeoutSeconds: '1' });
    const heard: string[] = [];
    const { hooks } = other.running;
    const alarm: OnError['run'] = ({ outcome }) => void heard.push(outcome && 'reason' in outcome ? outcome.reason.code : 'none');
    const waits: OnTaskComplete['run'] = (_, signal) => {
      heard.push('waits');
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve(true), { once: true }));
    };
    hooks.register({ id: 'alarm', on: 'error', timeoutMs: 600_000, run: alarm });
    hooks.register({ id: 'waits', on: 'post-run', timeoutMs: 600_000, run: waits });
    hooks.register({ id: 'behind', on: 'post-run', timeoutMs: 600_000, run: () => void heard.push('behind') });
    const slow = await other.api.submit({ title: 'slow', body: 'sleep 600' });
    await other.api.becomes(slow.id, 'delayed');
    expect(heard).toEqual(['timeout']);
    const { id } = await other.api.submit({ title: 'quick', body: 'true' });
    await until('the hook to be at work', () => heard.includes('waits'));
    await other.running.stop();
    const store = await own.open();
    expect(await findTask(store.read, id)).toMatchObject({ status: 'succeeded', attempts: 1 });
    await store.close();
    expect(heard).toEqual(['timeout', 'waits']);
    await own.remove();
  });
});
