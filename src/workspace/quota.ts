import { lstatSync, opendirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import type { Clock } from '../platform/clock.ts';

export interface Limits {
  readonly bytes: number;
  readonly files: number;
}

export interface Usage {
  /** What the files take on the disk; a hole in one takes nothing, and what has several names counts once. */
  readonly bytes: number;
  /** Everything that has a name: files, directories, links. */
  readonly files: number;
  /** Which limit is passed. The count stopped there, so it is a least. */
  readonly exceeded: 'bytes' | 'files' | null;
}

/** How long counting may hold up everything else. Asynchronous calls were measured at ten times the cost of these. */
const sliceMs = 4;
const longestPath = 3_500;

/** Counts without following links. What vanishes meanwhile, or cannot be read, is not counted. */
export async function measure(root: string, limits: Limits, clock: Clock, signal: AbortSignal): Promise<Usage> {
  const seen = new Set<string>();
  const pending = [root];
  let [bytes, files] = [0, 0];
  let sliceEnd = clock.monotonic() + sliceMs;
  const exceeded = (): Usage['exceeded'] => (files > limits.files ? 'files' : bytes > limits.bytes ? 'bytes' : null);
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    // Nobody needs a path this long, except to keep files out of sight.
    if (Buffer.byteLength(directory) > longestPath) return { bytes, files, exceeded: 'files' };
    for (const { path, isDirectory } of entries(directory)) {
      files += 1;
      if (isDirectory) pending.push(path);
      else bytes += sizeOnDisk(path, seen);
      if (exceeded() !== null || signal.aborted) return { bytes, files, exceeded: exceeded() };
      if (clock.monotonic() >= sliceEnd) {
        await new Promise((resolve) => setImmediate(resolve));
        sliceEnd = clock.monotonic() + sliceMs;
      }
    }
  }
  return { bytes, files, exceeded: null };
}

function* entries(directory: string): Generator<{ readonly path: string; readonly isDirectory: boolean }> {
  let open: ReturnType<typeof opendirSync>;
  try {
    open = opendirSync(directory, { bufferSize: 256 });
  } catch {
    return; // gone, or unreadable
  }
  try {
    for (let entry = open.readSync(); entry; entry = open.readSync()) {
      yield { path: `${directory}/${entry.name}`, isDirectory: entry.isDirectory() };
    }
  } finally {
    open.closeSync();
  }
}

function sizeOnDisk(path: string, seen: Set<string>): number {
  let found: ReturnType<typeof lstatSync>;
  try {
    found = lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return 0;
  }
  if (!found) return 0;
  if (found.nlink > 1) {
    const identity = `${found.dev}:${found.ino}`;
    if (seen.has(identity)) return 0;
    seen.add(identity);
  }
  return found.blocks * 512;
}

export interface QuotaWatch {
  /** Resolves when the last count is over. */
  stop(): Promise<void>;
  /** The newest count. */
  usage(): Usage | undefined;
}

const lookEveryMs = 2_000;
/** A full count is made when the disk shows that something is being written, and otherwise now and then. */
const suspiciousBytes = 32 * 1024 * 1024;
const suspiciousFiles = 2_000;
/** After a count, rest this many times as long as it took: when nothing seems to happen, and when something does. */
const calmRest = 20;
const hurriedRest = 3;

/**
 * Counts while an agent works and calls `onExceeded` once. Between counts a look at the disk's free space, one system call,
 * tells whether anything was written that would be worth a new count; so a flood is seen within seconds, and a quiet
 * workspace of 100,000 files costs next to nothing.
 */
export function watchQuota(root: string, limits: Limits, clock: Clock, onExceeded: (usage: Usage) => void): QuotaWatch {
  const stopping = new AbortController();
  let cancel = (): void => undefined;
  let newest: Usage | undefined;
  let counted: { readonly bytes: number; readonly files: number } | undefined;
  let rest = { calm: 0, hurried: 0 };

  const look = async (): Promise<void> => {
    const disk = await statfs(root).catch(() => undefined);
    const free = disk && { bytes: disk.bfree * disk.bsize, files: disk.ffree };
    const suspicious = !counted || !free || counted.bytes - free.bytes > suspiciousBytes || counted.files - free.files > suspiciousFiles;
    if (clock.monotonic() < (suspicious ? rest.hurried : rest.calm)) return;
    const began = clock.monotonic();
    newest = await measure(root, limits, clock, stopping.signal);
    counted = free;
    const ended = clock.monotonic();
    rest = { calm: ended + calmRest * (ended - began), hurried: ended + hurriedRest * (ended - began) };
    if (newest.exceeded !== null && !stopping.signal.aborted) {
      stopping.abort('exceeded');
      onExceeded(newest);
    }
  };

  let looking: Promise<void> = Promise.resolve();
  const turn = (): void => {
    looking = look().finally(() => {
      if (!stopping.signal.aborted) cancel = clock.after(lookEveryMs, turn);
    });
  };
  turn();
  return {
    usage: () => newest,
    async stop() {
      stopping.abort('stopping');
      cancel();
      await looking;
    },
  };
}
