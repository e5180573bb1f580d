import { lookUp, taskTrailer } from './commit.ts';
import { type Credentials, shellQuoted } from './credentials.ts';
import { done, type Result, refuse } from './failure.ts';
import type { Git } from './git.ts';
import { isBranchName } from './ref-name.ts';
import type { Repository } from './repository.ts';
import type { Workspace } from './workspace.ts';

export type Pushed =
  /** `before`: what the remote branch was at, null if it is new. */
  | { readonly kind: 'pushed'; readonly branch: string; readonly before: string | null }
  /** It was there already: an earlier push arrived, whatever became of its answer. */
  | { readonly kind: 'already-there'; readonly branch: string }
  /** A repository on this machine is somebody's own: nothing is written to it. */
  | { readonly kind: 'left-in-mirror'; readonly branch: string; readonly fetchCommand: string };

/**
 * Brings a commit to a branch of the remote repository; it may be repeated at will. A branch only ever moves forward, with
 * one exception: where all that would be lost are commits of the same task, made by an earlier attempt and pushed by us.
 * Even then the lease names the exact commit, so that somebody who pushes at the same moment loses nothing.
 */
export async function push(
  git: Git,
  credentials: Credentials,
  workspace: Pick<Workspace, 'gitDir' | 'repository' | 'taskId' | 'branch' | 'baseCommit'>,
  repository: Repository,
  commit: string,
  signal: AbortSignal,
  branch: string = workspace.branch,
): Promise<Result<Pushed>> {
  if (!isBranchName(branch)) return refuse('invalid-ref', `${JSON.stringify(branch)} cannot be the name of a branch.`);
  if (repository.kind === 'local') return done(leftInMirror(workspace, branch));
  const ref = `refs/heads/${branch}`;
  const { gitDir } = workspace;
  const subject = repository.url;

  return credentials.reaching(repository, async (transport): Promise<Result<Pushed>> => {
    const listed = await git.run({ gitDir, args: ['ls-remote', '--', repository.url, ref], transport, subject }, signal);
    if (!listed.ok) return listed;
    const before =
      listed.value.stdout
        .split('\n')
        .find((line) => line.endsWith(`\t${ref}`))
        ?.split('\t')[0] ?? null;
    if (before === commit) return done({ kind: 'already-there', branch });
    if (before !== null && !(await mayReplace(git, workspace, before, commit, signal))) {
      return refuse(
        'non-fast-forward',
        `The branch ${branch} of ${repository.url} holds commits that this run does not know, so nothing was pushed. Merge or remove them, then retry the task.`,
      );
    }
    const pushed = await git.run(
      {
        gitDir,
        args: ['push', '--no-verify', `--force-with-lease=${ref}:${before ?? ''}`, '--', repository.url, `${commit}:${ref}`],
        transport,
        subject,
      },
      signal,
    );
    return pushed.ok ? done({ kind: 'pushed', branch, before }) : pushed;
  });
}

/** The command is for a person's terminal, in their own checkout. */
export const leftInMirror = ({ gitDir }: Pick<Workspace, 'gitDir'>, branch: string): Extract<Pushed, { kind: 'left-in-mirror' }> => ({
  kind: 'left-in-mirror',
  branch,
  fetchCommand: `git fetch ${shellQuoted(gitDir)} ${shellQuoted(`${branch}:${branch}`)}`,
});

async function mayReplace(
  git: Git,
  workspace: Pick<Workspace, 'gitDir' | 'repository' | 'taskId' | 'baseCommit'>,
  before: string,
  commit: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { gitDir } = workspace;
  // A commit that the mirror has never seen was made by somebody else.
  const known = await lookUp(git, workspace, before, signal);
  if (!known.ok || known.value === undefined) return false;
  const forward = await git.run({ gitDir, args: ['merge-base', '--is-ancestor', before, commit], answers: [0, 1] }, signal);
  if (forward.ok && forward.value.code === 0) return true;
  const lost = await git.run(
    {
      gitDir,
      args: [
        'log',
        '-z',
        `--format=%(trailers:key=${taskTrailer},valueonly,separator=%x20)`,
        before,
        `^${commit}`,
        `^${workspace.baseCommit}`,
      ],
    },
    signal,
  );
  if (!lost.ok || lost.value.stdout === '') return false;
  const tasks = lost.value.stdout.replace(/\0$/, '').split('\0');
  return tasks.every((task) => task.trim() === workspace.taskId);
}
