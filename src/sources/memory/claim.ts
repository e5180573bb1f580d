import type { MemoryItem, Moment } from './list.ts';

/**
 * Several Nightshifts may look at one list, and a list has no locks: it keeps what was written last. So an item is claimed
 * by writing into it who has it, and is ours when that still stands a while later. That is enough if nobody writes on the
 * ground of what they read long ago: whoever finds their claim after `settledAfterMs` knows that everybody else who had
 * read before it has written by then, or will not count what they wrote (docs/decisions/0022).
 */
const writtenWithinMs = 4_000;
export const settledAfterMs = 5_000;

const prefix = 'nightshift:';
export const markOf = (name: string): string => `${prefix}${name}`;

/** The tags of an item that is claimed. Whoever had it before has it no more. */
export const tagsWith = (mark: string, tags: readonly string[]): readonly string[] => [
  ...tags.filter((tag) => !tag.startsWith(prefix)),
  mark,
];

/** Who an item says that has it; of several, which nobody but a person writes, everybody takes the same one. */
export const holderIn = ({ tags }: MemoryItem): string | undefined => tags.filter((tag) => tag.startsWith(prefix)).sort()[0];

/** Whether what was read then may still be written upon. A machine that slept is told by the clock on the wall alone. */
export const isFresh = (read: Moment, now: Moment): boolean => ageOf(read, now) < writtenWithinMs;
/** Whether that holds for several writings to come. */
export const leavesTime = (read: Moment, now: Moment): boolean => ageOf(read, now) < writtenWithinMs / 2;
const ageOf = (read: Moment, now: Moment): number => Math.max(now.monotonic - read.monotonic, now.wall - read.wall);

export interface Claim {
  readonly mark: string;
  /** When the answer to our writing came, if it came in time; a claim of another process, or a late one, has none. */
  readonly writtenAt: number | undefined;
  readonly ageMs: number;
  /** After this long a claim without a time of writing is made anew: by then whoever was written over has said so. */
  readonly staleAfterMs: number;
  readonly keepsTags: 'surely' | 'perhaps';
}

/** What an item in progress, as it was asked for at `askedAt`, says of our claim to it. */
export function verdictOn(item: MemoryItem, claim: Claim, askedAt: number): 'ours' | 'theirs' | 'wait' | 'again' {
  const holder = holderIn(item);
  if (holder !== undefined && holder !== claim.mark) return 'theirs';
  if (claim.writtenAt === undefined) return claim.ageMs < claim.staleAfterMs ? 'wait' : 'again';
  if (askedAt - claim.writtenAt < settledAfterMs) return 'wait';
  // Where tags are kept, somebody has taken ours away, or the server kept none when we wrote it.
  return holder === undefined && claim.keepsTags === 'surely' ? 'again' : 'ours';
}
