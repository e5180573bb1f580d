/**
 * A queue in the race, used as its own documentation recommends. Every promise resolves only when what was asked for
 * is stored under the durability that its row names.
 */
export interface Peer {
  submitOne(n: number): Promise<unknown>;
  submitBatch(from: number, count: number): Promise<unknown>;
  /**
   * Starts working off whatever is in the queue with a task that does nothing. `onRun` is called when a task is run,
   * for all tasks that it has been handed.
   */
  work(onRun: () => void): Promise<Work>;
  close(): Promise<unknown>;
}

export interface Work {
  /** Resolves once everything that was run is stored as done. Asked only after the last task has run. */
  settled(): Promise<unknown>;
  stop(): Promise<unknown>;
}

/** Asks again, closely, until the store says so: for peers that free the slot before the end of a task is stored. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 2));
}
