import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listWorkspaces } from '../../src/store/workspaces.ts';
import { EventStream } from '../support/event-stream.ts';
import { type GitHttpServer, serveGit } from '../support/git-http.ts';
import { git, write } from '../support/git-world.ts';
import {
  type Behaviour,
  calls,
  cutsOff,
  garbles,
  hangs,
  type ModelUpstream,
  refuses,
  says,
  saysWhole,
  showsPage,
  startUpstream,
  startUpstreamAt,
  wantsStream,
} from '../support/model-upstream.ts';
import { missingSandbox } from '../support/sandbox.ts';
import { Api, type ApiEvent, type ApiRun, type ApiTask, startTestServer, type TestServer, testToken } from '../support/server.ts';
import { processesWith, type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';
import { submitFor } from '../support/untrusted.ts';

interface Ended {
  readonly task: ApiTask;
  readonly run: ApiRun;
  readonly events: readonly ApiEvent[];
}

/** The first attempt, however it went. */
async function ended(api: Api, id: string): Promise<Ended> {
  const task = await until(
    'the end of a run',
    async () => {
      const found = await api.task(id);
      return !['queued', 'running'].includes(found.status) && found;
    },
    80,
  );
  const run = await api.run(task.runs.at(-1)?.id ?? '');
  const stream = await EventStream.open(api, `/api/runs/${run.id}/events`);
  await stream.over;
  return { task, run, events: stream.events };
}

/** For what the tests make; outside of the home, where no task may name a repository. */
const root = mkdtempSync(join(tmpdir(), 'nightshift-bad-days-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function sample(name: string): string {
  const directory = join(root, name);
  mkdirSync(directory, { recursive: true });
  git(directory, 'init', '--quiet', '--initial-branch=main');
  write(directory, { 'README.md': '# Sample\n' });
  git(directory, 'add', '--all');
  git(directory, 'commit', '--quiet', '-m', 'first');
  return directory;
}

/** Nothing of these runs is left: no process, no socket, no workspace that anybody holds, and sessions only of tasks that were cut short. */
async function expectClean(database: TestDatabase, runs: readonly ApiRun[], cutShort: readonly string[] = []): Promise<void> {
  for (const { id } of runs) expect(processesWith(`NIGHTSHIFT_RUN_ID=${id}`)).toEqual([]);
  const left = (name: string): readonly string[] => {
    const directory = join(database.home, name);
    return existsSync(directory) ? readdirSync(directory) : [];
  };
  expect(left('sockets')).toEqual([]);
  expect(left('sessions')).toEqual(cutShort);
  const store = await database.open();
  const workspaces = await listWorkspaces(store.read).finally(() => store.close());
  expect(workspaces.filter(({ status }) => status === 'active')).toEqual([]);
}

describe('when the model has a bad day', () => {
  let database: TestDatabase;
  let server: TestServer;
  let upstream: ModelUpstream;
  let repository: string;
  let cutShort: readonly string[] = [];

  const works: Behaviour = (response, request) => {
    if (!request.body.includes('"tool_result"'))
      return calls('Bash', { command: 'echo done > result.txt', description: 'Work' })(response, request);
    return (wantsStream(request) ? says : saysWhole)('Done.')(response, request);
  };
  /** By a word in the task's title: how the first calls of its agent are answered. All further ones are answered well. */
  const faults: Record<string, Behaviour[]> = {
    'silent-for-ever': Array<Behaviour>(100).fill(hangs),
    'wrong-key': [refuses(401, 'invalid x-api-key', {}, 'authentication_error')],
    'too-often': [refuses(429, 'slow down', { 'retry-after': '1' }, 'rate_limit_error')],
    'busy-for-a-moment': [refuses(529, 'Overloaded', {}, 'overloaded_error')],
    'too-long': [refuses(400, 'prompt is too long: 300000 tokens > 200000 maximum', {}, 'invalid_request_error')],
    'breaks-off': [cutsOff],
    'talks-nonsense': [garbles],
    'shows-a-page': [showsPage],
    // Beside its workspace an agent can write to one place only: where its session is kept.
    hoards: [calls('Bash', { command: 'head -c 60000000 /dev/zero > "$CLAUDE_CONFIG_DIR/hoard"; sleep 600', description: 'Hoard' })],
  };
  const answering: Behaviour = (response, request) => {
    const word = Object.keys(faults).find((each) => request.body.includes(each));
    return (faults[word ?? '']?.shift() ?? works)(response, request);
  };

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    repository = sample('app');
    // A port that nothing listens on when the server starts.
    const passing = await startUpstream();
    await passing.close();
    server = await startTestServer(database, {
      engine: 'claude',
      llmProvider: 'claude',
      llmApiKey: 'sk-only-the-server-knows',
      llmBaseUrl: passing.url,
      runTimeoutSeconds: '25',
      maxConcurrentRuns: '4',
      workspaceMegabytes: '40',
    });
  });
  afterAll(async () => {
    await server.running.stop();
    await upstream?.close();
    await database.remove();
  });
  const submit = (title: string): Promise<ApiTask> => server.api.submit({ title, body: undefined, repository, verify: ['true'] });

  test('and is not there at first, an agent waits for it and does its work', async () => {
    const { id } = await submit('patient');
    const task = await server.api.becomes(id, 'running');
    const stream = await EventStream.open(server.api, `/api/runs/${task.runs[0]?.id}/events`);
    const waiting = await stream.seen('the run to wait', ({ type }) => type === 'run.waiting');
    expect(waiting.data).toMatchObject({ provider: 'claude' });
    await stream.leave();
    upstream = await startUpstreamAt(Number(new URL(server.config.llmBaseUrl ?? '').port), answering);
    expect((await ended(server.api, id)).task).toMatchObject({ status: 'succeeded' });
  });

  test('every run has an outcome that says how, those that can go on do, and those beside them notice nothing', {
    timeout: 120_000,
  }, async () => {
    const titles = [...Object.keys(faults).filter((word) => word !== 'wrong-key'), 'fine', 'fine as well'];
    const tasks = await Promise.all(titles.map(submit));
    const all = await Promise.all(tasks.map(({ id }) => ended(server.api, id)));
    const codes = Object.fromEntries(all.map(({ task }, index) => [titles[index], [task.status, task.reason?.code]]));
    expect(codes).toEqual({
      'too-often': ['succeeded', undefined],
      'busy-for-a-moment': ['succeeded', undefined],
      'too-long': ['succeeded', undefined],
      'silent-for-ever': ['delayed', 'timeout'],
      'breaks-off': ['succeeded', undefined],
      'talks-nonsense': ['succeeded', undefined],
      'shows-a-page': ['succeeded', undefined],
      hoards: ['failed', 'quota-exceeded'],
      fine: ['succeeded', undefined],
      'fine as well': ['succeeded', undefined],
    });
    for (const { task, run, events } of all) {
      if (task.status === 'succeeded') expect(run.filesChanged.map(({ path }) => path)).toEqual(['result.txt']);
      if (task.title.startsWith('fine')) expect(events.filter(({ type }) => type === 'run.retry' || type === 'run.error')).toEqual([]);
      expect(JSON.stringify([task, run, events])).not.toContain('sk-only-the-server-knows');
    }
    // What is to be tried again may have begun by now.
    for (const { task } of all.filter(({ task: { status } }) => status === 'delayed')) {
      await server.api.call('POST', `/api/tasks/${task.id}/cancel`);
      await server.api.becomes(task.id, 'cancelled');
    }
    cutShort = all.filter(({ task }) => task.status === 'delayed').map(({ task }) => task.id);
    await expectClean(
      database,
      all.map(({ run }) => run),
      cutShort,
    );
  });

  // The last, because nobody asks with a key for a while that has been refused.
  test('and refuses the key, the run ends and says so, and the key is nowhere in what it says', async () => {
    const { id } = await submit('wrong-key');
    const { task, run, events } = await ended(server.api, id);
    expect([task.status, task.reason?.code]).toEqual(['failed', 'model-auth']);
    expect(JSON.stringify([task, run, events])).not.toContain('sk-only-the-server-knows');
    await expectClean(database, [run], cutShort);
  });
});

describe.skipIf(missingSandbox)('when a run takes more than its share, or the repository moves away under it', () => {
  let database: TestDatabase;
  let server: TestServer;
  let forge: GitHttpServer;
  let bare: string;
  let address: string;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    const app = sample('shared');
    for (const name of ['app', 'guarded']) git(app, 'clone', '--quiet', '--bare', '.', join(root, 'forge', `${name}.git`));
    bare = join(root, 'forge', 'app.git');
    const hook = '#!/bin/sh\necho "error: GH006: Protected branch update failed" >&2\nexit 1\n';
    writeFileSync(join(root, 'forge', 'guarded.git', 'hooks', 'pre-receive'), hook, { mode: 0o755 });
    forge = await serveGit(join(root, 'forge'));
    address = `${forge.origin}/app.git`;
    for (const message of ['second', 'third']) git(app, 'commit', '--quiet', '--allow-empty', '-m', message);
    git(app, 'clone', '--quiet', '--bare', '.', join(root, 'forge', 'long-history.git'));
    const rules = [{ match: `${forge.origin}/long-history`, history: 'shallow' }];
    writeFileSync(join(database.home, 'nightshift.yaml'), JSON.stringify({ repositories: rules }));
    server = await startTestServer(database, {
      runTimeoutSeconds: '20',
      maxConcurrentRuns: '8',
      workspaceMegabytes: '40',
      workspaceFiles: '3000',
    });
  });
  afterAll(async () => {
    await server.running.stop();
    await forge.stop();
    await database.remove();
  });

  const sh = (title: string, script: string, more: object = {}): Promise<ApiTask> =>
    server.api.submit({ title, repository: address, verify: ['true'], body: JSON.stringify(['sh', '-c', script]), ...more });
  /** Goes on when somebody puts a file into its workspace. */
  const waits = 'touch begun; until test -e go; do sleep 0.1; done; rm go; echo done > result.txt';
  const treeOf = (taskId: string): Promise<string> =>
    until('the workspace', async () => {
      const store = await database.open();
      const [workspace] = await listWorkspaces(store.read, { taskId }).finally(() => store.close());
      const tree = workspace && join(workspace.path, 'tree');
      return tree !== undefined && existsSync(join(tree, 'begun')) && tree;
    });

  test('it is ended for the reason that it is, with all that it started, and those beside it go on', { timeout: 120_000 }, async () => {
    const scripts: Record<string, string> = {
      bytes: 'head -c 60000000 /dev/zero > big; sleep 600',
      files: 'mkdir many; cd many; seq 5000 | xargs touch; sleep 600',
      time: 'setsid sleep 600 & sleep 600',
      forks: 'i=0; while [ $i -lt 2000 ]; do sleep 600 & i=$((i+1)); done; wait',
      words: 'head -c 100000000 /dev/zero | tr "\\\\0" x; echo done > result.txt',
      fine: 'sleep 10; echo done > result.txt',
    };
    const names = Object.keys(scripts);
    const tasks = await Promise.all(names.map((name) => sh(name, scripts[name] as string)));
    const all = await Promise.all(tasks.map(({ id }) => ended(server.api, id)));
    const of = (name: string): Ended => all[names.indexOf(name)] as Ended;
    expect(of('bytes').task).toMatchObject({
      status: 'failed',
      reason: { code: 'quota-exceeded', message: expect.stringContaining('bytes') },
    });
    expect(of('files').task).toMatchObject({
      status: 'failed',
      reason: { code: 'quota-exceeded', message: expect.stringContaining('files') },
    });
    expect(of('time').task).toMatchObject({ status: 'delayed', reason: { code: 'timeout' } });
    // Where processes are not limited, the time is.
    expect(['exit-2', 'timeout']).toContain(of('forks').task.reason?.code);
    expect(of('words').task).toMatchObject({ status: 'succeeded' });
    expect(statSync(of('words').run.outputFile).size).toBeLessThanOrEqual(65 * 2 ** 20);
    expect(of('fine').task).toMatchObject({ status: 'succeeded' });
    // What is to be tried again may have begun by now.
    for (const { task } of all.filter(({ task: { status } }) => status === 'delayed')) {
      await server.api.call('POST', `/api/tasks/${task.id}/cancel`);
      await server.api.becomes(task.id, 'cancelled');
    }
    await expectClean(
      database,
      all.map(({ run }) => run),
    );
  });

  test('a base that was rewritten does no harm, a branch that somebody else pushed to is theirs, a protected one is refused', async () => {
    const base = git(bare, 'rev-parse', 'refs/heads/main');
    const rewritten = git(bare, 'commit-tree', '-m', 'rewritten', git(bare, 'rev-parse', 'main^{tree}'));
    const [moved, taken] = [await sh('moved base', waits), await sh('taken', waits)];
    const trees = [await treeOf(moved.id), await treeOf(taken.id)];
    git(bare, 'update-ref', 'refs/heads/main', rewritten);
    git(bare, 'update-ref', `refs/heads/nightshift/${taken.id}-taken`, rewritten);
    for (const tree of trees) writeFileSync(join(tree, 'go'), '');
    const guarded = await sh('guarded', 'echo done > result.txt', { repository: `${forge.origin}/guarded.git` });
    const all = [await ended(server.api, moved.id), await ended(server.api, taken.id), await ended(server.api, guarded.id)];

    const [first, second, third] = all as [Ended, Ended, Ended];
    expect(first.task).toMatchObject({ status: 'succeeded' });
    expect(first.run).toMatchObject({ baseCommit: base, delivery: { kind: 'pushed' } });
    expect(git(bare, 'rev-parse', `refs/heads/${first.run.branch}^`)).toBe(base);
    expect(second.task).toMatchObject({ status: 'failed', reason: { code: 'non-fast-forward' } });
    expect(git(bare, 'rev-parse', `refs/heads/nightshift/${taken.id}-taken`)).toBe(rewritten);
    expect(third.task).toMatchObject({ status: 'failed', reason: { code: 'protected-branch' } });
    for (const { run } of all) expect(run.diff).toContain('+done');
    // What nobody takes is not lost: it is there for a person to fetch.
    for (const { run } of [second, third]) {
      const { fetchCommand } = run.delivery as { fetchCommand: string };
      execFileSync('sh', ['-c', fetchCommand], { cwd: join(root, 'shared'), stdio: 'ignore' });
      expect(run.commits).toEqual([git(join(root, 'shared'), 'rev-parse', run.branch ?? '')]);
    }
    await expectClean(
      database,
      all.map(({ run }) => run),
    );
    // The next run begins at the new base.
    const { task, run } = await ended(server.api, (await sh('after', 'echo done > result.txt')).id);
    expect([task.status, run.baseCommit]).toEqual(['succeeded', rewritten]);
  });

  test('of a repository with a long history only the newest commit is fetched, where the settings say so', async () => {
    const repository = `${forge.origin}/long-history.git`;
    const { task, run } = await ended(server.api, (await sh('short', 'git rev-list --count HEAD > result.txt', { repository })).id);
    expect(task).toMatchObject({ status: 'succeeded' });
    expect(run.diff).toContain('\n+1\n');
    const theirs = join(root, 'forge', 'long-history.git');
    expect(git(theirs, 'rev-list', '--count', `refs/heads/${run.branch}`)).toBe('4');
  });

  test('what is tried again and again comes to an end when its attempts are used up', async () => {
    const wish = { title: 'never green', repository: address, verify: ['false'], maxAttempts: 2 };
    const id = await submitFor('owner', database, { ...wish, body: JSON.stringify(['sh', '-c', 'echo done >> result.txt']) });
    const task = await server.api.becomes(id, 'failed');
    expect(task).toMatchObject({ attempts: 2, reason: { code: 'verify-failed' } });
    expect(task.runs.map(({ status }) => status)).toEqual(['failed', 'failed']);
    const run = await server.api.run(task.runs[1]?.id ?? '');
    expect(run).toMatchObject({ commits: [], diff: expect.stringContaining('+done'), tests: { passed: false, exitCode: 1 } });
    // Each attempt begins afresh.
    expect(run.filesChanged).toEqual([expect.objectContaining({ path: 'result.txt', additions: 1 })]);
    await expectClean(database, [run]);
  });
});

/** A server for which this machine is another: only there can things be missing that others here need. */
const otherMachine = ((): string | undefined => {
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
    return undefined;
  } catch {
    const missing = 'mounts of its own need root and unshare, so no program is taken away from a server.';
    if (process.env['NIGHTSHIFT_TEST_NOTHING_SKIPPED']) throw new Error(missing);
    console.warn(`\n  SKIPPED: ${missing}\n`);
    return missing;
  }
})();

describe.skipIf(otherMachine)('when the machine lacks something', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let api: Api;
  let repository: string;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    repository = sample('kept');
    const programs = join(database.home, 'programs');
    mkdirSync(programs);
    for (const name of ['sh', 'true', 'rm', 'chmod', 'cat']) symlinkSync(`/bin/${name}`, join(programs, name));
    const empty = join(database.home, 'empty');
    mkdirSync(empty);
    const sdk = dirname(dirname(fileURLToPath(import.meta.resolve('@anthropic-ai/claude-agent-sdk'))));
    const binaries = readdirSync(sdk).filter((name) => name.startsWith('claude-agent-sdk-'));
    const hide = binaries.map((name) => `mount --bind ${empty} ${join(sdk, name)}`).join(' && ');
    server = spawnServer(
      database.home,
      {
        NIGHTSHIFT_TOKEN: testToken,
        NIGHTSHIFT_ENGINE: 'command',
        LLM_PROVIDER: 'rehearsal',
        NIGHTSHIFT_DRAIN_SECONDS: '0',
        PATH: `${programs}`,
      },
      (argv) => ['/usr/bin/unshare', '--mount', '/bin/sh', '-c', `PATH=/usr/bin:/bin; ${hide} && PATH=${programs} exec "$0" "$@"`, ...argv],
    );
    api = new Api(await server.address, testToken);
  });
  afterAll(async () => {
    server.child.kill('SIGTERM');
    expect((await server.exited).code, server.output()).toBe(0);
    rmSync(join(database.home, 'empty'), { recursive: true });
    await database.remove();
  });

  test('git, the outcome says so', async () => {
    const { task } = await ended(api, (await api.submit({ title: 'no git', repository })).id);
    expect(task).toMatchObject({ status: 'failed', reason: { code: 'git-missing', message: expect.stringContaining('Install git') } });
  });

  test("the agent's program, the outcome says so", async () => {
    const { task, run } = await ended(api, (await api.submit({ title: 'no program', engine: 'claude' })).id);
    expect(task).toMatchObject({ status: 'failed', reason: { code: 'engine-missing', message: expect.stringContaining('npm install') } });
    await expectClean(database, [run]);
  });

  test('room on the disk, the work waits for it, and what needs none goes on', async () => {
    const place = join(database.home, 'workspaces');
    execFileSync('nsenter', ['--target', String(server.child.pid), '--mount', 'mount', '-t', 'tmpfs', '-o', 'size=60m', 'small', place]);
    const { task, run } = await ended(api, (await api.submit({ title: 'no room', repository })).id);
    expect(task).toMatchObject({ status: 'delayed', reason: { code: 'disk-full', message: expect.stringContaining('Free some space') } });
    expect((await ended(api, (await api.submit({ title: 'needs none' })).id)).task).toMatchObject({ status: 'succeeded' });
    await api.call('POST', `/api/tasks/${task.id}/cancel`);
    await expectClean(database, [run]);
  });
});
