export const verdicts = ['ok', 'warning', 'failure'] as const;
export type Verdict = (typeof verdicts)[number];

/** What a look at one thing came to. */
export interface Finding {
  readonly check: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What to do about it. */
  readonly remedy?: string;
}

export const ok = (check: string, found: string): Finding => ({ check, verdict: 'ok', found });
export const warning = (check: string, found: string, remedy: string): Finding => ({ check, verdict: 'warning', found, remedy });
export const failure = (check: string, found: string, remedy: string): Finding => ({ check, verdict: 'failure', found, remedy });
