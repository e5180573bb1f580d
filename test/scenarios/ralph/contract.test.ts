import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { git, write } from '../../support/git-world.ts';
import { missingSandbox } from '../../support/sandbox.ts';
import { Api, type ApiRun, type ApiTask, testToken } from '../../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../../support/server-process.ts';

const bash = (command: string): object => ({ tool: 'Bash', input: { command, description: 'Work', timeout: 600_000 } });
const missing = 'The file says one, not two.';
const no = { give: { done: false, missing: [missing] } };
const yes = { give: { done: true, missing: [] } };

/** A server plays one of them; so each test has its own server. */
const scripts = [
  {
    name: 'agrees-at-last',
    turns: [
      { when: { tool: 'Bash' }, say: 'I am done.' },
      { when: { first: true, prompt: 'It is done when: the file says two' }, say: 'I work.', call: bash('echo one > count.txt') },
      { when: { said: missing }, say: 'I see.', call: bash('echo two > count.txt') },
      { say: 'I am done.' },
    ],
    answers: { review: [no, yes, { give: { followUps: [] } }] },
  },
  {
    name: 'never-agrees',
    turns: [{ when: { first: true }, call: bash('echo one > count.txt') }, { say: 'It says two. Believe me.' }],
    answers: { review: [no, yes] },
  },
  {
    name: 'refuses-to-judge',
    turns: [{ when: { first: true }, call: bash('echo one > count.txt') }, { say: 'I am done.' }],
    answers: { review: [{ fail: { status: 400, message: 'No such model.' } }] },
  },
  {
    name: 'contradicts-itself',
    turns: [{ when: { first: true }, call: bash('echo one > count.txt') }, { say: 'I am done.' }],
    answers: { review: [{ give: { done: true, missing: [missing] } }] },
  },
  {
    name: 'denied-twice',
    turns: [
      { when: { tool: 'Bash' }, say: 'I may not.' },
      { when: { first: true }, call: bash('echo one > count.txt; git push origin HEAD:main') },
      { when: { said: '(round 2 of' }, call: bash('git push origin HEAD:other') },
      { say: 'I am done.' },
    ],
  },
  {
    name: 'blocked-by-the-sandbox',
    turns: [
      { when: { tool: 'Bash' }, say: 'I may not.' },
      { when: { first: true }, call: [0, 1, 2].map(() => bash('echo one > count.txt; touch /usr/of-an-agent')) },
      { when: { said: '(round 2 of' }, call: bash('echo two > count.txt; touch /usr/of-an-agent') },
      { say: 'I am done.' },
    ],
  },
  {
    name: 'prints-a-refusal',
    turns: [
      { when: { tool: 'Bash' }, say: 'I am done.' },
      { when: { first: true }, call: bash('echo one > count.txt; sh refused.sh') },
      { when: { said: '(round 2 of' }, call: bash('echo two > count.txt; sh refused.sh') },
      { when: { said: '(round 3 of' }, call: bash('touch pushed.txt') },
      { say: 'I am done.' },
    ],
  },
  {
    name: 'blocked-by-the-sdk',
    turns: [
      { when: { tool: 'Bash' }, say: 'I may not.' },
      { when: { first: true }, call: bash('echo one > count.txt; rmdir --help /') },
      { when: { said: '(round 2 of' }, call: bash('echo two > count.txt; rmdir --help /') },
      { say: 'I am done.' },
    ],
  },
  {
    name: 'denied-and-goes-another-way',
    turns: [
      { when: { first: true }, call: [bash('git push origin HEAD:main'), bash('git push origin HEAD:main')] },
      { when: { failed: true }, call: bash('echo one > count.txt') },
      { say: 'I am done.' },
    ],
  },
  {
    name: 'denied-before-and-after',
    turns: [
      { when: { tool: 'Bash', failed: false }, say: 'I am done.' },
      { when: { first: true }, call: bash('git push origin HEAD:main') },
      { when: { failed: true }, call: bash('test -e begun.txt || { echo one > begun.txt; sleep 600; }') },
      { when: { said: 'the server stopped while you were at work' }, call: bash('git push origin HEAD:main') },
      { say: 'I am done.' },
    ],
  },
];

const guard = `export default ({ tool }) =>
  tool.input.command.includes('git push') ? { allow: false, reason: 'Nightshift pushes by itself' } : { allow: true };`;

describe('when it is done by the words of the task, and what is refused', () => {
  let root: string;
  let home: string;
  let repository: string;
  let server: ServerProcess;
  let api: Api;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-contract-'));
    [home, repository] = [join(root, 'home'), join(root, 'repository')];
    mkdirSync(join(home, 'hooks'), { recursive: true });
    mkdirSync(join(root, 'scripts'));
    mkdirSync(repository);
    writeFileSync(
      join(home, 'nightshift.yaml'),
      'hooks: [{ id: guard, on: pre-tool, tools: [Bash], module: ./hooks/guard.mjs, required: true }]\n',
    );
    writeFileSync(join(home, 'hooks', 'guard.mjs'), guard);
    for (const script of scripts) writeFileSync(join(root, 'scripts', `${script.name}.json`), JSON.stringify(script));
    git(repository, 'init', '--quiet', '--initial-branch=main');
    write(repository, { 'README.md': '# Sample\n', 'refused.sh': 'touch /usr/of-an-agent\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
  });

  async function begin(name: string): Promise<void> {
    server = spawnServer(home, {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: join(root, 'scripts', `${name}.json`),
      NIGHTSHIFT_DRAIN_SECONDS: '0',
    });
    api = new Api(await server.address, testToken);
  }

  afterEach(async () => {
    server.child.kill('SIGTERM');
    const { code } = await server.exited;
    expect(code, server.output()).toBe(0);
  });

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  async function submit(name: string, more: object): Promise<ApiTask> {
    await begin(name);
    return api.submit({ title: name, body: undefined, repository, ...more });
  }

  async function ended(name: string, more: object): Promise<{ readonly task: ApiTask; readonly run: ApiRun }> {
    const { id } = await submit(name, more);
    const task = await api.becomes(id, 'succeeded', 'failed', 'delayed', 'escalated');
    return { task, run: await api.run(task.runs.at(-1)?.id ?? '') };
  }

  const contractsOf = (run: ApiRun): readonly unknown[] =>
    run.rounds.map(({ verdicts }) => {
      const found = verdicts.find(({ gate }) => gate === 'contract');
      return found && [found.passed, found.cached];
    });
  const doneWhen = 'the file says two';

  test('an agent is told what the reviewer misses, and mends it', { timeout: 60_000 }, async () => {
    const { task, run } = await ended('agrees-at-last', { doneWhen });
    expect(task).toMatchObject({ status: 'succeeded', doneWhen });
    expect(contractsOf(run)).toEqual([
      [false, false],
      [true, false],
    ]);
    const [first] = run.rounds;
    expect(first).toMatchObject({ decision: 'continue' });
    expect(first?.verdicts.at(-1)).toMatchObject({
      kind: 'contract',
      summary: `The reviewer finds that it is not done: ${missing}`,
      findings: [{ text: missing }],
    });
  });

  test('the same files are judged once, whatever is said of them, and the usual rules end it', { timeout: 60_000 }, async () => {
    const { task, run } = await ended('never-agrees', { doneWhen, maxAttempts: 1 });
    expect(task).toMatchObject({
      status: 'escalated',
      reason: { code: 'no-progress', message: expect.stringContaining(`contract (The reviewer`) },
    });
    expect(contractsOf(run)).toEqual([
      [false, false],
      [false, true],
      [false, true],
      [false, true],
    ]);
  });

  test.each([
    ['refuses-to-judge', /No such model/],
    ['contradicts-itself', /does not have the form/],
  ])('work that nobody judges waits for a person and is kept: %s', { timeout: 60_000 }, async (title, why) => {
    const { task, run } = await ended(title, { doneWhen });
    expect(task).toMatchObject({ status: 'escalated', reason: { code: 'not-judged', message: expect.stringMatching(why) } });
    expect(task.reason?.message).toMatch(/What was done is on the branch .*git fetch/);
    expect(run).toMatchObject({ rounds: [{ decision: 'stop', rule: 'not-judged' }], filesChanged: [{ path: 'count.txt' }] });
  });

  test('what is red is not judged', { timeout: 60_000 }, async () => {
    const { task, run } = await ended('never-agrees', { doneWhen, verify: ['false'], maxAttempts: 1 });
    expect(task).toMatchObject({ status: 'escalated', reason: { code: 'no-progress' } });
    expect(contractsOf(run)).toEqual([undefined, undefined, undefined, undefined]);
  });

  test('an agent that is refused the same twice stops, and a person hears what was refused by whom', { timeout: 60_000 }, async () => {
    const { task, run } = await ended('denied-twice', { verify: ['test', '-f', 'pushed.txt'] });
    expect(task).toMatchObject({ status: 'escalated', reason: { code: 'permission-denied' } });
    expect(task.reason?.message).toMatch(/refused twice\. Bash, by hook guard: The hook guard refused it: Nightshift pushes by itself\./);
    expect(run.rounds.map(({ decision, rule }) => [decision, rule])).toEqual([
      ['continue', null],
      ['stop', 'permission-denied'],
    ]);
  });

  test.skipIf(missingSandbox)('so does one that wants out of its sandbox in two rounds', { timeout: 60_000 }, async () => {
    const { task, run } = await ended('blocked-by-the-sandbox', { verify: ['test', '-f', 'pushed.txt'] });
    expect(task).toMatchObject({ status: 'escalated', reason: { code: 'permission-denied' } });
    expect(task.reason?.message).toContain("Bash, by the sandbox: touch: cannot touch '/usr/of-an-agent': Read-only file system.");
    expect(run.rounds).toHaveLength(2);
  });

  test.skipIf(missingSandbox)('one whose scripts print a refusal goes on', { timeout: 60_000 }, async () => {
    expect((await ended('prints-a-refusal', { verify: ['test', '-f', 'pushed.txt'] })).task.status).toBe('succeeded');
  });

  test('so does one that the SDK refuses the same twice', { timeout: 60_000 }, async () => {
    const { task } = await ended('blocked-by-the-sdk', { verify: ['test', '-f', 'pushed.txt'] });
    expect(task).toMatchObject({ status: 'escalated', reason: { code: 'permission-denied' } });
    expect(task.reason?.message).toMatch(/Bash, by the agent engine: Dangerous rmdir operation/);
  });

  test('one that does without what it was refused has done its work', { timeout: 60_000 }, async () => {
    const { task } = await ended('denied-and-goes-another-way', { verify: ['test', '-f', 'count.txt'] });
    expect(task.status).toBe('succeeded');
  });

  test('what was refused before the server died counts', { timeout: 120_000 }, async () => {
    const { id } = await submit('denied-before-and-after', { verify: ['test', '-f', 'pushed.txt'] });
    const trees = join(home, 'workspaces');
    await until('it to be at work', async () => readdirSync(trees).some((name) => existsSync(join(trees, name, 'tree', 'begun.txt'))));
    server.child.kill('SIGKILL');
    await server.exited;
    await begin('denied-before-and-after');
    const task = await api.becomes(id, 'succeeded', 'failed', 'delayed', 'escalated');
    expect(task).toMatchObject({ status: 'escalated', reason: { code: 'permission-denied' } });
    expect(task.runs).toHaveLength(2);
  });
});
