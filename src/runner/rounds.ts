import type { NewEvent } from '../domain/event.ts';
import { commandKinds, type GateVerdict, neverGreen, notGreenIn } from '../domain/gate.ts';
import { failed, type Outcome } from '../domain/outcome.ts';
import {
  type CircleLimits,
  type DecidedRound,
  type Decision,
  type Denial,
  decide,
  deniedTwice,
  type RoundLimits,
  type StopRule,
} from '../domain/round.ts';
import { namesOf, reportOf, sayExcuse, sayWeakening } from '../gates/report.ts';
import type { Clock } from '../platform/clock.ts';
import { append, denialsOf } from '../store/journal.ts';
import { insertRound, roundsOfSession } from '../store/rounds.ts';
import type { Store } from '../store/store.ts';
import type { Gating } from './gating.ts';
import { patiently } from './recorder.ts';
import type { Stuck } from './stuck.ts';

export interface RoundsParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly taskId: string;
  readonly runId: string;
  /** The address of what it works on, in one form for all ways of writing it. */
  readonly repository: string | null;
  readonly gating: Gating;
  /** Whether it is an agent that works; any other engine cannot be told anything more, and has one round. */
  readonly byAgent: boolean;
  readonly rounds: number;
  readonly milliseconds: number;
  /** Without the time in which it was held up. */
  readonly usedMs: () => number;
  /** The session that is gone on with, once there is one. */
  readonly session: () => string | null;
  /** Set when an earlier run was interrupted in the middle of this session. */
  readonly resumed: string | undefined;
  /** The agent at work, until it stops. `prompt` is what it is told when it is not its first time. */
  readonly work: (prompt: string | undefined) => Promise<Worked>;
  /** All gates are green after this round. */
  readonly green: (round: number, verdicts: readonly GateVerdict[]) => Promise<void>;
  /** Where what was done is kept for a person when it is given up: the branch, and how to get it. */
  readonly keep: () => Promise<string>;
}

/** `stuck`: it did not stop by itself, and what it would have come to nobody knows. */
export interface Worked {
  readonly outcome: Outcome;
  readonly stuck?: Stuck;
}

type Stop = Extract<Decision, { readonly kind: 'stop' }>;

/** The loop is over: the work counts, or the outcome says why not. The last verdicts are part of what came of the run. */
export interface Ended {
  readonly outcome: Outcome;
  readonly verdicts: readonly GateVerdict[];
}

/**
 * The agent works and the gates are asked, until they are green or a rule says that going on is pointless. Each round is on
 * disk, with what was decided, before the next begins: a run that goes on after a crash counts on.
 */
export async function workInRounds(parts: RoundsParts, signal: AbortSignal): Promise<Ended> {
  const { gating, clock } = parts;
  const limits = limitsOf(parts);
  const rounds: DecidedRound[] = [...(parts.resumed === undefined ? [] : await roundsOfSession(parts.store.read, parts.resumed))];
  let prompt = promptAfterInterruption(rounds, limits);
  const giveUp = ({ rule, red }: Stop, outcome: Outcome, stuck: Stuck | undefined, denials: readonly Denial[]): Promise<Outcome> =>
    stuck
      ? cutShort(parts, stuck, red, rounds)
      : stopped(parts, rule, red, rounds, outcome.kind === 'succeeded' ? outcome.summary : undefined, deniedTwice(denials));
  for (;;) {
    const { outcome, stuck } = await parts.work(prompt);
    if ((outcome.kind !== 'succeeded' && !stuck) || signal.aborted) return { outcome, verdicts: [] };
    const judged = await gating.judge(rounds);
    if (!judged.ok) return { outcome: judged.outcome, verdicts: [] };
    const { tree, verdicts } = judged;
    if ((verdicts.length === 0 && !stuck) || signal.aborted) return { outcome, verdicts };

    const round = { number: (rounds.at(-1)?.number ?? 0) + 1, tree, verdicts, ...(stuck ? { cut: stuck.rule } : {}) };
    const denials = await patiently(clock, signal, () => denialsOf(parts.store.read, { ...parts, sessionId: parts.resumed }));
    const decision = decide([...rounds, round], gating.baseTree, parts.usedMs(), limits, denials);
    rounds.push(await keepRound(parts, { ...round, decision: decision.kind, rule: ruleOf(decision), at: clock.now() }, decision, signal));
    switch (decision.kind) {
      case 'finish':
        await parts.green(round.number, verdicts);
        return { outcome: withExcuses(parts, outcome, verdicts), verdicts };
      case 'stop':
        return { outcome: await giveUp(decision, outcome, stuck, denials), verdicts };
      case 'continue':
        prompt = reportOf(decision.red, round.number + 1, limits.rounds);
    }
  }
}

/** From round to round, and within one while no file changes. */
const sameError = 5;
export const circleLimits: CircleLimits = { sameError, sameUse: 25 };

const limitsOf = ({ gating: { limits }, byAgent, rounds, milliseconds }: RoundsParts): RoundLimits => ({
  rounds: byAgent ? rounds : 1,
  withoutProgress: 3,
  sameError,
  milliseconds: Math.min(milliseconds, limits.minutes === undefined ? milliseconds : limits.minutes * 60_000),
});

/** An agent whose server died after a red round may not have been told of it. */
function promptAfterInterruption(rounds: readonly DecidedRound[], limits: RoundLimits): string | undefined {
  const last = rounds.at(-1);
  if (last?.decision !== 'continue') return undefined;
  const red = last.verdicts.filter((verdict) => !verdict.passed || neverGreen(verdict));
  const report = reportOf(red, last.number + 1, limits.rounds);
  return `You were interrupted: the server stopped while you were at work. Your last step may be half done. This is how things stood before:\n\n${report}`;
}

async function keepRound(
  { store, clock, taskId, runId, session, repository }: RoundsParts,
  round: DecidedRound,
  decision: Decision,
  signal: AbortSignal,
): Promise<DecidedRound> {
  const { number, tree, rule } = round;
  const red = decision.kind === 'finish' ? [] : decision.red.map(({ gate }) => gate);
  const excused = notGreenIn(round.verdicts).map(({ gate, excuse }) => ({ gate, excuse }));
  const event: NewEvent = { type: 'run.round', data: { number, tree, decision: decision.kind, rule, red, excused }, taskId, runId };
  await patiently(clock, signal, () =>
    store.write(async (tx) => {
      await insertRound(tx, runId, session(), repository, round);
      await append(tx, [event], clock.now());
    }),
  );
  return round;
}

const ruleOf = (decision: Decision): StopRule | null => (decision.kind === 'stop' ? decision.rule : null);

/** What was excused, and what the checks themselves were changed by, is no reason to fail, but nobody shall miss it: it is the first thing that is said. */
function withExcuses({ byAgent }: RoundsParts, outcome: Outcome, verdicts: readonly GateVerdict[]): Outcome {
  if (outcome.kind !== 'succeeded') return outcome;
  const excused = notGreenIn(verdicts).map((each) => `${capital(sayExcuse(each))}.`);
  const unchecked = !byAgent || verdicts.some(({ command }) => command !== null) ? [] : [whyUnchecked(verdicts)];
  const summary = [...excused, ...sayWeakening(verdicts), outcome.summary, ...unchecked].filter(Boolean).join('\n\n');
  return summary === '' ? outcome : { ...outcome, summary };
}

function whyUnchecked(verdicts: readonly GateVerdict[]): string {
  const told = verdicts.filter(({ kind }) => commandKinds.includes(kind)).map(({ summary }) => summary);
  return ['No command has checked this', ...(told.length === 0 ? ['none is known for the repository.'] : told)].join(': ');
}

const rules: Readonly<Record<StopRule, (rounds: number) => string>> = {
  'round-limit': (rounds) => `It was given up after ${rounds === 1 ? '1 round' : `${rounds} rounds`}, which is the limit`,
  'no-progress': (rounds) => `It was given up after ${rounds === 1 ? '1 round' : `${rounds} rounds`}: three in a row led nowhere new`,
  'same-error': (rounds) => `It was given up after ${rounds === 1 ? '1 round' : `${rounds} rounds`}: the same error came back five times`,
  'out-of-time': (rounds) =>
    `It was given up after ${rounds === 1 ? '1 round' : `${rounds} rounds`}: the time that it had is nearly used up`,
  'no-evidence': () => 'Nothing that could be run speaks for this change: what is not green was not green before either',
  'not-judged': () => 'Whether it is done by the words of the task could not be judged',
  'permission-denied': (rounds) =>
    `It was given up after ${rounds === 1 ? '1 round' : `${rounds} rounds`}: what it wants to use was refused twice`,
};

/** Ends with what a person needs: why, what is still red, and where the work is. */
async function stopped(
  parts: RoundsParts,
  rule: StopRule,
  red: readonly GateVerdict[],
  rounds: readonly DecidedRound[],
  lastWords: string | undefined,
  denial: Denial | undefined,
): Promise<Outcome> {
  const needsPerson = rule === 'not-judged' || rule === 'permission-denied';
  if (!parts.byAgent && !needsPerson) return redAtOnce(red);
  if (!needsPerson && red.every(({ kind }) => kind === 'changed')) {
    // A session that went on after a crash may take a step for done that never was: then the task deserves a fresh one.
    return failed(
      'nothing-changed',
      `The agent stopped ${rounds.length} times without having changed anything.`,
      parts.resumed !== undefined,
    );
  }
  const states = new Set(rounds.map(({ tree }) => tree)).size;
  const tried = states > 1 ? ` ${states} different states of the files were tried.` : '';
  const refused = rule === 'permission-denied' && denial ? ` ${denial.tool}, by ${denial.by}: ${denial.reason.replace(/\.$/, '')}.` : '';
  const why = `${rules[rule](rounds.length)}.${refused}${tried} Still red: ${withPlaces(red)}.`;
  const reason = { code: rule, message: `${why} ${await parts.keep()}`.trim() };
  return { kind: 'needs-human', reason, tried: [why, lastWords && `Its agent said at last: ${lastWords}`].filter(Boolean).join('\n\n') };
}

/** Of an agent that did not come to its end: what it did is judged and kept, but nobody takes it for done. */
async function cutShort(
  parts: RoundsParts,
  { rule, what }: Stuck,
  red: readonly GateVerdict[],
  rounds: readonly DecidedRound[],
): Promise<Outcome> {
  const state = red.length === 0 ? 'The gates are green, but the agent was not done.' : `Still red: ${withPlaces(red)}.`;
  const why = `It was given up in round ${rounds.length}: ${what}. ${state}`;
  return { kind: 'needs-human', reason: { code: rule, message: `${why} ${await parts.keep()}`.trim() }, tried: why };
}

/** Of a run that has one round. A command that failed may do better another time; what is in the files will not. */
function redAtOnce(red: readonly GateVerdict[]): Outcome {
  const check = red.find(({ kind }) => kind === 'task' || kind === 'tests');
  return check ? failed('verify-failed', `The check ${check.summary}`, true) : failed('gates-red', `Gates are red: ${namesOf(red)}.`);
}

const shownPlaces = 5;

/** What is red, and the files that it is about where that is not said already: a person begins by looking at those. */
function withPlaces(red: readonly GateVerdict[]): string {
  return red
    .map((verdict) => {
      const paths = new Set(verdict.findings.flatMap(({ path }) => (path === null || verdict.summary.includes(path) ? [] : [path])));
      const shown = [...paths].slice(0, shownPlaces).join(', ');
      return paths.size === 0 ? namesOf([verdict]) : `${namesOf([verdict])}: ${shown}${paths.size > shownPlaces ? ' …' : ''}`;
    })
    .join('; ');
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
