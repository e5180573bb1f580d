import type { Clock } from '../platform/clock.ts';

export interface BreakerState {
  readonly state: 'closed' | 'open' | 'half-open';
  /** Failures in a row. */
  readonly failures: number;
  /** When it lets the next call through, on the wall's clock; null when it does already. */
  readonly until: number | null;
}

/** `unknown`: it says nothing about whether the next one would work. */
type Ending = 'worked' | 'failed' | 'limited' | 'unknown';

/**
 * Stands before one model of one provider. After some failures in a row it opens: nobody asks any more. After a while it
 * lets one call through; if that works it closes, else it stays open for longer. When it closes, and when a limit on the
 * rate ends, calls are let through a few at first and then more, so that those who waited do not all come at once.
 */
export interface Breaker {
  /** From when on a call may pass, by the monotonic clock: 0 for now, Infinity when that depends on calls under way. */
  readonly opensAt: number;
  /** Each call that enters leaves exactly once, when its answer has begun or failed. */
  enter(): void;
  leave(how: Ending): void;
  /** The provider named a time itself. */
  hold(ms: number): void;
  reset(): void;
  describe(): BreakerState;
  /** When a call last worked. */
  readonly workedAt: number;
}

const failuresToOpen = 5;
const openMs = 15_000;
const longestOpenMs = 300_000;
/** So many calls at once are as good as any number. */
const wideEnough = 32;

export function createBreaker(clock: Clock): Breaker {
  let failures = 0;
  let openings = 0;
  let openUntil = 0;
  let under = 0;
  let width = Number.POSITIVE_INFINITY;
  let workedAt = Number.NEGATIVE_INFINITY;
  const open = (ms: number): void => {
    openUntil = Math.max(openUntil, clock.monotonic() + ms);
    width = 1;
  };
  const isOpen = (): boolean => openUntil > clock.monotonic();
  return {
    get opensAt() {
      if (isOpen()) return openUntil;
      return under < width ? 0 : Number.POSITIVE_INFINITY;
    },
    get workedAt() {
      return workedAt;
    },
    enter() {
      under += 1;
    },
    leave(how) {
      under -= 1;
      switch (how) {
        case 'worked':
          failures = 0;
          openings = 0;
          openUntil = 0;
          workedAt = clock.monotonic();
          width = width + 1 < wideEnough ? width + 1 : Number.POSITIVE_INFINITY;
          return;
        case 'failed':
          failures += 1;
          if (isOpen() || (openings === 0 && failures < failuresToOpen)) return; // or a straggler from before it opened
          open(Math.min(longestOpenMs, openMs * 2 ** openings));
          openings += 1;
          return;
        case 'limited':
          width = 1;
          return;
        case 'unknown':
          return;
      }
    },
    hold: open,
    reset() {
      failures = 0;
      openings = 0;
      openUntil = 0;
      width = Number.POSITIVE_INFINITY;
    },
    describe() {
      const state = isOpen() ? 'open' : openings > 0 ? 'half-open' : 'closed';
      return { state, failures, until: isOpen() ? Math.round(clock.now() + openUntil - clock.monotonic()) : null };
    },
  };
}
