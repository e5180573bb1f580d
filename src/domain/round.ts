import { type GateVerdict, isEvidence, neverGreen, notJudged } from './gate.ts';
import { blanked } from './signature.ts';

/** One turn of the loop: the agent worked until it stopped, and the gates were asked. */
export interface Round {
  readonly number: number;
  /** git's name for all the files as they were, untracked ones included; null where there is no repository. */
  readonly tree: string | null;
  readonly verdicts: readonly GateVerdict[];
  /** The agent did not stop by itself: it was stopped by this rule while it went in a circle. */
  readonly cut?: StopRule;
}

export const stopRules = [
  'round-limit',
  'no-progress',
  'same-error',
  'out-of-time',
  'no-evidence',
  'not-judged',
  'permission-denied',
] as const;
export type StopRule = (typeof stopRules)[number];

export type Decision =
  | { readonly kind: 'finish' }
  /** `red` is what the agent is told about. */
  | { readonly kind: 'continue'; readonly red: readonly GateVerdict[] }
  | { readonly kind: 'stop'; readonly rule: StopRule; readonly red: readonly GateVerdict[] };

/** A round as it is stored: with what was decided after it. */
export interface DecidedRound extends Round {
  readonly decision: Decision['kind'];
  readonly rule: StopRule | null;
  readonly at: number;
}

/** A tool that was not to be used, by whom, and what the agent was told. */
export interface Denial {
  readonly tool: string;
  readonly by: string;
  readonly reason: string;
  /** What was wanted, where that is known. */
  readonly target?: string;
}

/** Whoever is refused by the sandbox is not told so: to an agent it looks like any failure. */
export const bySandbox = 'the sandbox';

/** One use of a tool. */
export interface ToolUse {
  /** What was asked for, in the words in which it was. */
  readonly use: string;
  readonly failed: boolean;
  /** What came of it, without what differs from one time to the next. */
  readonly answer: string;
  readonly denial: Denial | null;
  /** Stands for the files as they were then. */
  readonly files: string;
  /** It takes its time before it looks: something is to come about by itself. */
  readonly waits?: boolean;
}

export interface CircleLimits {
  readonly sameError: number;
  /** In a row, with the same answer. */
  readonly sameUse: number;
}

export interface RoundLimits {
  readonly rounds: number;
  /** So many rounds in a row that lead nowhere new. */
  readonly withoutProgress: number;
  readonly sameError: number;
  readonly milliseconds: number;
}

/**
 * What comes after a round: the work is done, the agent goes on, or going on is pointless or too dear. `base` is the tree
 * that the agent began with, `denials` what it was refused.
 */
export function decide(
  rounds: readonly Round[],
  base: string | null,
  elapsedMs: number,
  limits: RoundLimits,
  denials: readonly Denial[] = [],
): Decision {
  const last = rounds.at(-1);
  if (!last) return { kind: 'finish' };
  // Also with green gates: they say nothing of what the agent still meant to do.
  if (last.cut !== undefined) return { kind: 'stop', rule: last.cut, red: last.verdicts.filter(({ passed }) => !passed) };
  const red = last.verdicts.filter(({ passed }) => !passed);
  const untold = untoldIn(last, rounds.slice(0, -1));
  if (red.length + untold.length === 0) return finish(last);
  const rule = ruleFor(rounds, base, red, elapsedMs, limits, denials);
  if (rule === undefined) return { kind: 'continue', red: [...red, ...untold] };
  // There is nobody left to tell, which is no fault of the work.
  return red.length === 0 ? finish(last) : { kind: 'stop', rule, red };
}

/** Nothing is red. But where a check said no, only a check can say that the work is good. */
function finish({ verdicts }: Round): Decision {
  const red = verdicts.filter(neverGreen);
  return red.length === 0 || verdicts.some(isEvidence) ? { kind: 'finish' } : { kind: 'stop', rule: 'no-evidence', red };
}

function ruleFor(
  rounds: readonly Round[],
  base: string | null,
  red: readonly GateVerdict[],
  elapsedMs: number,
  limits: RoundLimits,
  denials: readonly Denial[],
): StopRule | undefined {
  if (red.some(notJudged)) return 'not-judged';
  if (red.length > 0 && deniedTwice(denials)) return 'permission-denied';
  if (wentNowhere(rounds, base) >= limits.withoutProgress) return 'no-progress';
  if (red.some(({ signature }) => timesSeen(rounds, signature) >= limits.sameError)) return 'same-error';
  if (rounds.length >= limits.rounds) return 'round-limit';
  return elapsedMs >= limits.milliseconds ? 'out-of-time' : undefined;
}

/** The first that came a second time, for the same reason: the agent needs what it may not have, and asking again will not give it. */
export function deniedTwice(denials: readonly Denial[]): Denial | undefined {
  const keys = denials.map(aboutWhat);
  return denials.find((_, index) => keys.indexOf(keys[index] ?? '') < index);
}

const aboutWhat = ({ tool, reason, target }: Denial): string => JSON.stringify([tool, target ?? blanked(reason)]);

/**
 * Whether the last of these says that an agent goes in a circle, while it is still at work: the same failed too often, and the
 * files are what they were each time. Whoever changes them between two attempts works, however often it fails, and one who
 * looks at a failure from several sides does not ask for the same. What works is a circle only when nothing else is done for
 * long: an agent may have to wait for something.
 */
export function stuckIn(uses: readonly ToolUse[], { sameError, sameUse }: CircleLimits): StopRule | undefined {
  const last = uses.at(-1);
  if (!last) return undefined;
  const { denial, files } = last;
  if (!last.failed) return uses.length - 1 - uses.findLastIndex((each) => !isSame(each, last)) >= sameUse ? 'no-progress' : undefined;
  const there = uses.filter((each) => each.failed && each.files === files);
  const times = there.filter((each) => isSame(each, last)).length;
  if (denial === null) return times >= (last.waits ? sameUse : sameError) ? 'same-error' : undefined;
  const alike = there.filter((each) => each.denial !== null && aboutWhat(each.denial) === aboutWhat(denial)).length;
  const enough = denial.by === bySandbox ? sameError : 2;
  return times >= enough || alike >= sameError ? 'permission-denied' : undefined;
}

const isSame = (one: ToolUse, other: ToolUse): boolean =>
  one.use === other.use && one.failed === other.failed && one.answer === other.answer && one.files === other.files;

/**
 * What was red before the agent came is told to it once: it may be its task after all, or it can install what is missing.
 * Not so what only complains of style: agents are tempted to mend all of it.
 */
function untoldIn({ verdicts }: Round, earlier: readonly Round[]): readonly GateVerdict[] {
  const isWorthTelling = (verdict: GateVerdict): boolean => neverGreen(verdict) && verdict.kind !== 'lint';
  const told = new Set(earlier.flatMap((round) => round.verdicts.filter(isWorthTelling).map(({ gate }) => gate)));
  return verdicts.filter((verdict) => isWorthTelling(verdict) && !told.has(verdict.gate));
}

/** How many rounds in a row, up to the last, ended where an earlier one had ended: going in a circle leads nowhere either. */
function wentNowhere(rounds: readonly Round[], base: string | null): number {
  const places = rounds.map(placeOf);
  const isNew = places.map((place, index) => place !== undefined && rounds[index]?.tree !== base && places.indexOf(place) === index);
  const known = places.map((place, index) => place === undefined || isNew[index] === true);
  return rounds.length - 1 - known.lastIndexOf(true);
}

/** Undefined where the files cannot be told: then only the other rules hold. */
function placeOf({ tree, verdicts }: Round): string | undefined {
  if (tree === null) return undefined;
  return JSON.stringify([tree, ...verdicts.map(({ gate, passed }) => [gate, passed])]);
}

const timesSeen = (rounds: readonly Round[], signature: string | null): number =>
  signature === null ? 0 : rounds.filter(({ verdicts }) => verdicts.some((verdict) => verdict.signature === signature)).length;
