import type { NotGreen, TestCounts } from './gate.ts';
import type { Review } from './review.ts';
import { noUsage, type TokenUsage } from './usage.ts';

export interface FileChange {
  readonly path: string;
  /** Before a rename or copy. */
  readonly from?: string;
  readonly kind: 'added' | 'modified' | 'deleted' | 'renamed' | 'copied' | 'type-changed';
  readonly additions: number | null;
  readonly deletions: number | null;
  readonly binary: boolean;
}

/** Where the commits of a run are to be had. */
type Delivery =
  | { readonly kind: 'pushed' | 'already-there'; readonly branch: string }
  | { readonly kind: 'left-in-mirror'; readonly branch: string; readonly fetchCommand: string };

export interface TestReport {
  readonly command: readonly string[];
  readonly passed: boolean;
  readonly exitCode: number | null;
  /** Null when the output is not that of a runner whose counts are known. */
  readonly counts: TestCounts | null;
}

/** What came of a run. Filled as it goes on, so that a crash keeps what there was. */
export interface RunResult {
  readonly sessionId: string | null;
  readonly branch: string | null;
  readonly baseCommit: string | null;
  readonly commits: readonly string[];
  readonly filesChanged: readonly FileChange[];
  /** The beginning of the patch; the whole of it is in `diffFile`. */
  readonly diff: string | null;
  readonly diffFile: string | null;
  readonly diffTruncated: boolean;
  readonly delivery: Delivery | null;
  readonly tests: TestReport | null;
  /** Gates that were not green and did not count as red; the work was taken all the same. */
  readonly notGreen: readonly NotGreen[];
  /** Of a task that was asked for one. */
  readonly review: Review | null;
  readonly tokens: TokenUsage;
  readonly costUsd: number;
  readonly toolCalls: number;
}

export const noResult: RunResult = {
  sessionId: null,
  branch: null,
  baseCommit: null,
  commits: [],
  filesChanged: [],
  diff: null,
  diffFile: null,
  diffTruncated: false,
  delivery: null,
  tests: null,
  notGreen: [],
  review: null,
  tokens: noUsage,
  costUsd: 0,
  toolCalls: 0,
};
