/** The moments around a run. */
const runPoints = ['pre-run', 'post-run', 'error'] as const;
/** The moments while an engine is at work: there may be hundreds of each in a run. */
export const workPoints = ['thinking-start', 'pre-tool', 'tool-complete', 'compacting', 'turn-end'] as const;
/** All at which hooks are asked or told. */
export const hookPoints = [...runPoints, ...workPoints] as const;
export type RunPoint = (typeof runPoints)[number];
export type WorkPoint = (typeof workPoints)[number];
export type HookPoint = (typeof hookPoints)[number];

/** Only before a run and before a tool can a hook refuse; a "no" of any other one is a failure of the hook. */
export type HookVerdict = 'passed' | 'refused' | 'failed' | 'timed-out';

export const mayRefuse = (point: HookPoint): boolean => point === 'pre-run' || point === 'pre-tool';
