import type { BudgetScope, CapScope } from './budget.ts';
import type { CheckpointKind } from './checkpoint.ts';
import type { Finding } from './finding.ts';
import type { FollowedUp } from './follow-up.ts';
import type { GateExcuse, GateKind } from './gate.ts';
import type { HookPoint, HookVerdict } from './hook.ts';
import type { NoteKind } from './note.ts';
import type { Severity } from './notice.ts';
import type { Reason } from './outcome.ts';
import type { RecoveryKind } from './recovery.ts';
import type { Resolution } from './resolution.ts';
import type { TestReport } from './result.ts';
import type { DecidedRound } from './round.ts';
import type { RunStatus } from './run.ts';
import type { Priority, TaskStatus } from './task.ts';
import type { Tier } from './tier.ts';
import type { TokenUsage } from './usage.ts';

/** One thing that happened. The journal of these is what every watcher reads: streams, metrics, memory. */
export type Happening =
  | { readonly type: 'task.submitted'; readonly data: { title: string; source: string; priority: Priority; status: TaskStatus } }
  | { readonly type: 'task.duplicate'; readonly data: { source: string; requestedBy: string } }
  | { readonly type: 'task.status'; readonly data: { from: TaskStatus; to: TaskStatus; reason: Reason | null; notBefore?: number } }
  | { readonly type: 'task.priority'; readonly data: { from: Priority; to: Priority } }
  | { readonly type: 'task.budget'; readonly data: { from: number | null; to: number | null; by: string } }
  | { readonly type: 'task.dependencies'; readonly data: { dependsOn: readonly string[] } }
  | { readonly type: 'task.approved'; readonly data: { by: string; profile: string } }
  | { readonly type: 'task.denied' | 'task.cancel-requested'; readonly data: { by: string } }
  /** A run went wrong with `reason`, and what follows from that. How an attempt that was planned begins is told too. */
  | {
      readonly type: 'task.recovery';
      readonly data: { plan: RecoveryKind; reason: Reason; checkpoint?: string | null; tier?: Tier | null };
    }
  /** A person said how a task goes on that waited for that. */
  | { readonly type: 'task.resolved'; readonly data: { choice: Resolution['choice']; by: string; note: string | null } }
  | { readonly type: 'run.started'; readonly data: { attempt: number; node: string; engine: string | null } }
  | { readonly type: 'run.output'; readonly data: { stream: 'stdout' | 'stderr'; text: string } }
  | { readonly type: 'run.notice'; readonly data: { text: string } }
  /** The engine's conversation has its id; the first model call comes after this. */
  | { readonly type: 'run.session'; readonly data: { sessionId: string; resumed: boolean } }
  | { readonly type: 'run.text' | 'run.thinking'; readonly data: { text: string; parentCall?: string } }
  /** `call` pairs a start with its finish; `parentCall` is the call whose subagent made this one. */
  | { readonly type: 'run.tool-started'; readonly data: { call: string; tool: string; input: unknown; parentCall?: string } }
  | {
      readonly type: 'run.tool-finished';
      /** `output` is trimmed; `outputSize` is how long it was, in characters. */
      readonly data: {
        call: string;
        tool: string;
        failed: boolean;
        output: string;
        outputSize: number;
        durationMs: number;
        parentCall?: string;
      };
    }
  /** The engine's own count for one model over the whole session, so a later one replaces an earlier one. */
  | { readonly type: 'run.usage'; readonly data: TokenUsage & { model: string; costUsd: number; turns: number } }
  /** A model call failed and is tried again after `waitMs`. `status` is null when there was no answer at all. */
  | { readonly type: 'run.retry'; readonly data: { attempt: number; of: number; waitMs: number; status: number | null; error: string } }
  /** What its agent was reminded of when its session began. */
  | { readonly type: 'run.notes'; readonly data: { notes: readonly { note: string; kind: NoteKind }[]; tokens: number } }
  /** Which model the run works with, and why that one. `model` is null when the engine chooses. */
  | { readonly type: 'run.model'; readonly data: { tier: Tier; model: string | null; reason: string } }
  /** Its model calls wait for a provider, which does not count as time of the run. `until` is null when nobody knows. */
  | {
      readonly type: 'run.waiting';
      readonly data: { reason: 'rate-limited' | 'unavailable' | 'in-line'; provider: string; until: number | null };
    }
  | { readonly type: 'run.error'; readonly data: { code: string; message: string } }
  | { readonly type: 'run.verified'; readonly data: TestReport }
  | {
      readonly type: 'run.gate';
      readonly data: {
        gate: string;
        kind: GateKind;
        passed: boolean;
        excuse: GateExcuse | null;
        summary: string;
        findings: number;
        durationMs: number;
        cached: boolean;
      };
    }
  /** The agent has stopped and the gates were asked: what follows from it. `red` names the gates that are, `excused` others that were not green. */
  | {
      readonly type: 'run.round';
      readonly data: {
        number: number;
        tree: string | null;
        decision: DecidedRound['decision'];
        rule: DecidedRound['rule'];
        red: readonly string[];
        excused: readonly { gate: string; excuse: GateExcuse }[];
      };
    }
  /** A point to go back to. */
  | { readonly type: 'run.checkpoint'; readonly data: { checkpoint: string; number: number; kind: CheckpointKind; note: string } }
  /** The files are as they were at `checkpoint`; what they replaced is kept in `before`, null when nothing had changed. */
  | { readonly type: 'run.rewound'; readonly data: { checkpoint: string; before: string | null; by: string } }
  | {
      readonly type: 'run.hook';
      readonly data: { id: string; point: HookPoint; verdict: HookVerdict; durationMs: number; message?: string };
    }
  /**
   * A tool was not to be used, or the sandbox kept it from what it wanted. `by` is who refused it, the model was shown the
   * reason. `target` is what was wanted, where that is known.
   */
  | { readonly type: 'run.denied'; readonly data: { call: string; tool: string; by: string; reason: string; target?: string } }
  /** A tool got another input than the one that was asked for, here cut short. */
  | {
      readonly type: 'run.rewritten';
      readonly data: { call: string; tool: string; by: readonly string[]; reason: string | null; input: unknown };
    }
  /** What the tools of the run showed; once for each run and signature. */
  | { readonly type: 'run.finding'; readonly data: Finding & { readonly signature: string } }
  /** It was looked at what should follow from a run that succeeded. */
  | { readonly type: 'task.follow-ups'; readonly data: FollowedUp }
  | {
      readonly type: 'run.finished';
      readonly data: { status: RunStatus; reason: Reason | null; durationMs: number; attempt: number; node: string };
    }
  | { readonly type: 'queue.paused' | 'queue.resumed'; readonly data: { by: string } }
  /** Amounts in dollars, or in tokens where the budget is one of tokens; null is no limit. */
  | { readonly type: 'budget.changed'; readonly data: { scope: BudgetScope; from: number | null; to: number | null; by: string } }
  /** A call was refused because this is used up. Told once, until the budget begins anew or is changed. */
  | { readonly type: 'budget.exhausted'; readonly data: { scope: CapScope; limit: number; spent: number } }
  /** A conversation has become dear: each further message costs as much as all before it. Told once. */
  | { readonly type: 'budget.conversation'; readonly data: { conversationId: string; tokens: number; limit: number } }
  | { readonly type: 'price.unknown'; readonly data: { model: string; inputUsd: number; outputUsd: number } }
  /** Something that arrived cannot be understood, or a message cannot be delivered: each waits for a person. */
  | { readonly type: 'inbox.failed'; readonly data: { delivery: string; source: string; kind: string; reason: Reason } }
  | { readonly type: 'outbox.dead'; readonly data: { message: string; channel: string; recipient: string; reason: Reason } }
  | {
      readonly type: 'alert.raised' | 'alert.resolved';
      readonly data: { name: string; node: string; severity: Severity; title: string };
    }
  | { readonly type: 'alert.silenced'; readonly data: { name: string; until: number | null; by: string } }
  /** Something was remembered, said again, changed or forgotten. What it says is read in the note itself. */
  | {
      readonly type: 'note.added' | 'note.repeated' | 'note.edited' | 'note.deleted';
      readonly data: { note: string; kind: NoteKind; by: string };
    }
  /** A summary now stands for that many notes. */
  | { readonly type: 'note.condensed'; readonly data: { note: string; kind: NoteKind; notes: number } }
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
