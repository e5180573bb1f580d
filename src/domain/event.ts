import type { Reason } from './outcome.ts';
import type { RunStatus } from './run.ts';
import type { Priority, TaskStatus } from './task.ts';

/** One thing that happened. The journal of these is what every watcher reads: streams, metrics, memory. */
export type Happening =
  | { readonly type: 'task.submitted'; readonly data: { title: string; source: string; priority: Priority; status: TaskStatus } }
  | { readonly type: 'task.duplicate'; readonly data: { source: string; requestedBy: string } }
  | { readonly type: 'task.status'; readonly data: { from: TaskStatus; to: TaskStatus; reason: Reason | null; notBefore?: number } }
  | { readonly type: 'task.priority'; readonly data: { from: Priority; to: Priority } }
  | { readonly type: 'task.dependencies'; readonly data: { dependsOn: readonly string[] } }
  | { readonly type: 'task.cancel-requested'; readonly data: { by: string } }
  | { readonly type: 'run.started'; readonly data: { attempt: number; node: string; engine: string | null } }
  | { readonly type: 'run.output'; readonly data: { stream: 'stdout' | 'stderr'; text: string } }
  | { readonly type: 'run.notice'; readonly data: { text: string } }
  | { readonly type: 'run.verified'; readonly data: { command: readonly string[]; passed: boolean; exitCode: number | null } }
  | { readonly type: 'run.finished'; readonly data: { status: RunStatus; reason: Reason | null; durationMs: number; attempt: number } }
  | { readonly type: 'queue.paused' | 'queue.resumed'; readonly data: { by: string } }
  | { readonly type: 'node.started' | 'node.stopped'; readonly data: { node: string; recovered?: number } };

export type NewEvent = Happening & { readonly taskId?: string; readonly runId?: string };

/**
 * A position in the journal, opaque to clients. Later events have later positions;
 * a reader that asks for what comes after one never misses an event (see docs/decisions/0003-journal-order.md).
 */
export type Position = string;

export interface JournalEvent {
  readonly id: Position;
  readonly at: number;
  readonly type: Happening['type'];
  readonly taskId: string | null;
  readonly runId: string | null;
  readonly data: Record<string, unknown>;
}
