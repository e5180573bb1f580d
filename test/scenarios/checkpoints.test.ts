import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CheckpointView, WorkspaceView } from '../../src/server/views.ts';
import { EventStream } from '../support/event-stream.ts';
import { git, write } from '../support/git-world.ts';
import { Api, type ApiEvent, type ApiRun, type ApiTask, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer } from '../support/server-process.ts';

const bash = (command: string) => ({ call: { tool: 'Bash', input: { command, description: 'Work' } } });

/** It does well, then destroys what it did, and says that it is done. Put back, it goes on from what was good. */
const script = {
  name: 'checkpoints',
  turns: [
    { when: { result: 'finished well' }, say: 'Now it is done.' },
    { when: { said: 'put back' }, say: 'I go on from here.', ...bash('echo more > more.txt; echo finished well') },
    { when: { said: 'files of an earlier attempt' }, say: 'I see.', ...bash('echo again > again.txt; echo finished well') },
    { when: { first: true }, say: 'I begin.', ...bash('echo good > good.txt; mkdir -p out; echo cache > out/o.txt') },
    { when: { result: 'spoilt' }, say: 'I am done.' },
    { when: { tool: 'Bash' }, say: 'I tidy up.', ...bash('rm -rf out good.txt; echo spoilt | tee bad.txt') },
    { say: 'I am done.' },
  ],
};

const ended = ['succeeded', 'failed', 'escalated'] as const;

describe('a run that went wrong', () => {
  let root: string;
  let server: ServerProcess;
  let api: Api;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-checkpoints-'));
    mkdirSync(join(root, 'home'));
    const repository = join(root, 'repository');
    mkdirSync(repository);
    git(repository, 'init', '--quiet', '--initial-branch=main');
    write(repository, { 'README.md': '# Sample\n', '.gitignore': 'out/\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
    writeFileSync(join(root, 'script.json'), JSON.stringify(script));
    server = spawnServer(join(root, 'home'), {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
      NIGHTSHIFT_DRAIN_SECONDS: '0',
      NIGHTSHIFT_MAX_ROUNDS: '2',
    });
    api = new Api(await server.address, testToken);
  });

  afterAll(async () => {
    server.child.kill('SIGTERM');
    await server.exited;
    rmSync(root, { recursive: true, force: true });
  });

  const fail = async (
    title: string,
  ): Promise<{ readonly task: ApiTask; readonly run: ApiRun; readonly made: readonly CheckpointView[] }> => {
    const submitted = await api.submit({ title, repository: join(root, 'repository'), verify: ['test', '-f', 'good.txt'], maxAttempts: 1 });
    const task = await api.becomes(submitted.id, ...ended);
    const run = await api.run(task.runs.at(-1)?.id ?? '');
    return { task, run, made: await checkpointsOf(run.id) };
  };
  const checkpointsOf = async (run: string): Promise<readonly CheckpointView[]> =>
    (await api.call<{ readonly items: readonly CheckpointView[] }>('GET', `/api/runs/${run}/checkpoints`)).body.items;
  const journalOf = async (task: string): Promise<readonly ApiEvent[]> => {
    const stream = await EventStream.open(api, `/api/events?task=${task}&follow=false`);
    await stream.over;
    return stream.events;
  };
  const treeOf = async (run: string): Promise<string> => {
    const { body } = await api.call<{ readonly items: readonly WorkspaceView[] }>('GET', '/api/workspaces');
    return join(body.items.find(({ runId }) => runId === run)?.path ?? '', 'tree');
  };

  test('can be put back to before a risky command, and gone on from there with files and conversation', async () => {
    const { task, run, made } = await fail('Make it good');
    expect(task.status).toBe('escalated');
    expect(made.map(({ kind, number }) => [kind, number])).toEqual([['risky', 1]]);
    expect(made[0]?.note).toMatch(/^Before rm of a tree: rm -rf out good\.txt.* The agent: I tidy up\.$/);
    const [checkpoint] = made;
    if (!checkpoint) throw new Error('no checkpoint');

    const tree = await treeOf(run.id);
    expect(existsSync(join(tree, 'good.txt'))).toBe(false);
    const rewound = await api.call<{ readonly before: CheckpointView }>('POST', `/api/runs/${run.id}/rewind`, {
      body: { checkpoint: checkpoint.id },
    });
    expect(rewound.status).toBe(200);
    expect(readFileSync(join(tree, 'out/o.txt'), 'utf8')).toBe('cache\n');
    expect(existsSync(join(tree, 'bad.txt'))).toBe(false);
    await api.call('POST', `/api/runs/${run.id}/rewind`, { body: { checkpoint: rewound.body.before.id } });
    expect(readFileSync(join(tree, 'bad.txt'), 'utf8')).toBe('spoilt\n');

    const retried = await api.call<ApiTask>('POST', `/api/tasks/${task.id}/retry`, { body: { from: checkpoint.id } });
    expect(retried.status).toBe(200);
    const done = await api.becomes(task.id, ...ended);
    const last = await api.run(done.runs.at(-1)?.id ?? '');
    expect([done.status, last.reason]).toEqual(['succeeded', null]);
    expect(last.filesChanged.map(({ path }) => path)).toEqual(['good.txt', 'more.txt']);
    expect(last.sessionId).not.toBe(run.sessionId);
    expect(existsSync(join(tree, 'out/o.txt'))).toBe(true);
    expect((await checkpointsOf(last.id)).map(({ kind, gates }) => [kind, gates.find(({ gate }) => gate === 'task')])).toEqual([
      ['green', { gate: 'task', passed: true }],
    ]);
    const events = await journalOf(task.id);
    expect(events.filter(({ type }) => type === 'run.rewound')).toHaveLength(3);
    expect(events.find(({ type, runId }) => type === 'run.notice' && runId === last.id)?.data).toMatchObject({
      text: `Goes on from checkpoint 1 of ${run.id}, with its session up to there.`,
    });
  });

  test('begins a new conversation when the old one is gone, and is told what was', async () => {
    const { task, made } = await fail('Make it good again');
    for (const file of globSync(join(root, 'home/sessions', task.id, 'projects/*/*.jsonl'))) rmSync(file);
    await api.call('POST', `/api/tasks/${task.id}/retry`, { body: { from: made[0]?.id } });
    const done = await api.becomes(task.id, ...ended);
    const last = await api.run(done.runs.at(-1)?.id ?? '');
    expect(done.status).toBe('succeeded');
    expect(last.filesChanged.map(({ path }) => path)).toEqual(['again.txt', 'good.txt']);
  });

  test('is not gone on from a checkpoint of another task', async () => {
    const { made } = await fail('One');
    const { task } = await fail('Another');
    expect(await api.refusal('POST', `/api/tasks/${task.id}/retry`, { body: { from: made[0]?.id } })).toMatchObject({
      status: 404,
      code: 'no-such-checkpoint',
    });
  });
});
