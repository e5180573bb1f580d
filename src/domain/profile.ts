import type { Task } from './task.ts';
import type { Tier } from './tier.ts';

/** A named way to set up an agent. Null means: as the server has it. */
export interface Profile extends ProfileSettings {
  readonly id: string;
  /** Unique, and never changed. */
  readonly name: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface ProfileSettings {
  readonly description: string | null;
  /** What to say to the agent, with placeholders; without it, the task's title and body. See `prompt.ts`. */
  readonly promptTemplate: string | null;
  /** Added to the system prompt. */
  readonly instructions: string | null;
  readonly tier: Tier | null;
  readonly model: string | null;
  /** The only tools there are; null is all of them. */
  readonly tools: readonly string[] | null;
  readonly timeoutSeconds: number | null;
  readonly maxTurns: number | null;
  /** Of tasks that name no budget of their own. */
  readonly budgetUsd: number | null;
  readonly engine: string | null;
}

/** The profile of tasks that name none. It is always there. */
export const defaultProfile = 'default';

/** Which model a run shall talk to. A task's own tier goes before all that its profile says. */
export function modelWish(
  task: Pick<Task, 'tier'>,
  profile: ProfileSettings,
): { readonly tier: Tier | null; readonly model: string | null } {
  return task.tier === null ? { tier: profile.tier, model: profile.model } : { tier: task.tier, model: null };
}
