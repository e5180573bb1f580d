import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, opendir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { done, type Result, refuse } from './failure.ts';
import type { Git, GitCall } from './git.ts';
import { inTheWay } from './in-the-way.ts';
import { bytes, listOf, look, onDisk, readable } from './paths.ts';
import { dropFromIndex, listChanged, listIgnored, listIndex, swapFiles, takeSnapshot, treeWith } from './snapshot.ts';
import type { Workspace } from './workspace.ts';

/** All files of a workspace: those that git would show, and those that are ignored as far as they fit. */
export interface Files {
  readonly files: string;
  /** Null when there was too much of that to tell what to take: then what is ignored is left alone, here and when it is put back. */
  readonly ignored: string | null;
  /** What did not fit. It is left alone when the rest is put back. */
  readonly tooBig: readonly string[];
}

export interface Taken extends Files {
  /** That, and whatever else is there and not taken: installed packages, nested repositories, pipes. */
  readonly leftOut: readonly string[];
}

export interface Bounds {
  /** For what is ignored. */
  readonly bytes: number;
  readonly files: number;
  readonly longestFile: number;
}

const defaultBounds: Bounds = { bytes: 50 * 2 ** 20, files: 10_000, longestFile: 50 * 2 ** 20 };

/** More than this is no list that anybody reads, and a place where somebody made as many files as would go. */
const listLimit = 500;

/** What a package manager or a tool makes again by itself, by the name of the directory. Never taken, never touched. */
const installs: ReadonlySet<string> = new Set([
  'node_modules',
  'bower_components',
  'jspm_packages',
  '.pnpm-store',
  '.yarn',
  '.venv',
  'venv',
  'site-packages',
  '__pycache__',
  '.tox',
  '.nox',
  '.mypy_cache',
  '.pytest_cache',
  '.ruff_cache',
  '.gradle',
  '.m2',
  '.cargo',
  '.bundle',
  'Pods',
  '.terraform',
]);

/**
 * Takes all the files as they are now. `live` when somebody may be at work among them; `leave` are paths at and below which
 * nothing is looked at that git does not know. Its stat caches are the workspace's index and, for what is ignored, a second one beside it.
 */
export async function takeFiles(
  git: Git,
  workspace: Workspace,
  { live, leave = [], bounds = defaultBounds }: { readonly live: boolean; readonly leave?: readonly string[]; readonly bounds?: Bounds },
  signal: AbortSignal,
): Promise<Result<Taken>> {
  const { longestFile } = bounds;
  const away = new Set(leave);
  const [shown, listed] = await Promise.all([
    takeSnapshot(git, workspace, signal, { longestFile, live, leave: (path) => isWithin(path, away) }),
    listIgnored(git, workspace, signal),
  ]);
  if (!shown.ok) return shown;
  if (!listed.ok) return listed;
  // A pipe in the place of a file holds nothing; a long file or a repository does.
  const untaken = await whichHold(workspace.tree, shown.value.leftOut);
  if (untaken.files.length > listLimit)
    return refuse('unsafe-content', `More than ${listLimit} files are longer than ${longestFile} bytes.`);

  const chosen = await chooseIgnored(workspace.tree, listed.value, away, bounds);
  const leftOut = [...untaken.files, ...untaken.directories, ...chosen.leftOut, ...chosen.tooBig];
  if (chosen.tooBig.length > listLimit) {
    return done({ files: shown.value.tree, ignored: null, tooBig: untaken.files, leftOut: [...leftOut, ...listed.value.map(bare)] });
  }
  const on = { ...workspace, index: ignoredIndexOf(workspace) };
  if (chosen.paths.length === 0 && (await stat(on.index).catch(() => undefined)) === undefined) {
    return done({ files: shown.value.tree, ignored: emptyTree(workspace), tooBig: [...untaken.files, ...chosen.tooBig], leftOut });
  }
  await rm(`${on.index}.lock`, { force: true });
  const [before, changed] = await Promise.all([listIndex(git, on, signal), listChanged(git, on, signal)]);
  if (!before.ok) return before;
  if (!changed.ok) return changed;
  const wanted = new Set(chosen.paths);
  const known = new Set(before.value);
  const dropped = await dropFromIndex(
    git,
    on,
    before.value.filter((path) => !wanted.has(path)),
    signal,
  );
  if (!dropped.ok) return dropped;
  const fresh = [...chosen.paths.filter((path) => !known.has(path)), ...changed.value.filter((path) => wanted.has(path))];
  const hidden = await treeWith(git, on, fresh, signal, { longestFile, live });
  if (!hidden.ok) return hidden;
  return done({ files: shown.value.tree, ignored: hidden.value.tree, tooBig: [...untaken.files, ...chosen.tooBig], leftOut });
}

/**
 * Puts files in the place of those that were just taken, and says what came of it: what was left out of these stays as it is,
 * and so does what had been too big when the others were taken. Where anything that was not taken is in the way, nothing is
 * touched; otherwise `begin` is called before the first file is. To be called with nobody at work.
 */
export async function putFiles(
  git: Git,
  workspace: Workspace,
  { now, wanted, begin }: { readonly now: Taken; readonly wanted: Files; readonly begin: () => Promise<Result<unknown>> },
  signal: AbortSignal,
): Promise<Result<Files>> {
  const { gitDir, repository } = workspace;
  const at = (name: string): Workspace => ({ ...workspace, index: join(workspace.path, name) });
  const [disk, hidden, whole] = [at('rewind-disk'), at('rewind-ignored'), at('rewind-whole')];
  const run = (call: GitCall): ReturnType<Git['run']> => git.run({ gitDir, subject: repository, ...call }, signal);
  const written = async ({ index }: Workspace): Promise<Result<string>> => {
    const tree = await run({ index, args: ['write-tree'] });
    return tree.ok ? done(tree.value.stdout.trim()) : tree;
  };
  const withIgnored = wanted.ignored !== null && now.ignored !== null;
  try {
    await rm(`${workspace.index}.lock`, { force: true });
    await copyIndex(workspace.index, disk.index);
    const read = await run({ index: whole.index, args: ['read-tree', wanted.files] });
    if (!read.ok) return read;
    if (withIgnored) {
      const known = await layOver(git, [disk], now.ignored, wanted.tooBig, signal);
      if (!known.ok) return known;
      const laid = await layOver(git, [hidden, whole], wanted.ignored, now.leftOut, signal);
      if (!laid.ok) return laid;
    }
    const released = await release(git, disk, whole, wanted.tooBig, signal);
    if (!released.ok) return released;
    const [ignored, all] = [await written(hidden), await written(whole)];
    if (!ignored.ok) return ignored;
    if (!all.ok) return all;
    const blocked = await inTheWay(git, disk, all.value, signal);
    if (!blocked.ok) return blocked;
    if (blocked.value !== undefined) {
      return refuse(
        'in-the-way',
        `${readable(blocked.value)} could not be kept and is in the way of what would be put back. It is too big, or part of a repository of its own, or no plain file. Move it away, then try again.`,
      );
    }
    const begun = await begin();
    if (!begun.ok) return begun;
    const put = await swapFiles(git, disk, all.value, signal);
    if (!put.ok) return put;
    const shown = await run({ workTree: workspace.tree, index: disk.index, args: ['read-tree', '--reset', wanted.files] });
    if (!shown.ok) return shown;
    await rename(disk.index, workspace.index);
    return done({
      files: wanted.files,
      ignored: withIgnored ? ignored.value : null,
      tooBig: wanted.tooBig,
    });
  } finally {
    for (const { index } of [disk, hidden, whole]) await rm(index, { force: true });
    await rm(ignoredIndexOf(workspace), { force: true });
  }
}

/** Whether these are the same files. */
export const sameFiles = (one: Files, other: Files): boolean =>
  one.files === other.files && (one.ignored === null || other.ignored === null || one.ignored === other.ignored);

/** As git names it; it need not be written down. */
export const emptyTree = ({ baseCommit }: Pick<Workspace, 'baseCommit'>): string =>
  createHash(baseCommit.length === 64 ? 'sha256' : 'sha1')
    .update('tree 0\0')
    .digest('hex');

const ignoredIndexOf = ({ path }: Workspace): string => join(path, 'ignored-index');

/** With its time: by that git knows which files could have changed unseen since it was written. */
async function copyIndex(from: string, to: string): Promise<void> {
  const { mtime } = await stat(from);
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  await utimes(to, mtime, mtime);
}

/** Adds the entries of a tree to indexes, except what lies at or below some paths. */
async function layOver(
  git: Git,
  indexes: readonly Workspace[],
  tree: string | null,
  except: readonly string[],
  signal: AbortSignal,
): Promise<Result<void>> {
  const [first] = indexes;
  if (tree === null || !first) return done(undefined);
  const { gitDir, repository: subject } = first;
  const listed = await git.run({ gitDir, args: ['ls-tree', '-r', '-z', '--full-tree', tree], encoding: 'latin1', subject }, signal);
  if (!listed.ok) return listed;
  const away = new Set(except);
  const lines = listOf(listed.value.stdout).filter((line) => !isWithin(line.slice(line.indexOf('\t') + 1), away));
  if (lines.length === 0) return done(undefined);
  const input = bytes(lines.map((line) => `${line}\0`));
  for (const { index, tree: workTree } of indexes) {
    const args = ['update-index', '-z', '--add', '--replace', '--index-info'];
    const added = await git.run({ gitDir, workTree, index, args, input, subject }, signal);
    if (!added.ok) return added;
  }
  return done(undefined);
}

/** Makes an index forget what lies at or below some paths, so that it stays on disk; but not what another one brings there. */
async function release(git: Git, from: Workspace, but: Workspace, paths: readonly string[], signal: AbortSignal): Promise<Result<void>> {
  if (paths.length === 0) return done(undefined);
  const [known, brought] = await Promise.all([listIndex(git, from, signal), listIndex(git, but, signal)]);
  if (!known.ok) return known;
  if (!brought.ok) return brought;
  const [away, stays] = [new Set(paths), new Set(brought.value)];
  return dropFromIndex(
    git,
    from,
    known.value.filter((path) => isWithin(path, away) && !stays.has(path)),
    signal,
  );
}

const upTo = (path: string): readonly string[] => path.split('/').map((_, index, names) => names.slice(0, index + 1).join('/'));

interface Chosen {
  readonly paths: readonly string[];
  /** Each is left out as a whole. */
  readonly tooBig: readonly string[];
  /** Installed packages, and repositories. */
  readonly leftOut: readonly string[];
}

/**
 * Which ignored files are taken: each entry as a whole, as long as there is room; half a directory is of no use to anybody.
 * In the order of names, so that the same files give the same answer.
 */
async function chooseIgnored(tree: string, entries: readonly string[], away: ReadonlySet<string>, bounds: Bounds): Promise<Chosen> {
  const [paths, tooBig, leftOut]: [string[], string[], string[]] = [[], [], []];
  let room = { bytes: bounds.bytes, files: bounds.files };
  /** Looking has an end too, whatever there is. */
  let looks = 3 * bounds.files;
  for (const entry of entries) {
    const path = bare(entry);
    if (isWithin(path, away) || (entry.endsWith('/') && isInstall(path))) {
      leftOut.push(path);
      continue;
    }
    const found: Found = { paths: [], leftOut: [], bytes: 0 };
    const fits = looks > 0 && (await walk(tree, entry, away, { ...room, longest: bounds.longestFile }, found));
    looks -= found.paths.length + found.leftOut.length + 1;
    if (!fits) {
      tooBig.push(path);
      if (tooBig.length > listLimit) break;
      continue;
    }
    room = { bytes: room.bytes - found.bytes, files: room.files - found.paths.length };
    paths.push(...found.paths);
    leftOut.push(...found.leftOut);
  }
  return { paths, tooBig, leftOut };
}

interface Found {
  readonly paths: string[];
  readonly leftOut: string[];
  bytes: number;
}

/** False as soon as there is more than fits. */
async function walk(
  tree: string,
  entry: string,
  away: ReadonlySet<string>,
  room: { readonly bytes: number; readonly files: number; readonly longest: number },
  found: Found,
): Promise<boolean> {
  const pending = [entry];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (!path.endsWith('/')) {
      const size = (await look(tree, path))?.size ?? 0;
      found.paths.push(path);
      found.bytes += size;
      if (size > room.longest || found.bytes > room.bytes || found.paths.length > room.files) return false;
      continue;
    }
    const names = await entriesOf(tree, path, room.files);
    if (names === undefined) return false;
    if (names.some(({ name }) => name.toLowerCase() === '.git')) {
      found.leftOut.push(bare(path));
      continue;
    }
    for (const { name, isDirectory } of names) {
      const below = `${path}${name}`;
      if (away.has(below) || (isDirectory && installs.has(name))) found.leftOut.push(below);
      else pending.push(isDirectory ? `${below}/` : below);
    }
  }
  return true;
}

/** Undefined when there are too many. What cannot be read has none. */
async function entriesOf(
  tree: string,
  path: string,
  limit: number,
): Promise<readonly { readonly name: string; readonly isDirectory: boolean }[] | undefined> {
  const entries: { readonly name: string; readonly isDirectory: boolean }[] = [];
  // Node's types know of no such encoding of names here, but it takes it.
  const directory = await opendir(onDisk(tree, bare(path)), { encoding: 'latin1' }).catch(() => []);
  for await (const entry of directory) {
    entries.push({ name: entry.name, isDirectory: entry.isDirectory() });
    if (entries.length > limit) return undefined;
  }
  return entries.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

const bare = (entry: string): string => (entry.endsWith('/') ? entry.slice(0, -1) : entry);
const isInstall = (path: string): boolean => installs.has(path.slice(path.lastIndexOf('/') + 1));
const isWithin = (path: string, places: ReadonlySet<string>): boolean => places.size > 0 && upTo(path).some((each) => places.has(each));

async function whichHold(tree: string, paths: readonly string[]): Promise<{ readonly files: string[]; readonly directories: string[] }> {
  const [files, directories]: [string[], string[]] = [[], []];
  for (const path of paths) {
    const found = await look(tree, path);
    if (found?.isFile()) files.push(path);
    else if (found?.isDirectory()) directories.push(path);
  }
  return { files, directories };
}
