import { readFile, rm, writeFile } from 'node:fs/promises';
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

export const setAside = (workspace: Workspace, what: SetAside): Promise<void> => writeFile(fileIn(workspace), JSON.stringify(what));

/** Nothing either when a crash cut the writing short, which was before anything had been touched. */
export async function whatIsSetAside(workspace: Workspace): Promise<SetAside | undefined> {
  const text = await readFile(fileIn(workspace), 'utf8').catch(() => '');
  try {
    return JSON.parse(text) as SetAside;
  } catch {
    return undefined;
  }
}

export const nothingSetAside = (workspace: Workspace): Promise<void> => rm(fileIn(workspace), { force: true });
