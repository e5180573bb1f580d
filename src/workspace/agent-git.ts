import { copyFile, lstat, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { done, type Result } from './failure.ts';
import type { Git } from './git.ts';

export interface AgentGit {
  readonly tree: string;
  readonly index: string;
  readonly gitDir: string;
  readonly branch: string;
  readonly commit: string;
}

/**
 * Gives the agent a repository of its own in its workspace: on its branch, with history, branches and tags to look at, and
 * its objects read from the mirror (`objects/info/alternates`), which it can only read. It may commit, reset, break or
 * delete it: Nightshift never runs git on it, and takes the result from the files alone. It has no remote, so there is
 * nothing to push to and no address to leak. Linked worktrees were rejected for this reason: those share the mirror's
 * configuration, hooks and references, and the agent would have to be let write them.
 */
export async function writeAgentGit(git: Git, at: AgentGit, signal: AbortSignal): Promise<Result<void>> {
  const listed = await git.run(
    { gitDir: at.gitDir, args: ['for-each-ref', '--format=%(objectname) %(refname)', 'refs/upstream/heads', 'refs/upstream/tags'] },
    signal,
  );
  if (!listed.ok) return listed;
  const refs = listed.value.stdout
    .replaceAll(' refs/upstream/heads/', ' refs/remotes/origin/')
    .replaceAll(' refs/upstream/tags/', ' refs/tags/');
  const own = join(at.tree, '.git');
  await Promise.all(['objects/info', 'refs/heads', 'info'].map((name) => mkdir(join(own, name), { recursive: true })));
  await Promise.all([
    writeFile(join(own, 'HEAD'), `ref: refs/heads/${at.branch}\n`),
    writeFile(join(own, 'config'), config),
    writeFile(join(own, 'packed-refs'), `${at.commit} refs/heads/${at.branch}\n${refs}`),
    writeFile(join(own, 'objects/info/alternates'), `${join(at.gitDir, 'objects')}\n`),
    writeFile(join(own, 'info/exclude'), '/.nightshift/artifacts/\n'),
    copyFile(at.index, join(own, 'index')),
    copyFile(join(at.gitDir, 'shallow'), join(own, 'shallow')).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    }),
  ]);
  return done(undefined);
}

const config = `[core]
	repositoryformatversion = 0
	filemode = true
	bare = false
	logallrefupdates = true
[user]
	name = Nightshift agent
	email = agent@nightshift.invalid
[gc]
	auto = 0
`;

/** Locks that a killed agent's git left would stop the next one. Nothing is touched if the agent replaced `.git` by something else. */
export async function unlockAgentGit(tree: string): Promise<void> {
  const own = join(tree, '.git');
  const found = await lstat(own).catch(() => undefined);
  if (!found?.isDirectory()) return;
  for (const name of ['index.lock', 'HEAD.lock', 'config.lock', 'packed-refs.lock', 'shallow.lock']) {
    await rm(join(own, name), { force: true }).catch(() => undefined);
  }
}
