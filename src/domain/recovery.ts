import type { Checkpoint } from './checkpoint.ts';
import type { NextAttempt } from './next-attempt.ts';
import type { Setback } from './outcome.ts';
import { type Tier, tiers } from './tier.ts';

export const recoveryKinds = ['retry', 'resume', 'alternative', 'skip', 'escalate'] as const;
export type RecoveryKind = (typeof recoveryKinds)[number];

/** What follows from a run that did not come to its end. */
export type Recovery =
  /** The same again, when what was in the way may be gone. */
  | { readonly kind: 'retry'; readonly afterMs: number }
  /** On from where it was. */
  | { readonly kind: 'resume'; readonly plan: NextAttempt }
  /** Another way. */
  | { readonly kind: 'alternative'; readonly plan: NextAttempt }
  /** Nothing: another attempt would end alike, and there is nothing to decide. */
  | { readonly kind: 'skip' }
  /** A person has to say how it goes on. */
  | { readonly kind: 'escalate' };

export interface History {
  readonly setback: Setback;
  /** This one included. */
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly backoffMs: number;
  /** How this attempt began, where that was planned. */
  readonly planned: NextAttempt | undefined;
  /** Of the run, in the order in which they were made. */
  readonly checkpoints: readonly Pick<Checkpoint, 'id' | 'kind' | 'note' | 'session'>[];
  /** That its agent worked with; null when it had none, or when a person chose it. */
  readonly tier: Tier | null;
  /** Whether the task's own budget has something left. */
  readonly affordable: boolean;
}

/** The only place that says what becomes of a task whose run went wrong. Pure. */
export function planRecovery(history: History): Recovery {
  const { setback, attempts, maxAttempts, affordable, planned } = history;
  const remedy = remedyOf(setback);
  const attemptLeft = attempts < maxAttempts;
  const mayGoAnotherWay = attemptLeft && affordable && planned?.otherWay !== true;
  switch (remedy) {
    case 'nothing':
      return { kind: 'skip' };
    case 'a-person':
      return { kind: 'escalate' };
    case 'the-same-again':
      return attemptLeft ? again(history) : { kind: 'skip' };
    case 'more-time':
      return attemptLeft ? onFromThere(history) : { kind: 'skip' };
    case 'another-way':
      return mayGoAnotherWay ? { kind: 'alternative', plan: anotherWay(history) } : { kind: 'escalate' };
    case 'a-new-conversation':
      return mayGoAnotherWay ? { kind: 'alternative', plan: inANewConversation(history) } : { kind: 'escalate' };
  }
}

type Remedy = 'the-same-again' | 'more-time' | 'another-way' | 'a-new-conversation' | 'a-person' | 'nothing';

/** What the way in which a run ended does not say itself. */
const remedies: ReadonlyMap<string, Remedy> = new Map([
  ['no-progress', 'another-way'],
  ['same-error', 'another-way'],
  ['round-limit', 'another-way'],
  ['prompt-too-long', 'a-new-conversation'],
  ['timeout', 'more-time'],
  // Whether the model was right to decline is not for another model to say.
  ['refused', 'a-person'],
]);

function remedyOf(setback: Setback): Remedy {
  const known = remedies.get(setback.reason.code);
  if (known !== undefined) return known;
  if (setback.kind === 'needs-human') return 'a-person';
  return setback.retryable ? 'the-same-again' : 'nothing';
}

const again = ({ setback, backoffMs }: History): Recovery => ({
  kind: 'retry',
  afterMs: (setback.kind === 'failed' ? setback.afterMs : undefined) ?? backoffMs,
});

/** Whether the next attempt goes on among the files of a run that ended like this, so that what was done last is worth keeping. */
export const goesOnFrom = (setback: Setback): boolean => ['more-time', 'a-new-conversation'].includes(remedyOf(setback));

/** Without a point in its conversation there is nothing to go on from. */
function onFromThere(history: History): Recovery {
  const from = history.checkpoints.findLast(({ session }) => session !== null && session.messageId !== null);
  if (!from) return again(history);
  const { planned, setback } = history;
  return {
    kind: 'resume',
    plan: {
      checkpoint: from.id,
      background: `${setback.reason.message} Go on with what is left of the task, and keep an eye on the time.`,
      tier: planned?.tier ?? null,
      ...(planned?.otherWay ? { otherWay: true } : {}),
      by: 'recovery',
    },
  };
}

function anotherWay({ setback, planned, checkpoints, tier }: History): NextAttempt {
  return {
    checkpoint: checkpoints.findLast(({ kind }) => kind === 'green')?.id ?? null,
    background: told(
      planned,
      'An earlier attempt at this task led nowhere. What came of it, so that it is not done once more:',
      triedIn(setback),
      'Do not take that way again. Look first for why it cannot have worked, then take another one.',
    ),
    tier: tier && higher(tier),
    otherWay: true,
    by: 'recovery',
  };
}

/** How many notes of checkpoints stand for a conversation. */
const notesTold = 6;

/** The files stay; of what was said only the notes of the checkpoints. That of the last one is told to whoever goes on from it. */
function inANewConversation({ planned, checkpoints }: History): NextAttempt {
  const noted = checkpoints.slice(-notesTold, -1).map(({ note }) => note);
  return {
    checkpoint: checkpoints.at(-1)?.id ?? null,
    background: told(
      planned,
      'An earlier attempt at this task was broken off because its conversation had become too long for the model.',
      ...(noted.length === 0 ? [] : [`What was noted on its way:\n${noted.map((note) => `- ${note}`).join('\n')}`]),
      'Take small steps: look at parts of files, not at whole ones, and keep the output of commands short.',
    ),
    tier: planned?.tier ?? null,
    newConversation: true,
    otherWay: true,
    by: 'recovery',
  };
}

/** What a person said for this task holds for this attempt as well. */
const told = (planned: NextAttempt | undefined, ...lines: readonly string[]): string =>
  [planned?.by === 'person' ? planned.background : null, ...lines].filter(Boolean).join('\n\n');

const triedIn = (setback: Setback): string => (setback.kind === 'needs-human' ? setback.tried : undefined) ?? setback.reason.message;

const higher = (tier: Tier): Tier => tiers[Math.min(tiers.indexOf(tier) + 1, tiers.length - 1)] ?? tier;
