import type { Checkpoint } from '../domain/checkpoint.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { Clock } from '../platform/clock.ts';
import type { Claim } from '../queue/queue.ts';
import { findCheckpoint } from '../store/checkpoints.ts';
import { type PlannedAttempt, plannedAttempt, takeAttempt } from '../store/next-attempts.ts';
import { lastSession } from '../store/results.ts';
import { runsOfTasks } from '../store/runs.ts';
import type { Store } from '../store/store.ts';
import { parseRepository } from '../workspace/repository.ts';
import type { Workspace, Workspaces } from '../workspace/workspaces.ts';
import { hasSession } from './engines/claude.ts';
import type { ConversationRequest } from './engines/engine.ts';
import { failureOutcome } from './failure-outcome.ts';
import type { RepositoryRules } from './repositories.ts';

export interface BeginningParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly workspaces: Workspaces;
  readonly repositories: RepositoryRules;
}

/** Where an attempt begins: among which files, and with how much of an earlier conversation. */
export interface Beginning {
  readonly workspace: Workspace | undefined;
  /** `resumed`: among the files of a run that was interrupted, in the middle of its conversation. `anew`: after one whose workspace is gone. */
  readonly begins: 'fresh' | 'resumed' | 'anew';
  /** The conversation is gone on with from here. */
  readonly from: Checkpoint | undefined;
  /** What was planned for this attempt. */
  readonly plan: PlannedAttempt | undefined;
  /** What its reader should know about that. */
  readonly notice: string | undefined;
}

export type Begun = ({ readonly ok: true } & Beginning) | { readonly ok: false; readonly outcome: Outcome };

const fresh = { begins: 'fresh', from: undefined, notice: undefined } as const;

/** A plan that no run has taken up yet goes first, then what an interrupted run left, then a new workspace. */
export async function begin(parts: BeginningParts, claim: Claim, say: (notice: string) => void, signal: AbortSignal): Promise<Begun> {
  const { store, workspaces } = parts;
  const { task, run } = claim;
  const plan = await plannedAttempt(store.read, task.id);
  if (task.repository === null) {
    if (plan) await store.write((tx) => takeAttempt(tx, task.id, run.id));
    return { ok: true, ...fresh, workspace: undefined, plan };
  }
  const checkpoint = plan?.checkpoint ? await findCheckpoint(store.read, plan.checkpoint) : undefined;
  if (plan && plan.takenBy === null) return beginAsPlanned(parts, claim, plan, checkpoint, say, signal);

  const left = await workspaces.resume(task.id, run.id);
  if (!left) return beginAnew(parts, claim, plan?.otherWay ? plan : undefined, say, signal);
  // The run that took the plan up died before it had a conversation: this one goes on from there in its stead.
  const session = await lastSession(store.read, task.id);
  const cutShort =
    plan?.takenBy && checkpoint?.workspaceId === left.id && (session === null || session.runId < plan.takenBy) ? checkpoint : undefined;
  return { ok: true, workspace: left, begins: 'resumed', from: cutShort, plan, notice: undefined };
}

async function beginAsPlanned(
  parts: BeginningParts,
  claim: Claim,
  plan: PlannedAttempt,
  checkpoint: Checkpoint | undefined,
  say: (notice: string) => void,
  signal: AbortSignal,
): Promise<Begun> {
  const { task, run } = claim;
  if (checkpoint) {
    const taken = await parts.workspaces.takeUp(checkpoint, run.id, (tx) => takeAttempt(tx, task.id, run.id), signal);
    if (taken.ok && taken.value) return { ok: true, ...fresh, workspace: taken.value, from: checkpoint, plan };
    if (!taken.ok && plan.by === 'person') return { ok: false, outcome: failureOutcome(taken.failure) };
  }
  // Where a person only had something to say, it goes on where it was, if it was interrupted or wanted money.
  const left = plan.checkpoint === null && plan.by === 'person' ? await parts.workspaces.resume(task.id, run.id) : undefined;
  const begun: Begun = left
    ? { ok: true, workspace: left, begins: 'resumed', from: undefined, plan, notice: undefined }
    : await beginAnew(parts, claim, plan, say, signal);
  if (!begun.ok) return begun;
  await parts.store.write((tx) => takeAttempt(tx, task.id, run.id));
  if (plan.checkpoint === null) return begun;
  const notice = `Begins anew: the checkpoint that it was to go on from is gone, in use, or on another server. ${checkpoint?.note ?? ''}`;
  return { ...begun, notice: notice.trim() };
}

async function beginAnew(
  { store, workspaces, repositories }: BeginningParts,
  { task, run }: Claim,
  plan: PlannedAttempt | undefined,
  onLongFetch: (notice: string) => void,
  signal: AbortSignal,
): Promise<Begun> {
  const repository = parseRepository(task.repository ?? '', { local: task.trust === 'owner' });
  if (!repository.ok) return { ok: false, outcome: failureOutcome(repository.failure) };
  const before = ((await runsOfTasks(store.read, [task.id])).get(task.id) ?? []).filter(({ id }) => id !== run.id).at(-1);
  const begins = plan === undefined && before?.status === 'lost' ? 'anew' : 'fresh';
  const opened = await workspaces.open(
    {
      taskId: task.id,
      runId: run.id,
      title: task.title,
      repository: repository.value,
      ref: task.ref,
      history: repositories.historyOf(repository.value.url),
      onLongFetch,
      from: begins === 'anew' ? 'last-commit' : 'base',
    },
    signal,
  );
  return opened.ok ? { ok: true, ...fresh, begins, workspace: opened.value, plan } : { ok: false, outcome: failureOutcome(opened.failure) };
}

/** The part of the conversation that an attempt begins with; what is left out, begins anew, and is told the `background`. */
export async function conversationOf(
  { store }: BeginningParts,
  taskId: string,
  { begins, from, plan, notice }: Beginning,
  sessionDirectory: string,
): Promise<Pick<ConversationRequest, 'resume' | 'resumeAt' | 'prompt'> & { readonly background?: string }> {
  const background = [plan?.background, from && `The workspace holds the files of an earlier attempt. ${from.note}`, notice]
    .filter(Boolean)
    .join('\n\n');
  const told = background === '' ? {} : { background };
  if (from) {
    const { sessionId, messageId } = from.session ?? { sessionId: '', messageId: null };
    if (plan?.newConversation || messageId === null || !(await hasSession(sessionDirectory, sessionId))) return told;
    return { resume: sessionId, resumeAt: messageId, prompt: [putBack(from), plan?.background].filter(Boolean).join('\n\n') };
  }
  const session = begins === 'resumed' ? await lastSession(store.read, taskId) : null;
  // One that is older than the run that took the plan up is of the attempt that the plan was made after.
  const outdated = session !== null && plan?.takenBy != null && session.runId < plan.takenBy;
  if (session === null || outdated || !(await hasSession(sessionDirectory, session.sessionId))) return told;
  return { resume: session.sessionId, ...(plan?.takenBy === null && plan.background !== null ? { prompt: plan.background } : {}) };
}

const putBack = ({ number, note, kind }: Checkpoint): string => (kind === 'cut' ? stoppedHere(note) : putBackTo(number, note));

const stoppedHere = (note: string): string =>
  `You were stopped here (${note}). Your last step may be half done, and is no part of this conversation. Look at the state of the ` +
  'workspace, then go on with the task from there.';

const putBackTo = (number: number, note: string): string =>
  `The files were put back to how they were at this point (checkpoint ${number}: ${note}). What you did after it is undone, and is no part ` +
  'of this conversation. Only installed packages, and files too big to be kept, are as they became. Look at the state of the workspace, ' +
  'then go on with the task from there.';
