/** Why something stands as it does: a stable code for programs, a sentence for people. */
export interface Reason {
  readonly code: string;
  readonly message: string;
}

/**
 * How one attempt ended. An engine never throws: whatever goes wrong is one of these,
 * and each says what the queue does next.
 */
export type Outcome =
  | { readonly kind: 'succeeded'; readonly summary?: string }
  /** `retryable`: the same may well do better another time, after a backoff, or after `afterMs` when the failure itself named a time. */
  | { readonly kind: 'failed'; readonly reason: Reason; readonly retryable: boolean; readonly afterMs?: number }
  | { readonly kind: 'cancelled' }
  /** The holder gives the task back unharmed (a drain ran out of time): it runs again at once and the attempt does not count. */
  | { readonly kind: 'released'; readonly reason: Reason }
  /** With `until`, the budget begins anew then and the task goes on by itself; without it, somebody has to raise it. */
  | { readonly kind: 'over-budget'; readonly reason: Reason; readonly until?: number }
  /** `tried` is what another attempt should know of this one; without it, the reason. */
  | { readonly kind: 'needs-human'; readonly reason: Reason; readonly tried?: string };

/** What went wrong with a run; what follows from it is for `planRecovery` to say. */
export type Setback = Extract<Outcome, { readonly kind: 'failed' | 'needs-human' }>;
export const isSetback = (outcome: Outcome): outcome is Setback => outcome.kind === 'failed' || outcome.kind === 'needs-human';

/** This machine could not do it, which says nothing about the task: it goes back in line and no attempt is counted. */
export const hostUnfit = (message: string): Outcome => ({ kind: 'released', reason: { code: 'host-unfit', message } });
export const isHostUnfit = (outcome: Outcome): boolean => outcome.kind === 'released' && outcome.reason.code === 'host-unfit';

export const failed = (code: string, message: string, retryable = false): Outcome => ({
  kind: 'failed',
  reason: { code, message },
  retryable,
});
