import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isId } from '../domain/id.ts';
import type { Clock } from '../platform/clock.ts';
import { bornAt } from '../platform/ids.ts';
import { tasksWithCheckpoints } from '../store/checkpoints.ts';
import { findRuns } from '../store/runs.ts';
import type { Store } from '../store/store.ts';
import { openAmong } from '../store/tasks.ts';
import { removeTree } from '../workspace/removal.ts';
import { scratchOf } from './place.ts';

export interface LeftoverParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly path: string;
  readonly runsDirectory: string;
  readonly sessionsDirectory: string;
  /** How long what a run wrote is kept after its end; null for ever. */
  readonly keepRecordsMs: number | null;
}

interface Cleared {
  readonly scratch: number;
  readonly sessions: number;
  readonly records: number;
}

export interface Leftovers {
  clear(signal: AbortSignal): Promise<Cleared>;
}

/**
 * What is left on this node's disk beside workspaces: scratch directories of runs that a killed server had, sessions of
 * tasks that are over, records that have had their time. To be made before the first run begins: what is there then is
 * nobody's any more.
 */
export async function findLeftovers(parts: LeftoverParts): Promise<Leftovers> {
  const { store, clock, runsDirectory, sessionsDirectory, keepRecordsMs } = parts;
  let interrupted = await named('run', runsDirectory);

  const scratch = async (signal: AbortSignal): Promise<number> => {
    let removed = 0;
    for (const id of interrupted) {
      if (signal.aborted) return removed;
      const path = scratchOf(runsDirectory, id);
      if ((await exists(path)) && (await removeTree(path, parts, signal))) removed += 1;
    }
    interrupted = [];
    return removed;
  };

  /** A closed task that is retried in this very moment would lose a session that it does not go on with. */
  const sessions = async (signal: AbortSignal): Promise<number> => {
    const there = await named('task', sessionsDirectory);
    const open = await openAmong(store.read, there);
    // One that is over can still be taken up again from a checkpoint.
    const kept = await tasksWithCheckpoints(store.read, there);
    return removeAll(
      there.filter((id) => !open.has(id) && !kept.has(id)).map((id) => join(sessionsDirectory, id)),
      signal,
    );
  };

  const records = async (signal: AbortSignal): Promise<number> => {
    if (keepRecordsMs === null) return 0;
    const before = clock.now() - keepRecordsMs;
    const old = (await named('run', runsDirectory)).filter((id) => bornAt(id) < before);
    const runs = await findRuns(store.read, old);
    const due = old.filter((id) => {
      const run = runs.get(id);
      return !run || (run.finishedAt !== null && run.finishedAt < before);
    });
    return removeAll(
      due.map((id) => join(runsDirectory, id)),
      signal,
    );
  };

  const removeAll = async (paths: readonly string[], signal: AbortSignal): Promise<number> => {
    let removed = 0;
    for (const path of paths) if (!signal.aborted && (await removeTree(path, parts, signal))) removed += 1;
    return removed;
  };

  return {
    clear: async (signal) => ({ scratch: await scratch(signal), sessions: await sessions(signal), records: await records(signal) }),
  };
}

/** Only what bears a name that we gave. */
const named = async (kind: 'run' | 'task', directory: string): Promise<readonly string[]> =>
  (await readdir(directory).catch(() => [])).filter((name) => isId(kind, name));

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
