import { describe, expect, test } from 'vitest';
import { systemClock } from '../platform/clock.ts';
import type { Evidence, Scene } from './gate.ts';
import { planGates } from './plan.ts';

const signal = new AbortController().signal;

/** What is said of each command that a repository has, where every one that is run is green. */
async function saidOf(files: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>> {
  const tree = { read: async (path: string) => files[path] };
  const planned = await planGates({ base: tree, verify: null, asked: '', byAgent: true, mayWeaken: false, clock: systemClock });
  if (!planned.ok) throw new Error(planned.message);
  const scene = {
    change: undefined,
    run: async () => ({ kind: 'ended', exitCode: 0, timedOut: false, output: '' }),
    runBefore: async () => undefined,
    runWithOld: async () => undefined,
    known: () => false,
    leftBehind: async () => undefined,
    directory: '/nowhere',
  } satisfies Scene;
  const said: Record<string, string> = {};
  for (const gate of await planned.plan.gates(tree)) {
    if (!['build', 'types', 'lint', 'tests', 'command'].includes(gate.kind)) continue;
    const checked = await gate.check(scene, signal);
    if (checked.ok) said[gate.id] = words(checked.evidence);
  }
  return said;
}

const words = ({ summary, command }: Evidence): string => `${command === null ? 'not run: ' : ''}${summary}`;
const npm = { 'package.json': JSON.stringify({ scripts: { test: 'vitest', lint: 'eslint' } }) };

describe('what people have committed is done, and said', () => {
  test.each<[string, string, Readonly<Record<string, string>>]>([
    ['nothing', '', { lint: 'npm run --silent lint exited with 0.', tests: 'npm test --silent exited with 0.' }],
    [
      'another command',
      'gates: { tests: make check }',
      {
        lint: 'npm run --silent lint exited with 0.',
        tests: 'make check exited with 0, set by .nightshift.yaml in the place of npm test --silent.',
      },
    ],
    [
      'a command that checks nothing, and a check that is off',
      'gates: { tests: "true", lint: false }',
      {
        lint: 'not run: .nightshift.yaml switches off npm run --silent lint: nothing was run.',
        tests: 'not run: .nightshift.yaml has true in the place of npm test --silent, which checks nothing: nothing was run.',
      },
    ],
    [
      'a check of their own',
      'gates: { e2e: make e2e }',
      { e2e: 'make e2e exited with 0.', lint: 'npm run --silent lint exited with 0.', tests: 'npm test --silent exited with 0.' },
    ],
  ])('%s', async (_name, text, said) => {
    expect(await saidOf({ ...npm, '.nightshift.yaml': text })).toEqual(said);
  });
});
