import type { ReviewVerdict } from '../domain/review.ts';

/** Who may set Nightshift to work through GitHub, and by what. */
export interface GitHubPolicy {
  /** What people write after the @. */
  readonly botName: string;
  /** `owner/name`; undefined for every repository whose webhook knows the secret. */
  readonly repositories: readonly string[] | undefined;
  readonly associations: readonly string[];
  /** Logins that may, whatever their association. */
  readonly allow: readonly string[];
  readonly others: 'ignore' | 'await-approval';
  readonly label: string;
  /** Branches, beside those of ours, on which a failed workflow is work. */
  readonly branches: readonly string[];
  /** The strongest verdict that a review of ours may give; a stronger one becomes a mere comment. */
  readonly reviews: ReviewVerdict;
  /** What works on it; never one that would take a comment for a command. */
  readonly engine: string;
}

export type GitHubIdentity =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'app'; readonly appId: string; readonly privateKey: string }
  /** It can listen, but neither look anything up nor answer. */
  | { readonly kind: 'none' };
