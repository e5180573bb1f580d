import type { Stats } from 'node:fs';
import { chmod, lstat, rm } from 'node:fs/promises';
import { done, type Result, refuse } from './failure.ts';
import type { Git, GitAnswer, GitCall } from './git.ts';
import type { Workspace } from './workspace.ts';

export interface Snapshot {
  readonly tree: string;
  /** What git has no form for, or what would be a link to somewhere else: nested repositories, sockets, pipes, devices. */
  readonly leftOut: readonly string[];
}

/**
 * The files of a workspace as a tree in the mirror: everything that is there and not ignored, nor an artifact. The agent's own repository
 * is not asked, nor is one that it made inside: git would run `git status` in there, with whatever configuration it has.
 * That is why this does not use `git add`. One at a time per workspace; the agent should stand still.
 */
export async function takeSnapshot(git: Git, workspace: Workspace, signal: AbortSignal): Promise<Result<Snapshot>> {
  const root = await lstat(workspace.tree).catch(() => undefined);
  if (!root?.isDirectory())
    return refuse('workspace-gone', 'The workspace is no longer on disk. Its run starts over in a new one.', { retryable: true });
  await rm(`${workspace.index}.lock`, { force: true });

  const run = (call: GitCall): Promise<Result<GitAnswer>> =>
    git.run({ gitDir: workspace.gitDir, workTree: workspace.tree, index: workspace.index, subject: workspace.repository, ...call }, signal);
  const changed = await run({
    args: ['diff-files', '-z', '--name-only', '--no-renames', '--ignore-submodules=all', '--no-ext-diff'],
    encoding: 'latin1',
  });
  if (!changed.ok) return changed;
  const others = await run({
    args: ['ls-files', '-z', '--others', '--exclude-standard', '--exclude=/.nightshift/artifacts/'],
    encoding: 'latin1',
  });
  if (!others.ok) return others;

  const found = await sort(workspace.tree, [...new Set([...listOf(changed.value.stdout), ...listOf(others.value.stdout)])]);
  if (found.gone.length > 0) {
    const removed = await run({
      args: ['update-index', '-z', '--index-info'],
      input: bytes(found.gone.map((path) => `0 ${'0'.repeat(workspace.baseCommit.length)}\t${path}\0`)),
    });
    if (!removed.ok) return removed;
  }
  if (found.there.length > 0) {
    const added = await run({
      args: ['update-index', '-z', '--add', '--replace', '--stdin'],
      input: bytes(found.there.map((path) => `${path}\0`)),
    });
    if (!added.ok) return added;
  }
  const tree = await run({ args: ['write-tree'] });
  return tree.ok ? done({ tree: tree.value.stdout.trim(), leftOut: found.leftOut }) : tree;
}

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
 * beside them is found by a snapshot, and taken away. What is ignored stays.
 */
export async function restoreFiles(git: Git, workspace: Workspace, tree: string, signal: AbortSignal): Promise<Result<void>> {
  const swapped = await swapFiles(git, workspace, tree, signal);
  if (!swapped.ok) return swapped;
  const now = await takeSnapshot(git, workspace, signal);
  return now.ok ? swapFiles(git, workspace, tree, signal) : now;
}

interface Sorted {
  readonly there: readonly string[];
  readonly gone: readonly string[];
  readonly leftOut: readonly string[];
}

async function sort(tree: string, paths: readonly string[]): Promise<Sorted> {
  const [there, gone, leftOut]: [string[], string[], string[]] = [[], [], []];
  const directories = new Map<string, Promise<boolean>>();
  for (const path of paths) {
    // git lists a repository inside the workspace as a directory.
    if (path.endsWith('/')) leftOut.push(readable(path.slice(0, -1)));
    else if (!(await isRealDirectory(tree, path.slice(0, Math.max(0, path.lastIndexOf('/'))), directories))) gone.push(path);
    else {
      const found = await look(tree, path);
      if (found?.isFile() || found?.isSymbolicLink()) {
        if (found.isFile() && (found.mode & 0o400) === 0) await chmod(onDisk(tree, path), 0o600).catch(() => undefined);
        there.push(path);
      } else {
        gone.push(path);
        if (found && !found.isDirectory()) leftOut.push(readable(path));
      }
    }
  }
  return { there, gone, leftOut };
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

// Names are bytes, and not always UTF-8: in here each byte is one character.
const onDisk = (tree: string, path: string): Buffer => Buffer.concat([Buffer.from(`${tree}/`), Buffer.from(path, 'latin1')]);
const look = (tree: string, path: string): Promise<Stats | undefined> => lstat(onDisk(tree, path)).catch(() => undefined);
const readable = (path: string): string => Buffer.from(path, 'latin1').toString();
const bytes = (lines: readonly string[]): Buffer => Buffer.from(lines.join(''), 'latin1');
const listOf = (output: string): readonly string[] => output.split('\0').filter((path) => path !== '');
