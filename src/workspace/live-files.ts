import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { done, type Result } from './failure.ts';
import type { Git } from './git.ts';
import { bytes } from './paths.ts';
import type { Workspace } from './workspace.ts';

const batchBytes = 16 * 1024 * 1024;
const batchFiles = 1_000;

/**
 * Takes files of a workspace in which somebody is at work into its index, without ever reading anything outside of it. git
 * looks at a path first and opens it afterwards; an agent that puts a link in its place in between would have a file of the
 * server's copied to where it can read it. So each file is opened here, one directory after the other and through no link,
 * and git gets the bytes. What is gone meanwhile, or is no plain file any more, is not taken.
 */
export async function addLiveFiles(
  git: Git,
  workspace: Workspace,
  paths: readonly string[],
  longestFile: number,
  signal: AbortSignal,
): Promise<Result<void>> {
  const { gitDir, index, tree, repository } = workspace;
  const algorithm = workspace.baseCommit.length === 64 ? 'sha256' : 'sha1';
  const nothing = '0'.repeat(workspace.baseCommit.length);
  const entries: string[] = [];
  let blobs: Buffer[] = [];
  let size = 0;
  const store = async (): Promise<Result<unknown>> => {
    const input = Buffer.concat(blobs);
    [blobs, size] = [[], 0];
    return git.run({ gitDir, args: ['fast-import', '--quiet'], input, subject: repository }, signal);
  };

  const root = await open(tree, directoryFlags);
  try {
    for (const path of paths.filter(hasPlace)) {
      const found = await readThroughNoLink(root, path, longestFile);
      if (!found) {
        entries.push(`0 ${nothing}\t${path}\0`);
        continue;
      }
      const { content, mode } = found;
      const id = createHash(algorithm).update(`blob ${content.length}\0`).update(content).digest('hex');
      entries.push(`${mode} ${id}\t${path}\0`);
      blobs.push(Buffer.from(`blob\ndata ${content.length}\n`), content, newline);
      size += content.length;
      if (size < batchBytes && blobs.length < 3 * batchFiles) continue;
      const stored = await store();
      if (!stored.ok) return stored;
    }
  } finally {
    await root.close();
  }
  if (blobs.length > 0) {
    const stored = await store();
    if (!stored.ok) return stored;
  }
  const on = { gitDir, workTree: tree, index, subject: repository };
  const added = await git.run({ ...on, args: ['update-index', '-z', '--add', '--replace', '--index-info'], input: bytes(entries) }, signal);
  if (!added.ok) return added;
  // Fills in the stat cache; what differs already is seen the next time. It compares and stores nothing.
  const refreshed = await git.run({ ...on, args: ['update-index', '-q', '--refresh'], answers: [0, 1] }, signal);
  return refreshed.ok ? done(undefined) : refreshed;
}

interface Content {
  readonly content: Buffer;
  readonly mode: '100644' | '100755' | '120000';
}

const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const fileFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const newline = Buffer.from('\n');

async function readThroughNoLink(root: FileHandle, path: string, longest: number): Promise<Content | undefined> {
  const names = path.split('/');
  const last = names.pop() ?? '';
  const opened: FileHandle[] = [];
  try {
    let directory = root;
    for (const name of names) {
      directory = await open(below(directory, name), directoryFlags);
      opened.push(directory);
    }
    const link = await readlink(below(directory, last), { encoding: 'buffer' }).catch(() => undefined);
    if (link) return looksLikeGitmodules.test(last) ? undefined : { content: link, mode: '120000' };
    const file = await open(below(directory, last), fileFlags);
    opened.push(file);
    const { size, mode } = await file.stat().then((found) => (found.isFile() ? found : { size: Number.POSITIVE_INFINITY, mode: 0 }));
    if (size > longest) return undefined;
    const content = Buffer.alloc(size);
    const { bytesRead } = await file.read(content, 0, size, 0);
    return { content: content.subarray(0, bytesRead), mode: (mode & 0o100) === 0 ? '100644' : '100755' };
  } catch (error) {
    if (isOfTheWorld(error)) return undefined;
    throw error;
  } finally {
    for (const handle of opened) await handle.close();
  }
}

/**
 * Names that git refuses, because they are `.git` on some file system, or would be links to what configures it. Told a little
 * too broadly: what is named like this is left alone.
 */
const hasPlace = (path: string): boolean =>
  !path.split('/').some((name) => /^(\.git|git~\d)[. ]*([:\\]|$)/i.test(name.replaceAll(/[^\0-\x7f]/g, '')));
const looksLikeGitmodules = /^(\.gitmodules|gi[^/]*~\d)/i;

/** What an open directory holds under that name, wherever the directory has been moved to. Names are bytes: each character is one. */
const below = ({ fd }: FileHandle, name: string): Buffer =>
  Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), Buffer.from(name, 'latin1')]);

/** Gone, not a directory, a link, forbidden, a socket, too long a name. */
const isOfTheWorld = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  ['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EPERM', 'ENXIO', 'ENAMETOOLONG', 'ENODEV', 'EMLINK'].includes(String(error.code));
