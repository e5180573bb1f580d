import type { Happening } from '../../domain/event.ts';
import type { Outcome } from '../../domain/outcome.ts';
import type { Task } from '../../domain/task.ts';

export interface EngineRequest {
  readonly task: Task;
  readonly runId: string;
  /** The directory to work in; it exists and belongs to this run. */
  readonly directory: string;
  /** The whole environment for whatever the engine starts. */
  readonly env: Readonly<Record<string, string>>;
}

export type EngineEvent =
  | Extract<Happening, { type: 'run.output' | 'run.notice' }>
  | { readonly type: 'outcome'; readonly outcome: Outcome };

/**
 * Something that can attempt a task. The events end with exactly one outcome. `run` must not throw: failures are
 * outcomes. When the signal aborts, it stops everything it started and ends with an outcome soon; which one does not
 * matter, since the runner knows why it aborted.
 */
export interface Engine {
  readonly name: string;
  /** Why this task cannot be attempted by this engine, or undefined. Asked when a task is submitted. */
  refuses(wish: { readonly body: string | null }): string | undefined;
  run(request: EngineRequest, signal: AbortSignal): AsyncIterable<EngineEvent>;
}
