/**
 * What can go wrong between a task's repository and its result. Nothing here throws for the world's doing: a failure is
 * a value with a stable code, and its message says what happened and what to do. What is thrown is a defect.
 */
export type FailureCode =
  | 'invalid-repository'
  | 'invalid-ref'
  | 'credentials-in-url'
  | 'local-not-allowed'
  | 'repository-not-found'
  | 'auth-failed'
  | 'host-key-unknown'
  | 'network'
  | 'no-such-ref'
  | 'empty-repository'
  | 'protected-branch'
  | 'refused-by-hook'
  | 'non-fast-forward'
  | 'conflict'
  | 'unrelated-histories'
  | 'nothing-to-commit'
  | 'unsafe-content'
  | 'mirror-corrupt'
  | 'disk-full'
  | 'git-missing'
  | 'host-unfit'
  | 'output-too-large'
  | 'timeout'
  | 'cancelled'
  | 'workspace-gone'
  | 'in-the-way'
  | 'git-failed';

export interface Failure {
  readonly code: FailureCode;
  readonly message: string;
  /** Trying again later, unchanged, may work. */
  readonly retryable: boolean;
  /** What git said, without secrets, cut to a page. */
  readonly detail?: string;
  readonly conflicts?: readonly Conflict[];
}

/** One path on which two histories disagree. */
export interface Conflict {
  readonly path: string;
  /** In git's words: `contents`, `modify/delete`, `rename/delete`, `binary`, … */
  readonly kind: string;
  readonly message: string;
}

export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

export const done = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });

export const refuse = (
  code: FailureCode,
  message: string,
  more: { readonly retryable?: boolean; readonly detail?: string; readonly conflicts?: readonly Conflict[] } = {},
): { readonly ok: false; readonly failure: Failure } => ({
  ok: false,
  failure: {
    code,
    message,
    retryable: more.retryable ?? false,
    ...(more.detail ? { detail: more.detail } : {}),
    ...(more.conflicts ? { conflicts: more.conflicts } : {}),
  },
});
