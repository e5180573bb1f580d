import type { Outcome, Reason } from './outcome.ts';

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

export function runStatusOf(outcome: Outcome): RunStatus {
  return outcome.kind === 'needs-human' ? 'escalated' : outcome.kind;
}

export const reasonOf = (outcome: Outcome): Reason | null => ('reason' in outcome ? outcome.reason : null);
