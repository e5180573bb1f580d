import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventStream } from '../../support/event-stream.ts';
import { git, write } from '../../support/git-world.ts';
import { Api, type ApiEvent, type ApiRun, type ApiTask, testToken } from '../../support/server.ts';
import { type ServerProcess, spawnServer } from '../../support/server-process.ts';

const bash = (command: string): object => ({ tool: 'Bash', input: { command, description: 'Work', timeout: 600_000 } });
const begin = { say: 'I begin with the half.', call: bash('echo half > half.txt; echo begun') };
const rest = bash('cat half.txt && echo whole > good.txt && echo finished well');

const tooLong = { status: 400, message: 'prompt is too long: 300000 tokens > 200000 maximum' };

/** Only what an attempt was told of the one before leads it to the end. */
const script = {
  name: 'cut-short',
  turns: [
    { when: { result: 'finished well' }, say: 'It is done.' },
    { when: { prompt: 'Slow work', said: '/stopped here[\\s\\S]*keep an eye on the time/' }, say: 'I go on.', call: rest },
    {
      when: { prompt: 'Slow work', result: 'begun' },
      say: 'Now the long part.',
      call: bash(`echo part > part.txt; '${process.execPath}' -e 'setTimeout(() => 0, 600000)'`),
    },
    {
      when: { prompt: '/Long work[\\s\\S]*too long for the model[\\s\\S]*I begin with the half/', first: true },
      say: 'I go on.',
      call: rest,
    },
    // However often the SDK sums it up and goes on, it is too long again.
    { when: { result: 'begun' }, fail: tooLong },
    { when: { prompt: 'Endless work' }, fail: tooLong },
    { when: { first: true }, ...begin },
    { say: 'I am done.' },
  ],
};

const ended = ['succeeded', 'failed', 'escalated'] as const;

describe('a run that was cut short', () => {
  let root: string;
  let server: ServerProcess;
  let api: Api;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-cut-short-'));
    const repository = join(root, 'repository');
    for (const directory of [join(root, 'home'), repository]) mkdirSync(directory);
    git(repository, 'init', '--quiet', '--initial-branch=main');
    write(repository, { 'README.md': '# Sample\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
    writeFileSync(join(root, 'script.json'), JSON.stringify(script));
    server = spawnServer(join(root, 'home'), {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
      NIGHTSHIFT_DRAIN_SECONDS: '0',
    });
    api = new Api(await server.address, testToken);
    // Long enough for an agent to come to its long part on a busy machine.
    await api.call('POST', '/api/profiles', { body: { name: 'hasty', limits: { timeoutSeconds: 15 } } });
  });

  afterAll(async () => {
    server.child.kill('SIGTERM');
    const { code } = await server.exited;
    rmSync(root, { recursive: true, force: true });
    expect(code, server.output()).toBe(0);
  });

  async function worked(title: string, more: object = {}) {
    const wish = { title, body: undefined, repository: join(root, 'repository'), verify: ['test', '-f', 'good.txt'], ...more };
    const { id } = await api.submit(wish);
    const task: ApiTask = await api.becomes(id, ...ended);
    const runs: readonly ApiRun[] = await Promise.all(task.runs.map((run) => api.run(run.id)));
    const stream = await EventStream.open(api, `/api/events?task=${id}&follow=false`);
    await stream.over;
    const events: readonly ApiEvent[] = stream.events;
    const told = (type: string) => events.filter((event) => event.type === type).map(({ data }) => data);
    return { task, runs, told };
  }
  const filesOf = (run: ApiRun | undefined) => run?.filesChanged.map(({ path }) => path);

  test('by its time goes on from there, with its files and its conversation', { timeout: 120_000 }, async () => {
    const { task, runs, told } = await worked('Slow work', { profile: 'hasty' });
    expect(task, JSON.stringify(runs.map(({ reason }) => reason))).toMatchObject({ status: 'succeeded', attempts: 2 });
    const [first, second] = runs;
    expect(first).toMatchObject({ status: 'failed', reason: { code: 'timeout' } });
    const [cut] = told('run.checkpoint');
    expect(cut).toMatchObject({ kind: 'cut', note: expect.stringContaining('The agent: Now the long part.') });
    expect(told('task.recovery')).toMatchObject([{ plan: 'resume', reason: { code: 'timeout' }, checkpoint: cut?.['checkpoint'] }]);
    expect(told('run.session')).toMatchObject([{ resumed: false }, { resumed: true }]);
    expect(filesOf(second)).toEqual(['good.txt', 'half.txt', 'part.txt']);
    expect(second?.sessionId).not.toBe(first?.sessionId);
  });

  test('by a prompt that is too long goes on in a new conversation, which is told what there was', { timeout: 120_000 }, async () => {
    const { task, runs, told } = await worked('Long work');
    expect(task, JSON.stringify(runs.map(({ reason }) => reason))).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(runs[0]).toMatchObject({ status: 'failed', reason: { code: 'prompt-too-long' } });
    const [cut] = told('run.checkpoint');
    expect(told('task.recovery')).toMatchObject([{ plan: 'alternative', checkpoint: cut?.['checkpoint'] }]);
    expect(told('run.session')).toMatchObject([{ resumed: false }, { resumed: false }]);
    expect(filesOf(runs[1])).toEqual(['good.txt', 'half.txt']);
  });

  test('by a prompt that is always too long waits for a person', { timeout: 120_000 }, async () => {
    const { task, runs } = await worked('Endless work');
    expect(task).toMatchObject({ status: 'escalated', attempts: 2, reason: { code: 'prompt-too-long' } });
    expect(runs).toHaveLength(2);
  });
});
