import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventStream } from '../support/event-stream.ts';
import { type GitHttpServer, serveGit } from '../support/git-http.ts';
import { git, write } from '../support/git-world.ts';
import { Api, type ApiEvent, type ApiRun, type ApiTask, testToken } from '../support/server.ts';
import { processesWith, type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../support/stores.ts';

/** What the model does is decided by a word in the task's title; without one of these it does nothing. */
function script(root: string): object {
  const begins = (prompt: string, tool: string, input: object) => ({
    when: { first: true, prompt },
    say: 'I begin.',
    call: { tool, input },
  });
  const bash = (command: string): object => ({ command, description: 'Work', timeout: 600_000 });
  const marker = join(root, 'hook-was-run');
  return {
    name: 'agents',
    turns: [
      begins('write', 'Write', { file_path: '{{cwd}}/result.txt', content: 'from the agent\n' }),
      begins('without git', 'Bash', bash('rm -rf .git && rm README.md && echo kept > result.txt')),
      begins(
        'hostile git',
        'Bash',
        bash(
          `printf '#!/bin/sh\\necho > ${marker}\\n' > .git/hook; chmod +x .git/hook; mkdir -p .git/hooks; ` +
            'for name in pre-commit post-commit pre-push post-checkout reference-transaction; do cp .git/hook .git/hooks/$name; done; ' +
            'git config core.fsmonitor "$PWD/.git/hook"; git config filter.x.clean "$PWD/.git/hook"; echo "* filter=x" > .gitattributes; echo kept > result.txt',
        ),
      ),
      // A session that was stopped before it had written down what it began goes on with less behind it, and in the same way.
      {
        when: { first: true, prompt: 'sleep', said: 'interrupted' },
        say: 'I go on.',
        usage: { output: 10 },
        call: { tool: 'Write', input: { file_path: '{{cwd}}/ended.txt', content: 'ended\n' } },
      },
      { ...begins('sleep', 'Bash', bash('echo begun > begun.txt; sleep 600')), usage: { output: 11 } },
      { when: { prompt: 'sleep', tool: 'Write' }, say: 'Done after all.', usage: { output: 12 } },
      {
        when: { prompt: 'sleep', said: 'interrupted' },
        say: 'I go on.',
        usage: { output: 10 },
        call: { tool: 'Write', input: { file_path: '{{cwd}}/ended.txt', content: 'ended\n' } },
      },
      { say: 'There is nothing to do.' },
    ],
  };
}

/** The real server in a process of its own, the real agent engine in its sandbox, real git. Only the model follows a script. */
for (const dialect of dialects)
  describe.skipIf(missing(dialect))(`an agent, on ${dialect}`, () => {
    let database: TestDatabase;
    let root: string;
    let home: string;
    let repository: string;
    let forge: GitHttpServer;
    let server: ServerProcess;
    let api: Api;

    const begin = async (): Promise<void> => {
      server = spawnServer(home, {
        NIGHTSHIFT_TOKEN: testToken,
        ...(database.databaseUrl === undefined ? {} : { DATABASE_URL: database.databaseUrl }),
        LLM_PROVIDER: 'rehearsal',
        NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
        NIGHTSHIFT_DRAIN_SECONDS: '0',
        MAX_CONCURRENT_RUNS: '2',
      });
      api = new Api(await server.address, testToken);
    };
    const end = async (): Promise<void> => {
      server.child.kill('SIGTERM');
      expect((await server.exited).code, server.output()).toBe(0);
    };

    beforeAll(async () => {
      root = mkdtempSync(join(tmpdir(), 'nightshift-agents-'));
      database = await createDatabase(dialect);
      ({ home } = database);
      repository = join(root, 'repository');
      for (const directory of [repository, join(root, 'forge')]) mkdirSync(directory);
      writeFileSync(join(root, 'script.json'), JSON.stringify(script(root)));
      git(repository, 'init', '--quiet', '--initial-branch=main');
      write(repository, { 'README.md': '# Sample\n', 'package.json': '{"scripts":{"test":"node --test"}}', 'a.test.js': passing });
      git(repository, 'add', '--all');
      git(repository, 'commit', '--quiet', '-m', 'first');
      git(root, 'clone', '--quiet', '--bare', repository, join(root, 'forge', 'sample.git'));
      forge = await serveGit(join(root, 'forge'));
      await begin();
    });

    afterAll(async () => {
      await end().finally(async () => {
        await forge.stop();
        await database.remove();
        rmSync(root, { recursive: true, force: true });
      });
    });

    const submit = (title: string, more: Readonly<Record<string, unknown>> = {}): Promise<ApiTask> =>
      api.submit({ title, body: undefined, repository, verify: ['true'], ...more });
    const runOf = async (id: string, index = 0): Promise<ApiRun> => api.run((await api.task(id)).runs[index]?.id ?? '');

    async function ended(title: string, more: Readonly<Record<string, unknown>> = {}): Promise<{ task: ApiTask; run: ApiRun }> {
      const task = await api.becomes((await submit(title, more)).id, 'succeeded', 'failed', 'delayed', 'escalated');
      return { task, run: await runOf(task.id) };
    }

    async function eventsOf(runId: string): Promise<readonly ApiEvent[]> {
      const stream = await EventStream.open(api, `/api/runs/${runId}/events`);
      await stream.over;
      return stream.events;
    }

    /** The run of a task whose agent has begun what it does not come to the end of. */
    async function asleep(): Promise<{ readonly task: ApiTask; readonly runId: string }> {
      const { id } = await submit('sleep');
      const task = await api.becomes(id, 'running');
      const runId = task.runs.at(-1)?.id ?? '';
      const stream = await EventStream.open(api, `/api/runs/${runId}/events`);
      await stream.seen('the agent to call its tool', ({ type }) => type === 'run.tool-started');
      await until('the tool to be at work', () =>
        processesWith(`NIGHTSHIFT_RUN_ID=${runId}`).some((pid) => commandOf(pid).includes('sleep 600')),
      );
      await stream.leave();
      return { task, runId };
    }

    const shown = (run: ApiRun, file: string): string => git(mirrorOf(run), 'show', `${run.commits[0]}:${file}`);
    /** Named by the command that a person is given to fetch the branch. */
    const mirrorOf = (run: ApiRun): string => /git fetch '?([^' ]+)/.exec(run.delivery?.fetchCommand ?? '')?.[1] ?? '';

    test('that does what it was asked ends as a commit on a branch, with its diff, its tests and its figures', async () => {
      const { task, run } = await ended('write it', { verify: undefined });
      expect(task).toMatchObject({ status: 'succeeded', reason: null });
      expect(run).toMatchObject({
        status: 'succeeded',
        engine: 'claude',
        branch: `nightshift/${task.id}-write-it`,
        baseCommit: git(repository, 'rev-parse', 'HEAD'),
        commits: [expect.stringMatching(/^[0-9a-f]{40}$/)],
        filesChanged: [{ path: 'result.txt', kind: 'added', additions: 1, deletions: 0, binary: false }],
        diff: expect.stringContaining('+from the agent'),
        diffTruncated: false,
        delivery: { kind: 'left-in-mirror' },
        tests: { command: ['npm', 'test', '--silent'], passed: true, exitCode: 0, counts: { passed: 1, failed: 0, skipped: 0 } },
        toolCalls: 1,
        sessionId: expect.any(String),
      });
      expect(run.tokens.outputTokens).toBeGreaterThan(0);
      expect(readFileSync(run.diffFile ?? '', 'utf8')).toBe(run.diff);
      expect(git(mirrorOf(run), 'rev-parse', `refs/heads/${run.branch}`)).toBe(run.commits[0]);
      expect(
        git(
          mirrorOf(run),
          'log',
          '-1',
          '--format=%s%n%(trailers:key=Nightshift-Task,valueonly)%(trailers:key=Nightshift-Run,valueonly)',
          `${run.commits[0]}`,
        ),
      ).toBe(`write it\n${task.id}\n${run.id}`);
      const types = (await eventsOf(run.id)).map(({ type }) => type);
      expect(types).toEqual(
        expect.arrayContaining(['run.session', 'run.text', 'run.tool-started', 'run.tool-finished', 'run.usage', 'run.verified']),
      );
      expect(git(repository, 'status', '--porcelain')).toBe('');
      expect(git(repository, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/main');
    });

    test('that changes nothing has not succeeded', async () => {
      const { task, run } = await ended('ponder');
      expect(task).toMatchObject({ status: 'failed', reason: { code: 'nothing-changed' } });
      expect(run).toMatchObject({ status: 'failed', commits: [], filesChanged: [], delivery: null });
    });

    test('that says it is done has not succeeded while the check is red; what it did is kept for a person to see', async () => {
      const { task, run } = await ended('write it', {
        verify: ['sh', '-c', 'echo "# pass 1"; echo "# fail 2"; exit 3'],
        maxAttempts: 1,
      });
      expect(task).toMatchObject({ status: 'escalated', attempts: 1, reason: { code: 'no-progress' } });
      expect(run).toMatchObject({
        status: 'escalated',
        reason: { code: 'no-progress', message: expect.stringContaining('2 of 3 tests failed') },
        commits: [expect.stringMatching(/^[0-9a-f]{40}$/)],
        diff: expect.stringContaining('+from the agent'),
        tests: { passed: false, exitCode: 3, counts: { passed: 1, failed: 2, skipped: 0 } },
        delivery: { kind: 'left-in-mirror' },
      });
      await api.call('POST', `/api/tasks/${task.id}/cancel`);
    });

    test('is not even started where there is nothing to work on, and the reason says what to do', async () => {
      const empty = join(root, 'empty');
      mkdirSync(empty);
      git(empty, 'init', '--quiet', '--initial-branch=main');
      const cases = {
        'repository-not-found': { repository: join(root, 'nowhere') },
        'no-such-ref': { ref: 'no-such-branch' },
        'empty-repository': { repository: empty },
        'invalid-ref': { ref: '--upload-pack=touch' },
      };
      for (const [code, wish] of Object.entries(cases)) {
        const { task, run } = await ended('write it', wish);
        expect(task).toMatchObject({ status: 'failed', reason: { code, message: expect.stringMatching(/\. .+\./) } });
        expect(run).toMatchObject({ toolCalls: 0, sessionId: null });
      }
    });

    test('may delete its own .git: its files are the result', async () => {
      const { task, run } = await ended('without git');
      expect(task).toMatchObject({ status: 'succeeded' });
      expect(run.filesChanged).toEqual([
        expect.objectContaining({ path: 'README.md', kind: 'deleted' }),
        expect.objectContaining({ path: 'result.txt', kind: 'added' }),
      ]);
      expect(shown(run, 'result.txt')).toBe('kept');
    });

    test('that plants hooks, a file-system monitor and a filter gets none of them run', async () => {
      const { task, run } = await ended('hostile git');
      expect(task).toMatchObject({ status: 'succeeded' });
      expect(run.filesChanged.map(({ path }) => path)).toEqual(['.gitattributes', 'result.txt']);
      expect(shown(run, 'result.txt')).toBe('kept');
      expect(existsSync(join(root, 'hook-was-run'))).toBe(false);
    });

    test('has its branch pushed where there is somewhere to push to', async () => {
      const { task, run } = await ended('write it', { repository: `${forge.origin}/sample.git` });
      expect(task).toMatchObject({ status: 'succeeded' });
      expect(run.delivery).toEqual({ kind: 'pushed', branch: run.branch });
      expect(git(join(root, 'forge', 'sample.git'), 'rev-parse', `refs/heads/${run.branch}`)).toBe(run.commits[0]);
    });

    test('whose push is refused has not succeeded, and the reason is what the other side said', async () => {
      git(join(root, 'forge'), 'clone', '--quiet', '--bare', repository, 'guarded.git');
      writeFileSync(join(root, 'forge', 'guarded.git', 'hooks', 'pre-receive'), '#!/bin/sh\necho "not on a Friday" >&2\nexit 1\n', {
        mode: 0o755,
      });
      const { task, run } = await ended('write it', { repository: `${forge.origin}/guarded.git` });
      expect(task).toMatchObject({
        status: 'failed',
        reason: { code: 'refused-by-hook', message: expect.stringContaining('not on a Friday') },
      });
      expect(run).toMatchObject({
        status: 'failed',
        delivery: { kind: 'left-in-mirror' },
        diff: expect.stringContaining('+from the agent'),
      });
    });

    test('is stopped by a cancel while it works, with all that it started', async () => {
      const { task, runId } = await asleep();
      await api.call('POST', `/api/tasks/${task.id}/cancel`);
      await api.becomes(task.id, 'cancelled');
      expect(processesWith(`NIGHTSHIFT_RUN_ID=${runId}`)).toEqual([]);
      expect(await api.run(runId)).toMatchObject({
        status: 'cancelled',
        commits: [],
        toolCalls: 1,
        diff: expect.stringContaining('+begun'),
      });
    });

    test('goes on with its session in its workspace after the server was stopped and started again', async () => {
      const { task, runId } = await asleep();
      await end();
      expect(processesWith(`NIGHTSHIFT_RUN_ID=${runId}`)).toEqual([]);
      await begin();
      expect(await api.becomes(task.id, 'succeeded', 'failed', 'delayed', 'escalated')).toMatchObject({ status: 'succeeded', attempts: 1 });
      const [first, second] = [await runOf(task.id, 0), await runOf(task.id, 1)];
      expect(first).toMatchObject({ status: 'released', reason: { code: 'draining' } });
      expect(second).toMatchObject({ status: 'succeeded', sessionId: first.sessionId, commits: [expect.any(String)] });
      expect(second.filesChanged.map(({ path }) => path)).toEqual(['begun.txt', 'ended.txt']);
      // The engine counts the session as one; what each run used is its own.
      expect([first.tokens.outputTokens, second.tokens.outputTokens]).toEqual([11, 22]);
      expect(second.costUsd).toBeGreaterThan(0);
      const events = await eventsOf(second.id);
      expect(events.find(({ type }) => type === 'run.notice')?.data).toEqual({
        text: 'Goes on with the session of the run that was interrupted, in its workspace.',
      });
      expect(events.find(({ type }) => type === 'run.session')?.data).toEqual({ sessionId: first.sessionId, resumed: true });
    });
  });

test('an agent without a model provider waits for a person to set one up', async () => {
  const home = mkdtempSync(join(tmpdir(), 'nightshift-agents-'));
  const server = spawnServer(home, { NIGHTSHIFT_TOKEN: testToken });
  try {
    const api = new Api(await server.address, testToken);
    const { id } = await api.submit({ title: 'write it', body: undefined, engine: 'claude' });
    expect(await api.becomes(id, 'escalated')).toMatchObject({
      reason: { code: 'no-model', message: expect.stringContaining('LLM_API_KEY') },
    });
  } finally {
    server.child.kill('SIGTERM');
    expect((await server.exited).code, server.output()).toBe(0);
    rmSync(home, { recursive: true, force: true });
  }
});

const passing = "import test from 'node:test';\ntest('passes', () => {});\n";

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
