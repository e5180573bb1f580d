import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventStream } from '../../support/event-stream.ts';
import { git, write } from '../../support/git-world.ts';
import { Api, type ApiEvent, type ApiRun, type ApiTask, testToken } from '../../support/server.ts';
import { type ServerProcess, spawnServer } from '../../support/server-process.ts';

const bash = (command: string): object => ({ tool: 'Bash', input: { command, description: 'Work' } });
const failing = 'cat more.txt; node --test red.test.js';
const begin = 'echo more > more.txt; echo begun';
const pushing = (place: number): string => `git push origin HEAD:place-${place}`;

/** What the agent runs first, and what it runs when the last result held a text; when nothing fits, it is done. */
type Steps = readonly [first: string, ...then: readonly (readonly [result: string, command: string])[]];
/** Nothing but the server ends this. */
const forEver = (first: string, command: string): Steps => [first, ['/[\\s\\S]/', command]];

const ways = {
  'runs one failing command again and again': forEver(begin, failing),
  'hides the exit code of one failing command': forEver(begin, `(${failing}) | tail -n 60`),
  'asks for the same forbidden thing again and again': forEver(begin, pushing(1)),
  'asks for a forbidden thing in other words each time': [
    begin,
    ['begun', pushing(1)],
    ...Array.from({ length: 20 }, (_, index) => [`(${index + 1})`, pushing(index + 2)] as const),
  ],
  'asks for a forbidden thing twice, in other words, and does without': [pushing(1), ['(1)', pushing(2)], ['(2)', begin]],
  'writes where it cannot, again and again': forEver(begin, 'touch /usr/x'),
  'does the same again and again, which works': forEver(begin, 'cat more.txt'),
  'breaks and mends in a circle': [
    'echo a > state.txt; cat state.txt; node --test red.test.js',
    ['/^(Exit code 1\\s)?a\\s/', 'echo b > state.txt; cat state.txt; node --test red.test.js'],
    ['/^(Exit code 1\\s)?b\\s/', 'echo a > state.txt; cat state.txt; node --test red.test.js'],
  ],
  'runs a failing command six times, and works in between': [
    'echo step 1 > more.txt; echo wrote 1',
    ...[1, 2, 3, 4, 5, 6].flatMap((step) => [
      [`wrote ${step}`, failing] as const,
      ...(step < 6 ? [[`step ${step}`, `echo step ${step + 1} > more.txt; echo wrote ${step + 1}`] as const] : []),
    ]),
  ],
  'looks at one failure in six ways': [
    begin,
    ['begun', 'echo way 1; node --test red.test.js'],
    ...[1, 2, 3, 4, 5].map((way) => [`way ${way}`, `echo way ${way + 1}; node --test red.test.js`] as const),
  ],
  'has no repository, and runs one failing command again and again': forEver(begin, 'cat nowhere.txt'),
} as const satisfies Readonly<Record<string, Steps>>;

function script(): object {
  const turns = Object.entries(ways).flatMap(([name, [first, ...then]]: [string, Steps]) => [
    { when: { prompt: `«${name}»`, first: true }, say: 'I work.', call: bash(first) },
    ...then.map(([result, command]) => ({ when: { prompt: `«${name}»`, result }, say: 'Now this.', call: bash(command) })),
  ]);
  return { name: 'loops', turns: [...turns, { say: 'I am done.' }] };
}

/** Numbers are what differs from one refusal to the next. */
const guard = `export default ({ tool }) => {
  const [, place] = /git push \\S+ HEAD:place-(\\d+)/.exec(tool.input.command) ?? [];
  return place === undefined || { allow: false, reason: 'Nightshift pushes by itself (' + place + ')' };
};`;

/** The real server, the real SDK, real git; only the model follows a script. */
describe('within one round, an agent that', () => {
  let root: string;
  let server: ServerProcess;
  let api: Api;
  const tasks = new Map<string, Promise<ApiTask>>();

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-loops-'));
    const repository = join(root, 'repository');
    for (const name of ['home', 'repository']) mkdirSync(join(root, name));
    git(repository, 'init', '--quiet', '--initial-branch=main');
    const red = "import test from 'node:test';\ntest('is red', () => { throw new Error('red'); });\n";
    write(repository, { 'package.json': '{"type":"module"}', 'red.test.js': red });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
    writeFileSync(join(root, 'script.json'), JSON.stringify(script()));
    writeFileSync(
      join(root, 'home', 'nightshift.yaml'),
      'hooks:\n  - { id: guard, on: pre-tool, tools: [Bash], module: ./guard.mjs, required: true }\n',
    );
    writeFileSync(join(root, 'home', 'guard.mjs'), guard);
    server = spawnServer(join(root, 'home'), {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
      NIGHTSHIFT_DRAIN_SECONDS: '0',
      MAX_CONCURRENT_RUNS: '3',
    });
    api = new Api(await server.address, testToken);
    for (const name of Object.keys(ways) as (keyof typeof ways)[]) {
      const where = name.startsWith('has no repository') ? undefined : repository;
      tasks.set(name, api.submit({ title: `«${name}»`, body: undefined, repository: where, maxAttempts: 1, budgetUsd: 2 }));
    }
  });

  afterAll(async () => {
    server.child.kill('SIGTERM');
    const { code } = await server.exited;
    rmSync(root, { recursive: true, force: true });
    expect(code, server.output()).toBe(0);
  });

  async function worked(name: keyof typeof ways) {
    const { id } = (await tasks.get(name)) as ApiTask;
    const task = await ended(id);
    const run: ApiRun = await api.run(task.runs[0]?.id ?? '');
    const stream = await EventStream.open(api, `/api/events?task=${id}&follow=false`);
    await stream.over;
    const events: readonly ApiEvent[] = stream.events;
    return { task, run, used: events.filter(({ type }) => type === 'run.tool-finished').length };
  }

  async function ended(id: string): Promise<ApiTask> {
    for (;;) {
      const task = await api.task(id);
      if (['succeeded', 'failed', 'escalated', 'over-budget'].includes(task.status)) return task;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  const uses = { first: 1, sameError: 5, sameDenial: 2, sameUse: 26 };

  test.each([
    ['runs one failing command again and again', 'same-error', uses.first + uses.sameError, 'Bash cat more.txt; node --test red.test.js ('],
    [
      'hides the exit code of one failing command',
      'same-error',
      uses.first + uses.sameError,
      'the same failed 5 times in the same way, and no file was changed in between',
    ],
    [
      'asks for the same forbidden thing again and again',
      'permission-denied',
      uses.first + uses.sameDenial,
      'Bash git push origin HEAD:place-1 (The hook guard refused it: Nightshift pushes by itself (1))',
    ],
    [
      'asks for a forbidden thing in other words each time',
      'permission-denied',
      uses.first + uses.sameError,
      'The hook guard refused it: Nightshift pushes by itself (5)',
    ],
    [
      'writes where it cannot, again and again',
      'permission-denied',
      uses.first + uses.sameError,
      'refused by the sandbox again and again: Bash touch /usr/x (touch: cannot touch',
    ],
    [
      'does the same again and again, which works',
      'no-progress',
      uses.first + uses.sameUse,
      'the same was done 25 times in a row, and nothing came of it: Bash cat more.txt (more)',
    ],
    ['breaks and mends in a circle', 'same-error', 2 * uses.sameError - 1, 'the same failed 5 times'],
  ] as const)('%s is stopped, and a person is told', { timeout: 180_000 }, async (name, code, count, says) => {
    const { task, run, used } = await worked(name);
    expect(task).toMatchObject({ status: 'escalated', reason: { code } });
    expect(task.reason?.message).toContain('It was given up in round 1: ');
    expect(task.reason?.message).toContain(says);
    expect(task.reason?.message).toMatch(/What was done is on the branch nightshift\/.*git fetch /);
    expect(run.rounds).toMatchObject([{ number: 1, decision: 'stop', rule: code }]);
    expect(used).toBe(count);
  });

  test.each([
    ['asks for a forbidden thing twice, in other words, and does without', 3],
    ['runs a failing command six times, and works in between', 12],
    ['looks at one failure in six ways', 7],
  ] as const)('%s comes to its own end', { timeout: 180_000 }, async (name, count) => {
    const { task, run, used } = await worked(name);
    expect(task).toMatchObject({ status: 'succeeded' });
    expect({ used, rounds: run.rounds.map(({ decision }) => decision) }).toMatchObject({ used: count });
  });

  test('has no repository, and runs one failing command again and again, is stopped too', { timeout: 180_000 }, async () => {
    const { task, used } = await worked('has no repository, and runs one failing command again and again');
    expect(task).toMatchObject({ status: 'escalated', reason: { code: 'same-error' } });
    expect(used).toBe(uses.first + uses.sameError);
  });
});
