import { chmod, lstat, rm, unlink } from 'node:fs/promises';
import { done, type Result, refuse } from './failure.ts';
import type { Git, GitAnswer, GitCall } from './git.ts';
import { addLiveFiles } from './live-files.ts';
import { bytes, listOf, look, onDisk, readable } from './paths.ts';
import type { Workspace } from './workspace.ts';

export interface Snapshot {
  readonly tree: string;
  /** What git has no form for, or what would be a link to somewhere else: nested repositories, sockets, pipes, devices. And what is too big. Each byte of a name is one character. */
  readonly leftOut: readonly string[];
  /** Those of them that are files, and belong to what was to be taken: whoever judges the tree has not seen all. */
  readonly tooBig: readonly string[];
}

/** What a snapshot takes, when it is not everything that git would show. */
export interface Extent {
  /** A new or changed file that is longer is left out, however the disk stores it: a hole of a terabyte is read as one. */
  readonly longestFile?: number;
  /** So is what goes beyond this many bytes of new and changed files together. */
  readonly together?: number;
  /** Somebody may be at work in there. Costs a little more, see `addLiveFiles`. */
  readonly live?: boolean;
  /** New files that are not taken. */
  readonly leave?: (path: string) => boolean;
}

/**
 * More than that is nothing to review, and hosts refuse it. Checkpoints keep as much. A file that was longer before the work
 * began belongs here, so that one may have all the room that there is.
 */
const extentOfWork = { longestFile: 50 * 2 ** 20, together: 256 * 2 ** 20 } as const;

/**
 * The files of a workspace as a tree in the mirror: everything that is there and not ignored, nor an artifact. The agent's own repository
 * is not asked, nor is one that it made inside: git would run `git status` in there, with whatever configuration it has.
 * That is why this does not use `git add`. One at a time per workspace; the agent should stand still.
 */
export async function takeSnapshot(git: Git, workspace: Workspace, signal: AbortSignal, extent: Extent = {}): Promise<Result<Snapshot>> {
  const root = await lstat(workspace.tree).catch(() => undefined);
  if (!root?.isDirectory())
    return refuse('workspace-gone', 'The workspace is no longer on disk. Its run starts over in a new one.', { retryable: true });
  await rm(`${workspace.index}.lock`, { force: true });

  const [replaced, changed, others] = await Promise.all([
    replacedSubmodules(git, workspace, signal),
    listChanged(git, workspace, signal),
    list(git, workspace, ['ls-files', '-z', '--others', '--exclude-standard', artifacts], signal),
  ]);
  if (!replaced.ok) return replaced;
  if (replaced.value.length > 0) {
    const dropped = await dropFromIndex(git, workspace, replaced.value, signal);
    return dropped.ok ? takeSnapshot(git, workspace, signal, extent) : dropped;
  }
  if (!changed.ok) return changed;
  if (!others.ok) return others;
  const certain = await reallyChanged(git, workspace, changed.value, signal, extent);
  if (!certain.ok) return certain;
  const { leave = () => false } = extent;
  const paths = new Set([...certain.value, ...others.value.filter((path) => !leave(path))]);
  return treeWith(git, workspace, [...paths], signal, extent);
}

/**
 * Submodules in whose place there is a file, which git does not show as long as the index has them. A directory is what they are
 * made as: whatever somebody puts in there, to build with for example, is no work on this repository.
 */
async function replacedSubmodules(git: Git, workspace: Workspace, signal: AbortSignal): Promise<Result<readonly string[]>> {
  const { gitDir, index, tree, repository: subject } = workspace;
  const submodules: string[] = [];
  let rest = '';
  const take = async (piece: Buffer): Promise<boolean> => {
    const entries = (rest + piece.toString('latin1')).split('\0');
    rest = entries.pop() ?? '';
    for (const entry of entries) if (entry.startsWith('160000 ')) submodules.push(entry.slice(entry.indexOf('\t') + 1));
    return true;
  };
  const listed = await git.stream({ gitDir, index, args: ['ls-files', '--stage', '-z'], subject }, take, signal);
  if (!listed.ok) return listed;
  const replaced: string[] = [];
  for (const path of submodules) {
    const found = await look(tree, path);
    if (found?.isFile() || found?.isSymbolicLink()) replaced.push(path);
  }
  return done(replaced);
}

/**
 * A file that was only touched is listed as changed, and must not be left out for its length. git reads such files to tell,
 * but none whose length is another than it was: a hole costs nothing.
 */
async function reallyChanged(
  git: Git,
  workspace: Workspace,
  changed: readonly string[],
  signal: AbortSignal,
  extent: Extent,
): Promise<Result<readonly string[]>> {
  const { tooBig } = await sort(workspace.tree, changed, extent);
  if (tooBig.length === 0) return done(changed);
  const refreshed = await gitOn(git, workspace, signal)({ args: ['update-index', '-q', '--refresh'], answers: [0, 1] });
  return refreshed.ok ? listChanged(git, workspace, signal) : refreshed;
}

/** What the index knows otherwise than it is on disk. */
export const listChanged = (git: Git, workspace: Workspace, signal: AbortSignal): Promise<Result<readonly string[]>> =>
  list(git, workspace, ['diff-files', '-z', '--name-only', '--no-renames', '--ignore-submodules=all', '--no-ext-diff'], signal);

/** What is ignored, as git lists it: a directory that is ignored as a whole is one entry, with a slash at its end. */
export const listIgnored = (git: Git, workspace: Workspace, signal: AbortSignal): Promise<Result<readonly string[]>> =>
  list(git, workspace, ['ls-files', '-z', '--others', '--ignored', '--exclude-standard', artifacts, '--directory'], signal);

/** Something that is ignored, a directory with a slash at its end, by a line of a file. */
export interface Ignored {
  readonly path: string;
  readonly by: string;
  readonly pattern: string;
}

const mostExplained = 10_000;

/** What is ignored, and why. A directory that is as a whole is not looked into, but for what lies in it at once. */
export async function explainIgnored(git: Git, workspace: Workspace, signal: AbortSignal): Promise<Result<readonly Ignored[]>> {
  const listed = await listIgnored(git, workspace, signal);
  if (!listed.ok || listed.value.length === 0) return listed.ok ? done([]) : listed;
  // This command knows no literal names; of those that begin with a dot it expects nothing else.
  const input = bytes(listed.value.slice(0, mostExplained).map((path) => `./${path}\0`));
  const told = await gitOn(
    git,
    workspace,
    signal,
  )({
    args: ['check-ignore', '--verbose', '-z', '--stdin', '--no-index'],
    input,
    env: { GIT_LITERAL_PATHSPECS: '0' },
    answers: [0, 1],
    encoding: 'latin1',
  });
  if (!told.ok) return told;
  const fields = told.value.stdout.split('\0').map(readable);
  return done(
    Array.from({ length: Math.floor(fields.length / 4) }, (_, at) => {
      const [by = '', , pattern = '', path = ''] = fields.slice(4 * at, 4 * at + 4);
      return { path: path.slice('./'.length), by, pattern };
    }),
  );
}

export async function dropFromIndex(
  git: Git,
  { gitDir, tree: workTree, index, baseCommit, repository: subject }: Workspace,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<Result<void>> {
  if (paths.length === 0) return done(undefined);
  const nothing = '0'.repeat(baseCommit.length);
  const input = bytes(paths.map((path) => `0 ${nothing}\t${path}\0`));
  // Among the files, although it looks at none of them: whoever writes an index anew has to look again at files that are as
  // young as it was, or what was changed in the same second is never seen.
  const args = ['update-index', '-z', '--index-info'];
  const dropped = await git.run({ gitDir, workTree, index, args, input, subject }, signal);
  return dropped.ok ? done(undefined) : dropped;
}

/** What the index holds, in the order of names. */
export const listIndex = (git: Git, workspace: Workspace, signal: AbortSignal): Promise<Result<readonly string[]>> =>
  list(git, workspace, ['ls-files', '-z'], signal);

async function list(git: Git, workspace: Workspace, args: readonly string[], signal: AbortSignal): Promise<Result<readonly string[]>> {
  const listed = await gitOn(git, workspace, signal)({ args, encoding: 'latin1' });
  return listed.ok ? done(listOf(listed.value.stdout)) : listed;
}

/** Brings these paths in the index to what they are on disk, and gives the tree of it. Its stat cache spares reading what has not changed. */
export async function treeWith(
  git: Git,
  workspace: Workspace,
  paths: readonly string[],
  signal: AbortSignal,
  extent: Extent = {},
): Promise<Result<Snapshot>> {
  const run = gitOn(git, workspace, signal);
  const { live = false, longestFile = extentOfWork.longestFile } = extent;
  const sorted = await sortWithBase(git, workspace, paths, signal, extent);
  if (!sorted.ok) return sorted;
  const { found, base } = sorted.value;
  if (found.gone.length > 0) {
    const none = { mode: '0', id: '0'.repeat(workspace.baseCommit.length) };
    // Of what cannot be taken the version from before stays: without any, it would look deleted.
    const left = new Set(found.tooBig);
    const entries = found.gone.map((path) => ({ path, ...((left.has(path) ? base.get(path) : undefined) ?? none) }));
    const changed = await run({
      args: ['update-index', '-z', '--index-info'],
      input: bytes(entries.map(({ mode, id, path }) => `${mode} ${id}\t${path}\0`)),
    });
    if (!changed.ok) return changed;
  }
  if (found.there.length > 0) {
    const added = live
      ? await addLiveFiles(git, workspace, found.there, longestFile, signal)
      : await run({
          args: ['update-index', '-z', '--add', '--replace', '--stdin'],
          input: bytes(found.there.map((path) => `${path}\0`)),
        });
    if (!added.ok) return added;
  }
  const tree = await run({ args: ['write-tree'] });
  return tree.ok ? done({ tree: tree.value.stdout.trim(), leftOut: found.leftOut, tooBig: found.tooBig }) : tree;
}

interface BaseFile {
  readonly mode: string;
  readonly id: string;
  readonly length: number;
}

/** The base is asked only where something is too big, and only about work that is done: checkpoints have bounds of their own. */
async function sortWithBase(
  git: Git,
  workspace: Workspace,
  paths: readonly string[],
  signal: AbortSignal,
  extent: Extent,
): Promise<Result<{ readonly found: Sorted; readonly base: ReadonlyMap<string, BaseFile> }>> {
  const found = await sort(workspace.tree, paths, extent);
  if (found.tooBig.length === 0 || extent.live === true || extent.longestFile !== undefined) return done({ found, base: new Map() });
  const listed = await list(git, workspace, ['ls-tree', '-r', '-l', '-z', workspace.baseCommit], signal);
  if (!listed.ok) return listed;
  const wanted = new Set(found.tooBig);
  const base = new Map(
    listed.value.flatMap((line): readonly (readonly [string, BaseFile])[] => {
      const [, mode = '', id = '', length = '', path = ''] = /^(\d+) blob (\w+) +(\d+)\t([\s\S]*)$/.exec(line) ?? [];
      return wanted.has(path) ? [[path, { mode, id, length: Number(length) }]] : [];
    }),
  );
  const wasLong = new Set([...base].filter(([, { length }]) => length > extentOfWork.longestFile).map(([path]) => path));
  return done({ found: wasLong.size === 0 ? found : await sort(workspace.tree, paths, extent, wasLong), base });
}

const artifacts = '--exclude=/.nightshift/artifacts/';

const gitOn =
  (git: Git, { gitDir, tree, index, repository }: Workspace, signal: AbortSignal) =>
  (call: GitCall): Promise<Result<GitAnswer>> =>
    git.run({ gitDir, workTree: tree, index, subject: repository, ...call }, signal);

/** Puts the files of a commit or tree in the place of those that git knows; whatever it does not know stays. */
export async function swapFiles(git: Git, workspace: Workspace, tree: string, signal: AbortSignal): Promise<Result<void>> {
  const { gitDir, index, repository } = workspace;
  await rm(`${index}.lock`, { force: true });
  const swapped = await git.run(
    { gitDir, workTree: workspace.tree, index, args: ['read-tree', '--reset', '-u', tree], subject: repository },
    signal,
  );
  return swapped.ok ? done(undefined) : swapped;
}

/**
 * Makes the files what a tree says. First those that git knows, so that the right .gitignore is in force; then what came
 * beside them is found by a snapshot, and taken away. What is ignored stays. What is too big for a snapshot goes only where
 * `allNew` says that all of it came since the tree was taken.
 */
export async function restoreFiles(
  git: Git,
  workspace: Workspace,
  tree: string,
  { allNew }: { readonly allNew: boolean },
  signal: AbortSignal,
): Promise<Result<void>> {
  const swapped = await swapFiles(git, workspace, tree, signal);
  if (!swapped.ok) return swapped;
  const now = await takeSnapshot(git, workspace, signal);
  if (!now.ok) return now;
  if (allNew) for (const path of now.value.tooBig) await unlink(onDisk(workspace.tree, path)).catch(() => undefined);
  return swapFiles(git, workspace, tree, signal);
}

interface Sorted {
  readonly there: readonly string[];
  readonly gone: readonly string[];
  readonly leftOut: readonly string[];
  readonly tooBig: readonly string[];
}

async function sort(
  tree: string,
  paths: readonly string[],
  { longestFile = extentOfWork.longestFile, together = extentOfWork.together, live = false }: Extent,
  wasLong: ReadonlySet<string> = new Set(),
): Promise<Sorted> {
  const [there, gone, leftOut, tooBig]: [string[], string[], string[], string[]] = [[], [], [], []];
  let room = together;
  const directories = new Map<string, Promise<boolean>>();
  for (const path of paths) {
    // git lists a repository inside the workspace as a directory.
    if (path.endsWith('/')) leftOut.push(path.slice(0, -1));
    else if (!(await isRealDirectory(tree, path.slice(0, Math.max(0, path.lastIndexOf('/'))), directories))) gone.push(path);
    else {
      const found = await look(tree, path);
      if (found?.isSymbolicLink() || (found?.isFile() && found.size <= Math.min(wasLong.has(path) ? together : longestFile, room))) {
        room -= found.size;
        if (!live && found.isFile() && (found.mode & 0o400) === 0) await chmod(onDisk(tree, path), 0o600).catch(() => undefined);
        there.push(path);
      } else {
        gone.push(path);
        // A directory has its files listed, unless it is a repository that took the place of a file.
        if (found && !(found.isDirectory() && (await look(tree, `${path}/.git`)) === undefined)) leftOut.push(path);
        if (found?.isFile()) tooBig.push(path);
      }
    }
  }
  return { there, gone, leftOut, tooBig };
}

/** If a directory on the way became a link, what git knew below it is gone, and what the link leads to is none of ours. */
function isRealDirectory(tree: string, path: string, known: Map<string, Promise<boolean>>): Promise<boolean> {
  if (path === '') return Promise.resolve(true);
  let answer = known.get(path);
  if (answer === undefined) {
    answer = isRealDirectory(tree, path.slice(0, Math.max(0, path.lastIndexOf('/'))), known).then(
      async (real) => real && (await look(tree, path))?.isDirectory() === true,
    );
    known.set(path, answer);
  }
  return answer;
}
