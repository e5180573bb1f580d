import type { NewEvent } from '../domain/event.ts';
import type { Reason } from '../domain/outcome.ts';
import { advance, dependencyFailed, isClosed, rankOf, type Task, type TaskChange } from '../domain/task.ts';
import { append } from '../store/journal.ts';
import type { Tx } from '../store/store.ts';
import { dependenciesOfMany, dependentsOf, findOpenByKey, lockStatuses, lockTasks, readySince, saveStates } from '../store/tasks.ts';
import { countEnds } from '../store/trends.ts';
import type { Line } from './queue.ts';

export interface Move {
  readonly task: Task;
  readonly change: TaskChange;
  readonly runId?: string;
}

export interface Moved {
  /** Every task that was touched, as it is now; dependents included. */
  readonly tasks: ReadonlyMap<string, Task>;
  /** By task id, why a move could not be made. */
  readonly refused: ReadonlyMap<string, Reason>;
}

/**
 * What a change of tasks takes with it. `changed` is told of every task that has come to another status, with its run ended
 * if that was its end; what it writes becomes true with the change.
 */
export interface Surroundings {
  readonly line: Line;
  readonly changed: (tx: Tx, tasks: readonly Task[]) => Promise<void>;
}

/**
 * The one way in which a task changes state: transition, its dependents' transitions, the row, the journal and the line,
 * and whoever is to be told, all in the caller's transaction. `moves` hold locked tasks (see `lockTasks`).
 */
export async function move(tx: Tx, { line, changed }: Surroundings, moves: readonly Move[], now: number): Promise<Moved> {
  const before = new Map<string, Task>();
  const tasks = new Map<string, Task>();
  const refused = new Map<string, Reason>();
  const events: NewEvent[] = [];

  let wave = moves;
  while (wave.length > 0) {
    const closed: Task[] = [];
    const reopened: Task[] = [];
    for (const { task: given, change, runId } of wave) {
      const task = tasks.get(given.id) ?? given;
      const step = advance(task, change, now);
      if (!step.ok) {
        refused.set(task.id, step.refusal);
        continue;
      }
      const after: Task = { ...task, ...step.next, updatedAt: now };
      if (!before.has(task.id)) before.set(task.id, task);
      tasks.set(task.id, after);
      if (after.status !== task.status) events.push(statusEvent(task, after, runId));
      if (isClosed(after.status) && !isClosed(task.status)) closed.push(after);
      if (!isClosed(after.status) && isClosed(task.status)) reopened.push(after);
    }
    wave = await dependentMoves(tx, closed, reopened, tasks);
  }

  const changes = [...tasks.values()].map((after) => ({ before: before.get(after.id) as Task, after }));
  await saveStates(tx, changes, now);
  await countEnds(tx, changes);
  await append(tx, events, now);
  await keepInLine(tx, line, changes);
  await changed(
    tx,
    changes.filter(({ before, after }) => before.status !== after.status).map(({ after }) => after),
  );
  return { tasks, refused };
}

async function dependentMoves(
  tx: Tx,
  closed: readonly Task[],
  reopened: readonly Task[],
  known: ReadonlyMap<string, Task>,
): Promise<readonly Move[]> {
  if (closed.length + reopened.length === 0) return [];
  const pairs = await dependentsOf(
    tx.db,
    [...closed, ...reopened].map(({ id }) => id),
  );
  if (pairs.length === 0) return [];
  const children = await lockTasks(
    tx,
    pairs.map(({ id }) => id).filter((id) => !known.has(id)),
  );
  const child = (id: string): Task | undefined => known.get(id) ?? children.get(id);
  const still = await dependentsOf(
    tx.db,
    [...closed, ...reopened].map(({ id }) => id),
  );
  const endedParents = new Map(closed.map((task) => [task.id, task]));

  const moves: Move[] = [];
  const revivable: Task[] = [];
  // Read again now that the children are held: while we waited for one, its dependencies may have been changed.
  for (const { id, dependsOn } of still) {
    const task = child(id);
    if (!task) continue;
    const parent = endedParents.get(dependsOn);
    if (!parent) revivable.push(task);
    else if (parent.status === 'succeeded') moves.push({ task, change: { type: 'dependency-succeeded' } });
    else moves.push({ task, change: { type: 'dependency-ended', dependency: parent.id, status: parent.status } });
  }
  for (const task of await withoutOtherObstacles(tx, revivable, known)) {
    moves.push({ task, change: { type: 'dependency-reopened' } });
  }
  return moves;
}

/** Of the tasks that failed for a dependency that is open again: those with no other ended dependency, whose key is still free. */
async function withoutOtherObstacles(tx: Tx, tasks: readonly Task[], known: ReadonlyMap<string, Task>): Promise<readonly Task[]> {
  const dead = tasks.filter((task) => task.status === 'failed' && task.reason?.code === dependencyFailed);
  if (dead.length === 0) return [];
  const dependencies = await dependenciesOfMany(
    tx.db,
    dead.map(({ id }) => id),
  );
  const statuses = await lockStatuses(tx, [...dependencies.values()].flat());
  const keys = dead.flatMap(({ dedupeKey }) => dedupeKey ?? []);
  const taken = new Set((await findOpenByKey(tx.db, keys)).map(({ dedupeKey }) => dedupeKey));
  for (const { dedupeKey, status } of known.values()) if (dedupeKey !== null && !isClosed(status)) taken.add(dedupeKey);
  return dead.filter((task) => {
    if (task.dedupeKey !== null && taken.has(task.dedupeKey)) return false;
    if (task.dedupeKey !== null) taken.add(task.dedupeKey);
    return (dependencies.get(task.id) ?? []).every((id) => {
      const status = known.get(id)?.status ?? statuses.get(id);
      return status === 'succeeded' || (status !== undefined && !isClosed(status));
    });
  });
}

async function keepInLine(tx: Tx, line: Line, changes: readonly { readonly before: Task; readonly after: Task }[]): Promise<void> {
  const stood = ({ status }: Task): boolean => status === 'queued' || status === 'running';
  const leaving = changes.filter(({ before, after }) => stood(before) && !(before.status === 'queued' && stood(after)));
  const joining = changes.filter(({ before, after }) => after.status === 'queued' && before.status !== 'queued');
  await line.withdraw(
    tx,
    leaving.map(({ before }) => before.id),
  );
  await line.offer(
    tx,
    joining.map(({ after }) => ({ taskId: after.id, rank: rankOf(after.priority, readySince(after)) })),
  );
  if (joining.length > 0 || changes.some(({ after }) => after.status === 'delayed')) tx.touch('line');
}

function statusEvent(before: Task, after: Task, runId: string | undefined): NewEvent {
  return {
    type: 'task.status',
    taskId: after.id,
    ...(runId === undefined ? {} : { runId }),
    data: {
      from: before.status,
      to: after.status,
      reason: after.reason,
      ...(after.status === 'delayed' && after.notBefore !== null ? { notBefore: after.notBefore } : {}),
    },
  };
}
