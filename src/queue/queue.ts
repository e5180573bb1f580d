import type { Outcome, Reason } from '../domain/outcome.ts';
import type { Profile } from '../domain/profile.ts';
import type { Resolution } from '../domain/resolution.ts';
import type { Run } from '../domain/run.ts';
import type { Deliverable, Priority, Task, Trust } from '../domain/task.ts';
import type { Tier } from '../domain/tier.ts';
import type { NodeReport } from '../store/nodes.ts';
import type { Tx } from '../store/store.ts';

/** What a source, a person or an agent asks for. */
export interface Wish {
  readonly title: string;
  readonly source: string;
  readonly requestedBy: string;
  readonly trust: Trust;
  readonly priority: Priority;
  readonly externalRef?: string;
  readonly body?: string;
  readonly repository?: string;
  readonly ref?: string;
  readonly dependsOn?: readonly string[];
  readonly notBefore?: number;
  /** While a task with this key is open, another with the same key is the same task. */
  readonly dedupeKey?: string;
  readonly budgetUsd?: number;
  readonly verify?: readonly string[];
  readonly doneWhen?: string;
  readonly maxRounds?: number;
  readonly engine?: string;
  /** The name of a profile; without it, the default one. */
  readonly profile?: string;
  readonly tier?: Tier;
  readonly labels?: readonly string[];
  readonly deliverable?: Deliverable;
  /** The branch that its changes go to; without it, one of its own. */
  readonly branch?: string;
  readonly parentTaskId?: string;
  readonly maxAttempts?: number;
  readonly needsApproval?: boolean;
  /** Of the request that asks for it, where traces are kept. */
  readonly traceparent?: string;
}

export type Submission =
  | { readonly kind: 'created'; readonly task: Task }
  | { readonly kind: 'duplicate'; readonly task: Task }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** An expected "no": nothing was changed. */
export interface Refusal extends Reason {
  readonly status: 404 | 409 | 422;
  readonly details?: Record<string, unknown>;
}

export type Answer = { readonly ok: true; readonly task: Task } | { readonly ok: false; readonly refusal: Refusal };

/** A task in the hands of this node, until it is settled or the node is taken for dead. */
export interface Claim {
  readonly task: Task;
  readonly run: Run;
  /** Its profile as it was at the claim; undefined when there is none of that name any more. */
  readonly profile: Profile | undefined;
}

/** What is changed about a task with the word that it may go ahead. */
export interface Amendment {
  readonly profile?: string | undefined;
  /** Comes after what the task's body says already. */
  readonly addition?: string | undefined;
  readonly repository?: string | undefined;
  /** Of whoever adds that. The task is trusted no further from then on. */
  readonly trust?: Trust | undefined;
}

/** `lease-lost`: somebody took the run over, or it was settled before. The holder stops and does nothing more. */
export type Settlement = 'settled' | 'lease-lost';

/**
 * The durable queue. What takes a `Tx` becomes true with that transaction, together with whatever else is in it;
 * the rest are transactions of their own, and calls that come together share one.
 * Failures of the store are thrown (`StoreUnavailable`); everything else is a value.
 */
export interface Queue {
  enqueue(tx: Tx, wishes: readonly Wish[]): Promise<readonly Submission[]>;
  submit(wish: Wish): Promise<Submission>;

  /** The next tasks in line, at most `capacity`, now running and held by `node`. Empty while paused. */
  claim(node: string, capacity: number): Promise<readonly Claim[]>;
  settleIn(tx: Tx, settled: readonly Settled[]): Promise<readonly Settlement[]>;
  settle(settled: Settled): Promise<Settlement>;

  /** Says that the node lives, and how it stands; answers which runs are still its own. */
  heartbeat(node: string, report?: NodeReport): Promise<readonly string[]>;
  /**
   * Puts a dead holder's work back in line: all of it, or only the named runs. Of all of it also the model calls are
   * settled that were under way. Idempotent.
   */
  takeOver(node: string, runIds?: readonly string[]): Promise<number>;
  /** The same, and strikes the node off the list of those that live. */
  bury(node: string): Promise<number>;

  /** Puts delayed tasks whose time has come in line; answers when the next one is due. */
  promoteDue(): Promise<number | null>;

  /** Lets a task that awaits approval line up, amended. Of two that try, one is refused. */
  approve(id: string, by: string, amendment?: Amendment): Promise<Answer>;
  /** Refuses a task that awaits approval: it ends cancelled. */
  deny(id: string, by: string): Promise<Answer>;
  cancel(id: string, by: string): Promise<Answer>;
  cancelIn(tx: Tx, id: string, by: string): Promise<Answer>;
  /** With `from`, the id of a checkpoint, the next attempt goes on from there. */
  retry(id: string, from?: string): Promise<Answer>;
  /** What a person says about a task that was escalated or went over its budget. Of two that answer, one is refused. */
  resolve(id: string, resolution: Resolution, by: string): Promise<Answer>;
  setPriority(id: string, priority: Priority): Promise<Answer>;
  /** In any state; null is none of its own. A run under way has it at once. */
  setBudget(id: string, budgetUsd: number | null, by: string): Promise<Answer>;
  setDependencies(id: string, dependsOn: readonly string[]): Promise<Answer>;

  pauseIn(tx: Tx, by: string): Promise<void>;
  pause(by: string): Promise<void>;
  resume(by: string): Promise<void>;
  isPaused(): Promise<boolean>;
  /** Of the runs a node holds, those whose task was called off. */
  calledOff(node: string): Promise<readonly string[]>;
}

export interface Settled {
  readonly taskId: string;
  readonly runId: string;
  readonly outcome: Outcome;
}

/**
 * Where queued tasks stand until they are claimed: the part that differs from database to database.
 * Everything happens inside the caller's transaction.
 */
export interface Line {
  offer(tx: Tx, entries: readonly { readonly taskId: string; readonly rank: number }[]): Promise<void>;
  /** Removes tasks, claimed or not. Ids that do not stand in line are ignored. */
  withdraw(tx: Tx, taskIds: readonly string[]): Promise<void>;
  /** The first in line, unordered; no other transaction gets the same ones. With `below`, only of that priority or a lower one; without those `taken` in this transaction before. */
  take(tx: Tx, limit: number, below?: Priority, taken?: readonly string[]): Promise<readonly string[]>;
  stop(): Promise<void>;
}
