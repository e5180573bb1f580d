import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { EventStream } from '../../test/support/event-stream.ts';
import { git } from '../../test/support/git-world.ts';
import { type Api, type ApiEvent, type ApiRun, type ApiTask, startTestServer, type TestServer } from '../../test/support/server.ts';
import { processesWith, until } from '../../test/support/server-process.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';

const mebibyte = 1024 * 1024;

interface Ended {
  readonly task: ApiTask;
  readonly run: ApiRun;
  readonly events: readonly ApiEvent[];
  readonly output: string;
}

/** Real programs, run by the real server. */
describe('a run of a command', () => {
  let database: TestDatabase;
  let server: TestServer;
  let api: Api;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    // Secrets in the server's own environment, as an operator has them.
    Object.assign(process.env, {
      LLM_API_KEY: 'sk-from-the-environment',
      DATABASE_URL: 'postgres://u:hunter2@h/d',
      NIGHTSHIFT_TOKEN: 'ns_secret',
    });
    server = await startTestServer(database, { maxConcurrentRuns: '4' });
    ({ api } = server);
  });

  afterAll(async () => {
    for (const name of ['LLM_API_KEY', 'DATABASE_URL', 'NIGHTSHIFT_TOKEN']) delete process.env[name];
    await server?.running.stop();
    await database?.remove();
  });

  const submit = (argv: readonly string[], more: Readonly<Record<string, unknown>> = {}): Promise<ApiTask> =>
    api.submit({ title: 'run', body: JSON.stringify(argv), ...more });

  /** The first attempt, however it went. */
  async function ended(argv: readonly string[], more: Readonly<Record<string, unknown>> = {}): Promise<Ended> {
    const { id } = await submit(argv, more);
    const task = await api.becomes(id, 'succeeded', 'failed', 'delayed', 'escalated');
    const run = await api.run(task.runs[0]?.id ?? '');
    const stream = await EventStream.open(api, `/api/runs/${run.id}/events`);
    await stream.over;
    return { task, run, events: stream.events, output: readFileSync(run.outputFile, 'utf8') };
  }
  const sh = (script: string, more: Readonly<Record<string, unknown>> = {}): Promise<Ended> => ended(['sh', '-c', script], more);
  const outputOf = (events: readonly ApiEvent[], stream: 'stdout' | 'stderr'): string =>
    events
      .filter(({ type, data }) => type === 'run.output' && data['stream'] === stream)
      .map(({ data }) => data['text'])
      .join('');

  describe('ends', () => {
    test('well with 0', async () => {
      expect(await sh('exit 0')).toMatchObject({
        task: { status: 'succeeded', reason: null },
        run: { status: 'succeeded', summary: 'sh exited with 0' },
      });
    });

    test('for good with any other code', async () => {
      for (const code of [1, 2, 127, 255]) {
        expect(await sh(`exit ${code}`)).toMatchObject({ task: { status: 'failed', attempts: 1, reason: { code: `exit-${code}` } } });
      }
    });

    test('for now with 75, and is tried again', async () => {
      const { task, run } = await sh('exit 75');
      expect(task).toMatchObject({ status: 'delayed', attempts: 1, reason: { code: 'exit-75' }, notBefore: expect.any(String) });
      expect(run).toMatchObject({ status: 'failed', reason: { code: 'exit-75' } });
    });

    test('for now when it was killed', async () => {
      expect(await sh('kill -SEGV $$')).toMatchObject({
        task: { status: 'delayed', reason: { code: 'killed', message: 'sh was killed by SIGSEGV.' } },
      });
    });

    test('for good when it cannot be started', async () => {
      expect(await ended(['no-such-program'])).toMatchObject({
        task: {
          status: 'failed',
          reason: { code: 'not-started', message: expect.stringContaining('no-such-program could not be started') },
        },
      });
    });
  });

  describe('its output', () => {
    test('is kept from both streams, in the journal and beside the run', async () => {
      const { events, output } = await sh('echo out; echo err >&2; printf "no newline"');
      expect(outputOf(events, 'stdout')).toBe('out\nno newline');
      expect(outputOf(events, 'stderr')).toBe('err\n');
      expect(output.length).toBe('out\nerr\nno newline'.length);
    });

    test('may be any bytes; text that is split between two writes stays whole', async () => {
      const binary = await sh('head -c 100000 /dev/urandom; printf "\\000\\001\\377\\376end"');
      expect(binary.task.status).toBe('succeeded');
      expect(outputOf(binary.events, 'stdout').endsWith('end')).toBe(true);
      const split = await sh('printf "\\360\\237"; sleep 0.05; printf "\\230\\200"');
      expect(outputOf(split.events, 'stdout')).toBe('😀');
    });

    test('of a hundred megabytes fills neither the memory nor the journal', { timeout: 60_000 }, async () => {
      const warnings: string[] = [];
      const onWarning = (warning: Error): unknown => warnings.push(`${warning.name}: ${warning.message}`);
      process.on('warning', onWarning);
      const before = held();
      let highest = 0;
      let over = false;
      const watching = (async () => {
        while (!over) {
          highest = Math.max(highest, held());
          for (let turn = 0; turn < 400; turn++) await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      const { task, run, events } = await sh('yes 0123456789abcdef0123456789abcdef | head -c 104857600; yes | head -c 5000000 >&2');
      over = true;
      await watching;
      process.off('warning', onWarning);
      expect(task.status).toBe('succeeded');
      expect(highest - before).toBeLessThan(48 * mebibyte);
      expect(warnings).toEqual([]);
      const journalled = events.reduce((sum, { data }) => sum + String(data['text'] ?? '').length, 0);
      expect(journalled).toBeLessThan(300 * 1024);
      expect(events.filter(({ type }) => type === 'run.notice')).toHaveLength(1);
      expect(statSync(run.outputFile).size).toBeLessThan(66 * mebibyte);
      expect(statSync(run.outputFile).size).toBeGreaterThan(60 * mebibyte);
    });
  });

  describe('what it leaves behind', () => {
    const raw = (path: string): Promise<Response> =>
      fetch(`${api.address}/api/runs/${path}`, { headers: { authorization: `Bearer ${api.token}` } });

    test('is its output, its patch and its artifacts, to be had whole from the API', async () => {
      const repository = mkdtempSync(join(tmpdir(), 'nightshift-runs-'));
      onTestFinished(() => rmSync(repository, { recursive: true, force: true }));
      git(repository, 'init', '--quiet', '--initial-branch=main');
      git(repository, 'commit', '--quiet', '--allow-empty', '-m', 'first');
      const script = `seq 100000 > numbers.txt; mkdir -p $NIGHTSHIFT_ARTIFACTS; cd $NIGHTSHIFT_ARTIFACTS; printf '<b>1</b>' > 'a b.html';
        : > empty; ln -s /etc/passwd link; mkdir directory; cd ../..; git status --short; seq 100000`;
      const { task, run, output, events } = await sh(script, { repository, verify: ['sh', '-c', 'echo "# pass 3"; echo "# fail 0"'] });
      expect(task.status).toBe('succeeded');
      expect(output).toMatch(/^\?\? numbers\.txt\n1\n/);
      expect(run.filesChanged.map(({ path }) => path)).toEqual(['numbers.txt']);
      expect(run.diffTruncated).toBe(true);
      expect(run.artifacts).toEqual([
        { name: 'a b.html', bytes: 8 },
        { name: 'empty', bytes: 0 },
      ]);
      expect(events.find(({ type }) => type === 'run.verified')?.data).toMatchObject({ counts: { passed: 3, failed: 0, skipped: 0 } });
      expect(events.findLast(({ type }) => type === 'run.notice')?.data['text']).toMatch(/2 were not .*: directory, link$/);

      const [printed, patch, artifact] = [
        await raw(`${run.id}/output`),
        await raw(`${run.id}/diff`),
        await raw(`${run.id}/artifacts/a%20b.html`),
      ];
      expect([printed, patch, artifact].map(({ status, headers }) => [status, headers.get('content-type')])).toEqual([
        [200, 'text/plain; charset=utf-8'],
        [200, 'text/x-diff; charset=utf-8'],
        [200, 'application/octet-stream'],
      ]);
      expect(await printed.text()).toBe(output);
      const whole = await patch.text();
      expect(whole).toBe(readFileSync(run.diffFile ?? '', 'utf8'));
      expect(whole.length).toBeGreaterThan(run.diff?.length ?? 0);
      expect(artifact.headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''a%20b.html");
      expect(artifact.headers.get('x-content-type-options')).toBe('nosniff');
      expect(await artifact.text()).toBe('<b>1</b>');
      expect(await (await raw(`${run.id}/artifacts/empty`)).text()).toBe('');
    });

    test('is nothing else of the server', async () => {
      const { run } = await sh('mkdir -p $NIGHTSHIFT_ARTIFACTS; ln -s ../../../../nightshift.db $NIGHTSHIFT_ARTIFACTS/db');
      expect(run.artifacts).toEqual([]);
      for (const name of ['db', '..%2Foutput.log', '..%2F..%2F..%2Fnightshift.db', '%2Fetc%2Fpasswd', 'a%00b', 'none']) {
        const answer = await raw(`${run.id}/artifacts/${name}`);
        expect([name, answer.status]).toEqual([name, 404]);
        await answer.body?.cancel();
      }
      expect(await api.refusal('GET', `/api/runs/${run.id}/diff`)).toMatchObject({ status: 404, code: 'no-record' });
      expect(await api.refusal('GET', '/api/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV/output')).toMatchObject({
        status: 404,
        code: 'no-such-run',
      });
    });
  });

  test('sees no secret and little else of the server', async () => {
    const { output } = await ended(['env']);
    const names = output
      .split('\n')
      .map((line) => line.split('=')[0])
      .filter((name) => name);
    expect(names.toSorted()).toEqual([
      'HOME',
      'LANG',
      'NIGHTSHIFT_ARTIFACTS',
      'NIGHTSHIFT_NODE',
      'NIGHTSHIFT_RUN_ID',
      'NIGHTSHIFT_TASK_ID',
      'PATH',
    ]);
    for (const secret of ['sk-from-the-environment', 'hunter2', 'ns_secret', api.token]) expect(output).not.toContain(secret);
    expect((await sh('pwd; echo "$HOME"; cat')).output).toMatch(/^(.*\/runs\/run_\w+\/work)\n\1\n$/);
  });

  describe('with a check', () => {
    test('that passes is well', async () => {
      const { task, events } = await sh('echo made > it', { verify: ['test', '-f', 'it'] });
      expect(task.status).toBe('succeeded');
      expect(events.find(({ type }) => type === 'run.verified')?.data).toEqual({
        command: ['test', '-f', 'it'],
        passed: true,
        counts: null,
        exitCode: 0,
      });
    });

    test('that fails is a failure that is tried again, and shows what the check said', async () => {
      const { task, events } = await sh('true', { verify: '["sh", "-c", "echo red >&2; exit 4"]' });
      expect(task).toMatchObject({
        status: 'delayed',
        reason: { code: 'verify-failed', message: expect.stringContaining('exited with 4') },
      });
      expect(outputOf(events, 'stderr')).toBe('red\n');
      expect(events.find(({ type }) => type === 'run.verified')?.data).toMatchObject({ passed: false, exitCode: 4 });
    });

    test('that cannot be started, or is killed, is a failure', async () => {
      expect(await sh('true', { verify: 'no-such-check --all' })).toMatchObject({
        task: { status: 'failed', reason: { code: 'verify-not-started' } },
      });
      expect(await sh('true', { verify: ['sh', '-c', 'kill -9 $$'] })).toMatchObject({
        task: { status: 'delayed', reason: { message: expect.stringContaining('was killed') } },
      });
    });

    test('that is never reached says nothing', async () => {
      const { events } = await sh('exit 1', { verify: 'true' });
      expect(events.some(({ type }) => type === 'run.verified')).toBe(false);
    });
  });

  describe('is stopped', () => {
    test('by a cancel, with everything that it started', async () => {
      const { id } = await submit(['sh', '-c', 'trap "" TERM; setsid sleep 600 & sleep 600 & echo ready; while :; do sleep 600; done']);
      const task = await api.becomes(id, 'running');
      const runId = task.runs[0]?.id ?? '';
      const stream = await EventStream.open(api, `/api/runs/${runId}/events`);
      await stream.seen('its output', ({ type }) => type === 'run.output');
      expect(processesWith(`NIGHTSHIFT_RUN_ID=${runId}`).length).toBeGreaterThan(2);
      const asked = (await api.call<ApiTask>('POST', `/api/tasks/${id}/cancel`)).body;
      expect(asked.cancelRequestedAt).not.toBeNull();
      await api.becomes(id, 'cancelled');
      expect(processesWith(`NIGHTSHIFT_RUN_ID=${runId}`)).toEqual([]);
      expect(await stream.over).toBe('ended');
      expect(stream.events.at(-1)?.data).toMatchObject({ status: 'cancelled' });
    });

    test('by a cancel while its check runs', async () => {
      const { id } = await submit(['true'], { verify: ['sh', '-c', 'echo checking; sleep 600'] });
      const runId = await until('the run', async () => (await api.task(id)).runs[0]?.id);
      const stream = await EventStream.open(api, `/api/runs/${runId}/events`);
      await stream.seen('the check', ({ data }) => data['text'] === 'checking\n');
      await api.call('POST', `/api/tasks/${id}/cancel`);
      await api.becomes(id, 'cancelled');
      expect(processesWith(`NIGHTSHIFT_RUN_ID=${runId}`)).toEqual([]);
      await stream.over;
    });

    test('is not held up by a daemon that it left behind with its outputs open', async () => {
      const { task, run } = await sh('setsid --fork sleep 600; echo done');
      expect(task.status).toBe('succeeded');
      expect(processesWith(`NIGHTSHIFT_RUN_ID=${run.id}`)).toEqual([]);
    });
  });

  test('has its ids on every line that is logged about it', async () => {
    const { task, run } = await sh('exit 1');
    const lines = await until('the last line', () => {
      const own = server.logged.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ runId }) => runId === run.id);
      return own.some(({ msg }) => msg === 'run finished') && own;
    });
    expect(lines.map(({ msg }) => msg)).toEqual(['run started', 'run finished']);
    for (const line of lines) expect(line).toMatchObject({ taskId: task.id, runId: run.id });
  });

  test('that takes too long is stopped with its whole tree, and tried again', async () => {
    const own = await createDatabase('sqlite');
    const clock = new ManualClock();
    const slow = await startTestServer(own, { runTimeoutSeconds: '60' }, clock);
    const { id } = await slow.api.submit({
      title: 'slow',
      body: '["sh", "-c", "trap \\"\\" TERM; setsid sleep 600 & echo ready; while :; do sleep 600; done"]',
    });
    const runId = await until('the run', async () => (await slow.api.task(id)).runs[0]?.id);
    const stream = await EventStream.open(slow.api, `/api/runs/${runId}/events`);
    await stream.seen('its output', ({ type }) => type === 'run.output');
    clock.advance(59_000);
    expect((await slow.api.task(id)).status).toBe('running');
    clock.advance(1_000);
    const task = await until('the end', async () => {
      clock.advance(100);
      const now = await slow.api.task(id);
      return now.status !== 'running' && now;
    });
    expect(task).toMatchObject({ reason: { code: 'timeout', message: expect.stringContaining('longer than 60 seconds') } });
    expect(processesWith(`NIGHTSHIFT_RUN_ID=${runId}`)).toEqual([]);
    await stream.over;
    await slow.running.stop();
    await own.remove();
  });
});

/** What is in use, as opposed to what could be collected at any time. */
function held(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
