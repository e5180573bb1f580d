import type { Cancel, Clock } from '../platform/clock.ts';

/** How long something may work, without the time that it is held up. */
export interface TimeLimit {
  /** Each hold is let go once; the time runs when nothing holds it. */
  hold(): void;
  letGo(): void;
  cancel(): void;
  readonly ms: number;
  /** Of it, what is used up so far. */
  used(): number;
}

export function startTimeLimit(clock: Clock, ms: number, exceeded: () => void): TimeLimit {
  let left = ms;
  let since = clock.monotonic();
  let holds = 0;
  let cancelTimer: Cancel | undefined = clock.after(left, exceeded);
  return {
    ms,
    used: () => ms - left + (holds === 0 && cancelTimer ? clock.monotonic() - since : 0),
    hold() {
      holds += 1;
      if (holds > 1 || !cancelTimer) return;
      cancelTimer();
      left -= clock.monotonic() - since;
    },
    letGo() {
      holds -= 1;
      if (holds > 0 || !cancelTimer) return;
      since = clock.monotonic();
      cancelTimer = clock.after(Math.max(0, left), exceeded);
    },
    cancel() {
      cancelTimer?.();
      cancelTimer = undefined;
    },
  };
}
