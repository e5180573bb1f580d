import { describe, expect, test } from 'vitest';
import type { GateVerdict } from './gate.ts';
import {
  bySandbox,
  type CircleLimits,
  type Decision,
  type Denial,
  decide,
  type Round,
  type RoundLimits,
  stuckIn,
  type ToolUse,
} from './round.ts';

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
const command = ['make', 'it'];
const greenCommand = (gate: string): GateVerdict => verdict(gate, { kind: 'build', command });
const redBefore = (passed = 3, kind: GateVerdict['kind'] = 'tests'): GateVerdict =>
  verdict(kind, { kind, command, excuse: 'red-before', signature: 'old', counts: { passed, failed: 1, skipped: 0 } });
const cannotRun = (kind: GateVerdict['kind'] = 'tests'): GateVerdict =>
  verdict(kind, { kind, command, excuse: 'cannot-run', signature: 'old' });

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

    ['tests that were red before are told once', rounds(['a', redBefore()]), 'continue'],
    ['and then excused, since those that pass speak for it', rounds(['a', redBefore()], ['a', redBefore()]), 'finish'],
    ['unless they become worse', rounds(['a', redBefore()], ['b', red()]), 'continue'],
    ['what cannot be run is told once', rounds(['a', cannotRun(), greenCommand('build')]), 'continue'],
    ['and then excused, if something else is green', rounds(['a', cannotRun()], ['a', cannotRun(), greenCommand('build')]), 'finish'],
    ['but alone it speaks for nothing', rounds(['a', cannotRun()], ['a', cannotRun()]), 'no-evidence'],
    ['nor do gates that look at the change alone', rounds(['a', cannotRun()], ['a', cannotRun(), verdict('size')]), 'no-evidence'],
    ['nor do tests of which none passes', rounds(['a', redBefore(0)], ['a', redBefore(0)]), 'no-evidence'],
    [
      'nor does a build that was red before',
      rounds(['a', redBefore(3, 'build')], ['a', verdict('build', { command, excuse: 'red-before' })]),
      'no-evidence',
    ],
    ['each of two that were red before is told once', rounds(['a', redBefore()], ['a', redBefore(), cannotRun('types')]), 'continue'],
    ['a linter that was red before is not worth telling', rounds(['a', redBefore(3, 'lint'), greenCommand('build')]), 'finish'],
    ['a flaky test is no reason to go on', rounds(['a', verdict('tests', { command, excuse: 'flaky' })]), 'finish'],
  ])('%s', (_name, all, decision) => {
    expect(said(decide(all, 'base', 0, limits))).toBe(decision);
  });

  test('the time that there is does not stop work that is done', () => {
    expect(said(decide(rounds(['a', red()]), 'base', 59_999, limits))).toBe('continue');
    expect(said(decide(rounds(['a', red()]), 'base', 60_000, limits))).toBe('out-of-time');
    expect(said(decide(rounds(['a', green]), 'base', 60_000, limits))).toBe('finish');
  });

  test('when nobody can be told any more, what was red before does not count', () => {
    const once = { ...limits, rounds: 1 };
    expect(said(decide(rounds(['a', redBefore()]), 'base', 0, once))).toBe('finish');
    expect(said(decide(rounds(['a', redBefore(0)]), 'base', 0, once))).toBe('no-evidence');
    expect(said(decide(rounds(['a', red()]), 'base', 0, once))).toBe('round-limit');
  });

  const push = { tool: 'Bash', by: 'hook guard', reason: 'no push to /a/b' };
  test.each<[string, readonly Denial[], GateVerdict, string]>([
    ['refused once, an agent may find another way', [push], red(), 'continue'],
    ['refused twice, it needs a person', [push, { ...push, reason: 'no push to /c/d' }], red(), 'permission-denied'],
    ['for different reasons, it may', [push, { ...push, reason: 'too big' }], red(), 'continue'],
    [
      'for different things, it may',
      [
        { ...push, target: '/usr/a' },
        { ...push, target: '/usr/b' },
      ],
      red(),
      'continue',
    ],
    [
      'for the same thing in other words, it needs a person',
      [
        { ...push, target: '/x' },
        { ...push, reason: 'no', target: '/x' },
      ],
      red(),
      'permission-denied',
    ],
    ['with different tools, it may', [push, { ...push, tool: 'Write' }], red(), 'continue'],
    ['when it is done, it did without', [push, push], green, 'finish'],
    ['what nobody judged is no error', [], verdict('contract', { kind: 'contract', passed: false }), 'not-judged'],
    ['what was judged is', [], verdict('contract', { kind: 'contract', passed: false, signature: 'c' }), 'continue'],
  ])('%s', (_name, denials, last, decision) => {
    expect(said(decide(rounds(['a', last]), 'base', 0, limits, denials))).toBe(decision);
  });

  test('what is red is named', () => {
    expect(decide(rounds(['a', green, verdict('lint', { passed: false })]), 'base', 0, limits)).toMatchObject({ red: [{ gate: 'lint' }] });
    expect(decide(rounds(['a', redBefore(), verdict('lint', { passed: false })]), 'base', 0, limits)).toMatchObject({
      kind: 'continue',
      red: [{ gate: 'lint' }, { gate: 'tests' }],
    });
  });
});

test('a round in which the agent was stopped is the last one, whatever its gates say', () => {
  const cut = (last: GateVerdict): Decision =>
    decide([...rounds(['a', red()]), { number: 2, tree: 'b', verdicts: [last], cut: 'same-error' }], 'base', 0, limits);
  expect(cut(green)).toEqual({ kind: 'stop', rule: 'same-error', red: [] });
  expect(cut(red())).toMatchObject({ kind: 'stop', rule: 'same-error', red: [{ gate: 'tests' }] });
});

describe('within a round, an agent', () => {
  const circle: CircleLimits = { sameError: 5, sameUse: 25 };
  const failure: ToolUse = { use: 'npm test', failed: true, answer: 'test-failure adds', denial: null, files: 'a' };
  const success: ToolUse = { ...failure, failed: false, answer: 'ok' };
  const times = (count: number, of: (index: number) => Partial<ToolUse> = () => ({})): readonly ToolUse[] =>
    Array.from({ length: count }, (_, index) => ({ ...failure, ...of(index) }));
  const denied = (reason: string, by = 'a hook'): Partial<ToolUse> => ({ denial: { tool: 'Bash', by, reason } });

  test.each<[string, readonly ToolUse[], string | undefined]>([
    ['that has not failed is fine', [], undefined],
    ['may fail four times in one way', times(4), undefined],
    ['does not five times', times(5), 'same-error'],
    ['works when the files are others each time', times(20, (index) => ({ files: `${index}` })), undefined],
    ['that comes back to the same files goes in a circle', times(9, (index) => ({ files: index % 2 ? 'a' : 'b' })), 'same-error'],
    ['may look at a failure from many sides', times(20, (index) => ({ use: `npm test ${index}` })), undefined],
    ['may fail in another way each time', times(20, (index) => ({ answer: `${index}` })), undefined],
    ['is judged by what it did last', [...times(5), { ...failure, use: 'npm run build' }], undefined],
    ['may be refused once', times(1, () => denied('no')), undefined],
    ['does not ask twice for the same', times(2, () => denied('no')), 'permission-denied'],
    ['may ask again when it has changed something', times(2, (index) => ({ ...denied('no'), files: `${index}` })), undefined],
    ['may ask in other words', times(4, (index) => ({ ...denied('no'), use: `git push ${index}` })), undefined],
    [
      'does not ask in five other words',
      times(5, (index) => ({ ...denied(`no (${index})`), use: `git push ${index}` })),
      'permission-denied',
    ],
    ['may be refused different things', times(5, (index) => ({ ...denied('no'.repeat(index)), use: `${index}` })), undefined],
    ['may run into the sandbox four times, which does not say so', times(4, () => denied('Read-only', bySandbox)), undefined],
    ['does not run into it five times', times(5, () => denied('Read-only', bySandbox)), 'permission-denied'],
    ['may do 24 times in a row what changes nothing', times(24, () => success), undefined],
    ['does not 25 times', times(25, () => success), 'no-progress'],
    ['may when the answer is another each time', times(50, (index) => ({ ...success, answer: `${index}` })), undefined],
    ['may when files change by it', times(50, (index) => ({ ...success, files: `${index}` })), undefined],
    ['may when it does something else in between', times(50, (index) => ({ ...success, use: index % 20 ? 'ls' : 'cat' })), undefined],
    ['has failed all the same when other things worked', [...times(4), success, failure], 'same-error'],
  ])('%s', (_name, uses, rule) => {
    expect(stuckIn(uses, circle)).toBe(rule);
  });
});
