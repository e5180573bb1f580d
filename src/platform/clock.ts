export type Cancel = () => void;

/**
 * Two kinds of time. `now` is the wall's: it may jump, so it is only for stamps and for people's deadlines.
 * `monotonic` never goes back: whatever measures a length of time uses it.
 */
export interface Clock {
  now(): number;
  monotonic(): number;
  /** Runs `callback` once after `ms`, unless cancelled. A timer that is left behind keeps the process alive, so none is. */
  after(ms: number, callback: () => void): Cancel;
}

/** The longest delay that setTimeout keeps; longer ones would fire at once. */
const longest = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, ms), longest));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms`, or at once when the signal aborts. */
export function wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
