import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Outcome, Setback } from './outcome.ts';
import type { Recovery } from './recovery.ts';
import { advance, firstState, isClosed, lossLimit, rankOf, type TaskChange, type TaskState, taskStatuses } from './task.ts';

const reason = { code: 'x', message: 'It went wrong.' };

const outcomes: fc.Arbitrary<Exclude<Outcome, Setback>> = fc.constantFrom<Exclude<Outcome, Setback>>(
  { kind: 'succeeded' },
  { kind: 'cancelled' },
  { kind: 'released', reason },
  { kind: 'over-budget', reason },
  { kind: 'over-budget', reason, until: 20_000 },
);

const plan = { checkpoint: null, background: null, tier: null, by: 'recovery' } as const;
const recoveries: fc.Arbitrary<Recovery> = fc.oneof(
  fc.constantFrom<Recovery>({ kind: 'resume', plan }, { kind: 'alternative', plan }, { kind: 'skip' }, { kind: 'escalate' }),
  fc.record({ kind: fc.constant('retry' as const), afterMs: fc.nat(10_000) }),
);
const ends: fc.Arbitrary<TaskChange> = fc.oneof(
  fc.record({ type: fc.constant('settled' as const), outcome: outcomes }),
  fc.record({ type: fc.constant('set-back' as const), reason: fc.constant(reason), recovery: recoveries }),
);

const changes: fc.Arbitrary<TaskChange> = fc.oneof(
  fc.constantFrom<TaskChange>(
    { type: 'approved' },
    { type: 'dependency-succeeded' },
    { type: 'dependency-ended', dependency: 'tsk_parent', status: 'failed' },
    { type: 'dependency-reopened' },
    { type: 'due' },
    { type: 'claimed' },
    { type: 'cancel-requested' },
    { type: 'withdrawn', reason },
  ),
  fc.record({ type: fc.constant('holder-lost' as const), backoffMs: fc.nat(10_000) }),
  fc.record({ type: fc.constant('dependencies-changed' as const), waitingFor: fc.nat(3) }),
  fc.record({ type: fc.constant('retried' as const), waitingFor: fc.nat(3) }),
  ends,
);

const births = fc.record({
  waitingFor: fc.nat(3),
  notBefore: fc.option(fc.integer({ min: 0, max: 20_000 })),
  needsApproval: fc.boolean(),
  maxAttempts: fc.integer({ min: 1, max: 4 }),
  now: fc.nat(10_000),
});

const steps = fc.array(fc.record({ change: changes, after: fc.integer({ min: -500, max: 5_000 }) }), { maxLength: 60 });

/** What must hold of every task at every moment. */
function expectLegal(state: TaskState): void {
  expect(taskStatuses).toContain(state.status);
  expect(state.closedAt !== null).toBe(isClosed(state.status));
  expect(state.attempts).toBeGreaterThanOrEqual(0);
  expect(state.attempts).toBeLessThanOrEqual(state.maxAttempts);
  expect(state.losses).toBeLessThanOrEqual(lossLimit);
  expect(state.waitingFor).toBeGreaterThanOrEqual(0);
  if (state.status === 'queued' || state.status === 'running') expect(state.waitingFor).toBe(0);
  if (!isClosed(state.status)) expect(state.needsApproval).toBe(state.status === 'awaiting-approval');
  if (state.status === 'blocked') expect(state.waitingFor).toBeGreaterThan(0);
  if (state.status === 'delayed') expect(state.notBefore).not.toBeNull();
  if (['failed', 'over-budget', 'escalated'].includes(state.status)) expect(state.reason).not.toBeNull();
}

describe('a task', () => {
  test('is never in an illegal state, whatever happens to it in whatever order', () => {
    fc.assert(
      fc.property(births, steps, (birth, story) => {
        let state = firstState(birth);
        let now = birth.now;
        expectLegal(state);
        for (const { change, after } of story) {
          now += after;
          const step = advance(state, change, now);
          if (step.ok) state = step.next;
          expectLegal(state);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test('has no attempt beyond its last one, whatever is planned', () => {
    const running = firstState({ waitingFor: 0, notBefore: null, needsApproval: false, maxAttempts: 1, now: 0 });
    const claimed = advance(running, { type: 'claimed' }, 0);
    if (!claimed.ok) throw new Error(claimed.refusal.message);
    expect(advance(claimed.next, { type: 'set-back', reason, recovery: { kind: 'resume', plan } }, 0)).toMatchObject({
      next: { status: 'failed', attempts: 1 },
    });
  });

  test('leaves a closed state only by a retry or with its dependency', () => {
    fc.assert(
      fc.property(births, steps, (birth, story) => {
        let state = firstState(birth);
        for (const { change } of story) {
          const step = advance(state, change, birth.now);
          if (!step.ok) continue;
          if (isClosed(state.status) && step.next.status !== state.status)
            expect(['retried', 'dependency-reopened']).toContain(change.type);
          if (state.status === 'succeeded') expect(step.next.status).toBe('succeeded');
          state = step.next;
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test('refuses without changing anything, and says why', () => {
    fc.assert(
      fc.property(births, changes, (birth, change) => {
        const state = Object.freeze(firstState(birth));
        const step = advance(state, change, birth.now);
        if (!step.ok) expect(step.refusal.message).toMatch(/^The task .+\.$/);
      }),
    );
  });

  test('once called off, it ends cancelled, however the run ends', () => {
    fc.assert(
      fc.property(ends, (ending) => {
        const start = firstState({ waitingFor: 0, notBefore: null, needsApproval: false, maxAttempts: 3, now: 0 });
        const end = [{ type: 'claimed' }, { type: 'cancel-requested' }, ending].reduce((state, change) => {
          const step = advance(state, change as TaskChange, 1);
          if (!step.ok) throw new Error(step.refusal.message);
          return step.next;
        }, start);
        expect(end.status).toBe('cancelled');
      }),
    );
  });
});

describe('a task that needs approval', () => {
  const waits = firstState({ waitingFor: 0, notBefore: null, needsApproval: true, maxAttempts: 3, now: 0 });
  const asked = { ...waits, waitingFor: 1 };
  const after = (start: TaskState, ...story: readonly TaskChange[]): TaskState =>
    story.reduce((state, change) => {
      const step = advance(state, change, 1);
      if (!step.ok) throw new Error(step.refusal.message);
      return step.next;
    }, start);
  const ended = { type: 'dependency-ended', dependency: 'tsk_parent', status: 'failed' } as const;
  const retried = { type: 'retried', waitingFor: 0 } as const;

  test.each<readonly [string, TaskState, readonly TaskChange[], string]>([
    ['called off and retried', waits, [{ type: 'cancel-requested' }, retried], 'awaiting-approval'],
    [
      'called off and retried twice',
      waits,
      [{ type: 'cancel-requested' }, retried, { type: 'cancel-requested' }, retried],
      'awaiting-approval',
    ],
    ['failed with its dependency and revived with it', asked, [ended, { type: 'dependency-reopened' }], 'awaiting-approval'],
    ['whose dependency succeeded', asked, [{ type: 'dependency-succeeded' }], 'awaiting-approval'],
    ['that lost its dependencies', asked, [{ type: 'dependencies-changed', waitingFor: 0 }], 'awaiting-approval'],
    ['approved after all', waits, [{ type: 'cancel-requested' }, retried, { type: 'approved' }], 'queued'],
    ['approved, called off and retried', waits, [{ type: 'approved' }, { type: 'cancel-requested' }, retried], 'queued'],
    [
      'approved, failed with its dependency and revived with it',
      asked,
      [{ type: 'approved' }, ended, { type: 'dependency-reopened' }],
      'blocked',
    ],
  ])('%s, asks until somebody has approved it, and then no more', (_, start, story, status) => {
    expect(after(start, ...story).status).toBe(status);
  });
});

describe('the place in line', () => {
  test('is given by priority, however old the others are, and by age within a priority', () => {
    expect(rankOf('high', Date.UTC(2099, 0))).toBeLessThan(rankOf('medium', 0));
    expect(rankOf('medium', Date.UTC(2099, 0))).toBeLessThan(rankOf('low', 0));
    expect(rankOf('low', 1_000)).toBeLessThan(rankOf('low', 1_001));
  });
});

test('a task whose budget begins anew by itself waits for that, and the attempt does not count', () => {
  const running: TaskState = {
    status: 'running',
    reason: null,
    attempts: 1,
    maxAttempts: 1,
    losses: 0,
    waitingFor: 0,
    notBefore: null,
    cancelRequestedAt: null,
    closedAt: null,
    needsApproval: false,
    helped: false,
  };
  const settled = (outcome: Exclude<Outcome, Setback>) => advance(running, { type: 'settled', outcome }, 100);
  expect(settled({ kind: 'over-budget', reason, until: 900 })).toMatchObject({
    next: { status: 'delayed', attempts: 0, notBefore: 900, reason },
  });
  expect(settled({ kind: 'over-budget', reason })).toMatchObject({ next: { status: 'over-budget', attempts: 1, notBefore: null } });
});
