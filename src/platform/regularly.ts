import type { Clock } from './clock.ts';

export interface Regular {
  /** Calls the work off, and resolves when it has ended. */
  stop(): Promise<void>;
}

/** Does the work now, and again so long after each time it has ended. A failure is reported, and the next time comes. */
export function regularly(
  clock: Clock,
  everyMs: number,
  work: (signal: AbortSignal) => Promise<void>,
  onFailure: (error: unknown) => void,
): Regular {
  const stopping = new AbortController();
  let cancel = (): void => undefined;
  let working: Promise<void> = Promise.resolve();
  const turn = (): void => {
    working = work(stopping.signal)
      .catch(onFailure)
      .finally(() => {
        if (!stopping.signal.aborted) cancel = clock.after(everyMs, turn);
      });
  };
  turn();
  return {
    async stop() {
      stopping.abort('stopping');
      cancel();
      await working;
    },
  };
}
