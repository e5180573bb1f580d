/** What the server says, in its own types. Types are all that crosses from there to here. */
export type {
  AlertView,
  AuditView,
  BackupsView,
  BudgetView,
  CheckpointView,
  DeliveryView,
  EventView,
  ExaminationView,
  GateTrendView,
  KeyView,
  MessageView,
  NoteView,
  ProvidersView,
  QueueView,
  ResolvedView,
  RunSpendingView,
  RunView,
  ServerView,
  SessionView,
  SnapshotView,
  TaskView,
  TrendsView,
  UsageView,
  WholeDeliveryView,
  WorkspaceView,
} from '../../../src/server/views.ts';

import type { RunView, SessionView, TaskView } from '../../../src/server/views.ts';

export type TaskStatus = TaskView['status'];
export type RunStatus = RunView['status'];
export type Priority = TaskView['priority'];

export type Role = SessionView['role'];
/** Each may all that the one before it may. */
export const roles: readonly Role[] = ['viewer', 'operator', 'owner'];
/** The server decides; this only keeps away what it would refuse. */
export const mayAct = (session: SessionView | null | undefined, needed: Role): boolean =>
  session != null && roles.indexOf(session.role) >= roles.indexOf(needed);

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
}

export const tiers: readonly NonNullable<TaskView['tier']>[] = ['light', 'standard', 'deep'];
export const priorities: readonly Priority[] = ['high', 'medium', 'low'];

export const waitingStatuses: readonly TaskStatus[] = ['queued', 'blocked', 'delayed'];
/** Nothing happens to these until somebody does something. */
export const needyStatuses: readonly TaskStatus[] = ['awaiting-approval', 'escalated', 'over-budget'];
export const closedStatuses: readonly TaskStatus[] = ['succeeded', 'failed', 'cancelled'];

const retryable: readonly TaskStatus[] = ['failed', 'cancelled', 'over-budget', 'escalated', 'delayed'];
export const canRetry = ({ status }: TaskView): boolean => retryable.includes(status);
export const canCancel = ({ status, cancelRequestedAt }: TaskView): boolean =>
  !closedStatuses.includes(status) && cancelRequestedAt === null;
export const awaitsDecision = ({ status }: TaskView): boolean => status === 'escalated' || status === 'over-budget';
export const awaitsApproval = ({ status }: TaskView): boolean => status === 'awaiting-approval';
export const isWaiting = ({ status }: TaskView): boolean => waitingStatuses.includes(status) || status === 'awaiting-approval';
