import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What package managers write last, each time that they install. */
const marks = ['.package-lock.json', '.modules.yaml', '.yarn-integrity', '.yarn-state.yml'];
/** Of an installation, after that. */
const slackMs = 5_000;
const mostPrograms = 1_000;

/**
 * Programs in `node_modules/.bin` that are not as a package manager left them: gates are run with them, and git shows nobody
 * what is in there. Told by times, which somebody who means to can forge. Nothing where nothing is installed.
 */
export async function touchedPrograms(directory: string): Promise<readonly string[]> {
  const root = await realpath(directory).catch(() => directory);
  const packages = join(root, 'node_modules');
  const programs = join(packages, '.bin');
  for (const each of [packages, programs]) if (!(await lstat(each).catch(() => undefined))?.isDirectory()) return [];
  const names = (await readdir(programs).catch(() => [])).slice(0, mostPrograms);
  const installedAt = await lastInstalled(packages);
  if (installedAt === undefined) return (await isBuns(root)) ? [] : names.map((name) => `node_modules/.bin/${name}`);
  const touched = await Promise.all(
    names.map(async (name) => ((await isLater(join(programs, name), packages, installedAt)) ? [name] : [])),
  );
  return touched.flat().map((name) => `node_modules/.bin/${name}`);
}

async function lastInstalled(packages: string): Promise<number | undefined> {
  const found = await Promise.all(marks.map((name) => lstat(join(packages, name)).catch(() => undefined)));
  const times = found.flatMap((each) => (each?.isFile() ? [each.mtimeMs] : []));
  return times.length === 0 ? undefined : Math.max(...times) + slackMs;
}

/** It leaves no mark. */
const isBuns = async (root: string): Promise<boolean> =>
  (await Promise.all(['bun.lock', 'bun.lockb'].map((name) => lstat(join(root, name)).catch(() => undefined)))).some((each) =>
    each?.isFile(),
  );

/** Itself, what it leads to, or that this lies elsewhere. */
async function isLater(program: string, packages: string, installedAt: number): Promise<boolean> {
  const [own, target, place] = await Promise.all(
    [lstat(program), stat(program), realpath(program)].map((each) => each.catch(() => undefined)),
  );
  if (typeof own !== 'object' || typeof target !== 'object' || typeof place !== 'string') return false; // leads nowhere
  // What is linked more often belongs to a store for many projects: when another one takes it, that is a change too.
  const changedAt = target.nlink > 1 ? target.mtimeMs : target.ctimeMs;
  return own.ctimeMs > installedAt || (place.startsWith(`${packages}/`) && changedAt > installedAt);
}
