/** What waits, by whose it is: that of each run in the order of its coming, and the runs in turns. */
export interface Turns<T> {
  add(runId: string, item: T): void;
  /** It has had its turn: its run stands behind the others now. */
  served(runId: string, item: T): void;
  remove(runId: string, item: T): void;
  /** In the order of their turns. */
  readonly runs: ReadonlyMap<string, readonly T[]>;
  /** The first of each run, then the second of each, and so on. */
  all(): readonly T[];
}

export function createTurns<T>(): Turns<T> {
  const runs = new Map<string, readonly T[]>();
  const others = (runId: string, item: T): readonly T[] => (runs.get(runId) ?? []).filter((each) => each !== item);
  return {
    runs,
    add: (runId, item) => void runs.set(runId, [...(runs.get(runId) ?? []), item]),
    served(runId, item) {
      const left = others(runId, item);
      runs.delete(runId);
      if (left.length > 0) runs.set(runId, left);
    },
    remove(runId, item) {
      const left = others(runId, item);
      if (left.length > 0) runs.set(runId, left);
      else runs.delete(runId);
    },
    all() {
      const most = Math.max(0, ...[...runs.values()].map(({ length }) => length));
      return Array.from({ length: most }, (_, at) => [...runs.values()].flatMap((items) => items.slice(at, at + 1))).flat();
    },
  };
}
