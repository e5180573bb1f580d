import { type Candidate, chooseOffspring, type FindingTasks, type FollowUpLimits, worthyFindings } from '../../domain/follow-up.ts';
import type { Reason } from '../../domain/outcome.ts';
import type { RunResult } from '../../domain/result.ts';
import { demoSource, type Task } from '../../domain/task.ts';
import type { Ask } from '../../gateway/ask.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { Pump } from '../../platform/pump.ts';
import { meaningOf } from '../../queue/meaning.ts';
import type { Queue, Wish } from '../../queue/queue.ts';
import { findingsUpTo } from '../../store/findings.ts';
import {
  countOffspring,
  depthOf,
  endFollowUp,
  type FollowUp,
  insertOffspring,
  knownOffspring,
  putFollowUps,
  releaseFollowUps,
  takeFollowUps,
} from '../../store/follow-ups.ts';
import { append } from '../../store/journal.ts';
import { beat, holdNode } from '../../store/nodes.ts';
import { findResult } from '../../store/results.ts';
import { roundsOfRun } from '../../store/rounds.ts';
import type { Store, Tx } from '../../store/store.ts';
import { findOpenByKey, findTask } from '../../store/tasks.ts';
import { canonicalAddress, parseRepository } from '../../workspace/repository.ts';
import { signatureOfFinding } from '../investigate/investigator.ts';
import { todosIn } from '../investigate/written.ts';
import { patiently } from '../recorder.ts';
import { fromFinding, fromIdea, type Parent } from './candidates.ts';
import { reviewChange } from './review.ts';

export interface FollowUpSettings extends FollowUpLimits {
  readonly tasks: Exclude<FindingTasks, 'off'>;
  readonly review: boolean;
}

export interface FollowUpParts {
  readonly store: Store;
  readonly queue: Pick<Queue, 'enqueue'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly node: string;
  readonly ask: Ask;
  /** What works on the tasks that come of it. */
  readonly engine: string;
  /** A word that nobody can guess. */
  readonly newWord: () => string;
  readonly settings: FollowUpSettings;
}

/**
 * What should follow from runs that succeeded: work out of their findings, and out of a review of their change. Off the path
 * of the runs; what is pending is stored, so that a crash neither loses nor repeats a task.
 */
export interface FollowUps {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** At the same time; each may ask a model. */
const hands = 2;
const reviewLimitMs = 120_000;
/** A review that takes its server with it is not tried for ever. */
const mostAttempts = 3;

/** Called with each change of status, in its transaction: a task that has just succeeded is to be looked at. */
export async function followUpsOf(tx: Tx, tasks: readonly Task[], now: number): Promise<void> {
  const done = tasks.filter(({ status, repository, source }) => status === 'succeeded' && repository !== null && source !== demoSource);
  if (done.length === 0) return;
  await putFollowUps(
    tx,
    done.map(({ id }) => id),
    now,
  );
}

export function createFollowUps(parts: FollowUpParts): FollowUps {
  const { store, clock, log, node } = parts;
  const pump = new Pump<FollowUp>({
    name: 'follow-ups',
    clock,
    log,
    capacity: hands,
    take: (free) =>
      store.write(async (tx) => {
        // Whoever holds something must be watched: a node that was struck off while it was frozen puts itself back first.
        if (!(await holdNode(tx, node, 'to keep it'))) await beat(tx, node, clock.now());
        return takeFollowUps(tx, node, free);
      }),
    nextDue: async () => null,
    work: (item, signal) => follow(parts, item, signal),
  });
  let unsubscribe = (): void => undefined;
  return {
    async start() {
      await store.write((tx) => releaseFollowUps(tx, node));
      unsubscribe = store.onCommit((topic) => {
        if (topic === 'follow-ups') pump.wake();
      });
      pump.wake();
    },
    async stop() {
      unsubscribe();
      await pump.stop();
      await store.write((tx) => releaseFollowUps(tx, node)).catch(() => undefined); // else its next start does
    },
  };
}

/** Whatever goes wrong ends this one for good, or at the next start: nothing is tried in circles. */
async function follow(parts: FollowUpParts, item: FollowUp, signal: AbortSignal): Promise<void> {
  const { store, clock, log, node } = parts;
  const keep = <T>(change: (tx: Tx) => Promise<T>): Promise<T> => patiently(clock, signal, () => store.write(change));
  try {
    const looked = await patiently(clock, signal, () => look(store, item));
    const reviewed = await review(parts, item, looked, signal);
    if (signal.aborted) return;
    const candidates = [...looked.candidates, ...reviewed.candidates];
    await keep((tx) => settle(parts, tx, { item, task: looked.task, candidates, reviewSkipped: reviewed.skipped }));
  } catch (error) {
    if (signal.aborted) return;
    log.error({ err: error, runId: item.runId }, 'it could not be found out what follows from a run');
    await keep((tx) => endFollowUp(tx, item.runId, node));
  }
}

interface Looked {
  readonly task: Task;
  readonly parent: Parent;
  readonly result: RunResult;
  /** What its findings come to. */
  readonly candidates: readonly Candidate[];
}

async function look({ read }: Store, { runId, taskId }: FollowUp): Promise<Looked> {
  const task = await findTask(read, taskId);
  if (!task) throw new Error(`there is no task ${taskId}`);
  const repository = task.repository ?? '';
  const parent = { title: task.title, repository: canonicalAddress(repository) ?? repository };
  const result = await findResult(read, runId);
  const rounds = await roundsOfRun(read, runId);
  const end = {
    verdicts: rounds.at(-1)?.verdicts ?? [],
    filesChanged: result.filesChanged.map(({ path }) => path),
  };
  const left = todosIn(result.diff ?? '').map((todo) => ({ ...todo, signature: signatureOfFinding(todo), gone: false }));
  const worthy = [...worthyFindings(await findingsUpTo(read, { taskId, runId }), end), ...left];
  return { task, parent, result, candidates: worthy.map((finding) => fromFinding(finding, parent)) };
}

interface Review {
  readonly candidates: readonly Candidate[];
  readonly skipped: Reason | null;
}

async function review(parts: FollowUpParts, item: FollowUp, { task, parent, result }: Looked, stop: AbortSignal): Promise<Review> {
  const none = (code: string, message: string): Review => ({ candidates: [], skipped: { code, message } });
  const { ask, newWord, settings, store, clock, log } = parts;
  const nobodyWants: Review = { candidates: [], skipped: null };
  if (!settings.review) return nobodyWants;
  if ((await depthOf(store.read, task.id, settings.depth)) >= settings.depth) return nobodyWants;
  if (item.attempts > mostAttempts) return none('too-many-attempts', `The server stopped ${mostAttempts} times while it was reviewed.`);
  // What comes of a review is untrusted work, and such may not touch the directories of this machine.
  if (!parseRepository(task.repository ?? '', { local: false }).ok) return nobodyWants;
  const limit = new AbortController();
  const cancelLimit = clock.after(reviewLimitMs, () => limit.abort());
  try {
    const of = { task, runId: item.runId, result, fence: newWord() };
    const reviewed = await reviewChange(ask, of, AbortSignal.any([stop, limit.signal]));
    if (!reviewed.ok) return none(reviewed.skipped.code, reviewed.skipped.message);
    return { candidates: reviewed.ideas.map((idea) => fromIdea(idea, parent)), skipped: null };
  } catch (error) {
    if (limit.signal.aborted) return none('timeout', `No model answered within ${reviewLimitMs / 1_000} seconds.`);
    if (!stop.aborted) log.error({ err: error, runId: item.runId }, 'the review of a change broke');
    return none('internal', error instanceof Error ? error.message : String(error));
  } finally {
    cancelLimit();
  }
}

interface Decided {
  readonly item: FollowUp;
  readonly task: Task;
  readonly candidates: readonly Candidate[];
  readonly reviewSkipped: Reason | null;
}

/** All at once: the tasks, that they were made, what is told of it, and that the run has been looked at. */
async function settle(parts: FollowUpParts, tx: Tx, { item: { runId }, task, candidates, reviewSkipped }: Decided): Promise<void> {
  const { queue, clock, node, settings } = parts;
  const now = clock.now();
  // Two that count what there was today would both find room for the last one.
  await tx.lock('offspring');
  if (!(await endFollowUp(tx, runId, node))) return;
  const known = await knownBefore(tx, task, candidates);
  const before = { known, today: await countOffspring(tx.db, midnightBefore(now)), depth: await depthOf(tx.db, task.id, settings.depth) };
  const { chosen, leftOut } = chooseOffspring(candidates, before, settings);
  const submissions = await queue.enqueue(
    tx,
    chosen.map((candidate) => wishOf(parts, task, candidate)),
  );
  const made = submissions.flatMap((submission, at) =>
    submission.kind === 'created' ? [{ candidate: chosen[at] as Candidate, taskId: submission.task.id }] : [],
  );
  await insertOffspring(
    tx,
    runId,
    made.map(({ candidate: { key }, taskId }) => ({ key, taskId })),
    now,
  );
  const tasks = made.map(({ taskId: id, candidate: { title, from } }) => ({ id, title, from }));
  const silent = tasks.length === 0 && reviewSkipped === null && Object.values(leftOut).every((count) => count === 0);
  if (silent) return;
  await append(tx, [{ type: 'task.follow-ups', taskId: task.id, data: { runId, tasks, leftOut, reviewSkipped } }], now);
}

/** Made into tasks before, or open already because somebody else wished for the same. */
async function knownBefore(tx: Tx, { repository }: Task, candidates: readonly Candidate[]): Promise<ReadonlySet<string>> {
  const made = await knownOffspring(
    tx.db,
    candidates.map(({ key }) => key),
  );
  const meanings = new Map(candidates.map(({ key, title }) => [meaningOf({ title, repository }), key]));
  const open = await findOpenByKey(tx.db, [...meanings.keys()]);
  return new Set([...made, ...open.flatMap(({ dedupeKey }) => meanings.get(dedupeKey ?? '') ?? [])]);
}

/** No more trusted than the task it comes of, and what a model thought up is not trusted at all: that waits for a person. */
function wishOf({ settings, engine }: FollowUpParts, parent: Task, { title, body, from }: Candidate): Wish {
  const trust = from === 'review' ? 'untrusted' : parent.trust;
  return {
    title,
    body,
    source: 'agent',
    requestedBy: 'nightshift',
    trust,
    priority: 'low',
    repository: parent.repository as string,
    ...(parent.ref === null ? {} : { ref: parent.ref }),
    ...(parent.budgetUsd === null ? {} : { budgetUsd: parent.budgetUsd }),
    profile: parent.profile,
    engine,
    labels: ['follow-up'],
    parentTaskId: parent.id,
    needsApproval: settings.tasks === 'approve' || trust === 'untrusted',
  };
}

const midnightBefore = (now: number): number => now - (now % 86_400_000);
