import { describe, expect, test } from 'vitest';
import type { NextAttempt } from './next-attempt.ts';
import { failed, type Setback } from './outcome.ts';
import { goesOnFrom, type History, planRecovery, type Recovery } from './recovery.ts';
import { stopRules } from './round.ts';

const fails = (code: string, retryable = false): Setback => failed(code, `It ended with ${code}.`, retryable) as Setback;
const stuck = (code: string): Setback => ({
  kind: 'needs-human',
  reason: { code, message: `Given up: ${code}.` },
  tried: 'It mended the wrong file.',
});

const at = (id: string, kind: 'green' | 'calls' = 'calls', messageId: string | null = 'msg') => ({
  id,
  kind,
  note: `Note of ${id}.`,
  session: { sessionId: 'session', messageId },
});

const history = (setback: Setback, more: Partial<History> = {}): History => ({
  setback,
  attempts: 1,
  maxAttempts: 3,
  backoffMs: 700,
  planned: undefined,
  checkpoints: [],
  tier: 'standard',
  affordable: true,
  ...more,
});

const plan = (setback: Setback, more: Partial<History> = {}): Recovery => planRecovery(history(setback, more));

const otherWay: NextAttempt = { checkpoint: null, background: 'Take another way.', tier: 'deep', otherWay: true, by: 'recovery' };

/** What goes wrong, with what follows the first time, and when no attempt is left. */
const catalogue: readonly (readonly [name: string, setback: Setback, first: Recovery['kind'], exhausted: Recovery['kind']])[] = [
  ['a limit of the rate', fails('rate-limited', true), 'retry', 'skip'],
  ['an overloaded provider', fails('overloaded', true), 'retry', 'skip'],
  ['a provider that cannot be reached', fails('model-unreachable', true), 'retry', 'skip'],
  ['a network that is down', fails('network', true), 'retry', 'skip'],
  ['an engine that crashed', fails('engine-killed', true), 'retry', 'skip'],
  ['an engine that broke', fails('engine-failed', true), 'retry', 'skip'],
  ['no answer at all', fails('no-result', true), 'retry', 'skip'],
  ['a full disk', fails('disk-full', true), 'retry', 'skip'],
  ['a branch that others went on in', fails('non-fast-forward', true), 'retry', 'skip'],
  ['a command that may do better', fails('exit-75', true), 'retry', 'skip'],
  ['a run that took too long', fails('timeout', true), 'retry', 'skip'],
  ['rounds that led nowhere', stuck('no-progress'), 'alternative', 'escalate'],
  ['the same error again and again', stuck('same-error'), 'alternative', 'escalate'],
  ['too many rounds', stuck('round-limit'), 'alternative', 'escalate'],
  ['a conversation that is too long', fails('prompt-too-long'), 'alternative', 'escalate'],
  ['a time that is nearly used up', stuck('out-of-time'), 'escalate', 'escalate'],
  ['gates that prove nothing', stuck('no-evidence'), 'escalate', 'escalate'],
  ['a model that declines', fails('refused'), 'escalate', 'escalate'],
  ['a sandbox that cannot be had', stuck('sandbox-unavailable'), 'escalate', 'escalate'],
  ['work of strangers without a sandbox', stuck('sandbox-needed'), 'escalate', 'escalate'],
  ['no model', stuck('no-model'), 'escalate', 'escalate'],
  ['a file of gates that cannot be read', stuck('bad-gates-file'), 'escalate', 'escalate'],
  ['work that nobody could judge', stuck('not-judged'), 'escalate', 'escalate'],
  ['the same refused twice', stuck('permission-denied'), 'escalate', 'escalate'],
  ['red gates of a command', fails('gates-red'), 'skip', 'skip'],
  ['a command that failed', fails('exit-1'), 'skip', 'skip'],
  ['a repository that is gone', fails('repository-not-found'), 'skip', 'skip'],
  ['a branch that is gone', fails('no-such-ref'), 'skip', 'skip'],
  ['an agent that changed nothing', fails('nothing-changed'), 'skip', 'skip'],
  ['more memory than it may have', fails('memory-exceeded'), 'skip', 'skip'],
];

describe('after a run went wrong, what follows from', () => {
  test.each(catalogue)('%s', (_, setback, first, exhausted) => {
    expect(plan(setback).kind).toBe(first);
    expect(plan(setback, { attempts: 3 }).kind).toBe(exhausted);
  });

  test('is said for every rule of the loop', () => {
    const known = new Set(catalogue.map(([, { reason }]) => reason.code));
    expect(stopRules.filter((rule) => !known.has(rule))).toEqual([]);
  });
});

describe('a retry', () => {
  test('comes after the backoff, or when the failure itself said', () => {
    expect(plan(fails('network', true))).toEqual({ kind: 'retry', afterMs: 700 });
    expect(plan({ ...fails('rate-limited', true), afterMs: 9_000 } as Setback)).toEqual({ kind: 'retry', afterMs: 9_000 });
  });
});

describe('a run that took too long', () => {
  test('goes on from its last checkpoint that has a conversation, and keeps what was planned', () => {
    const recovery = plan(fails('timeout', true), { checkpoints: [at('one'), at('two'), at('three', 'calls', null)], planned: otherWay });
    expect(recovery).toMatchObject({ kind: 'resume', plan: { checkpoint: 'two', tier: 'deep', otherWay: true, by: 'recovery' } });
  });
});

test('what was done last is worth keeping where the next attempt goes on among the files', () => {
  const kept = catalogue.filter(([, setback]) => goesOnFrom(setback)).map(([, { reason }]) => reason.code);
  expect(kept).toEqual(['timeout', 'prompt-too-long']);
});

describe('another way', () => {
  test('names the one that led nowhere, and has a bigger model', () => {
    const recovery = plan(stuck('no-progress'));
    expect(recovery).toMatchObject({ kind: 'alternative', plan: { checkpoint: null, tier: 'deep', otherWay: true, by: 'recovery' } });
    expect(recovery.kind === 'alternative' && recovery.plan.background).toContain('It mended the wrong file.');
  });

  test.each([
    ['light', 'standard'],
    ['standard', 'deep'],
    ['deep', 'deep'],
    [null, null],
  ] as const)('of %s is %s', (tier, higher) => {
    expect(plan(stuck('same-error'), { tier })).toMatchObject({ plan: { tier: higher } });
  });

  test('begins at the last point that was green', () => {
    const checkpoints = [at('one', 'green'), at('two', 'green'), at('three')];
    expect(plan(stuck('round-limit'), { checkpoints })).toMatchObject({ plan: { checkpoint: 'two' } });
  });

  test('is taken once, then a person is asked', () => {
    expect(plan(stuck('no-progress'), { attempts: 2, planned: otherWay })).toEqual({ kind: 'escalate' });
    expect(plan(fails('prompt-too-long'), { attempts: 2, planned: otherWay })).toEqual({ kind: 'escalate' });
  });

  test('is taken again after a person has spoken, and heeds what was said', () => {
    const planned: NextAttempt = { checkpoint: null, background: 'Look at the lexer.', tier: null, by: 'person' };
    const recovery = plan(stuck('no-progress'), { planned });
    expect(recovery.kind === 'alternative' && recovery.plan.background).toMatch(/^Look at the lexer\.[\s\S]+It mended the wrong file\./);
  });

  test('is not taken when there is no money for it', () => {
    expect(plan(stuck('no-progress'), { affordable: false })).toEqual({ kind: 'escalate' });
  });
});

describe('a conversation that is too long', () => {
  test('is begun anew among the files of the last checkpoint, with its note', () => {
    const recovery = plan(fails('prompt-too-long'), { checkpoints: [at('one'), at('two')] });
    expect(recovery).toMatchObject({ kind: 'alternative', plan: { checkpoint: 'two', newConversation: true, tier: null } });
    const background = recovery.kind === 'alternative' ? recovery.plan.background : '';
    expect(background).toContain('too long for the model');
    expect(background).toContain('- Note of one.');
    expect(background).not.toContain('Note of two.'); // that one is told by whoever goes on from it
  });
});
