/** `cleaning` while its files are being removed; a row that is `removed` only tells that there was one. */
export const workspaceStatuses = ['active', 'completed', 'error', 'cleaning', 'removed'] as const;
export type WorkspaceStatus = (typeof workspaceStatuses)[number];

/** A run's isolated checkout. It outlives its run: the next run of the same task may take it over. */
export interface WorkspaceRecord {
  readonly id: string;
  readonly taskId: string;
  /** The run that holds it, or held it last. */
  readonly runId: string;
  /** The node on whose disk it is; no other one touches its files. */
  readonly nodeId: string;
  readonly status: WorkspaceStatus;
  /** In normal form, without secrets. */
  readonly repository: string;
  readonly ref: string;
  readonly branch: string;
  /** What the task's diff is against. */
  readonly baseCommit: string;
  /** The newest commit made from it; the base until there is one. */
  readonly tip: string;
  /** The directory that holds the checkout and Nightshift's own records of it. */
  readonly path: string;
  /** The mirror its objects are in. */
  readonly gitDir: string;
  readonly createdAt: number;
  readonly completedAt: number | null;
  /** When its files may go. */
  readonly cleanupAt: number | null;
  readonly removedAt: number | null;
}
