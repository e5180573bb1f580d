import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Files } from './checkpoint.ts';
import type { Workspace } from './workspace.ts';

/** What the files of a workspace are to become again, whatever happens meanwhile. */
export type SetAside =
  /** Others stand in for these: a tree. */
  | { readonly kind: 'files'; readonly tree: string }
  /** A rewind to these is under way. */
  | { readonly kind: 'rewind'; readonly to: Files };

/** Beside the tree, where no agent can write. */
const fileIn = ({ path }: Workspace): string => join(path, 'set-aside');

/** As a whole or not at all: a rewind that takes several turns says this before each of them. */
export async function setAside(workspace: Workspace, what: SetAside): Promise<void> {
  const file = fileIn(workspace);
  await writeFile(`${file}.new`, JSON.stringify(what));
  await rename(`${file}.new`, file);
}

/** What is there and cannot be read is no nothing: whoever took it for that would leave the agent's files away for good. */
export async function whatIsSetAside(workspace: Workspace): Promise<SetAside | undefined> {
  const text = await readFile(fileIn(workspace), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return '';
    throw error;
  });
  try {
    return JSON.parse(text) as SetAside;
  } catch {
    return undefined;
  }
}

export const nothingSetAside = (workspace: Workspace): Promise<void> => rm(fileIn(workspace), { force: true });
