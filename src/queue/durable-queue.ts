import { AsyncLocalStorage } from 'node:async_hooks';
import { backoffMs } from '../domain/backoff.ts';
import { Refused } from '../domain/errors.ts';
import type { NewEvent } from '../domain/event.ts';
import { idPrefixes } from '../domain/id.ts';
import { isSetback, type Outcome } from '../domain/outcome.ts';
import type { Recovery } from '../domain/recovery.ts';
import type { Resolution } from '../domain/resolution.ts';
import { type Run, reasonOf, runStatusOf } from '../domain/run.ts';
import {
  advance,
  awaitsDecision,
  isWaiting,
  leastTrusted,
  needsPerson,
  notEscalated,
  type Priority,
  rankOf,
  starvingAfterMs,
  starvingShare,
  type Task,
  type TaskChange,
} from '../domain/task.ts';
import type { Clock } from '../platform/clock.ts';
import { gatherUntil } from '../platform/gather.ts';
import type { NewId } from '../platform/ids.ts';
import { findCheckpoint } from '../store/checkpoints.ts';
import { append } from '../store/journal.ts';
import { bookLost } from '../store/ledger.ts';
import { dropAttempt, planAttempt } from '../store/next-attempts.ts';
import * as nodes from '../store/nodes.ts';
import { findProfiles, holdProfiles } from '../store/profiles.ts';
import * as runs from '../store/runs.ts';
import { pausedKey, readSetting, writeSetting } from '../store/settings.ts';
import type { LockName, Store, Tx } from '../store/store.ts';
import * as tasks from '../store/tasks.ts';
import { type CannotRun, enqueue, unfit, unknownProfile } from './enqueue.ts';
import { move, type Surroundings } from './move.ts';
import type { Amendment, Answer, Claim, Line, Queue, Refusal, Settled, Settlement, Submission, Wish } from './queue.ts';
import { recover, recoveryEvent } from './recover.ts';

export interface QueueParts {
  readonly store: Store;
  readonly line: Line;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Uniform in [0, 1): the jitter of retries. */
  readonly chance: () => number;
  /** What a task without an engine of its own runs on; null when there is none. */
  readonly defaultEngine: string | null;
  /** Asked when a task is submitted or approved. Without it, whatever is wished for is tried. */
  readonly cannotRun?: CannotRun;
  /** Told of tasks that come to another status, in the transaction of that change. */
  readonly changed?: Surroundings['changed'];
  /** Told, in their transaction, of new tasks that wait for a person from the start. */
  readonly asked?: Surroundings['changed'];
}

/** A wish, and the context of whoever has it. */
interface Submitted {
  readonly wish: Wish;
  readonly asCaller: (act: () => void) => void;
}

type Make = (tx: Tx, task: Task) => Promise<TaskChange | Refusal>;

const promoteLimit = 500;

export function createQueue(parts: QueueParts): Queue {
  const { store, line, clock, newId, cannotRun = () => undefined } = parts;
  const surroundings: Surroundings = { line, changed: parts.changed ?? (async () => undefined) };

  const enqueueIn = async (tx: Tx, wishes: readonly Wish[]): Promise<readonly Submission[]> => {
    const submissions = await enqueue(tx, { line, newId, cannotRun }, wishes, clock.now());
    const created = submissions.flatMap((submission) => (submission.kind === 'created' ? submission.task : []));
    await parts.asked?.(
      tx,
      created.filter(({ status }) => needsPerson.includes(status)),
    );
    return submissions;
  };

  async function claimIn(tx: Tx, node: string, capacity: number): Promise<readonly Claim[]> {
    if ((await readSetting(tx.db, pausedKey)) !== undefined) return [];
    // Whoever holds work must be watched: a node that was struck off while it was frozen puts itself back first.
    if (!(await nodes.holdNode(tx, node, 'to keep it'))) await nodes.beat(tx, node, clock.now());
    const ids = await take(tx, capacity);
    if (ids.length === 0) return [];
    const now = clock.now();
    // Somebody who changes a task holds it and wants its place in line, which we hold: do not wait for each other.
    const held = await tasks.lockTasks(tx, ids, { skipHeld: true });
    const busy = ids.filter((id) => !held.has(id));
    const runIds = new Map(ids.map((id) => [id, newId(idPrefixes.run)]));
    const claimed: TaskChange = { type: 'claimed' };
    const moved = await move(
      tx,
      surroundings,
      [...held.values()].map((task) => ({ task, change: claimed, runId: runIds.get(task.id) as string })),
      now,
    );
    // A place in line whose task has moved on is a leftover.
    await line.withdraw(
      tx,
      ids.filter((id) => !moved.tasks.has(id)),
    );
    if (busy.length > 0) await line.offer(tx, await tasks.placesOf(tx.db, busy));

    const claimable = await tasks.withBodies(tx.db, [...moved.tasks.values()]);
    const profiles = await findProfiles(
      tx.db,
      claimable.map(({ profile }) => profile),
    );
    const claims = claimable
      .slice()
      .sort((a, b) => rankOf(a.priority, tasks.readySince(a)) - rankOf(b.priority, tasks.readySince(b)) || (a.id < b.id ? -1 : 1))
      .map((task): Claim => {
        const profile = profiles.get(task.profile);
        const run: Run = {
          id: runIds.get(task.id) as string,
          taskId: task.id,
          nodeId: node,
          engine: task.engine ?? profile?.engine ?? parts.defaultEngine,
          attempt: task.attempts,
          status: 'running',
          reason: null,
          summary: null,
          startedAt: now,
          finishedAt: null,
        };
        return { task, run, profile };
      });
    await runs.insertRuns(
      tx,
      claims.map(({ run }) => run),
    );
    await append(
      tx,
      claims.map(
        ({ run }): NewEvent => ({
          type: 'run.started',
          taskId: run.taskId,
          runId: run.id,
          data: { attempt: run.attempt, node, engine: run.engine },
        }),
      ),
      now,
    );
    return claims;
  }

  let claimed = 0;

  /** The first in line, but one in a few to whoever has waited too long behind more urgent ones. */
  async function take(tx: Tx, capacity: number): Promise<readonly string[]> {
    const turn = Math.floor(claimed / starvingShare);
    claimed += capacity;
    const starving = Math.floor(claimed / starvingShare) > turn ? await starvingPriority(tx) : undefined;
    const rescued = starving === undefined ? [] : await line.take(tx, 1, starving);
    const first = capacity > rescued.length ? await line.take(tx, capacity - rescued.length, undefined, rescued) : [];
    return [...rescued, ...first];
  }

  async function starvingPriority(tx: Tx): Promise<Priority | undefined> {
    for (const priority of ['low', 'medium'] as const) {
      const since = await tasks.longestWait(tx.db, priority);
      if (since !== null && since < clock.now() - starvingAfterMs) return priority;
    }
    return undefined;
  }

  async function settleIn(tx: Tx, settled: readonly Settled[]): Promise<readonly Settlement[]> {
    const now = clock.now();
    const held = await tasks.lockTasks(
      tx,
      settled.map(({ taskId }) => taskId),
    );
    // Read after the lock: whoever ends a run holds its task first.
    const live = await runs.findRuns(
      tx.db,
      settled.map(({ runId }) => runId),
    );
    const mine = settled.filter(({ runId, taskId }) => live.get(runId)?.status === 'running' && held.has(taskId));
    const recoveries = new Map<string, Recovery>();
    const told: NewEvent[] = [];
    for (const { taskId, runId, outcome } of mine) {
      const [task, run] = [held.get(taskId) as Task, live.get(runId) as Run];
      if (!isSetback(outcome) || task.cancelRequestedAt !== null) continue;
      const setback = { task, run, setback: outcome, backoffMs: backoffMs(task.attempts, parts.chance()) };
      const recovery = await recover(tx, setback, now);
      recoveries.set(runId, recovery);
      told.push(recoveryEvent(run, recovery, outcome));
    }
    const ended = mine.map((each) =>
      runEnd(live.get(each.runId) as Run, held.get(each.taskId) as Task, each.outcome, recoveries.get(each.runId)),
    );
    await runs.endRuns(tx, ended, now);
    await append(tx, told, now);
    await move(
      tx,
      surroundings,
      mine.map(({ taskId, runId, outcome }) => ({
        task: held.get(taskId) as Task,
        runId,
        change: changeBy(outcome, recoveries.get(runId)),
      })),
      now,
    );
    await append(
      tx,
      ended.map(({ run, status, reason }) => finished(run, status, reason, now)),
      now,
    );
    const accepted = new Set(mine.map(({ runId }) => runId));
    return settled.map(({ runId }) => (accepted.has(runId) ? 'settled' : 'lease-lost'));
  }

  const takeOver = (node: string, runIds?: readonly string[]): Promise<number> => store.write((tx) => takeOverIn(tx, node, runIds));

  const bury = (node: string): Promise<number> =>
    store.write(async (tx) => {
      await nodes.holdNode(tx, node, 'to strike it off');
      const taken = await takeOverIn(tx, node);
      await nodes.removeNode(tx, node);
      return taken;
    });

  async function takeOverIn(tx: Tx, node: string, only?: readonly string[]): Promise<number> {
    if (only === undefined) await bookLost(tx, node);
    const now = clock.now();
    const orphaned = (await runs.liveRunsOf(tx.db, node)).filter(({ id }) => only === undefined || only.includes(id));
    if (orphaned.length === 0) return 0;
    const held = await tasks.lockTasks(
      tx,
      orphaned.map(({ taskId }) => taskId),
    );
    const live = await runs.findRuns(
      tx.db,
      orphaned.map(({ id }) => id),
    );
    const lost = orphaned.filter(({ id }) => live.get(id)?.status === 'running');
    const reason = { code: 'holder-lost', message: 'The server that held this run died or stopped answering.' };
    await runs.endRuns(
      tx,
      lost.map(({ id }) => ({ id, status: 'lost' as const, reason, summary: null })),
      now,
    );
    await move(
      tx,
      surroundings,
      lost.flatMap((run) => {
        const task = held.get(run.taskId);
        return task
          ? [{ task, runId: run.id, change: { type: 'holder-lost', backoffMs: backoffMs(task.losses, parts.chance()) } as const }]
          : [];
      }),
      now,
    );
    await append(
      tx,
      lost.map((run) => finished(run, 'lost', reason, now)),
      now,
    );
    return lost.length;
  }

  async function promoteDue(): Promise<number | null> {
    for (;;) {
      const due = await tasks.dueTasks(store.read, clock.now(), promoteLimit);
      if (due.length === 0) return tasks.nextDue(store.read);
      await store.write(async (tx) => {
        const held = await tasks.lockTasks(tx, due);
        await move(
          tx,
          surroundings,
          [...held.values()].filter(({ status }) => status === 'delayed').map((task) => ({ task, change: { type: 'due' } as const })),
          clock.now(),
        );
      });
    }
  }

  /** One task, changed by its owner: found, moved, answered as it is now. */
  const change = (
    id: string,
    make: Make,
    event?: (task: Task) => NewEvent,
    lock?: LockName,
    also?: (tx: Tx, now: number) => Promise<void>,
  ): Promise<Answer> =>
    store.write(async (tx): Promise<Answer> => {
      if (lock) await tx.lock(lock);
      const answer = await changeIn(tx, id, make, event);
      if (answer.ok) await also?.(tx, clock.now());
      return answer;
    });

  async function changeIn(tx: Tx, id: string, make: Make, event?: (task: Task) => NewEvent): Promise<Answer> {
    const now = clock.now();
    const task = (await tasks.lockTasks(tx, [id])).get(id);
    if (!task) return { ok: false, refusal: noSuchTask(id) };
    const wanted = await make(tx, task);
    if ('code' in wanted) return { ok: false, refusal: wanted };
    const { tasks: moved, refused } = await move(tx, surroundings, [{ task, change: wanted }], now);
    const reason = refused.get(id);
    if (reason) return { ok: false, refusal: { status: 409, ...reason } };
    if (event) await append(tx, [event(task)], now);
    return { ok: true, task: (await tasks.withBodies(tx.db, [moved.get(id) as Task]))[0] as Task };
  }

  async function approve(id: string, by: string, { profile: named, addition, repository, trust }: Amendment = {}): Promise<Answer> {
    return store.write(async (tx): Promise<Answer> => {
      const now = clock.now();
      const held = (await tasks.lockTasks(tx, [id])).get(id);
      if (!held) return { ok: false, refusal: noSuchTask(id) };
      const may = advance(held, { type: 'approved' }, now);
      if (!may.ok) return { ok: false, refusal: { status: 409, ...may.refusal } };
      const name = named ?? held.profile;
      const profile = (await holdProfiles(tx, [name])).get(name);
      if (!profile) return { ok: false, refusal: unknownProfile(name) };
      const [whole] = (await tasks.withBodies(tx.db, [held])) as [Task];
      const task: Task = {
        ...whole,
        profile: name,
        body: [whole.body, addition].filter((part) => part).join('\n\n') || null,
        repository: repository ?? whole.repository,
        trust: leastTrusted(whole.trust, trust ?? whole.trust),
        budgetUsd: whole.budgetUsd ?? profile.budgetUsd,
      };
      const refusal = unfit(cannotRun, task, profile);
      if (refusal) return { ok: false, refusal };
      await tasks.saveAmendment(tx, task);
      await append(tx, [{ type: 'task.approved', taskId: id, data: { by, profile: name } }], now);
      const { tasks: moved } = await move(tx, surroundings, [{ task, change: { type: 'approved' } }], now);
      return { ok: true, task: moved.get(id) as Task };
    });
  }

  const cancelIn = (tx: Tx, id: string, by: string): Promise<Answer> =>
    changeIn(
      tx,
      id,
      async () => {
        tx.touch('control');
        return { type: 'cancel-requested' };
      },
      (task) => ({ type: 'task.cancel-requested', taskId: task.id, data: { by } }),
    );

  const cancel = (id: string, by: string): Promise<Answer> => store.write((tx) => cancelIn(tx, id, by));

  async function deny(id: string, by: string): Promise<Answer> {
    return change(
      id,
      async (_, { status }) =>
        status === 'awaiting-approval'
          ? { type: 'cancel-requested' }
          : { status: 409, code: 'not-awaiting-approval', message: `The task is ${status}; only one that awaits approval can be denied.` },
      (task) => ({ type: 'task.denied', taskId: task.id, data: { by } }),
    );
  }

  async function retry(id: string, from?: string): Promise<Answer> {
    const plan = (tx: Tx, now: number): Promise<void> =>
      from === undefined ? dropAttempt(tx, id) : planAttempt(tx, id, { checkpoint: from, background: null, tier: null, by: 'person' }, now);
    const retried = async (tx: Tx, task: Task): Promise<TaskChange | Refusal> =>
      (from === undefined ? undefined : await cannotGoOnFrom(tx, task, from)) ?? backInLine(tx, task);
    return change(id, retried, undefined, undefined, plan);
  }

  async function backInLine(tx: Tx, task: Task): Promise<TaskChange | Refusal> {
    if (task.dedupeKey !== null && task.closedAt !== null) {
      const [twin] = await tasks.findOpenByKey(tx.db, [task.dedupeKey]);
      if (twin)
        return {
          status: 409,
          code: 'duplicate-open',
          message: `The same work is already open as ${twin.id} (same dedupeKey).`,
          details: { id: twin.id },
        };
    }
    const dependsOn = await tasks.dependenciesOf(tx.db, task.id);
    const statuses = await tasks.lockStatuses(tx, dependsOn);
    const ended = dependsOn.find((each) => ['failed', 'cancelled'].includes(statuses.get(each) ?? ''));
    if (ended)
      return {
        status: 409,
        code: 'dependency-failed',
        message: `It depends on ${ended}, which is ${statuses.get(ended)}. Retry that one; this task follows by itself.`,
        details: { id: ended },
      };
    return { type: 'retried', waitingFor: dependsOn.filter((each) => statuses.get(each) !== 'succeeded').length };
  }

  async function resolve(id: string, resolution: Resolution, by: string): Promise<Answer> {
    const { choice, note } = resolution;
    return store.write(async (tx): Promise<Answer> => {
      const resolved = await changeIn(
        tx,
        id,
        async (_, task) => {
          if (!awaitsDecision(task.status)) return { status: 409, code: 'not-escalated', message: notEscalated(task.status) };
          if (choice === 'take-over' || choice === 'give-up') return withdrawn(choice, by, note);
          return notRaised(task, resolution) ?? backInLine(tx, task);
        },
        () => ({ type: 'task.resolved', taskId: id, data: { choice, by, note } }),
      );
      if (!resolved.ok || choice === 'take-over' || choice === 'give-up') return resolved;
      if (note === null) await dropAttempt(tx, id);
      else await planAttempt(tx, id, { checkpoint: null, background: saidBy(note), tier: null, by: 'person' }, clock.now());
      return choice === 'raise-budget' ? setBudgetIn(tx, id, resolution.budgetUsd, by) : resolved;
    });
  }

  async function cannotGoOnFrom(tx: Tx, task: Task, from: string): Promise<Refusal | undefined> {
    const checkpoint = await findCheckpoint(tx.db, from);
    if (checkpoint?.taskId !== task.id)
      return {
        status: 404,
        code: 'no-such-checkpoint',
        message: `The task ${task.id} has no checkpoint ${from}. \`nightshift checkpoints RUN\` lists those of a run; old ones go by themselves.`,
      };
    return undefined;
  }

  async function setPriority(id: string, priority: Priority): Promise<Answer> {
    return store.write(async (tx): Promise<Answer> => {
      const now = clock.now();
      const task = (await tasks.lockTasks(tx, [id])).get(id);
      if (!task) return { ok: false, refusal: noSuchTask(id) };
      if (!isWaiting(task.status)) {
        return {
          ok: false,
          refusal: {
            status: 409,
            code: 'not-waiting',
            message: `The task is ${task.status}; only one that still waits can change its place in line.`,
          },
        };
      }
      if (task.priority === priority) return { ok: true, task: (await tasks.withBodies(tx.db, [task]))[0] as Task };
      await tasks.savePriority(tx, task, priority, now);
      if (task.status === 'queued') {
        await line.withdraw(tx, [id]);
        await line.offer(tx, [{ taskId: id, rank: rankOf(priority, tasks.readySince(task)) }]);
      }
      await append(tx, [{ type: 'task.priority', taskId: id, data: { from: task.priority, to: priority } }], now);
      return { ok: true, task: (await tasks.withBodies(tx.db, [{ ...task, priority, updatedAt: now }]))[0] as Task };
    });
  }

  async function setBudgetIn(tx: Tx, id: string, budgetUsd: number | null, by: string): Promise<Answer> {
    const now = clock.now();
    const task = (await tasks.lockTasks(tx, [id])).get(id);
    if (!task) return { ok: false, refusal: noSuchTask(id) };
    const changed = task.budgetUsd === budgetUsd ? task : { ...task, budgetUsd, updatedAt: now };
    if (changed !== task) {
      await tasks.saveBudget(tx, id, budgetUsd, now);
      await append(tx, [{ type: 'task.budget', taskId: id, data: { from: task.budgetUsd, to: budgetUsd, by } }], now);
    }
    return { ok: true, task: (await tasks.withBodies(tx.db, [changed]))[0] as Task };
  }

  async function setDependencies(id: string, wanted: readonly string[]): Promise<Answer> {
    const dependsOn = [...new Set(wanted)];
    return change(
      id,
      async (tx, task) => {
        if (!isWaiting(task.status))
          return {
            status: 409,
            code: 'not-waiting',
            message: `The task is ${task.status}; only one that still waits can get other dependencies.`,
          };
        const statuses = await tasks.lockStatuses(tx, dependsOn);
        const missing = dependsOn.filter((each) => !statuses.has(each));
        if (missing.length > 0) {
          return {
            status: 422,
            code: 'unknown-dependency',
            message: `dependsOn names tasks that do not exist: ${missing.slice(0, 5).join(', ')}.`,
            details: { missing: missing.slice(0, 100) },
          };
        }
        const path = await tasks.dependencyPath(tx, dependsOn, id);
        if (path) {
          const cycle = [id, ...path];
          return {
            status: 422,
            code: 'dependency-cycle',
            message: `These tasks would wait for each other for ever: ${cycle.slice(0, 50).join(' → ')}.`,
            details: { cycle },
          };
        }
        const ended = dependsOn.find((each) => ['failed', 'cancelled'].includes(statuses.get(each) ?? ''));
        if (ended !== undefined) {
          return {
            status: 422,
            code: 'dependency-failed',
            message: `${ended} has ended ${statuses.get(ended)}, so waiting for it would never end. Retry it first.`,
            details: { id: ended },
          };
        }
        await tasks.replaceDependencies(tx, id, dependsOn);
        return { type: 'dependencies-changed', waitingFor: dependsOn.filter((each) => statuses.get(each) !== 'succeeded').length };
      },
      () => ({ type: 'task.dependencies', taskId: id, data: { dependsOn } }),
      // Two edits at once could each close half of a cycle. Taken before any row, so that it cannot deadlock with one.
      'dependencies',
    );
  }

  async function setPausedIn(tx: Tx, by: string, paused: boolean): Promise<void> {
    const was = (await readSetting(tx.db, pausedKey)) !== undefined;
    if (was === paused) return;
    if (paused) await writeSetting(tx, pausedKey, new Date(clock.now()).toISOString());
    else await tx.db.deleteFrom('settings').where('key', '=', pausedKey).execute();
    await append(tx, [{ type: paused ? 'queue.paused' : 'queue.resumed', data: { by } }], clock.now());
    tx.touch('line');
  }

  const submitTogether = gatherUntil((wishes: () => readonly Submitted[]) =>
    store.write(async (tx) => {
      const submissions = await enqueueIn(
        tx,
        wishes().map(({ wish }) => wish),
      );
      // Whose news this is, each says for itself: the line of the audit log goes by that.
      submissions.forEach(({ kind }, index) => {
        if (kind !== 'refused') wishes()[index]?.asCaller(() => tx.touch('journal'));
      });
      return submissions;
    }),
  );
  const settleTogether = gatherUntil((settled: () => readonly Settled[]) => store.write((tx) => settleIn(tx, settled())));

  return {
    enqueue: enqueueIn,
    submit: (wish) => submitTogether({ wish, asCaller: AsyncLocalStorage.snapshot() }),
    claim: (node, capacity) => (capacity < 1 ? Promise.resolve([]) : store.write((tx) => claimIn(tx, node, capacity))),
    settleIn,
    settle: settleTogether,
    heartbeat: async (node, report) => {
      await store.write((tx) => nodes.beat(tx, node, clock.now(), report));
      return (await runs.liveRunsOf(store.read, node)).map(({ id }) => id);
    },
    takeOver,
    bury,
    promoteDue,
    approve,
    deny,
    cancel,
    cancelIn,
    retry,
    resolve,
    setPriority,
    setBudget: (id, budgetUsd, by) => store.write((tx) => setBudgetIn(tx, id, budgetUsd, by)),
    setDependencies,
    pauseIn: (tx, by) => setPausedIn(tx, by, true),
    pause: (by) => store.write((tx) => setPausedIn(tx, by, true)),
    resume: (by) => store.write((tx) => setPausedIn(tx, by, false)),
    isPaused: async () => (await readSetting(store.read, pausedKey)) !== undefined,
    calledOff: (node) => runs.calledOff(store.read, node),
  };
}

/** A task that is called off ends like that, whatever its run came to. */
function changeBy(outcome: Outcome, recovery: Recovery | undefined): TaskChange {
  if (!isSetback(outcome)) return { type: 'settled', outcome };
  return recovery ? { type: 'set-back', reason: outcome.reason, recovery } : { type: 'settled', outcome: { kind: 'cancelled' } };
}

function withdrawn(choice: 'take-over' | 'give-up', by: string, note: string | null): TaskChange {
  const said = note === null ? '' : ` ${note}`;
  return choice === 'take-over'
    ? { type: 'withdrawn', reason: { code: 'taken-over', message: `${by} has taken it over.${said}` } }
    : { type: 'withdrawn', reason: { code: 'given-up', message: `${by} has given it up.${said}` } };
}

function notRaised({ budgetUsd }: Task, resolution: Resolution): Refusal | undefined {
  if (resolution.choice !== 'raise-budget' || budgetUsd === null || resolution.budgetUsd > budgetUsd) return undefined;
  const message = `The task has a budget of $${budgetUsd.toFixed(2)} already; raise it to more than that.`;
  return { status: 422, code: 'not-raised', message };
}

const saidBy = (note: string): string =>
  `An earlier attempt at this task did not come to its end. A person has looked at it and says:\n\n${note}`;

function runEnd(run: Run, task: Task, outcome: Outcome, recovery: Recovery | undefined): runs.RunEnd & { readonly run: Run } {
  const calledOff = task.cancelRequestedAt !== null;
  return {
    run,
    id: run.id,
    status: calledOff ? 'cancelled' : runStatusOf(outcome, recovery),
    reason: calledOff ? null : reasonOf(outcome),
    summary: outcome.kind === 'succeeded' ? (outcome.summary ?? null) : null,
  };
}

const finished = (run: Run, status: Run['status'], reason: Run['reason'], now: number): NewEvent => ({
  type: 'run.finished',
  taskId: run.taskId,
  runId: run.id,
  data: { status, reason, durationMs: Math.max(0, now - run.startedAt), attempt: run.attempt, node: run.nodeId },
});

const noSuchTask = (id: string): Refusal => ({ status: 404, code: 'no-such-task', message: `There is no task ${id}.` });

export const refuse = ({ status, code, message, details }: Refusal): Refused => new Refused(status, code, message, details);
