import type { Outcome, Reason, Setback } from './outcome.ts';
import type { Recovery } from './recovery.ts';
import type { Tier } from './tier.ts';

export const priorities = ['high', 'medium', 'low'] as const;
export type Priority = (typeof priorities)[number];

export const taskStatuses = [
  'queued',
  'blocked',
  'delayed',
  'awaiting-approval',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'over-budget',
  'escalated',
] as const;
export type TaskStatus = (typeof taskStatuses)[number];

/** Over for good, unless a person retries. The others still hold their dedupe key and their dependents. */
const closedStatuses = ['succeeded', 'failed', 'cancelled'] as const satisfies readonly TaskStatus[];
export const isClosed = (status: TaskStatus): boolean => (closedStatuses as readonly TaskStatus[]).includes(status);

/** These go on only when a person says how. */
export const needsPerson: readonly TaskStatus[] = ['awaiting-approval', 'over-budget', 'escalated'];

export const trustLevels = ['owner', 'known', 'untrusted'] as const;
export type Trust = (typeof trustLevels)[number];

/** What two have written is trusted like what the less trusted of them has. */
export const leastTrusted = (one: Trust, other: Trust): Trust => (trustLevels.indexOf(one) > trustLevels.indexOf(other) ? one : other);

/** What has to come of a task: changes, which are committed, or a review, for which nothing is. */
export const deliverables = ['changes', 'review'] as const;
export type Deliverable = (typeof deliverables)[number];

/** The source of the demo's tasks, which nobody else can give: a script answers for the model, and nothing of them is kept but the record. */
export const demoSource = 'demo';

/** A durable wish for work. */
export interface Task extends TaskState {
  readonly id: string;
  readonly source: string;
  readonly externalRef: string | null;
  readonly title: string;
  readonly body: string | null;
  readonly repository: string | null;
  readonly ref: string | null;
  readonly priority: Priority;
  readonly dedupeKey: string | null;
  readonly budgetUsd: number | null;
  readonly verify: readonly string[] | null;
  /** When it is done, in words: what a reviewer judges the evidence by. */
  readonly doneWhen: string | null;
  /** How often an agent may try to make its gates green; null is what the repository or the server says. */
  readonly maxRounds: number | null;
  readonly engine: string | null;
  /** The name of the profile it runs with. */
  readonly profile: string;
  /** Goes before what the profile says. */
  readonly tier: Tier | null;
  readonly labels: readonly string[];
  readonly deliverable: Deliverable;
  /** The branch of a remote repository that its changes go to; null is one of its own. */
  readonly branch: string | null;
  /** The task whose run found that this one is worth doing. */
  readonly parentTaskId: string | null;
  readonly requestedBy: string;
  readonly trust: Trust;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** The part of a task that transitions read and write. Times are epoch milliseconds. */
export interface TaskState {
  readonly status: TaskStatus;
  readonly reason: Reason | null;
  /** Attempts that were the task's own doing; a lost holder does not count as one. */
  readonly attempts: number;
  readonly maxAttempts: number;
  /** How often a holder vanished under it. Many in a row mean that the task kills its holder. */
  readonly losses: number;
  /** Dependencies that have not succeeded yet. */
  readonly waitingFor: number;
  readonly notBefore: number | null;
  readonly cancelRequestedAt: number | null;
  readonly closedAt: number | null;
  /** Nobody has approved it yet, and somebody has to before it may run, whatever else becomes of it. */
  readonly needsApproval: boolean;
  /** A person had to say how it goes on, once at least: see `domain/trend.ts`. */
  readonly helped: boolean;
}

export type TaskChange =
  | { readonly type: 'approved' }
  | { readonly type: 'dependency-succeeded' }
  | { readonly type: 'dependency-ended'; readonly dependency: string; readonly status: TaskStatus }
  | { readonly type: 'dependency-reopened' }
  | { readonly type: 'dependencies-changed'; readonly waitingFor: number }
  | { readonly type: 'due' }
  | { readonly type: 'claimed' }
  | { readonly type: 'settled'; readonly outcome: Exclude<Outcome, Setback> }
  | { readonly type: 'set-back'; readonly reason: Reason; readonly recovery: Recovery }
  | { readonly type: 'holder-lost'; readonly backoffMs: number }
  | { readonly type: 'cancel-requested' }
  /** A person was asked, and nothing more shall be done about it. */
  | { readonly type: 'withdrawn'; readonly reason: Reason }
  | { readonly type: 'retried'; readonly waitingFor: number };

export type Advance = { readonly ok: true; readonly next: TaskState } | { readonly ok: false; readonly refusal: Reason };

/** So many deaths of a holder in a row are put down to the holder; after more, the task has to wait before it gets another. */
const innocentLosses = 2;
/** And after so many it needs a person. */
export const lossLimit = 10;

export const dependencyFailed = 'dependency-failed';

export function firstState(wish: {
  readonly waitingFor: number;
  readonly notBefore: number | null;
  readonly needsApproval: boolean;
  readonly maxAttempts: number;
  readonly now: number;
}): TaskState {
  const state: Omit<TaskState, 'status'> = {
    reason: null,
    attempts: 0,
    maxAttempts: wish.maxAttempts,
    losses: 0,
    waitingFor: wish.waitingFor,
    notBefore: wish.notBefore,
    cancelRequestedAt: null,
    closedAt: null,
    needsApproval: wish.needsApproval,
    helped: false,
  };
  return lineUp(state, wish.now);
}

/** The whole life of a task. Pure: what is not listed here cannot happen. */
export function advance(state: TaskState, change: TaskChange, now: number): Advance {
  switch (change.type) {
    case 'approved':
      if (state.status !== 'awaiting-approval')
        return refuse('not-awaiting-approval', `The task is ${state.status}; only one that awaits approval can be approved.`);
      return to(lineUp({ ...state, reason: null, needsApproval: false, helped: true }, now));

    case 'dependency-succeeded': {
      const waited = { ...state, waitingFor: Math.max(0, state.waitingFor - 1) };
      return to(waited.status === 'blocked' ? lineUp(waited, now) : waited);
    }

    case 'dependency-ended':
      if (isClosed(state.status) || state.status === 'running') return to(state);
      return to(
        close(state, 'failed', now, {
          code: dependencyFailed,
          message: `It depends on ${change.dependency}, which ended ${change.status}. It is taken up again when that task is retried.`,
        }),
      );

    case 'dependency-reopened':
      if (state.status !== 'failed' || state.reason?.code !== dependencyFailed) return to(state);
      return to(lineUp({ ...reopened(state), attempts: state.attempts }, now));

    case 'dependencies-changed':
      if (!isWaiting(state.status)) {
        return refuse('not-waiting', `The task is ${state.status}; only one that still waits can get other dependencies.`);
      }
      return to(lineUp({ ...state, waitingFor: change.waitingFor }, now));

    case 'due':
      return state.status === 'delayed' ? to(lineUp(state, now)) : refuse('not-delayed', `The task is ${state.status}, not delayed.`);

    case 'claimed':
      if (state.status !== 'queued') return refuse('not-queued', `The task is ${state.status}, not queued.`);
      return to({ ...state, status: 'running', reason: null, attempts: state.attempts + 1 });

    case 'settled':
      if (state.status !== 'running') return refuse('not-running', `The task is ${state.status}, not running.`);
      return to(settle(state, change.outcome, now));

    case 'set-back':
      if (state.status !== 'running') return refuse('not-running', `The task is ${state.status}, not running.`);
      return to(recover(state, change.reason, change.recovery, now));

    case 'holder-lost': {
      if (state.status !== 'running') return refuse('not-running', `The task is ${state.status}, not running.`);
      if (state.cancelRequestedAt !== null) return to(close(state, 'cancelled', now, null));
      const lost = { ...state, attempts: state.attempts - 1, losses: state.losses + 1 };
      if (lost.losses <= innocentLosses) return to(lineUp(lost, now));
      const reason = {
        code: 'holder-lost',
        message: `The server died ${lost.losses} times while this task ran, so the task may be the cause.`,
      };
      if (lost.losses < lossLimit) return to({ ...lost, status: 'delayed', reason, notBefore: now + change.backoffMs });
      return to({ ...lost, status: 'escalated', reason });
    }

    case 'cancel-requested':
      if (isClosed(state.status)) return refuse('already-over', `The task is already ${state.status}.`);
      if (state.status === 'running') return to({ ...state, cancelRequestedAt: state.cancelRequestedAt ?? now });
      // Who calls off what waits for an answer has answered.
      return to(close({ ...state, cancelRequestedAt: now, helped: state.helped || awaitsDecision(state.status) }, 'cancelled', now, null));

    case 'withdrawn':
      if (!awaitsDecision(state.status)) return refuse('not-escalated', notEscalated(state.status));
      return to(close({ ...state, helped: true }, 'cancelled', now, change.reason));

    case 'retried':
      if (!isRetryable(state.status))
        return refuse(
          'not-retryable',
          `The task is ${state.status}; only one that failed, was cancelled, is delayed, went over its budget or was escalated can be retried.`,
        );
      // Whoever takes up early what would have been tried again by itself is only in a hurry.
      return to(
        lineUp(
          { ...reopened(state), waitingFor: change.waitingFor, notBefore: null, helped: state.helped || state.status !== 'delayed' },
          now,
        ),
      );
  }
}

/** Not begun yet: its place in line, its dependencies and its delay still count. */
export function isWaiting(status: TaskStatus): boolean {
  return status === 'queued' || status === 'blocked' || status === 'delayed' || status === 'awaiting-approval';
}

/** Its run came to a point where a person has to say how it goes on. */
export const awaitsDecision = (status: TaskStatus): boolean => status === 'escalated' || status === 'over-budget';
export const notEscalated = (status: TaskStatus): string =>
  `The task is ${status}; only one that was escalated or went over its budget waits for such a decision.`;

function isRetryable(status: TaskStatus): boolean {
  return ['failed', 'cancelled', 'over-budget', 'escalated', 'delayed'].includes(status);
}

/**
 * A task's place in line: its priority, then the time since which it has been wanted. Lower goes first. The number never
 * changes while a task waits, which keeps a claim one index look-up however long the line is. That nothing starves is seen
 * to by the claims: now and then one goes to whoever has waited too long (`starvingAfterMs`).
 */
export function rankOf(priority: Priority, readySince: number): number {
  return priorities.indexOf(priority) * bandMs + readySince;
}

/** Wider than any time that will ever be. */
const bandMs = 1e14;

/** A task of lower priority that has waited so long gets one claim in `starvingShare`, whatever more urgent comes in. */
export const starvingAfterMs = 30 * 60_000;
export const starvingShare = 5;

function settle(state: TaskState, outcome: Exclude<Outcome, Setback>, now: number): TaskState {
  // A cancel that was asked for is kept even when the work finished first: what was called off stays called off.
  if (state.cancelRequestedAt !== null) return close(state, 'cancelled', now, null);
  const settled = { ...state, losses: 0 };
  switch (outcome.kind) {
    case 'succeeded':
      return close(settled, 'succeeded', now, null);
    case 'cancelled':
      return close(settled, 'cancelled', now, null);
    case 'released':
      return lineUp({ ...settled, attempts: state.attempts - 1, reason: outcome.reason }, now);
    case 'over-budget':
      if (outcome.until === undefined) return { ...settled, status: 'over-budget', reason: outcome.reason };
      return { ...settled, status: 'delayed', reason: outcome.reason, attempts: state.attempts - 1, notBefore: outcome.until };
  }
}

function recover(state: TaskState, reason: Reason, recovery: Recovery, now: number): TaskState {
  if (state.cancelRequestedAt !== null) return close(state, 'cancelled', now, null);
  const settled = { ...state, losses: 0, reason };
  const ends = recovery.kind === 'skip' || recovery.kind === 'escalate';
  if (!ends && state.attempts >= state.maxAttempts) return close(settled, 'failed', now, reason);
  switch (recovery.kind) {
    case 'retry':
      return { ...settled, status: 'delayed', notBefore: now + recovery.afterMs };
    case 'resume':
    case 'alternative':
      return lineUp(settled, now);
    case 'skip':
      return close(settled, 'failed', now, reason);
    case 'escalate':
      return { ...settled, status: 'escalated' };
  }
}

function lineUp(state: Omit<TaskState, 'status'>, now: number): TaskState {
  if (state.needsApproval) return { ...state, status: 'awaiting-approval' };
  if (state.waitingFor > 0) return { ...state, status: 'blocked' };
  if (state.notBefore !== null && state.notBefore > now) return { ...state, status: 'delayed' };
  return { ...state, status: 'queued' };
}

const close = (state: TaskState, status: TaskStatus, now: number, reason: Reason | null): TaskState => ({
  ...state,
  status,
  reason,
  closedAt: now,
});

const reopened = (state: TaskState): TaskState => ({
  ...state,
  reason: null,
  attempts: 0,
  losses: 0,
  cancelRequestedAt: null,
  closedAt: null,
});

const to = (next: TaskState): Advance => ({ ok: true, next });

const refuse = (code: string, message: string): Advance => ({ ok: false, refusal: { code, message } });
