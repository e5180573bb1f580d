import { expect, test } from 'vitest';
import type { EngineEvent } from './engines/engine.ts';
import { createStuckWatch, type Stuck } from './stuck.ts';

interface Use {
  readonly tool?: string;
  readonly input?: object;
  readonly output?: string;
  readonly failed?: boolean;
  readonly parentCall?: string;
}

function watching(files: () => string | undefined = () => 'a tree') {
  const watch = createStuckWatch({ directory: '/srv/tree', limits: { sameError: 5, sameUse: 25 }, files: async () => files() });
  let calls = 0;
  const use = async ({ tool = 'Bash', input = { command: 'make' }, output = 'no', failed = true, ...more }: Use = {}) => {
    const call = `call-${++calls}`;
    const started: EngineEvent = { type: 'run.tool-started', data: { call, tool, input, ...more } };
    const finished: EngineEvent = {
      type: 'run.tool-finished',
      data: { call, tool, failed, output, outputSize: output.length, durationMs: 1, ...more },
    };
    await watch.see(started);
    return { call, stuck: await watch.see(finished) };
  };
  const often = async (count: number, of: (index: number) => Use = () => ({})): Promise<Stuck | undefined> => {
    let last: Stuck | undefined;
    for (let index = 1; index <= count; index++) last = (await use(of(index))).stuck;
    return last;
  };
  return { watch, use, often };
}

test('what fails five times in the same words is a circle, whatever is said beside it and whatever numbers it prints', async () => {
  const { often } = watching();
  const stuck = await often(5, (time) => ({
    input: { command: 'make', description: `Attempt ${time}` },
    output: `Exit code 2\nfailed after ${time} s`,
  }));
  expect(stuck).toEqual({
    rule: 'same-error',
    what: 'the same failed 5 times in the same way, and no file was changed in between: Bash make (failed after 5 s)',
  });
});

test('a command whose output shows failing tests has failed, although a pipe hides it', async () => {
  const output = 'not ok 1 - adds\n  ---\n  duration_ms: 1\n  error: wrong\n  ...\n# fail 1\n';
  expect(await watching().often(5, () => ({ output, failed: false }))).toMatchObject({ rule: 'same-error' });
  expect(await watching().often(20, () => ({ output: 'all is well', failed: false }))).toBeUndefined();
});

test('whoever lacks one package after another, and installs them where git does not look, gets on', async () => {
  const { often } = watching();
  const lacking = (time: number): string =>
    `Traceback (most recent call last):\n  File "a.py", line 1, in <module>\nModuleNotFoundError: No module named '${'abcdefghij'[time]}'`;
  expect(await often(8, (time) => ({ input: { command: 'python a.py' }, output: lacking(time) }))).toBeUndefined();
  expect(
    await often(8, (time) => ({ input: { command: 'node a.js' }, output: `Error: Cannot find package '${'abcdefghij'[time]}'` })),
  ).toBeUndefined();
});

test('the files are looked at only where the same fails again', async () => {
  let looks = 0;
  const { often } = watching(() => {
    looks += 1;
    return 'a tree';
  });
  expect(
    await often(200, (time) => ({ input: { command: `try ${'abcdefghijklmnopqrst'[time % 20]}${'abcdefghij'[Math.floor(time / 20)]}` } })),
  ).toBeUndefined();
  expect(looks).toBe(0);
  expect(await often(4)).toBeUndefined();
  expect(await often(1)).toMatchObject({ rule: 'same-error' });
  expect(looks).toBe(4);
});

test('what failed, was changed, and then fails five times in the same way is stopped at the fifth', async () => {
  const { often, use } = watching();
  await often(1);
  await use({ input: { command: 'touch a' }, failed: false, output: '' });
  expect(await often(4)).toBeUndefined();
  expect(await often(1)).toMatchObject({ rule: 'same-error' });
});

test('subagents that are sent out side by side may each ask for the same', async () => {
  expect(await watching().often(10, (index) => ({ parentCall: `agent-${index}` }))).toBeUndefined();
});

test('where nobody can tell what became of the files, whatever works starts the count again', async () => {
  const { often, use } = watching(() => undefined);
  await often(4);
  await use({ input: { command: 'true' }, failed: false });
  expect(await often(4)).toBeUndefined();
  expect((await use()).stuck).toMatchObject({ rule: 'same-error' });
});

test('a refusal is known whether it is told before the end of a call or after it', async () => {
  const denied = (call: string): EngineEvent => ({
    type: 'run.denied',
    data: { call, tool: 'Bash', by: 'the agent engine', reason: 'Not here.' },
  });
  const after = watching();
  await after.watch.see(denied((await after.use()).call));
  expect(await after.watch.see(denied((await after.use()).call))).toMatchObject({
    rule: 'permission-denied',
    what: 'what it asks for was refused by the agent engine again and again: Bash make (Not here)',
  });
  const before = watching();
  await before.watch.see(denied('call-1'));
  await before.watch.see(denied('call-2'));
  expect(await before.often(2)).toMatchObject({ rule: 'permission-denied' });
});

test('what it says holds no secret', async () => {
  const secret = ['ghp', '_', 'R4nd0mT0kenV4lueWithEnoughCh4rs9xKq2Lm'].join('');
  const stuck = await watching().often(5, () => ({ input: { command: `use ${secret}` }, output: `bad ${secret}` }));
  expect(stuck?.what).not.toContain(secret);
});

test('what works and changes nothing is a circle when nothing else is done for long, unless it is to wait', async () => {
  const fine = (): Use => ({ input: { command: 'echo whole > whole.txt' }, output: '', failed: false });
  expect(await watching().often(25, fine)).toBeUndefined();
  expect(await watching().often(26, fine)).toEqual({
    rule: 'no-progress',
    what: 'the same was done 25 times in a row, and nothing came of it: Bash echo whole > whole.txt',
  });
  let changes = 0;
  expect(await watching(() => `tree ${++changes}`).often(60, fine)).toBeUndefined();
  expect(await watching().often(60, () => ({ tool: 'TaskOutput', input: { task: 'x' }, failed: false }))).toBeUndefined();
  expect(await watching(() => undefined).often(26, fine)).toMatchObject({ rule: 'no-progress' });
});

test('whoever waits for something to come about is given time, and more while it comes nearer', async () => {
  const command = 'sleep 5; curl -sf localhost:8080';
  expect(await watching().often(24, () => ({ input: { command } }))).toBeUndefined();
  expect(await watching().often(25, () => ({ input: { command } }))).toMatchObject({ rule: 'same-error' });
  const look = (output: (time: number) => string) => (time: number) => ({
    input: { command: 'sleep 60 && tail -1 log' },
    output: output(time),
    failed: false,
  });
  expect(
    await watching().often(
      60,
      look((time) => `step ${time} of 5000`),
    ),
  ).toBeUndefined();
  expect(
    await watching().often(
      26,
      look(() => 'step 1 of 5000'),
    ),
  ).toMatchObject({ rule: 'no-progress' });
});

test('what is asked for twice in one breath was asked for by one who had not been told', async () => {
  const { watch, use } = watching();
  const input = { command: 'git push' };
  for (const call of ['a', 'b']) await watch.see({ type: 'run.tool-started', data: { call, tool: 'Bash', input } });
  const refused = async (call: string): Promise<Stuck | undefined> => {
    const denial = { tool: 'Bash', by: 'a hook', reason: 'No.' };
    const data = { call, tool: 'Bash', failed: true, output: 'No.', outputSize: 3, durationMs: 1 };
    return watch.see({ type: 'run.tool-finished', data }, denial);
  };
  expect(await refused('a')).toBeUndefined();
  expect(await refused('b')).toBeUndefined();
  await watch.see({ type: 'run.tool-started', data: { call: 'c', tool: 'Bash', input } });
  expect(await refused('c')).toMatchObject({ rule: 'permission-denied' });
  expect((await use()).stuck).toBeUndefined();
});
