import { describe, expect, test } from 'vitest';
import type { GateVerdict } from './gate.ts';
import { type Decision, decide, type Round, type RoundLimits } from './round.ts';

const limits: RoundLimits = { rounds: 8, withoutProgress: 3, sameError: 5, milliseconds: 60_000 };

const verdict = (gate: string, facts: Partial<GateVerdict> = {}): GateVerdict => ({
  gate,
  kind: 'tests',
  passed: true,
  excuse: null,
  summary: '',
  findings: [],
  command: null,
  exitCode: null,
  counts: null,
  output: null,
  signature: null,
  durationMs: 0,
  cached: false,
  ...facts,
});
const green = verdict('tests');
const red = (signature = 'e'): GateVerdict => verdict('tests', { passed: false, signature });
const redBefore = (failed: number, kind: GateVerdict['kind'] = 'tests'): GateVerdict =>
  verdict('tests', { kind, excuse: 'red-before', signature: 'old', counts: { passed: 1, failed, skipped: 0 } });

/** Each round as its tree and its verdicts. */
const rounds = (...all: readonly (readonly [tree: string | null, ...verdicts: GateVerdict[]])[]): readonly Round[] =>
  all.map(([tree, ...verdicts], index) => ({ number: index + 1, tree, verdicts }));
const alike = (count: number, round: (index: number) => readonly [string | null, GateVerdict]): readonly Round[] =>
  rounds(...Array.from({ length: count }, (_, index) => round(index)));

const said = (decision: Decision): string => (decision.kind === 'stop' ? decision.rule : decision.kind);

describe('after a round', () => {
  test.each<[string, readonly Round[], string]>([
    ['with green gates, the work is done', rounds(['a', green]), 'finish'],
    ['without any gate, the work is done', rounds(['a']), 'finish'],
    ['with a red gate, the agent goes on', rounds(['a', red()]), 'continue'],
    ['with one red gate of two, the agent goes on', rounds(['a', green, verdict('lint', { passed: false })]), 'continue'],
    ['that became green at last, the work is done', [...alike(7, (i) => [`t${i}`, red(`e${i}`)]), ...rounds(['z', green])], 'finish'],

    ['the first two that changed nothing are no reason yet', rounds(['base', red('1')], ['base', red('2')]), 'continue'],
    ['three that changed nothing lead nowhere', rounds(['base', red('1')], ['base', red('2')], ['base', red('3')]), 'no-progress'],
    ['two after one that did something are no reason yet', rounds(['a', red('1')], ['a', red('2')], ['a', red('3')]), 'continue'],
    ['three after one that did something lead nowhere', alike(4, (i) => ['a', red(`${i}`)]), 'no-progress'],
    ['going in a circle leads nowhere', alike(5, (i) => [i % 2 ? 'a' : 'b', red(`${i}`)]), 'no-progress'],
    [
      'the same files with other verdicts are progress',
      rounds(['a', red('1'), green], ['a', red('2')], ['a', red('3')], ['a', red('4')]),
      'continue',
    ],
    ['something new starts the count again', rounds(['a', red('1')], ['a', red('2')], ['a', red('3')], ['b', red('4')]), 'continue'],
    ['where there is no tree nobody knows about progress', alike(4, (i) => [null, red(`${i}`)]), 'continue'],

    ['the same error four times may still be mended', alike(4, (i) => [`t${i}`, red()]), 'continue'],
    ['the same error five times will not', alike(5, (i) => [`t${i}`, red()]), 'same-error'],
    ['an error that comes back counts on', alike(6, (i) => [`t${i}`, red(i === 3 ? 'other' : 'e')]), 'same-error'],
    ['five times that are over are over', [...alike(4, (i) => [`t${i}`, red()]), ...rounds(['x', red('other')])], 'continue'],

    ['the seventh is not the last', alike(7, (i) => [`t${i}`, red(`${i}`)]), 'continue'],
    ['the eighth is the last', alike(8, (i) => [`t${i}`, red(`${i}`)]), 'round-limit'],

    ['tests that were red before are told once', rounds(['a', redBefore(2)]), 'continue'],
    ['and then excused', rounds(['a', redBefore(2)], ['a', redBefore(2)]), 'finish'],
    ['unless they become worse', rounds(['a', redBefore(2)], ['b', red()]), 'continue'],
    ['a suite that could not run before is not worth telling', rounds(['a', redBefore(0)]), 'finish'],
    ['nor is another gate that was red before', rounds(['a', redBefore(2, 'lint')]), 'finish'],
    ['a flaky test is no reason to go on', rounds(['a', verdict('tests', { excuse: 'flaky' })]), 'finish'],
  ])('%s', (_name, all, decision) => {
    expect(said(decide(all, 'base', 0, limits))).toBe(decision);
  });

  test('the time that there is does not stop work that is done', () => {
    expect(said(decide(rounds(['a', red()]), 'base', 59_999, limits))).toBe('continue');
    expect(said(decide(rounds(['a', red()]), 'base', 60_000, limits))).toBe('out-of-time');
    expect(said(decide(rounds(['a', green]), 'base', 60_000, limits))).toBe('finish');
  });

  test('what is red is named', () => {
    expect(decide(rounds(['a', green, verdict('lint', { passed: false })]), 'base', 0, limits)).toMatchObject({ red: [{ gate: 'lint' }] });
  });
});
