import { constants, createWriteStream } from 'node:fs';
import { lstat, mkdir, open, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** Where a run leaves files that are not part of its result: reports, pictures, logs. Never committed. */
export const artifactsIn = (directory: string): string => join(directory, '.nightshift', 'artifacts');

export interface ArtifactLimits {
  readonly files: number;
  /** Of all together. */
  readonly bytes: number;
}

export const artifactLimits: ArtifactLimits = { files: 100, bytes: 256 * 2 ** 20 };

/** An agent may leave a million names that are no files; only so many are looked at. */
const looksPerFile = 10;

interface Kept {
  readonly kept: number;
  /** Names of what was not: too much, a link, a directory. */
  readonly leftOut: readonly string[];
}

/**
 * Copies the plain files of a run's artifacts into its records, without following a link on the way: an agent made them.
 * To be called when nothing of the run lives any more.
 */
export async function keepArtifacts(directory: string, target: string, limits: ArtifactLimits = artifactLimits): Promise<Kept> {
  const source = artifactsIn(directory);
  if (!(await isWayThrough(directory))) return { kept: 0, leftOut: [] };
  const leftOut: string[] = [];
  let [kept, bytes] = [0, 0];
  // A name that is not UTF-8 reads as another, which is not there.
  for (const [index, name] of (await readdir(source)).sort().entries()) {
    const found = index >= looksPerFile * limits.files ? undefined : await lstat(join(source, name)).catch(() => undefined);
    if (!found?.isFile() || kept >= limits.files || bytes + found.size > limits.bytes) {
      leftOut.push(name);
      continue;
    }
    await mkdir(target, { recursive: true, mode: 0o700 });
    await copy(join(source, name), join(target, name), found.size);
    kept += 1;
    bytes += found.size;
  }
  return { kept, leftOut };
}

/** One of a run's artifacts as text: undefined if it is no plain file, or longer than may be. */
export async function readArtifact(directory: string, name: string, maxBytes: number): Promise<string | undefined> {
  if (!(await isWayThrough(directory))) return undefined;
  const file = await open(join(artifactsIn(directory), name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    () => undefined,
  );
  try {
    const found = await file?.stat();
    return file && found?.isFile() && found.size <= maxBytes ? await file.readFile('utf8') : undefined;
  } finally {
    await file?.close();
  }
}

/** Whether there are artifacts, and no link on the way to them. */
async function isWayThrough(directory: string): Promise<boolean> {
  const way = [directory, join(directory, '.nightshift'), artifactsIn(directory)];
  const found = await Promise.all(way.map((path) => lstat(path).catch(() => undefined)));
  return found.every((each) => each?.isDirectory());
}

async function copy(from: string, to: string, size: number): Promise<void> {
  const file = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    // Without anything to read, a stream up to the byte before the first would read all.
    if (size === 0) await writeFile(to, '', { mode: 0o600 });
    else await pipeline(file.createReadStream({ end: size - 1, autoClose: false }), createWriteStream(to, { mode: 0o600 }));
  } catch (error) {
    await rm(to, { force: true }); // half of a file would be taken for the whole
    throw error;
  } finally {
    await file.close();
  }
}
