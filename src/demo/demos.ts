import { existsSync } from 'node:fs';
import { mkdtemp, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Reason } from '../domain/outcome.ts';
import { demoSource, isClosed, type Task } from '../domain/task.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { regularly } from '../platform/regularly.ts';
import type { Queue } from '../queue/queue.ts';
import type { Store } from '../store/store.ts';
import { findOpenByKey, listTasks } from '../store/tasks.ts';
import { removeTree } from '../workspace/removal.ts';
import type { Workspaces } from '../workspace/workspaces.ts';
import { makeSampleRepository } from './sample.ts';

type DemoStart = { readonly kind: 'started' | 'already'; readonly task: Task } | { readonly kind: 'refused'; readonly reason: Reason };

/**
 * The demo on this very server: a task like any other in a copy of the sample repository, but that a script answers for the
 * model (`gateway/demo.ts`). There is at most one at a time. When it is over, its files go and its record stays.
 */
export interface Demos {
  /** Gives the task, or names the one that there is. */
  start(requestedBy: string): Promise<DemoStart>;
  stop(): Promise<void>;
}

export interface DemoParts {
  readonly store: Store;
  readonly queue: Queue;
  readonly workspaces: Pick<Workspaces, 'forgetTask'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly nodeId: string;
  /** The sample, which is copied. */
  readonly sample: string;
  /** Where programs are found. */
  readonly path: string;
  /** Where copies are made; outside of the home, in which no task may work. */
  readonly directory?: string;
}

const dedupeKey = 'nightshift-demo';
const sweepEveryMs = 5_000;
/** A copy that no task names is being made, or was left by a server that was killed. */
const madeWithinMs = 600_000;

export function createDemos(parts: DemoParts): Demos {
  const { store, queue, workspaces, clock, log, nodeId, sample, path } = parts;
  const directory = parts.directory ?? tmpdir();
  const prefix = `nightshift-demo-${nodeId}-`;
  const stopping = new AbortController();
  /** Nothing is left, and nothing has come since. */
  let swept = false;
  const repositoryIn = (folder: string): string => join(folder, 'rota');
  const remove = (folder: string): Promise<boolean> => removeTree(folder, { clock, path }, new AbortController().signal);

  async function start(requestedBy: string): Promise<DemoStart> {
    const [open] = await findOpenByKey(store.read, [dedupeKey]);
    if (open) return { kind: 'already', task: open };
    const folder = await mkdtemp(join(directory, prefix));
    // Not before it is there: a sweep under way would not find it, and think that there is nothing.
    swept = false;
    let begun: DemoStart | undefined;
    try {
      begun = await begin(folder, requestedBy);
      return begun;
    } finally {
      if (begun?.kind !== 'started') await remove(folder);
    }
  }

  async function begin(folder: string, requestedBy: string): Promise<DemoStart> {
    const made = await makeSampleRepository(sample, repositoryIn(folder), { clock, path, home: folder }, stopping.signal);
    if (!made.ok) return { kind: 'refused', reason: made };
    const [submission] = await store.write((tx) =>
      queue.enqueue(tx, [
        {
          title: 'Fix the failing test (demo)',
          source: demoSource,
          requestedBy,
          // Whoever asked for it, every word of it is ours.
          trust: 'owner',
          priority: 'high',
          repository: repositoryIn(folder),
          dedupeKey,
          engine: 'claude',
          labels: ['demo'],
          maxAttempts: 1,
        },
      ]),
    );
    switch (submission?.kind) {
      case 'created':
        return { kind: 'started', task: submission.task };
      case 'duplicate':
        return { kind: 'already', task: submission.task };
      case 'refused':
        return { kind: 'refused', reason: submission.refusal };
      case undefined:
        throw new Error('a wish was neither taken nor refused');
    }
  }

  /** The folder goes last: while it is there, the rest is looked for. */
  async function sweep(signal: AbortSignal): Promise<void> {
    if (swept) return;
    swept = true;
    for (const name of (await readdir(directory)).filter((each) => each.startsWith(prefix))) {
      if (signal.aborted) return;
      swept = false;
      const folder = join(directory, name);
      const repository = repositoryIn(folder);
      const task = (await listTasks(store.read, { repository }, { before: null, limit: 1 })).items[0];
      if (task ? !isClosed(task.status) : await isYoung(folder)) continue;
      if (task && !(await workspaces.forgetTask(task.id, signal))) continue;
      await remove(folder);
      if (existsSync(folder)) log.warn({ folder }, 'the files of a demo could not be removed; trying again');
    }
  }

  const isYoung = async (folder: string): Promise<boolean> =>
    clock.now() - ((await stat(folder).catch(() => undefined))?.mtimeMs ?? 0) < madeWithinMs;

  const sweeping = regularly(clock, sweepEveryMs, sweep, (error) =>
    log.warn({ err: error }, 'what demos left could not be looked for; trying again'),
  );
  return {
    start,
    async stop() {
      stopping.abort();
      await sweeping.stop();
    },
  };
}
