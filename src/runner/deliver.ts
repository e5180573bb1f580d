import { neverGreen } from '../domain/gate.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { FileChange, RunResult } from '../domain/result.ts';
import type { Clock } from '../platform/clock.ts';
import type { Claim } from '../queue/queue.ts';
import type { Credentials } from '../workspace/credentials.ts';
import type { ChangedFile } from '../workspace/diff.ts';
import type { Failure } from '../workspace/failure.ts';
import type { Git } from '../workspace/git.ts';
import { leftInMirror, type Pushed, push } from '../workspace/push.ts';
import { parseRepository } from '../workspace/repository.ts';
import type { Workspace, Workspaces } from '../workspace/workspaces.ts';
import { failureOutcome } from './failure-outcome.ts';

export interface DeliveryParts {
  readonly git: Git;
  readonly gitCredentials: Credentials;
  readonly workspaces: Workspaces;
  readonly clock: Clock;
}

/** `result` is what there is, also when it could not be brought to where it is wanted. */
type Delivered =
  | { readonly ok: true; readonly result: Partial<RunResult> }
  | { readonly ok: false; readonly outcome: Outcome; readonly result?: Partial<RunResult> };

const nightshift = { name: 'Nightshift', email: 'nightshift@localhost' };

/** What the run has changed so far, committed or not. When that cannot be told, it is no reason to fail the run: nothing. */
export async function changesIn(
  { workspaces }: DeliveryParts,
  workspace: Workspace,
  patchFile: string,
  signal: AbortSignal,
): Promise<Partial<RunResult>> {
  const found = await workspaces.changes(workspace, patchFile, signal);
  if (!found.ok) return {};
  const { files, patch, truncated } = found.value;
  const { branch, baseCommit } = workspace;
  return { branch, baseCommit, filesChanged: files.map(fileChange), diff: patch, diffFile: patchFile, diffTruncated: truncated };
}

/**
 * Commits what the run made and brings it to where it is wanted. Repeatable: a commit or a push made before a crash is
 * recognised.
 */
export async function deliver(
  parts: DeliveryParts,
  claim: Claim,
  workspace: Workspace,
  { patchFile, notGreen }: { readonly patchFile: string; readonly notGreen: RunResult['notGreen'] },
  signal: AbortSignal,
): Promise<Delivered> {
  const { git, gitCredentials } = parts;
  const { task } = claim;
  const committed = await commitWork(parts, claim, workspace, notGreen, signal);
  if (!committed.ok) {
    return committed.failure.code === 'nothing-to-commit' ? { ok: true, result: {} } : unfit(committed.failure);
  }
  const { commit } = committed.value;
  const changes = await changesIn(parts, workspace, patchFile, signal);
  const repository = parseRepository(workspace.repository, { local: true });
  if (!repository.ok) return unfit(repository.failure);
  const branch = repository.value.kind === 'local' ? workspace.branch : (task.branch ?? workspace.branch);
  const pushed = await push(git, gitCredentials, workspace, repository.value, commit, signal, branch);
  const delivery = deliveryOf(pushed.ok ? pushed.value : leftInMirror(workspace, workspace.branch));
  const result = { ...changes, commits: [commit], delivery };
  if (pushed.ok) return { ok: true, result };
  const { outcome } = unfit(pushed.failure);
  // Somebody else has gone on in the branch that both work on: another attempt begins where it is now.
  const overtaken = pushed.failure.code === 'non-fast-forward' && task.branch !== null && outcome.kind === 'failed';
  return { ok: false, outcome: overtaken ? { ...outcome, retryable: true } : outcome, result };
}

/** Of a run that is given up: what it did stays on this machine, as a commit that a person can fetch. */
export async function keepOnBranch(
  parts: DeliveryParts,
  claim: Claim,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<{ readonly commit: string; readonly delivery: ReturnType<typeof leftInMirror> } | undefined> {
  const committed = await commitWork(parts, claim, workspace, [], signal);
  return committed.ok ? { commit: committed.value.commit, delivery: leftInMirror(workspace, workspace.branch) } : undefined;
}

function commitWork(
  { workspaces, clock }: DeliveryParts,
  { task, run }: Claim,
  workspace: Workspace,
  notGreen: RunResult['notGreen'],
  signal: AbortSignal,
): ReturnType<Workspaces['commit']> {
  const marks = notGreen.filter(neverGreen).map(({ gate, excuse }) => `${gate} (${excuse})`);
  const trailers = { 'Nightshift-Run': run.id, ...(marks.length === 0 ? {} : { 'Nightshift-Not-Green': marks.join(', ') }) };
  return workspaces.commit(
    workspace,
    { message: task.title, author: nightshift, committer: nightshift, trailers, at: clock.now() },
    signal,
  );
}

/** Only what is told to people: what a branch was at before is between git and us. */
const deliveryOf = (pushed: Pushed): RunResult['delivery'] =>
  pushed.kind === 'pushed' ? { kind: pushed.kind, branch: pushed.branch } : pushed;

const fileChange = ({ path, from, kind, additions, deletions, binary }: ChangedFile): FileChange => ({
  path,
  ...(from === undefined ? {} : { from }),
  kind,
  additions,
  deletions,
  binary,
});

const unfit = (failure: Failure): Extract<Delivered, { ok: false }> => ({ ok: false, outcome: failureOutcome(failure) });
