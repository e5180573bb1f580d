import { done, type Result, refuse } from './failure.ts';
import type { Git } from './git.ts';
import { readable } from './paths.ts';
import { isBranchName } from './ref-name.ts';
import { takeSnapshot } from './snapshot.ts';
import type { Workspace } from './workspace.ts';

interface Person {
  readonly name: string;
  readonly email: string;
}

export interface CommitWish {
  readonly message: string;
  readonly author: Person;
  readonly committer: Person;
  /** Beside `Nightshift-Task`, which every commit carries: it is how a commit made before a crash is recognised. */
  readonly trailers?: Readonly<Record<string, string>>;
  readonly at: number;
}

export interface Committed {
  readonly commit: string;
  readonly tree: string;
  /** False when it was there already, made before a crash. */
  readonly created: boolean;
  readonly leftOut: readonly string[];
}

export const taskTrailer = 'Nightshift-Task';

/**
 * The workspace's files as one commit on its branch, which lives in the mirror. Refuses to commit nothing. Called again
 * after a crash it finds the commit that it made, by its tree, its parent and its task. The caller remembers the new tip.
 */
export async function commitAll(git: Git, workspace: Workspace, wish: CommitWish, signal: AbortSignal): Promise<Result<Committed>> {
  const snapshot = await takeSnapshot(git, workspace, signal);
  if (!snapshot.ok) return snapshot;
  const { tree } = snapshot.value;
  const leftOut = snapshot.value.leftOut.map(readable);
  const made = await lookUp(git, workspace, `refs/heads/${workspace.branch}`, signal);
  if (!made.ok) return made;
  const last = made.value;
  if (last?.tree === tree && last.tasks.includes(workspace.taskId) && [last.commit, last.parents].includes(workspace.tip)) {
    return done({ commit: last.commit, tree, created: false, leftOut });
  }
  const start = await lookUp(git, workspace, workspace.tip, signal);
  if (!start.ok) return start;
  if (start.value?.tree === tree) {
    // Made and pushed by a run whose mirror this is not.
    if (workspace.tip !== workspace.baseCommit && start.value.tasks.includes(workspace.taskId)) {
      const { commit } = start.value;
      const named = await moveBranch(git, workspace.gitDir, workspace.branch, commit, last?.commit ?? null, signal);
      return named.ok ? done({ commit, tree, created: false, leftOut }) : named;
    }
    return refuse('nothing-to-commit', 'The files are as they were at the start, so there is nothing to commit.');
  }
  const commit = await commitTree(git, workspace.gitDir, { ...wish, tree, parents: [workspace.tip], taskId: workspace.taskId }, signal);
  if (!commit.ok) return commit;
  const moved = await moveBranch(git, workspace.gitDir, workspace.branch, commit.value, last?.commit ?? null, signal);
  return moved.ok ? done({ commit: commit.value, tree, created: true, leftOut }) : moved;
}

const mostOfOneTask = 100;

/**
 * What a branch was at before the task had pushed to it: where both are the same branch, a run that was lost after its push
 * would else find its own work done by somebody else.
 */
export async function beforeTask(
  git: Git,
  { gitDir, commit }: { readonly gitDir: string; readonly commit: string },
  taskId: string,
  signal: AbortSignal,
): Promise<Result<string>> {
  const format = `--format=%H %(trailers:key=${taskTrailer},valueonly,separator=%x20)`;
  const listed = await git.run(
    { gitDir, args: ['log', '-z', '--first-parent', `--max-count=${mostOfOneTask}`, format, commit, '--'] },
    signal,
  );
  if (!listed.ok) return listed;
  const commits = listed.value.stdout.split('\0').map((line) => line.trim().split(' '));
  const others = commits.find(([, ...tasks]) => !tasks.includes(taskId))?.[0];
  // Of a history that was cut off, what was before is not there.
  return done(others === undefined || others === '' ? commit : others);
}

export interface TreeCommit extends CommitWish {
  readonly tree: string;
  readonly parents: readonly string[];
  readonly taskId?: string;
}

/** A commit object; no branch leads to it yet. The same input gives the same commit. */
export async function commitTree(git: Git, gitDir: string, wish: TreeCommit, signal: AbortSignal): Promise<Result<string>> {
  const trailers = { ...(wish.taskId === undefined ? {} : { [taskTrailer]: wish.taskId }), ...wish.trailers };
  const made = await git.run(
    {
      gitDir,
      args: ['commit-tree', wish.tree, ...wish.parents.flatMap((parent) => ['-p', parent]), '-F', '-'],
      input: withTrailers(wish.message, trailers),
      env: identities(wish),
    },
    signal,
  );
  return made.ok ? done(made.value.stdout.trim()) : made;
}

/** `from` is what it must be at now, null if it must not exist: of two that move it at the same time, one is refused. */
export async function moveBranch(
  git: Git,
  gitDir: string,
  branch: string,
  to: string | null,
  from: string | null,
  signal: AbortSignal,
): Promise<Result<void>> {
  if (!isBranchName(branch)) return refuse('invalid-ref', `${JSON.stringify(branch)} cannot be the name of a branch.`);
  const ref = `refs/heads/${branch}`;
  const nothing = '0'.repeat((to ?? from ?? '').length || 40);
  const moved = await git.run(
    { gitDir, args: to === null ? ['update-ref', '-d', ref, from ?? nothing] : ['update-ref', ref, to, from ?? nothing], subject: gitDir },
    signal,
  );
  return moved.ok ? done(undefined) : moved;
}

export interface KnownCommit {
  readonly commit: string;
  readonly tree: string;
  /** Separated by blanks. */
  readonly parents: string;
  /** The tasks that it says it was made for. */
  readonly tasks: readonly string[];
}

/** Undefined when there is no such commit in the mirror. */
export async function lookUp(
  git: Git,
  { gitDir, repository }: Pick<Workspace, 'gitDir' | 'repository'>,
  revision: string,
  signal: AbortSignal,
): Promise<Result<KnownCommit | undefined>> {
  const found = await git.run(
    {
      gitDir,
      args: ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`],
      answers: [0, 1],
      subject: repository,
    },
    signal,
  );
  if (!found.ok) return found;
  if (found.value.code === 1) return done(undefined);
  const format = `%H%x00%T%x00%P%x00%(trailers:key=${taskTrailer},valueonly,separator=%x20)`;
  const shown = await git.run(
    { gitDir, args: ['log', '-1', `--format=${format}`, found.value.stdout.trim()], subject: repository },
    signal,
  );
  if (!shown.ok) return shown;
  const [commit = '', tree = '', parents = '', tasks = ''] = shown.value.stdout.trim().split('\0');
  return done({ commit, tree, parents, tasks: tasks.split(' ').filter(Boolean) });
}

const identities = ({ author, committer, at }: Pick<CommitWish, 'author' | 'committer' | 'at'>): Record<string, string> => ({
  GIT_AUTHOR_NAME: plain(author.name) || 'Nightshift',
  GIT_AUTHOR_EMAIL: plain(author.email),
  GIT_AUTHOR_DATE: `@${Math.floor(at / 1_000)} +0000`,
  GIT_COMMITTER_NAME: plain(committer.name) || 'Nightshift',
  GIT_COMMITTER_EMAIL: plain(committer.email),
  GIT_COMMITTER_DATE: `@${Math.floor(at / 1_000)} +0000`,
});

const plain = (text: string): string => text.replaceAll(/[\p{Cc}<>]/gu, ' ').trim();

/** The message with its trailers as a last paragraph. A line in the message that looks like one of ours is made harmless. */
export function withTrailers(message: string, trailers: Readonly<Record<string, string>>): string {
  const keys = Object.keys(trailers).map((key) => key.toLowerCase());
  const body = message
    .replaceAll('\0', '')
    .replaceAll(/\r\n?/g, '\n')
    .split('\n')
    .map((line) => (keys.some((key) => line.trimStart().toLowerCase().startsWith(`${key}:`)) ? `> ${line.trimStart()}` : line.trimEnd()))
    .join('\n')
    .trim();
  const lines = Object.entries(trailers).map(([key, value]) => `${key}: ${plain(value)}`);
  return `${body === '' ? 'Work by Nightshift' : body}\n${lines.length === 0 ? '' : `\n${lines.join('\n')}\n`}`;
}
