import type { Stats } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { done, type Result } from './failure.ts';
import type { Git } from './git.ts';
import { listOf, look, onDisk } from './paths.ts';
import type { Workspace } from './workspace.ts';

/**
 * What git would destroy without knowing of it, were a tree put in the place of what the index knows: a file at or above a path
 * that is written, or anything in a directory that gives way to a file. git removes such a directory whole, with whatever
 * repository somebody made in there. The first such path, or undefined. Nobody may be at work.
 */
export async function inTheWay(git: Git, workspace: Workspace, tree: string, signal: AbortSignal): Promise<Result<string | undefined>> {
  const { gitDir, index, tree: workTree, repository: subject } = workspace;
  const args = ['diff-index', '--cached', '--raw', '-r', '-z', '--no-renames', '--no-ext-diff', '--ignore-submodules=none', tree];
  const told = await git.run({ gitDir, index, workTree, args, encoding: 'latin1', subject }, signal);
  if (!told.ok) return told;
  const steps = stepsIn(told.value.stdout);
  const removed = new Set(steps.flatMap(({ becomes, path }) => (becomes === null ? [path] : [])));
  const places = new Map<string, Promise<string | undefined>>();

  /** Whatever is above the path is a directory, or goes before it is written. */
  const above = (path: string): Promise<string | undefined> => {
    const directory = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (directory === '') return Promise.resolve(undefined);
    const answer =
      places.get(directory) ??
      above(directory).then(async (higher) => {
        if (higher !== undefined) return higher;
        const found = await look(workTree, directory);
        return holds(found) && !found.isDirectory() && !removed.has(directory) ? directory : undefined;
      });
    places.set(directory, answer);
    return answer;
  };

  const within = async (directory: string): Promise<string | undefined> => {
    const names = await readdir(onDisk(workTree, directory), { encoding: 'buffer' }).catch(() => undefined);
    if (names === undefined) return directory;
    for (const name of names) {
      const path = `${directory}/${name.toString('latin1')}`;
      const found = await look(workTree, path);
      const unknown = found?.isDirectory() ? await within(path) : holds(found) && !removed.has(path) ? path : undefined;
      if (unknown !== undefined) return unknown;
    }
    return undefined;
  };

  for (const { path, was, becomes } of steps) {
    if (becomes === null) continue;
    const higher = await above(path);
    if (higher !== undefined) return done(higher);
    const found = await look(workTree, path);
    if (!holds(found) || (found.isDirectory() && becomes === 'submodule')) continue;
    const unknown = found.isDirectory() ? await within(path) : was === null ? path : undefined;
    if (unknown !== undefined) return done(unknown);
  }
  return done(undefined);
}

/** Pipes and sockets hold nothing. */
const holds = (found: Stats | undefined): found is Stats =>
  found !== undefined && (found.isFile() || found.isDirectory() || found.isSymbolicLink());

interface Step {
  readonly path: string;
  /** As the index has it, and as the tree does. Null where there is nothing. */
  readonly was: Entry | null;
  readonly becomes: Entry | null;
}

type Entry = 'file' | 'submodule';

function stepsIn(output: string): readonly Step[] {
  const fields = listOf(output);
  return Array.from({ length: Math.floor(fields.length / 2) }, (_, at) => {
    const [becomes = '', was = ''] = (fields[2 * at] ?? '').slice(1).split(' ');
    return { path: fields[2 * at + 1] ?? '', was: entryOf(was), becomes: entryOf(becomes) };
  });
}

const entryOf = (mode: string): Entry | null => (mode === '000000' ? null : mode === '160000' ? 'submodule' : 'file');
