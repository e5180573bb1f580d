import type { Clock } from '../platform/clock.ts';

/** Slows down whoever guesses: a few mistakes are free, then each one doubles the wait. */
export interface Guesses {
  /** How long this address has to wait before it may try again; 0 when it may. */
  waitMs(address: string): number;
  wrong(address: string): void;
  right(address: string): void;
}

const free = 5;
const firstWaitMs = 2_000;
const longestWaitMs = 15 * 60_000;
/** So many addresses are remembered. Who was forgotten begins anew, after many others had to make mistakes. */
const limit = 10_000;

export function createGuesses(clock: Clock): Guesses {
  const mistakes = new Map<string, { readonly count: number; readonly last: number; readonly until: number }>();
  return {
    waitMs: (address) => Math.max(0, (mistakes.get(address)?.until ?? 0) - clock.monotonic()),
    wrong(address) {
      const now = clock.monotonic();
      const known = mistakes.get(address);
      const count = known && now - known.last < 2 * longestWaitMs ? known.count + 1 : 1;
      const wait = count < free ? 0 : Math.min(longestWaitMs, firstWaitMs * 2 ** (count - free));
      mistakes.delete(address);
      mistakes.set(address, { count, last: now, until: now + wait });
      const oldest = mistakes.size > limit ? mistakes.keys().next().value : undefined;
      if (oldest !== undefined) mistakes.delete(oldest);
    },
    right: (address) => void mistakes.delete(address),
  };
}
