import { constants } from 'node:fs';
import { access, glob, open, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, matchesGlob, parse as parsePath } from 'node:path';
import type { Priority } from '../../domain/task.ts';

/** Files whose to-dos are work, as the settings name them. */
export interface TodoFiles {
  /** Absolute: a file, or a pattern of files. */
  readonly path: string;
  /** Where their work is done; without it, the repository that a file lies in. */
  readonly repository?: string | undefined;
  readonly priority?: Priority | undefined;
  /** Leave a note below an item that failed. */
  readonly notes?: boolean | undefined;
}

const largest = 20 * 1024 * 1024;

export type TodoText = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly why: string; readonly gone: boolean };

/** The text of a file, unless it is not one to be read just now. */
export async function readTodo(path: string): Promise<TodoText> {
  try {
    const bytes = await bytesOf(path);
    if (typeof bytes === 'string') return { ok: false, why: bytes, gone: false };
    const text = bytes.toString('utf8');
    // What a power cut leaves of a file, or another encoding: nothing in it is what it was.
    if (text.includes('\0')) return { ok: false, why: 'it is no text in UTF-8', gone: false };
    // An editor that is about to write, a full disk: whoever wants nothing done leaves a heading, or takes the file out of the settings.
    if (text.trim() === '') return { ok: false, why: 'it is empty', gone: true };
    // Half of what stands there is about to go, and nobody knows which.
    if (/^<{7}(?: |$)/m.test(text) && /^>{7}(?: |$)/m.test(text))
      return { ok: false, why: 'a merge has left conflicts in it', gone: false };
    return { ok: true, text };
  } catch (error) {
    const { code = 'unreadable' } = error as NodeJS.ErrnoException;
    return { ok: false, why: code, gone: code === 'ENOENT' };
  }
}

/** What is in it, or why that cannot be said. Whoever opens a pipe without this flag waits for somebody to write into it. */
async function bytesOf(path: string): Promise<Buffer | string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (!found.isFile()) return found.isDirectory() ? 'it is a directory' : 'it is no file';
    if (found.size > largest) return `it has ${found.size} bytes; at most ${largest} are read`;
    const bytes = Buffer.alloc(found.size + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) ({ bytesRead: read } = await file.read(bytes, length));
    return length === found.size ? bytes.subarray(0, length) : 'it is being written';
  } finally {
    await file.close();
  }
}

/** What of it has to exist and be watched: the file itself, or the directory that a pattern begins with. */
export function rootOf({ path }: TodoFiles): string {
  const steps = path.split('/');
  const first = steps.findIndex((step) => /[*?[{]/.test(step));
  return first < 0 ? path : steps.slice(0, first).join('/') || '/';
}

const isPattern = ({ path }: TodoFiles): boolean => rootOf({ path }) !== path;

/** The entry that a file belongs to. */
export const entryOf = (entries: readonly TodoFiles[], path: string): TodoFiles | undefined =>
  entries.find((entry) => (isPattern(entry) ? matchesGlob(path, entry.path) : entry.path === path));

/** Never looked into: there are other people's to-dos in there by the thousand. */
export const isPassedOver = (path: string): boolean => /(?:^|\/)(?:node_modules|\.git|\.nightshift)(?:\/|$)/.test(path);

/** Every file that is there now. */
export async function filesOf(entry: TodoFiles): Promise<readonly string[]> {
  if (!isPattern(entry)) return [entry.path];
  const found: string[] = [];
  for await (const path of glob(entry.path, { exclude: isPassedOver })) found.push(isAbsolute(path) ? path : join(rootOf(entry), path));
  return found.filter((path) => !isPassedOver(path)).sort();
}

/** The repository that a file lies in, or null. */
export async function repositoryAround(path: string): Promise<string | null> {
  let directory = dirname(await realpath(path).catch(() => path));
  for (;;) {
    if (await exists(join(directory, '.git'))) return directory;
    if (directory === parsePath(directory).root) return null;
    directory = dirname(directory);
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
