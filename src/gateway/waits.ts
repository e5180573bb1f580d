import type { Caller } from './caller.ts';
import type { Waiting } from './routed-models.ts';

/** Brings the news that calls wait to whoever looks after the run that they belong to. */
export interface Waits {
  tell(caller: Caller, waiting: Waiting | null): void;
  /** Until the returned function is called; each wait that begins ends, with null. One listener for a run. */
  listen(runId: string, listener: (waiting: Waiting | null) => void): () => void;
}

export function createWaits(): Waits {
  const listeners = new Map<string, (waiting: Waiting | null) => void>();
  return {
    tell: ({ runId }, waiting) => listeners.get(runId)?.(waiting),
    listen(runId, listener) {
      listeners.set(runId, listener);
      return () => void listeners.delete(runId);
    },
  };
}
