import type { Cancel, Clock } from '../platform/clock.ts';

/** How long something may work, without the time that it is held up. */
export interface TimeLimit {
  /** Each hold is let go once; the time runs when nothing holds it. */
  hold(): void;
  letGo(): void;
  cancel(): void;
}

export function startTimeLimit(clock: Clock, ms: number, exceeded: () => void): TimeLimit {
  let left = ms;
  let since = clock.monotonic();
  let holds = 0;
  let cancelTimer: Cancel | undefined = clock.after(left, exceeded);
  return {
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
