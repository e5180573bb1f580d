import { describe, expect, test } from 'vitest';
import { commandGate } from './command.ts';
import type { CommandEnd, Evidence, Scene } from './gate.ts';

type Ended = Extract<CommandEnd, { kind: 'ended' }>;

const ended = (exitCode: number | null, output = '', timedOut = false): Ended => ({ kind: 'ended', exitCode, timedOut, output });
const counted = (passed: number, ...failed: readonly string[]): Ended =>
  ended(
    failed.length === 0 ? 0 : 1,
    [...failed.map((name) => `✖ ${name} (1.5ms)`), `ℹ pass ${passed}`, `ℹ fail ${failed.length}`, 'ℹ skipped 0', ''].join('\n'),
  );
const missing = ended(127, 'sh: 1: vitest: not found\n');

interface World {
  /** What it ends with now, each time that it is asked; the last answer stays. */
  readonly now: readonly CommandEnd[];
  readonly before?: CommandEnd;
  readonly required?: boolean;
  readonly kind?: 'tests' | 'lint' | 'task';
  /** A file that is changed. */
  readonly touches?: string;
  /** With what the command goes by as it was. */
  readonly withOld?: CommandEnd;
}

async function verdictIn({ now, before, required = false, kind = 'tests', touches, withOld }: World): Promise<Partial<Evidence>> {
  const answers = [...now];
  const scene: Scene = {
    change:
      touches === undefined
        ? undefined
        : ({
            lines: [],
            files: [{ path: touches, kind: 'modified' }],
            before: async (path: string) => old[path],
          } as unknown as Scene['change']),
    run: async () => (answers.length > 1 ? answers.shift() : answers[0]) as CommandEnd,
    runBefore: async () => before,
    runWithOld: async (_command, paths) => (paths.includes(touches ?? '') ? withOld : undefined),
    known: () => false,
    leftBehind: async () => undefined,
    directory: '/nowhere',
  };
  const gate = commandGate({ id: kind, kind, argv: ['make', 'it'], timeoutMs: 60_000, required, held: true });
  const checked = await gate.check(scene, new AbortController().signal);
  if (!checked.ok) throw new Error(JSON.stringify(checked.outcome));
  return checked.evidence;
}

/** What the command goes by. */
const old: Readonly<Record<string, string>> = { Makefile: 'it:\n\t./lint.sh\n', 'lint.sh': 'grep var a.js\n' };

const said = ({ passed, excuse }: Partial<Evidence>): string => (passed ? (excuse ?? 'green') : 'red');

describe('a command is', () => {
  test.each<[string, World, string]>([
    ['green when it ends well', { now: [counted(3)] }, 'green'],
    ['red when it does not', { now: [counted(2, 'adds')], before: counted(3) }, 'red'],
    ['red when nobody knows how it was before', { now: [counted(2, 'adds')] }, 'red'],
    ['red for fewer tests, with what chooses them changed', { now: [counted(2)], before: counted(3), touches: 'vitest.config.ts' }, 'red'],
    ['red for fewer tests than were red', { now: [counted(2)], before: counted(1, 'adds', 'divides'), touches: 'Makefile' }, 'red'],
    ['red for tests that nobody counts any more', { now: [ended(0, '')], before: counted(3), touches: 'Makefile' }, 'red'],
    ['red for no test, where those of before could not run', { now: [counted(0)], before: missing, touches: 'package.json' }, 'red'],
    ['green for tests that nobody has ever counted', { now: [ended(0, '')], before: ended(0, 'ok'), touches: 'Makefile' }, 'green'],
    ['green for as many', { now: [counted(3)], before: counted(2, 'adds'), touches: 'vitest.config.ts' }, 'green'],
    ['green for fewer tests otherwise', { now: [counted(2)], before: counted(3), touches: 'a.ts' }, 'green'],
    ['flaky when it ends well the second time', { now: [counted(2, 'adds'), counted(3)] }, 'flaky'],

    [
      'red when it is green only by a script that is changed',
      { kind: 'lint', now: [ended(0)], touches: 'lint.sh', before: ended(0), withOld: ended(1, 'a.js:1:1 error no var') },
      'red',
    ],
    [
      'red when it is green only by another Makefile',
      { kind: 'lint', now: [ended(0)], touches: 'Makefile', before: ended(0), withOld: ended(2, 'a.js:1:1 error no var') },
      'red',
    ],
    [
      'red when it is to become green and a script is changed for that',
      { kind: 'lint', now: [ended(0)], touches: 'lint.sh', before: ended(1, 'x error'), withOld: ended(1, 'x error'), required: true },
      'red',
    ],
    ['green when the script as it was is green too', { kind: 'lint', now: [ended(0)], touches: 'lint.sh', withOld: ended(0) }, 'green'],
    [
      'green when the script as it was finds no more fault than before',
      { kind: 'lint', now: [ended(0)], touches: 'lint.sh', before: ended(1, 'x error'), withOld: ended(1, 'x error') },
      'green',
    ],
    [
      'green when the script as it was stumbles over what has moved',
      { kind: 'lint', now: [ended(0)], touches: 'lint.sh', before: ended(0), withOld: ended(1, 'Error: Cannot find module ./a.js') },
      'green',
    ],
    ...[
      'No files matching the pattern "src" were found.',
      'ERROR: file or directory not found: tests/unit',
      'No test files found, exiting with code 1',
      'npm error Missing script: "lint:all"',
    ].map((output): [string, World, string] => [
      `green when the script as it was says ${output}`,
      { kind: 'lint', now: [ended(0)], touches: 'lint.sh', before: ended(0), withOld: ended(1, output) },
      'green',
    ]),
    [
      'green when what is changed is looked at, and not gone by',
      { kind: 'lint', now: [ended(0)], touches: 'a.js', before: ended(0), withOld: ended(1, 'error') },
      'green',
    ],

    ['excused for the same failure as before', { now: [counted(2, 'adds')], before: counted(2, 'adds') }, 'red-before'],
    ['excused for one failure less', { now: [counted(3, 'adds')], before: counted(2, 'adds', 'divides') }, 'red-before'],
    ['excused for more tests that pass', { now: [counted(9, 'adds')], before: counted(2, 'adds') }, 'red-before'],
    ['red for another failure', { now: [counted(2, 'divides')], before: counted(2, 'adds') }, 'red'],
    ['red for another failure in place of two', { now: [counted(3, 'divides')], before: counted(2, 'adds', 'divides too') }, 'red'],
    ['red for one failure more', { now: [counted(2, 'adds', 'divides')], before: counted(3, 'adds') }, 'red'],
    ['red for fewer tests that pass', { now: [counted(1, 'adds')], before: counted(2, 'adds') }, 'red'],
    ['red for failures of a suite that did not run before', { now: [counted(1, 'adds')], before: ended(1, 'SyntaxError: x\n') }, 'red'],
    ['red for a suite that runs no longer', { now: [ended(1, 'SyntaxError: x\n')], before: counted(1, 'adds') }, 'red'],
    ['red where the same failure is to become green', { now: [counted(2, 'adds')], before: counted(2, 'adds'), required: true }, 'red'],

    [
      'excused for the same complaints as before, wherever they are now',
      { kind: 'lint', now: [ended(1, 'a.js:9:1 error no var\n')], before: ended(1, 'a.js:3:1 error no var\nb.js:1:1 error no eval\n') },
      'red-before',
    ],
    [
      'red for another complaint',
      { kind: 'lint', now: [ended(1, 'a.js:3:1 error no eval\n')], before: ended(1, 'a.js:3:1 error no var\n') },
      'red',
    ],
    ['red for being too slow now', { now: [ended(null, '', true)], before: ended(1, '') }, 'red'],

    ['excused when it can run neither now nor before', { now: [missing], before: missing }, 'cannot-run'],
    ['red when it can run no longer', { now: [missing], before: counted(3) }, 'red'],
    ['red when it can run no longer, and was red before', { now: [missing], before: counted(2, 'adds') }, 'red'],
    ['red when it can run at last, and fails', { now: [counted(2, 'adds')], before: missing }, 'red'],
    [
      'excused when there is no such program, now or before',
      { now: [{ kind: 'not-started', message: 'make: not found' }], before: { kind: 'not-started', message: 'make: not found' } },
      'cannot-run',
    ],
    ['red when it has to run and cannot', { now: [missing], before: missing, required: true }, 'red'],
  ])('%s', async (_name, world, verdict) => {
    expect(said(await verdictIn(world))).toBe(verdict);
  });

  test('told in a sentence that says what is wrong', async () => {
    expect(await verdictIn({ now: [counted(2, 'adds')] })).toMatchObject({
      summary: 'make it exited with 1: 1 of 3 tests failed.',
      counts: { passed: 2, failed: 1, skipped: 0 },
      output: expect.stringContaining('✖ adds'),
      signature: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect((await verdictIn({ now: [missing], before: missing })).summary).toBe(
      'make it exited with 127, because it cannot be run here, and could not before the agent came (sh: 1: vitest: not found).',
    );
    expect((await verdictIn({ now: [ended(null, '', true)] })).summary).toBe('make it took longer than 60 seconds.');
  });
});
