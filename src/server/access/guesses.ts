import type { Clock } from '../../platform/clock.ts';

/**
 * Slows down whoever guesses: a few mistakes are free, then each one doubles the wait. A credential that was right from an
 * address before is not held up there by the mistakes of others, so nobody can lock out whom they share an address with.
 */
export interface Guesses {
  /** How long this address has to wait before it may try this credential; 0 when it may. */
  waitMs(address: string, credential: string): number;
  wrong(address: string, credential: string): void;
  right(address: string, credential: string): void;
}

const free = 5;
const firstWaitMs = 2_000;
const longestWaitMs = 15 * 60_000;
/** So many addresses are remembered. Who was forgotten begins anew, after many others had to make mistakes. */
const limit = 10_000;

export function createGuesses(clock: Clock): Guesses {
  const mistakes = new Map<string, { readonly count: number; readonly last: number; readonly until: number }>();
  const proven = new Set<string>();
  const pair = (address: string, credential: string): string => `${address} ${credential}`;
  return {
    waitMs(address, credential) {
      const known = mistakes.get(address);
      return !known || proven.has(pair(address, credential)) ? 0 : Math.max(0, known.until - clock.monotonic());
    },
    wrong(address, credential) {
      proven.delete(pair(address, credential));
      const now = clock.monotonic();
      const known = mistakes.get(address);
      const count = known && now - known.last < 2 * longestWaitMs ? known.count + 1 : 1;
      const wait = count < free ? 0 : Math.min(longestWaitMs, firstWaitMs * 2 ** (count - free));
      mistakes.delete(address);
      mistakes.set(address, { count, last: now, until: now + wait });
      dropOldest(mistakes);
    },
    right(address, credential) {
      const name = pair(address, credential);
      if (proven.has(name)) return;
      proven.add(name);
      dropOldest(proven);
      mistakes.delete(address);
    },
  };
}

function dropOldest(kept: Map<string, unknown> | Set<string>): void {
  const oldest = kept.size > limit ? kept.keys().next().value : undefined;
  if (oldest !== undefined) kept.delete(oldest);
}
