import type { Clock } from '../../platform/clock.ts';

/** How many requests somebody may make: so many a minute, and as many as that at once. */
export interface RateLimit {
  /** Counts a request. How long to wait instead, or 0 when it may go on. */
  take(who: string): number;
  /** The same without counting one. */
  waitMs(who: string): number;
}

const minuteMs = 60_000;
/** So many are remembered; one who was forgotten begins anew, after that many others came. */
const limit = 20_000;

/** Remembers one number of each: the time at which all that was taken is made up for. 0 a minute is no limit. */
export function rateLimit(clock: Clock, perMinute: number): RateLimit {
  if (perMinute === 0) return { take: () => 0, waitMs: () => 0 };
  const cost = minuteMs / perMinute;
  const debts = new Map<string, number>();
  const waitMs = (who: string): number => Math.max(0, (debts.get(who) ?? 0) + cost - clock.monotonic() - minuteMs);
  return {
    waitMs,
    take(who) {
      const wait = waitMs(who);
      if (wait > 0) return wait;
      const paidBy = Math.max(clock.monotonic(), debts.get(who) ?? 0) + cost;
      debts.delete(who);
      debts.set(who, paidBy);
      const oldest = debts.size > limit ? debts.keys().next().value : undefined;
      if (oldest !== undefined) debts.delete(oldest);
      return 0;
    },
  };
}
