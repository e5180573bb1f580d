import type { HookPoint } from '../../domain/hook.ts';
import type { Outcome } from '../../domain/outcome.ts';
import type { RunResult } from '../../domain/result.ts';
import type { Run } from '../../domain/run.ts';
import type { Task } from '../../domain/task.ts';

/** A say of the operator's in what runs do. */
export interface Hook {
  readonly id: string;
  readonly on: HookPoint;
  readonly timeoutMs: number;
  /**
   * May throw. Must stop everything it started when the signal aborts, which is also what a time-out does. After a crash it
   * is called again for the same attempt at the task, though in another run.
   */
  run(facts: HookFacts, signal: AbortSignal): HookAnswer | Promise<HookAnswer>;
}

/** Thrown by a hook that could not be asked, because this machine was short of something: that says nothing about the run. */
export class Unasked extends Error {}

/** Nothing and `true` go on. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement is a hook that has no objection
export type HookAnswer = void | boolean | { readonly allow: boolean; readonly reason?: string };

/** What a hook is told: plain JSON, and never a secret. */
export interface HookFacts {
  readonly point: HookPoint;
  readonly task: Pick<
    Task,
    'id' | 'source' | 'externalRef' | 'title' | 'body' | 'repository' | 'ref' | 'priority' | 'requestedBy' | 'trust'
  >;
  readonly run: Pick<Run, 'id' | 'attempt' | 'engine'>;
  /** Null when the run ended before it had a place. */
  readonly workspace: { readonly directory: string; readonly branch: string | null; readonly baseCommit: string | null } | null;
  /** Null before the run. */
  readonly outcome: Outcome | null;
  /** Null before the run. The patch is in `diffFile`. */
  readonly result: Omit<RunResult, 'diff' | 'sessionId'> | null;
}
