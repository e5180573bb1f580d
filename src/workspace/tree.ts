import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { done, type Result } from './failure.ts';
import type { Git } from './git.ts';
import type { Workspace } from './workspace.ts';

/** Files of a commit or tree as git holds them: no link in it leads anywhere. */
export interface Tree {
  /** Undefined when there is no such file, or when it is longer than the limit. */
  read(path: string): Promise<string | undefined>;
}

const longestFile = 1024 * 1024;

export async function openTree(git: Git, gitDir: string, revision: string, signal: AbortSignal): Promise<Result<Tree>> {
  const listed = await git.run({ gitDir, args: ['ls-tree', '-z', '--name-only', '--end-of-options', revision] }, signal);
  if (!listed.ok) return listed;
  const names = new Set(listed.value.stdout.split('\0'));
  const known = new Map<string, Promise<string | undefined>>();

  const read = async (path: string): Promise<string | undefined> => {
    if (!names.has(path.split('/')[0] as string)) return undefined;
    const pieces: Buffer[] = [];
    let size = 0;
    const found = await git.stream(
      { gitDir, args: ['cat-file', 'blob', `${revision}:${path}`], answers: [0, 128] },
      async (piece) => {
        size += piece.length;
        pieces.push(piece);
        return size <= longestFile;
      },
      signal,
    );
    return found.ok && found.value.code === 0 && size <= longestFile ? Buffer.concat(pieces).toString() : undefined;
  };

  return done({
    read(path) {
      const asked = known.get(path) ?? read(path);
      known.set(path, asked);
      return asked;
    },
  });
}

interface Mixture {
  readonly tree: string;
  readonly old: string;
  /** Files of the old tree; those that it does not have stay as they are. */
  readonly paths: readonly string[];
}

/** The first tree, but for some files, which are as in the old one. */
export async function treeWithOld(
  git: Git,
  { gitDir, path }: Pick<Workspace, 'gitDir' | 'path'>,
  { tree, old, paths }: Mixture,
  signal: AbortSignal,
): Promise<Result<string>> {
  const index = join(path, 'mixed-index');
  await rm(`${index}.lock`, { force: true });
  try {
    const listed = await git.run({ gitDir, args: ['ls-tree', '-z', old, '--', ...paths], encoding: 'latin1' }, signal);
    if (!listed.ok) return listed;
    const read = await git.run({ gitDir, index, args: ['read-tree', tree] }, signal);
    if (!read.ok) return read;
    const input = Buffer.from(listed.value.stdout, 'latin1');
    const put = await git.run({ gitDir, index, args: ['update-index', '-z', '--replace', '--index-info'], input }, signal);
    if (!put.ok) return put;
    const written = await git.run({ gitDir, index, args: ['write-tree'] }, signal);
    return written.ok ? done(written.value.stdout.trim()) : written;
  } finally {
    await rm(index, { force: true });
  }
}
