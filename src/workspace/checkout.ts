import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { done, type Result } from './failure.ts';
import type { Git } from './git.ts';
import { removeTree } from './removal.ts';

/** Where a workspace keeps its two parts. The index lies beside the tree, so that no agent can write it. */
export const treeOf = (directory: string): string => join(directory, 'tree');
export const indexOf = (directory: string): string => join(directory, 'index');

/**
 * Puts commits on disk. Writing 100,000 files takes seconds however it is done, so for a repository where it took long a
 * spare checkout is made ahead of time, in the background; the next workspace gets it by a rename and only what changed
 * since is written. No agent has ever seen a spare. Rejected: hard links and overlays from one checkout (an edit in place
 * would reach the others, or needs privileges), and taking back used workspaces (an agent has been in there).
 */
export interface Checkouts {
  /** `directory` does not exist yet and is made. */
  make(gitDir: string, commit: string, directory: string, signal: AbortSignal): Promise<Result<void>>;
  /** Resolves when no spare is being made. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

export interface CheckoutParts {
  readonly git: Git;
  readonly clock: Clock;
  readonly log: Log;
  readonly path: string;
  readonly directory: string;
  /** How many repositories may have a spare at a time; 0 for none. */
  readonly spares: number;
  /** A checkout that took longer is worth a spare. */
  readonly worthMs?: number;
}

export async function openCheckouts(parts: CheckoutParts): Promise<Checkouts> {
  const { git, clock, log, directory: home } = parts;
  const worthMs = parts.worthMs ?? 250;
  const stopping = new AbortController();
  let making: Promise<void> = Promise.resolve();
  /** Names of mirrors with a spare on disk, the one used last at the end. */
  const kept = new Map<string, string>();

  await mkdir(home, { recursive: true, mode: 0o700 });
  for (const name of await readdir(home)) {
    const spare = /^(.+)@([0-9a-f]{40,64})$/.exec(name);
    const mirror = spare?.[1];
    if (mirror !== undefined && parts.spares > kept.size && !kept.has(mirror)) kept.set(mirror, join(home, name));
    else await removeTree(join(home, name), parts, stopping.signal);
  }

  const fill = (gitDir: string, commit: string, directory: string, signal: AbortSignal): Promise<Result<unknown>> =>
    git.run(
      { gitDir, workTree: treeOf(directory), index: indexOf(directory), args: ['read-tree', '--reset', '-u', commit], subject: gitDir },
      signal,
    );

  /** Two that want the same spare race for the rename, and one of them loses. */
  const takeSpare = async (gitDir: string, directory: string): Promise<string | undefined> => {
    const spare = kept.get(basename(gitDir));
    kept.delete(basename(gitDir));
    if (spare === undefined) return undefined;
    return rename(spare, directory).then(
      () => spare.slice(spare.lastIndexOf('@') + 1),
      () => undefined,
    );
  };

  const makeSpare = async (gitDir: string, commit: string): Promise<void> => {
    const mirror = basename(gitDir);
    if (kept.has(mirror) || stopping.signal.aborted) return;
    const unfinished = join(home, `making-${randomUUID()}`);
    await mkdir(treeOf(unfinished), { recursive: true, mode: 0o700 });
    const filled = await fill(gitDir, commit, unfinished, stopping.signal);
    if (!filled.ok) {
      await removeTree(unfinished, parts, new AbortController().signal);
      return;
    }
    const oldest = kept.size >= parts.spares ? kept.entries().next().value : undefined;
    if (oldest) {
      kept.delete(oldest[0]);
      await removeTree(oldest[1], parts, stopping.signal);
    }
    const spare = join(home, `${mirror}@${commit}`);
    await rename(unfinished, spare);
    kept.set(mirror, spare);
  };

  const later = (gitDir: string, commit: string): void => {
    if (parts.spares === 0 || stopping.signal.aborted) return;
    making = making.then(() => makeSpare(gitDir, commit)).catch((error: unknown) => log.warn({ err: error }, 'no spare checkout was made'));
  };

  return {
    async make(gitDir, commit, directory, signal) {
      const began = clock.monotonic();
      const spare = await takeSpare(gitDir, directory);
      if (spare === undefined) await mkdir(treeOf(directory), { recursive: true, mode: 0o700 });
      if (spare !== commit) {
        const filled = await fill(gitDir, commit, directory, signal);
        if (!filled.ok) return filled;
      }
      if (spare !== undefined || clock.monotonic() - began > worthMs) later(gitDir, commit);
      return done(undefined);
    },
    settled: () => making,
    async stop() {
      stopping.abort('stopping');
      await making;
    },
  };
}
