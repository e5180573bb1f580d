export const reviewVerdicts = ['approve', 'comment', 'request-changes'] as const;
export type ReviewVerdict = (typeof reviewVerdicts)[number];

/** About lines of a change as its reviewer saw it; whether they are in the change is for whoever publishes it to find out. */
export interface ReviewComment {
  readonly path: string;
  readonly line: number;
  /** The first line, of a comment about several. */
  readonly startLine?: number;
  /** `old`: the line is one that the change takes out. */
  readonly side: 'new' | 'old';
  readonly text: string;
}

/** What comes of a task that was asked for a review instead of a change. */
export interface Review {
  readonly verdict: ReviewVerdict;
  readonly summary: string;
  readonly comments: readonly ReviewComment[];
}
