import type { Tier } from './tier.ts';

/** How the next attempt at a task begins, where it does not begin like the first. */
export interface NextAttempt {
  /** Goes on from here: its files, and its conversation. */
  readonly checkpoint: string | null;
  /** What the agent is told about what was before. */
  readonly background: string | null;
  /** Instead of the tier that would be chosen. */
  readonly tier: Tier | null;
  /** Only the files of the checkpoint: its conversation is over. */
  readonly newConversation?: true;
  /** Goes another way than one that led nowhere; there is no second such attempt until a person has spoken. */
  readonly otherWay?: true;
  readonly by: 'person' | 'recovery';
}
