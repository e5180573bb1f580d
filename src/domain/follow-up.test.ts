import { describe, expect, test } from 'vitest';
import type { KeptFinding } from './finding.ts';
import { type Candidate, chooseOffspring, type EndOfRun, worthyFindings } from './follow-up.ts';
import type { GateVerdict } from './gate.ts';

const candidate = (key: string, worth: Candidate['worth'] = 3): Candidate => ({ key, title: key, body: '', worth, from: 'finding' });
const keys = (list: readonly Candidate[]): string => list.map(({ key }) => key).join('');
const limits = { perRun: 3, perDay: 20, depth: 2 };
const nothing = { known: new Set<string>(), today: 0, depth: 0 };
const none = { known: 0, perRun: 0, perDay: 0, tooDeep: 0 };

describe('which candidates become tasks', () => {
  const five = [candidate('a', 3), candidate('b', 5), candidate('c', 2), candidate('d', 4), candidate('e', 3)];
  test.each([
    ['the worthiest first, as many as a run may make', five, nothing, 'bda', { ...none, perRun: 1 }],
    ['what is worth little is none', [candidate('a', 1), candidate('b', 2)], nothing, '', none],
    ['the same twice is one', [candidate('a'), candidate('a', 5)], nothing, 'a', { ...none, known: 1 }],
    ['what was one before is never one again', five, { ...nothing, known: new Set(['b', 'd']) }, 'ae', { ...none, known: 2 }],
    ['as many as a day may make', five, { ...nothing, today: 18 }, 'bd', { ...none, perRun: 1, perDay: 1 }],
    ['none on a day that has made enough', five, { ...nothing, today: 25 }, '', { ...none, perRun: 1, perDay: 3 }],
    ['a child may have children', five, { ...nothing, depth: 1 }, 'bda', { ...none, perRun: 1 }],
    ['a grandchild may not', five, { ...nothing, depth: 2 }, '', { ...none, tooDeep: 4 }],
  ] as const)('%s', (_, candidates, before, chosen, leftOut) => {
    const made = chooseOffspring(candidates, before, limits);
    expect(keys(made.chosen)).toBe(chosen);
    expect(made.leftOut).toEqual(leftOut);
  });

  test('with the limits of an operator who wants none', () => {
    expect(chooseOffspring(five, nothing, { ...limits, perRun: 0 }).chosen).toEqual([]);
    expect(chooseOffspring(five, nothing, { ...limits, depth: 0 }).chosen).toEqual([]);
  });
});

describe('which findings are work of their own', () => {
  const finding = (category: KeptFinding['category'], more: Partial<KeptFinding> = {}): KeptFinding => ({
    category,
    code: 'x',
    message: 'm',
    file: null,
    line: null,
    worth: 4,
    signature: category,
    gone: false,
    ...more,
  });
  const verdict = (kind: GateVerdict['kind'], excuse: GateVerdict['excuse']): GateVerdict =>
    ({ gate: kind, kind, passed: true, excuse }) as GateVerdict;
  const end = (more: Partial<EndOfRun> = {}): EndOfRun => ({ verdicts: [], filesChanged: ['src/sum.ts'], ...more });
  const redBefore = end({ verdicts: [verdict('tests', 'red-before')] });
  const green = end({ verdicts: [verdict('tests', null), verdict('types', null)] });

  test.each([
    ['a deprecation', finding('deprecation'), end(), true],
    ['a security warning', finding('security'), end(), true],
    ['one that is worth little', finding('security', { worth: 2 }), end(), false],
    ['one that the run mended', finding('deprecation', { gone: true }), end(), false],
    ['a failing test of the files that were changed', finding('test-failure', { file: './src/sum.ts' }), redBefore, false],
    ['a failing test elsewhere that failed before', finding('test-failure', { file: 'src/other.test.ts' }), redBefore, true],
    ['a failing test elsewhere, in a run without gates', finding('test-failure', { file: 'src/other.test.ts' }), end(), true],
    ['a failing test nobody knows where, in a run without gates', finding('test-failure'), end(), false],
    ['a failing test in between, green at the end', finding('test-failure', { file: 'src/other.test.ts' }), green, false],
    ['a failing test that is only flaky', finding('test-failure', { file: 'o' }), end({ verdicts: [verdict('tests', 'flaky')] }), false],
    ['a to-do that was seen while it was written', finding('todo'), end(), false],
    ...(['compile-error', 'type-error', 'crash', 'repetition', 'slow-command', 'improvement'] as const).map(
      (category) => [`something on the way (${category})`, finding(category), redBefore, false] as const,
    ),
  ] as const)('%s', (_, given, how, expected) => {
    expect(worthyFindings([given], how).length === 1).toBe(expected);
  });
});
