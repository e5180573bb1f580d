import { type CommitWish, commitTree } from './commit.ts';
import { type Conflict, done, type Result, refuse } from './failure.ts';
import type { Git, GitAnswer } from './git.ts';
import { isBranchName } from './ref-name.ts';

/**
 * Merge, cherry-pick and rebase on commits alone: no checkout, no index, nothing to clean up and nothing half-done, and it
 * works while an agent uses its workspace. The answer is a commit that no branch leads to yet; `moveBranch` publishes it.
 */
export interface Combining {
  readonly git: Git;
  readonly gitDir: string;
  /** In messages. */
  readonly subject?: string;
}

export interface Signed extends Pick<CommitWish, 'author' | 'committer' | 'at'> {
  readonly message: string;
  readonly taskId?: string;
}

/** `already` when there was nothing to do, `forward` when `theirs` simply follows `ours`. */
export interface Merged {
  readonly kind: 'already' | 'forward' | 'merged';
  readonly commit: string;
}

export async function merge(at: Combining, ours: string, theirs: string, signed: Signed, signal: AbortSignal): Promise<Result<Merged>> {
  const base = await ask(at, ['merge-base', ours, theirs], signal, [0, 1]);
  if (!base.ok) return base;
  if (base.value.code === 1) return refuse('unrelated-histories', 'The two histories have no commit in common, so they cannot be merged.');
  const common = base.value.stdout.trim();
  if (common === theirs) return done({ kind: 'already', commit: ours });
  if (common === ours) return done({ kind: 'forward', commit: theirs });
  const tree = await mergeTrees(at, ours, theirs, signal);
  if (!tree.ok) return tree;
  const commit = await commitTree(at.git, at.gitDir, { ...signed, tree: tree.value, parents: [ours, theirs] }, signal);
  return commit.ok ? done({ kind: 'merged', commit: commit.value }) : commit;
}

/** The change that `commit` made, put on top of `onto`, with its author and message. The committer is ours. */
export async function cherryPick(
  at: Combining,
  commit: string,
  onto: string,
  by: Pick<CommitWish, 'committer' | 'at'>,
  signal: AbortSignal,
): Promise<Result<string>> {
  const shown = await ask(at, ['log', '-1', '--date=raw', '--format=%P%x00%T%x00%an%x00%ae%x00%ad%x00%B', commit], signal);
  if (!shown.ok) return shown;
  const [parents = '', tree = '', name = '', email = '', date = '0 +0000', ...message] = shown.value.stdout.split('\0');
  const parent = parents.split(' ')[0] ?? '';
  if (parents.includes(' '))
    return refuse('git-failed', `The commit ${commit} is a merge, which cannot be picked. Pick the commits it brought.`);
  if (parent === onto) return done(commit);
  const tops = await asSiblings(at, parent, onto, tree, signal);
  if (!tops.ok) return tops;
  const merged = await mergeTrees(at, tops.value.onto, tops.value.change, signal);
  if (!merged.ok) return merged;
  const made = await at.git.run(
    {
      gitDir: at.gitDir,
      args: ['commit-tree', merged.value, '-p', onto, '-F', '-'],
      input: message.join('\0').replace(/\n$/, ''),
      env: {
        GIT_AUTHOR_NAME: name,
        GIT_AUTHOR_EMAIL: email,
        GIT_AUTHOR_DATE: `@${date}`,
        ...committerOf(by),
      },
    },
    signal,
  );
  return made.ok ? done(made.value.stdout.trim()) : made;
}

export interface Rebased {
  readonly commit: string;
  /** How many commits were put on top; those whose change was there already are dropped. */
  readonly count: number;
}

/** What is on `tip` and not on `onto`, put on top of `onto` in order. Merge commits among them are left out, as git does. */
export async function rebase(
  at: Combining,
  tip: string,
  onto: string,
  by: Pick<CommitWish, 'committer' | 'at'>,
  signal: AbortSignal,
): Promise<Result<Rebased>> {
  const base = await ask(at, ['merge-base', tip, onto], signal, [0, 1]);
  if (!base.ok) return base;
  if (base.value.code === 1)
    return refuse('unrelated-histories', 'The two histories have no commit in common, so one cannot be rebased onto the other.');
  const listed = await ask(
    at,
    ['rev-list', '--reverse', '--topo-order', '--no-merges', '--right-only', '--cherry-pick', `${onto}...${tip}`],
    signal,
  );
  if (!listed.ok) return listed;
  let top = onto;
  let count = 0;
  for (const commit of listed.value.stdout.split('\n').filter(Boolean)) {
    const picked = await cherryPick(at, commit, top, by, signal);
    if (!picked.ok) return picked;
    if (await changesNothing(at, picked.value, top, signal)) continue;
    top = picked.value;
    count += 1;
  }
  return done({ commit: top, count });
}

/** A tag of ours. An annotated one when there is a message. An existing tag is never moved. */
export async function tag(
  at: Combining,
  name: string,
  commit: string,
  signed: Pick<CommitWish, 'committer' | 'at'> & { readonly message?: string },
  signal: AbortSignal,
): Promise<Result<string>> {
  if (!isBranchName(name)) return refuse('invalid-ref', `${JSON.stringify(name)} cannot be the name of a tag.`);
  const annotated = signed.message === undefined ? [] : ['-a', '-m', signed.message, '--cleanup=verbatim'];
  const made = await at.git.run(
    { gitDir: at.gitDir, args: ['tag', ...annotated, '--end-of-options', name, commit], env: committerOf(signed) },
    signal,
  );
  if (!made.ok) {
    return /already exists/.test(made.failure.detail ?? '')
      ? refuse('non-fast-forward', `There is a tag named ${name} already, and tags are not moved. Choose another name.`)
      : made;
  }
  const shown = await ask(at, ['rev-parse', '--verify', `refs/tags/${name}`], signal);
  return shown.ok ? done(shown.value.stdout.trim()) : shown;
}

/** The merged tree, or which paths stand in the way and why. Needs two commits with a common ancestor. */
async function mergeTrees(at: Combining, ours: string, theirs: string, signal: AbortSignal): Promise<Result<string>> {
  const merged = await ask(at, ['merge-tree', '--write-tree', '-z', '--messages', ours, theirs], signal, [0, 1]);
  if (!merged.ok) return merged;
  if (merged.value.code === 0) return done(merged.value.stdout.split('\0')[0]?.trim() ?? '');
  const conflicts = parseConflicts(merged.value.stdout);
  const paths = conflicts.map(({ path }) => path);
  return refuse(
    'conflict',
    `Both sides changed ${paths.slice(0, 5).join(', ')}${paths.length > 5 ? ` and ${paths.length - 5} more` : ''} in ways that do not fit together. Bring them together by hand, or let a run do it.`,
    { conflicts },
  );
}

/** `<tree>\0`, then `<mode> <oid> <stage>\t<path>\0` each, `\0`, then `<n>\0<path>\0…<kind>\0<message>\0` each. */
function parseConflicts(output: string): readonly Conflict[] {
  const fields = output.split('\0');
  const found = new Map<string, Conflict>();
  let at = 1;
  while (at < fields.length && fields[at] !== '') {
    const path = (fields[at++] ?? '').split('\t').slice(1).join('\t');
    found.set(path, { path, kind: 'contents', message: `${path} is in conflict` });
  }
  at += 1;
  while (at < fields.length && /^\d+$/.test(fields[at] ?? '')) {
    const count = Number(fields[at++]);
    const paths = fields.slice(at, at + count);
    at += count;
    const kind = fields[at++] ?? '';
    const message = (fields[at++] ?? '').trim();
    if (!kind.startsWith('CONFLICT')) continue;
    const short = /^CONFLICT \((.*)\)$/.exec(kind)?.[1] ?? kind;
    for (const path of paths) if (found.has(path)) found.set(path, { path, kind: short, message });
  }
  return [...found.values()];
}

/**
 * git before 2.40 cannot be told the base of a merge of trees. So the two sides are hung on a commit that has the wanted
 * base's tree: three commits that nothing refers to, the same each time.
 */
async function asSiblings(
  at: Combining,
  parent: string,
  onto: string,
  tree: string,
  signal: AbortSignal,
): Promise<Result<{ readonly onto: string; readonly change: string }>> {
  const emptyTree = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';
  const fixed = { name: 'Nightshift', email: '' };
  const make = (of: string, parents: readonly string[]): Promise<Result<string>> =>
    commitTree(at.git, at.gitDir, { tree: of, parents, message: 'scaffold', author: fixed, committer: fixed, at: 0 }, signal);
  const base = await make(parent === '' ? emptyTree : `${parent}^{tree}`, []);
  if (!base.ok) return base;
  const ours = await make(`${onto}^{tree}`, [base.value]);
  if (!ours.ok) return ours;
  const theirs = await make(tree, [base.value]);
  return theirs.ok ? done({ onto: ours.value, change: theirs.value }) : theirs;
}

async function changesNothing(at: Combining, commit: string, parent: string, signal: AbortSignal): Promise<boolean> {
  const trees = await ask(at, ['rev-parse', `${commit}^{tree}`, `${parent}^{tree}`], signal);
  if (!trees.ok) return false;
  const [mine, other] = trees.value.stdout.trim().split('\n');
  return mine === other;
}

const committerOf = ({ committer, at }: Pick<CommitWish, 'committer' | 'at'>): Record<string, string> => ({
  GIT_COMMITTER_NAME: committer.name,
  GIT_COMMITTER_EMAIL: committer.email,
  GIT_COMMITTER_DATE: `@${Math.floor(at / 1_000)} +0000`,
});

const ask = (at: Combining, args: readonly string[], signal: AbortSignal, answers: readonly number[] = [0]): Promise<Result<GitAnswer>> =>
  at.git.run({ gitDir: at.gitDir, args, answers, ...(at.subject === undefined ? {} : { subject: at.subject }) }, signal);
