import type { KeyState, Role } from '../domain/access.ts';
import type { Checkpoint as DomainCheckpoint } from '../domain/checkpoint.ts';
import type { DeliveryState, MessageState } from '../domain/mail.ts';
import type { NoteKind, NoteTrust } from '../domain/note.ts';
import type { Reason } from '../domain/outcome.ts';
import type { ProfileSettings } from '../domain/profile.ts';
import type { RunResult } from '../domain/result.ts';
import type { DecidedRound } from '../domain/round.ts';
import type { RunStatus } from '../domain/run.ts';
import { isClosed, type Priority, type TaskStatus } from '../domain/task.ts';
import type { Tier } from '../domain/tier.ts';
import type { TokenUsage } from '../domain/usage.ts';
import type { WorkspaceStatus } from '../domain/workspace.ts';
import type { Machine } from '../platform/machine.ts';

/** What the server answers, as far as the command line looks at it. Times are ISO 8601. */
export interface Task {
  readonly id: string;
  readonly title: string;
  readonly body: string | null;
  readonly repository: string | null;
  readonly ref: string | null;
  readonly priority: Priority;
  readonly status: TaskStatus;
  readonly reason: Reason | null;
  readonly source: string;
  readonly requestedBy: string;
  readonly dependsOn: readonly string[];
  readonly notBefore: string | null;
  readonly dedupeKey: string | null;
  readonly budgetUsd: number | null;
  readonly verify: readonly string[] | null;
  readonly doneWhen: string | null;
  readonly maxRounds: number | null;
  readonly engine: string | null;
  readonly profile: string;
  readonly tier: Tier | null;
  readonly labels: readonly string[];
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly cancelRequestedAt: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly closedAt: string | null;
  readonly runs: readonly { readonly id: string; readonly status: RunStatus }[];
}

export interface Resolved {
  readonly task: Task;
  readonly work: {
    readonly runId: string;
    readonly nodeId: string;
    readonly branch: string | null;
    readonly fetchCommand: string | null;
    readonly workspace: string | null;
    readonly transcript: string;
    readonly outputFile: string;
    readonly sessionId: string | null;
    readonly summary: string | null;
  } | null;
}

export interface Run extends RunResult {
  readonly id: string;
  readonly taskId: string;
  readonly nodeId: string;
  readonly engine: string | null;
  readonly attempt: number;
  readonly status: RunStatus;
  readonly reason: Reason | null;
  readonly summary: string | null;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly durationMs: number | null;
  readonly outputFile: string;
  readonly artifacts: readonly { readonly name: string; readonly bytes: number }[];
  readonly rounds: readonly (Omit<DecidedRound, 'at'> & { readonly at: string })[];
}

export interface Checkpoint extends Pick<DomainCheckpoint, 'id' | 'taskId' | 'runId' | 'number' | 'kind' | 'note' | 'tooBig' | 'gates'> {
  readonly keepsIgnored: boolean;
  readonly at: string;
}

type Limits = Pick<ProfileSettings, 'timeoutSeconds' | 'maxTurns' | 'budgetUsd'>;

export interface Profile extends Omit<ProfileSettings, keyof Limits> {
  readonly id: string;
  readonly name: string;
  readonly limits: Limits;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface Workspace {
  readonly id: string;
  readonly taskId: string;
  readonly runId: string;
  readonly status: WorkspaceStatus;
  readonly repository: string;
  readonly branch: string;
  readonly path: string;
  readonly createdAt: string;
  readonly cleanupAt: string | null;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
}

export interface ApiKey {
  readonly id: string;
  readonly name: string;
  readonly state: KeyState;
  readonly role: Role;
  readonly scopes: readonly string[] | null;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly oldSecretUntil: string | null;
}

export interface AuditLine {
  readonly at: string;
  readonly user: string | null;
  readonly role: Role | null;
  readonly address: string;
  readonly action: string;
  readonly target: string;
  readonly outcome: string;
  readonly count: number;
}

export interface Delivery {
  readonly id: string;
  readonly source: string;
  readonly key: string;
  readonly kind: string;
  readonly state: DeliveryState;
  readonly reason: Reason | null;
  readonly taskIds: readonly string[];
  readonly receivedAt: string;
  /** Only where one is asked for. */
  readonly body?: string | null;
}

export interface Message {
  readonly id: string;
  readonly channel: string;
  readonly recipient: string;
  readonly kind: string;
  readonly taskId: string | null;
  readonly body?: unknown;
  readonly state: MessageState;
  readonly reason: Reason | null;
  readonly createdAt: string;
}

export interface Note {
  readonly id: string;
  readonly kind: NoteKind;
  readonly repository: string | null;
  readonly title: string;
  readonly text: string;
  readonly origin: { readonly kind: string; readonly name: string | null; readonly taskId: string | null; readonly runId: string | null };
  readonly trust: NoteTrust;
  readonly tags: readonly string[];
  readonly importance: number;
  readonly times: number;
  readonly supersededBy: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface QueueState {
  readonly paused: boolean;
  readonly open: readonly { readonly priority: Priority; readonly status: TaskStatus; readonly count: number }[];
  readonly nodes: readonly {
    readonly id: string;
    readonly startedAt: string;
    readonly address: string | null;
    readonly machine: Omit<Machine, 'serverMemoryBytes'> | null;
    readonly breakers: readonly { readonly id: string; readonly state: string }[];
  }[];
}

export interface Providers {
  readonly providers: readonly {
    readonly name: string;
    readonly keys: readonly { readonly id: string | null; readonly state: string }[];
  }[];
  readonly breakers: readonly { readonly id: string; readonly state: string }[];
  readonly waiting: readonly { readonly runId: string; readonly calls: number }[];
}

export interface StreamedEvent {
  readonly id: string;
  readonly at: string;
  readonly type: string;
  readonly taskId: string | null;
  readonly runId: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Nothing more happens to it unless a person wants it. */
export const isOver = (status: TaskStatus): boolean => isClosed(status) || status === 'over-budget' || status === 'escalated';

export interface Budget {
  readonly scope: string;
  readonly about: string;
  readonly unit: 'usd' | 'tokens';
  readonly limit: number | null;
  readonly spent: number | null;
  readonly reserved: number | null;
  readonly left: number | null;
  readonly resetsAt: string | null;
}

interface Spent extends TokenUsage {
  readonly calls: number;
  readonly failedCalls: number;
  readonly costUsd: number;
}

interface Ends {
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
}

interface Work {
  readonly finished: number;
  readonly alone: number;
  readonly autonomy: number | null;
}

export interface Trends {
  readonly from: string;
  readonly to: string;
  readonly days: readonly (Ends & { readonly day: string })[];
  readonly weeks: readonly (Work & { readonly week: string })[];
  readonly sources: readonly (Ends & Work & { readonly source: string; readonly success: number | null })[];
  readonly total: Ends & Work & { readonly success: number | null };
}

export interface GateTrend {
  readonly days: readonly {
    readonly day: string;
    readonly runs: number;
    readonly findings: number;
    readonly complex: number;
    readonly red: number;
    readonly redBefore: number;
    readonly coverage: number | null;
  }[];
}

export interface Usage {
  readonly from: string;
  readonly to: string;
  readonly by: string;
  readonly items: readonly (Spent & { readonly key: string })[];
  readonly total: Spent;
  readonly truncated: boolean;
}
