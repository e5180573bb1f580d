import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, realpath, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LeftBehind } from '../gates/gate.ts';

/** Files in a workspace that the checks of a round are to write, and nobody else. Only with nothing at work in there. */
export interface Reports {
  /** Removes what is there: whatever it says of its age, no check of this round has written it. */
  clear(): Promise<void>;
  read(path: string): Promise<LeftBehind | undefined>;
  /** Does something that may write such files, which count for nothing, and leaves those that are there as they are. */
  without<T>(work: () => Promise<T>): Promise<T>;
}

/** As large as that is the report of a very large project. */
const longest = 256 * 1024 * 1024;

/** `aside` is a directory on the same disk that no check can write to. */
export function reportsIn(directory: string, paths: readonly string[], aside: string, limit = longest): Reports {
  const places = paths.map((path, index) => ({ path, kept: join(aside, `report-${index}`) }));

  const clear = async (): Promise<void> => {
    for (const { path } of places) {
      const place = await placeOf(directory, path);
      if (place !== undefined) await rm(place, { recursive: true, force: true });
    }
  };

  return {
    clear,
    async read(path) {
      const place = await placeOf(directory, path);
      const found = place === undefined ? undefined : await withFile(place, (file) => file.stat());
      if (!found?.isFile()) return undefined;
      return found.size > limit ? { kind: 'too-long', limit } : { kind: 'file', pieces: piecesOf(place as string, limit) };
    },
    async without(work) {
      await mkdir(aside, { recursive: true, mode: 0o700 });
      for (const { path, kept } of places) {
        // Of a run that was killed in here, and of other files.
        await rm(kept, { recursive: true, force: true });
        await move(await placeOf(directory, path), kept);
      }
      try {
        return await work();
      } finally {
        await clear();
        for (const { path, kept } of places) await putBack(kept, directory, path);
      }
    },
  };
}

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

async function withFile<T>(place: string, work: (file: FileHandle) => Promise<T>): Promise<T | undefined> {
  const file = await open(place, flags).catch(() => undefined);
  try {
    return file && (await work(file));
  } finally {
    await file?.close();
  }
}

async function* piecesOf(place: string, limit: number): AsyncGenerator<string> {
  const file = await open(place, flags);
  // Closes the file when it is over, or when nobody wants more.
  yield* file.createReadStream({ encoding: 'utf8', end: limit });
}

/** Where a file is or would be, if no link is on the way: the tree is an agent's, and one in it could lead anywhere. */
async function placeOf(directory: string, path: string): Promise<string | undefined> {
  const root = await realpath(directory).catch(() => undefined);
  if (root === undefined) return undefined;
  const parent = join(root, path, '..');
  return (await realpath(parent).catch(() => undefined)) === parent ? join(root, path) : undefined;
}

/** Also where its directory was taken away meanwhile. */
async function putBack(kept: string, directory: string, path: string): Promise<void> {
  if ((await lstat(kept).catch(() => undefined)) === undefined) return;
  const root = await realpath(directory).catch(() => undefined);
  // Whatever stands there instead is seen by `placeOf`.
  if (root !== undefined) await mkdir(join(root, path, '..')).catch(() => undefined);
  await move(kept, await placeOf(directory, path));
}

/** What is not there need not be moved, and where its directory is gone it has no place. */
async function move(from: string | undefined, to: string | undefined): Promise<void> {
  if (from === undefined) return;
  if (to === undefined) return rm(from, { recursive: true, force: true });
  await rename(from, to).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}
