import type { NewEvent } from '../domain/event.ts';
import { idPrefixes } from '../domain/id.ts';
import { defaultProfile, type Profile } from '../domain/profile.ts';
import { dependencyFailed, firstState, isClosed, rankOf, type Task, type TaskStatus } from '../domain/task.ts';
import type { NewId } from '../platform/ids.ts';
import { append } from '../store/journal.ts';
import { holdProfiles } from '../store/profiles.ts';
import type { Tx } from '../store/store.ts';
import { findOpenByKey, insertDependencies, insertTasks, lockStatuses, readySince } from '../store/tasks.ts';
import { insertTraces } from '../store/traces.ts';
import type { Line, Refusal, Submission, Wish } from './queue.ts';

const defaultMaxAttempts = 3;

/** Why no engine here could attempt this, or undefined. Pure. */
export type CannotRun = (wish: { readonly engine: string | null; readonly body: string | null }) => string | undefined;

export interface EnqueueParts {
  readonly line: Line;
  readonly newId: NewId;
  readonly cannotRun: CannotRun;
}

/** Stores wishes as tasks, in order. What is refused or already there changes nothing else. */
export async function enqueue(
  tx: Tx,
  { line, newId, cannotRun }: EnqueueParts,
  wishes: readonly Wish[],
  now: number,
): Promise<readonly Submission[]> {
  if (wishes.length === 0) return [];
  const profiles = await holdProfiles(
    tx,
    wishes.map(({ profile }) => profile ?? defaultProfile),
  );
  const statuses = await lockStatuses(
    tx,
    wishes.flatMap(({ dependsOn }) => dependsOn ?? []),
  );
  const drafts = wishes.map((wish) => {
    const named = wish.profile ?? defaultProfile;
    const profile = profiles.get(named);
    if (!profile) return { wish, refusal: unknownProfile(named) };
    const task = taskOf(wish, profile, newId(idPrefixes.task), statuses, now);
    // What awaits approval may still get another profile and more of a body; then it is judged.
    const refusal = (wish.needsApproval ? undefined : unfit(cannotRun, task, profile)) ?? unknownDependency(wish, statuses);
    return refusal ? { wish, refusal } : { wish, task };
  });

  const stored = await insertTasks(
    tx,
    drafts.flatMap(({ task }) => task ?? []),
  );
  const twins = await openTwins(
    tx,
    drafts.flatMap(({ task }) => (task && !stored.has(task.id) ? (task.dedupeKey ?? []) : [])),
  );

  const events: NewEvent[] = [];
  const submissions = drafts.map(({ wish, task, refusal }): Submission => {
    if (refusal) return { kind: 'refused', refusal };
    if (stored.has(task.id)) {
      events.push(submitted(task));
      return { kind: 'created', task };
    }
    const twin = twins.get(task.dedupeKey ?? '');
    // It was open when we tried and is over now, so this wish is new work after all: undo, and the store runs us again.
    if (!twin) throw Object.assign(new Error('the open twin ended meanwhile'), { code: '40001' });
    events.push({ type: 'task.duplicate', taskId: twin.id, data: { source: wish.source, requestedBy: wish.requestedBy } });
    return { kind: 'duplicate', task: twin };
  });

  const created = submissions.flatMap((submission) => (submission.kind === 'created' ? submission.task : []));
  await insertDependencies(
    tx,
    drafts.flatMap(({ wish, task }) =>
      task && stored.has(task.id) ? [...new Set(wish.dependsOn)].map((dependsOn) => ({ taskId: task.id, dependsOn })) : [],
    ),
  );
  await insertTraces(
    tx,
    drafts.flatMap(({ wish: { traceparent }, task }) =>
      traceparent !== undefined && task && stored.has(task.id) ? [{ taskId: task.id, traceparent }] : [],
    ),
  );
  await append(tx, events, now);
  await line.offer(
    tx,
    created.filter(({ status }) => status === 'queued').map((task) => ({ taskId: task.id, rank: rankOf(task.priority, readySince(task)) })),
  );
  if (created.some(({ status }) => status === 'queued' || status === 'delayed')) tx.touch('line');
  return submissions;
}

async function openTwins(tx: Tx, keys: readonly string[]): Promise<ReadonlyMap<string, Task>> {
  if (keys.length === 0) return new Map();
  return new Map((await findOpenByKey(tx.db, keys)).map((task) => [task.dedupeKey ?? '', task]));
}

function taskOf(wish: Wish, profile: Profile, id: string, statuses: ReadonlyMap<string, TaskStatus>, now: number): Task {
  const dependsOn = [...new Set(wish.dependsOn)];
  const state = firstState({
    waitingFor: dependsOn.filter((dependency) => statuses.get(dependency) !== 'succeeded').length,
    notBefore: wish.notBefore ?? null,
    needsApproval: wish.needsApproval ?? false,
    maxAttempts: wish.maxAttempts ?? defaultMaxAttempts,
    now,
  });
  // The same end as if the dependency had failed a moment later: accepted, failed, and revived with it.
  const ended = dependsOn.find((dependency) => endedBadly(statuses.get(dependency)));
  return {
    ...state,
    ...(ended === undefined
      ? {}
      : {
          status: 'failed',
          closedAt: now,
          reason: {
            code: dependencyFailed,
            message: `It depends on ${ended}, which ended ${statuses.get(ended)}. It is taken up again when that task is retried.`,
          },
        }),
    id,
    source: wish.source,
    externalRef: wish.externalRef ?? null,
    title: wish.title,
    body: wish.body ?? null,
    repository: wish.repository ?? null,
    ref: wish.ref ?? null,
    priority: wish.priority,
    dedupeKey: wish.dedupeKey ?? null,
    // With whose budget it runs is settled when it may run: until then it may get another profile.
    budgetUsd: wish.budgetUsd ?? (wish.needsApproval ? null : profile.budgetUsd),
    verify: wish.verify ?? null,
    doneWhen: wish.doneWhen ?? null,
    maxRounds: wish.maxRounds ?? null,
    engine: wish.engine ?? null,
    profile: profile.name,
    tier: wish.tier ?? null,
    labels: [...new Set(wish.labels)],
    deliverable: wish.deliverable ?? 'changes',
    branch: wish.branch ?? null,
    parentTaskId: wish.parentTaskId ?? null,
    requestedBy: wish.requestedBy,
    trust: wish.trust,
    createdAt: now,
    updatedAt: now,
  };
}

const endedBadly = (status: TaskStatus | undefined): boolean => status !== undefined && isClosed(status) && status !== 'succeeded';

export function unfit(cannotRun: CannotRun, task: Pick<Task, 'engine' | 'body'>, profile: Profile): Refusal | undefined {
  const why = cannotRun({ engine: task.engine ?? profile.engine, body: task.body });
  return why === undefined ? undefined : { status: 422, code: 'cannot-run', message: `This task could never run: ${why}.` };
}

export const unknownProfile = (name: string): Refusal => ({
  status: 422,
  code: 'unknown-profile',
  message: `There is no profile named ${JSON.stringify(name)}. \`nightshift profiles\` lists those that there are.`,
});

function unknownDependency(wish: Wish, statuses: ReadonlyMap<string, TaskStatus>): Refusal | undefined {
  const missing = (wish.dependsOn ?? []).filter((id) => !statuses.has(id));
  if (missing.length === 0) return undefined;
  const named = missing.slice(0, 5).join(', ');
  return {
    status: 422,
    code: 'unknown-dependency',
    message: `dependsOn names ${missing.length === 1 ? 'a task' : `${missing.length} tasks`} that ${missing.length === 1 ? 'does' : 'do'} not exist: ${named}${missing.length > 5 ? ' …' : ''}. Submit the dependency first.`,
    details: { missing: missing.slice(0, 100) },
  };
}

const submitted = (task: Task): NewEvent => ({
  type: 'task.submitted',
  taskId: task.id,
  data: { title: task.title, source: task.source, priority: task.priority, status: task.status },
});
