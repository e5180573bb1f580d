import { isSetback, type Outcome, type Reason } from './outcome.ts';
import type { Recovery } from './recovery.ts';

export const runStatuses = ['running', 'succeeded', 'failed', 'cancelled', 'lost', 'released', 'over-budget', 'escalated'] as const;
export type RunStatus = (typeof runStatuses)[number];

/** One attempt at a task. Its id is also the fence: only the run that is still `running` may settle its task. */
export interface Run {
  readonly id: string;
  readonly taskId: string;
  readonly nodeId: string;
  readonly engine: string | null;
  readonly attempt: number;
  readonly status: RunStatus;
  readonly reason: Reason | null;
  readonly summary: string | null;
  readonly startedAt: number;
  readonly finishedAt: number | null;
}

export const isRunOver = (status: RunStatus): boolean => status !== 'running';

/** A run that went wrong counts as escalated only when a person is asked about it. */
export function runStatusOf(outcome: Outcome, recovery: Recovery | undefined): Exclude<RunStatus, 'running' | 'lost'> {
  if (!isSetback(outcome)) return outcome.kind;
  return recovery?.kind === 'escalate' ? 'escalated' : 'failed';
}

export const reasonOf = (outcome: Outcome): Reason | null => ('reason' in outcome ? outcome.reason : null);
