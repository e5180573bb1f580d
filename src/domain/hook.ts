/** The moments of a run at which hooks are asked or told. */
export const hookPoints = ['pre-run', 'post-run', 'error'] as const;
export type HookPoint = (typeof hookPoints)[number];

/** Only a pre-run hook can refuse; a "no" of any other one is a failure of the hook. */
export type HookVerdict = 'passed' | 'refused' | 'failed' | 'timed-out';
