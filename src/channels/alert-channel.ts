import type { Channel } from '../outbox/channel.ts';

/** A way by which the owner is told, which can be tried without telling anybody anything. */
export interface AlertChannel extends Channel {
  /** What is wrong with it, or undefined. Rejects only when the signal aborts. */
  reach(signal: AbortSignal): Promise<string | undefined>;
}

export interface Reached {
  readonly name: string;
  readonly trouble: string | undefined;
}

export const reachAll = (channels: readonly AlertChannel[], signal: AbortSignal): Promise<readonly Reached[]> =>
  Promise.all(channels.map(async (channel) => ({ name: channel.name, trouble: await channel.reach(signal) })));
