import { type Kysely, type SelectQueryBuilder, sql } from 'kysely';
import type { Reason } from '../domain/outcome.ts';
import type { Run, RunStatus } from '../domain/run.ts';
import type { Priority, Task, TaskState, TaskStatus } from '../domain/task.ts';
import { rankOf } from '../domain/task.ts';
import { inserting } from './insert.ts';
import { chunks, fromJson, type Page, pageOf, toJson } from './rows.ts';
import type { Schema, TaskTable } from './schema.ts';
import type { Tx } from './store.ts';

export interface TaskFilter {
  readonly status?: readonly TaskStatus[] | undefined;
  readonly priority?: Priority | undefined;
  readonly source?: string | undefined;
  readonly repository?: string | undefined;
}

/**
 * Filters that have no index of their own look at this many rows of the best index before they hand back
 * a short page, so that a rare match in a million tasks cannot hold the server.
 */
const scanLimit = 10_000;

/** Written into the statement, not bound to it: only then does SQLite see that the partial index of that status will do. */
const queued = sql.lit('queued' as const);
const delayed = sql.lit('delayed' as const);

const insertNew = inserting<'tasks', { readonly id: string }>(
  'tasks',
  'on conflict (dedupe_key) where closed_at is null and dedupe_key is not null do nothing returning id',
);

/** Stores new tasks. Those whose dedupe key is held by an open task are left out; the ids of the stored come back. */
export async function insertTasks(tx: Tx, tasks: readonly Task[]): Promise<ReadonlySet<string>> {
  const stored = new Set<string>();
  for (const chunk of chunks(tasks)) {
    for (const { id } of await insertNew(tx, chunk.map(toRow))) stored.add(id);
  }
  return stored;
}

export async function insertDependencies(tx: Tx, pairs: readonly { readonly taskId: string; readonly dependsOn: string }[]): Promise<void> {
  for (const chunk of chunks(pairs, 5_000)) {
    await tx.db
      .insertInto('task_dependencies')
      .values(chunk.map(({ taskId, dependsOn }) => ({ task_id: taskId, depends_on: dependsOn })))
      .execute();
  }
}

export async function replaceDependencies(tx: Tx, taskId: string, dependsOn: readonly string[]): Promise<void> {
  await tx.db.deleteFrom('task_dependencies').where('task_id', '=', taskId).execute();
  await insertDependencies(
    tx,
    dependsOn.map((id) => ({ taskId, dependsOn: id })),
  );
}

export async function findTask(db: Kysely<Schema>, id: string): Promise<Task | undefined> {
  const row = await db.selectFrom('tasks').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toTask(row);
}

/** Which of these are not over. */
export async function openAmong(db: Kysely<Schema>, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const open = new Set<string>();
  for (const chunk of chunks(ids)) {
    const rows = await db.selectFrom('tasks').select('id').where('id', 'in', chunk).where('closed_at', 'is', null).execute();
    for (const { id } of rows) open.add(id);
  }
  return open;
}

export async function findOpenByKey(db: Kysely<Schema>, keys: readonly string[]): Promise<readonly Task[]> {
  const found: Task[] = [];
  for (const chunk of chunks(keys)) {
    const rows = await db.selectFrom('tasks').selectAll().where('dedupe_key', 'in', chunk).where('closed_at', 'is', null).execute();
    found.push(...rows.map(toTask));
  }
  return found;
}

/**
 * Tasks as they stand, held against other writers until the transaction ends, without their bodies: a body may be long, and
 * no change of state needs it. Always in id order: two transactions that want the same tasks then wait for each other
 * instead of deadlocking. With `skipHeld`, those that somebody else holds are left out instead of waited for.
 */
export async function lockTasks(
  tx: Tx,
  ids: readonly string[],
  how: { readonly skipHeld?: boolean } = {},
): Promise<ReadonlyMap<string, Task>> {
  const found = new Map<string, Task>();
  for (const chunk of chunks([...new Set(ids)].sort())) {
    let query = tx.db.selectFrom('tasks').select(columnsButBody).where('id', 'in', chunk).orderBy('id');
    if (tx.dialect === 'postgres') query = how.skipHeld ? query.forNoKeyUpdate().skipLocked() : query.forNoKeyUpdate();
    for (const row of await query.execute()) found.set(row.id, toTask({ ...row, body: null }));
  }
  return found;
}

/** The same tasks with their bodies. */
export async function withBodies(db: Kysely<Schema>, tasks: readonly Task[]): Promise<readonly Task[]> {
  const bodies = new Map<string, string | null>();
  for (const chunk of chunks(tasks)) {
    const ids = chunk.map(({ id }) => id);
    for (const row of await db.selectFrom('tasks').select(['id', 'body']).where('id', 'in', ids).execute()) bodies.set(row.id, row.body);
  }
  return tasks.map((task) => ({ ...task, body: bodies.get(task.id) ?? null }));
}

/** What a place in line is made from, whoever holds the task. */
export async function placesOf(
  db: Kysely<Schema>,
  ids: readonly string[],
): Promise<readonly { readonly taskId: string; readonly rank: number }[]> {
  const rows = await db.selectFrom('tasks').select(['id', 'rank']).where('id', 'in', ids).execute();
  return rows.map(({ id, rank }) => ({ taskId: id, rank }));
}

/** The statuses of would-be dependencies, held so that none of them ends unseen before the new task is stored. */
export async function lockStatuses(tx: Tx, ids: readonly string[]): Promise<ReadonlyMap<string, TaskStatus>> {
  const found = new Map<string, TaskStatus>();
  for (const chunk of chunks([...new Set(ids)].sort())) {
    let query = tx.db.selectFrom('tasks').select(['id', 'status']).where('id', 'in', chunk).orderBy('id');
    if (tx.dialect === 'postgres') query = query.forShare();
    for (const { id, status } of await query.execute()) found.set(id, status);
  }
  return found;
}

/** Writes what transitions changed. Tasks that change alike share one statement. */
export async function saveStates(
  tx: Tx,
  changes: readonly { readonly before: Task; readonly after: TaskState }[],
  now: number,
): Promise<void> {
  const alike = new Map<string, { readonly set: Partial<TaskTable>; readonly ids: string[] }>();
  for (const { before, after } of changes) {
    const set = stateColumns(before, after, now);
    const key = JSON.stringify(set);
    const group = alike.get(key);
    if (group) group.ids.push(before.id);
    else alike.set(key, { set, ids: [before.id] });
  }
  for (const { set, ids } of alike.values()) {
    for (const chunk of chunks(ids)) await tx.db.updateTable('tasks').set(set).where('id', 'in', chunk).execute();
  }
}

export async function savePriority(tx: Tx, task: Task, priority: Priority, now: number): Promise<void> {
  await tx.db
    .updateTable('tasks')
    .set({ priority, rank: rankOf(priority, readySince(task)), updated_at: now })
    .where('id', '=', task.id)
    .execute();
}

/** What may still change about a task that nobody has let go ahead. */
export async function saveAmendment(tx: Tx, task: Task): Promise<void> {
  const { profile, body, repository, trust, budgetUsd } = task;
  await tx.db.updateTable('tasks').set({ profile, body, repository, trust, budget_usd: budgetUsd }).where('id', '=', task.id).execute();
}

export async function saveBudget(tx: Tx, id: string, budgetUsd: number | null, now: number): Promise<void> {
  await tx.db.updateTable('tasks').set({ budget_usd: budgetUsd, updated_at: now }).where('id', '=', id).execute();
}

export const readySince = (task: Pick<Task, 'createdAt' | 'notBefore'>): number => Math.max(task.createdAt, task.notBefore ?? 0);

/** The first of the line, in the order in which they are to run; with `below`, only tasks of that priority or a lower one. */
export async function firstInLine(
  db: Kysely<Schema>,
  limit: number,
  below?: Priority,
  without: readonly string[] = [],
): Promise<readonly string[]> {
  let query = db.selectFrom('tasks').select('id').where('status', '=', queued);
  if (below !== undefined) query = query.where('rank', '>=', rankOf(below, 0));
  if (without.length > 0) query = query.where('id', 'not in', without);
  const rows = await query.orderBy('rank').orderBy('id').limit(limit).execute();
  return rows.map(({ id }) => id);
}

/** Since when the first of a priority has been ready, or null when none waits. */
export async function longestWait(db: Kysely<Schema>, priority: Priority): Promise<number | null> {
  const start = rankOf(priority, 0);
  const row = await db
    .selectFrom('tasks')
    .select('rank')
    .where('status', '=', queued)
    .where('rank', '>=', start)
    .orderBy('rank')
    .limit(1)
    .executeTakeFirst();
  return row && row.rank < start + rankOf('medium', 0) - rankOf('high', 0) ? row.rank - start : null;
}

export async function dueTasks(db: Kysely<Schema>, now: number, limit: number): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('tasks')
    .select('id')
    .where('status', '=', delayed)
    .where('not_before', '<=', now)
    .orderBy('not_before')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

export async function nextDue(db: Kysely<Schema>): Promise<number | null> {
  const row = await db
    .selectFrom('tasks')
    .select('not_before')
    .where('status', '=', delayed)
    .orderBy('not_before')
    .limit(1)
    .executeTakeFirst();
  return row?.not_before ?? null;
}

export async function dependenciesOf(db: Kysely<Schema>, id: string): Promise<readonly string[]> {
  const rows = await db.selectFrom('task_dependencies').select('depends_on').where('task_id', '=', id).orderBy('depends_on').execute();
  return rows.map((row) => row.depends_on);
}

export async function dependenciesOfMany(db: Kysely<Schema>, ids: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>(ids.map((id) => [id, []]));
  for (const chunk of chunks(ids)) {
    const rows = await db.selectFrom('task_dependencies').selectAll().where('task_id', 'in', chunk).orderBy('depends_on').execute();
    for (const row of rows) found.get(row.task_id)?.push(row.depends_on);
  }
  return found;
}

/** What a list shows of each task from other tables, each in the order of ids. */
export interface BesideTask {
  readonly dependsOn: readonly string[];
  readonly runs: readonly Pick<Run, 'id' | 'status'>[];
}

export async function besideTasks(db: Kysely<Schema>, ids: readonly string[]): Promise<ReadonlyMap<string, BesideTask>> {
  const found = new Map(ids.map((id) => [id, { dependsOn: [] as string[], runs: [] as Pick<Run, 'id' | 'status'>[] }]));
  for (const chunk of chunks(ids)) {
    const rows = await db
      .selectFrom('runs')
      .select(['task_id as task', 'id', sql<RunStatus | null>`status`.as('status')])
      .where('task_id', 'in', chunk)
      .unionAll(
        db
          .selectFrom('task_dependencies')
          .select(['task_id as task', 'depends_on as id', sql<RunStatus | null>`null`.as('status')])
          .where('task_id', 'in', chunk),
      )
      .orderBy('id')
      .execute();
    for (const { task, id, status } of rows) {
      if (status === null) found.get(task)?.dependsOn.push(id);
      else found.get(task)?.runs.push({ id, status });
    }
  }
  return found;
}

export async function dependentsOf(
  db: Kysely<Schema>,
  ids: readonly string[],
): Promise<readonly { readonly id: string; readonly dependsOn: string }[]> {
  const found: { id: string; dependsOn: string }[] = [];
  for (const chunk of chunks(ids)) {
    const rows = await db.selectFrom('task_dependencies').selectAll().where('depends_on', 'in', chunk).execute();
    for (const row of rows) found.push({ id: row.task_id, dependsOn: row.depends_on });
  }
  return found;
}

/** A chain of dependencies from one of `from` to `to`, if there is one: making `to` depend on its first would close it. */
export async function dependencyPath(tx: Tx, from: readonly string[], to: string): Promise<readonly string[] | undefined> {
  const cameFrom = new Map<string, string | undefined>(from.map((id) => [id, undefined]));
  let frontier = from;
  while (frontier.length > 0 && !cameFrom.has(to)) {
    const next: string[] = [];
    for (const [id, parents] of await dependenciesOfMany(tx.db, frontier)) {
      for (const parent of parents) {
        if (cameFrom.has(parent)) continue;
        cameFrom.set(parent, id);
        next.push(parent);
      }
    }
    frontier = next;
  }
  if (!cameFrom.has(to)) return undefined;
  const path = [to];
  for (let step = cameFrom.get(to); step !== undefined; step = cameFrom.get(step)) path.unshift(step);
  return path;
}

/** Newest first. Bodies are cut short: a page of whole ones could be a hundred megabytes. */
export async function listTasks(
  db: Kysely<Schema>,
  filter: TaskFilter,
  page: { readonly before: string | null; readonly limit: number },
): Promise<Page<Task>> {
  // One filter at most is answered by an index; with more, the rest is checked row by row within the scan limit.
  const indexed = filter.repository !== undefined ? 'repository' : filter.status?.length === 1 ? 'status' : undefined;
  const exact = Object.values(filter).filter((value) => value !== undefined).length === (indexed ? 1 : 0);
  const { before } = page;

  const narrowed = <O>(query: SelectQueryBuilder<Schema, 'tasks', O>, all: boolean): typeof query => {
    let narrow = before === null ? query : query.where('id', '<', before);
    if (filter.repository !== undefined && (all || indexed === 'repository')) narrow = narrow.where('repository', '=', filter.repository);
    if (filter.status && (all || indexed === 'status')) narrow = narrow.where('status', 'in', filter.status);
    if (filter.priority !== undefined && all) narrow = narrow.where('priority', '=', filter.priority);
    if (filter.source !== undefined && all) narrow = narrow.where('source', '=', filter.source);
    return narrow;
  };

  if (exact) {
    const rows = await narrowed(db.selectFrom('tasks').select(columnsButBody).select(shortBody), true)
      .orderBy('id', 'desc')
      .limit(page.limit + 1)
      .execute();
    return pageOf(rows.map(toTask), page.limit);
  }
  const window = await narrowed(db.selectFrom('tasks').select('id'), false)
    .orderBy('id', 'desc')
    .offset(scanLimit - 1)
    .limit(1)
    .execute();
  const floor = window[0]?.id;
  let query = narrowed(db.selectFrom('tasks').select(columnsButBody).select(shortBody), true);
  if (floor !== undefined) query = query.where('id', '>=', floor);
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute();
  const found = pageOf(rows.map(toTask), page.limit);
  return found.next === null && floor !== undefined ? { items: found.items, next: floor } : found;
}

/** Open tasks by priority and status. Reads one index, whose size is the number of open tasks. */
export async function countOpen(
  db: Kysely<Schema>,
): Promise<readonly { readonly priority: Priority; readonly status: TaskStatus; readonly count: number }[]> {
  return db
    .selectFrom('tasks')
    .select(['priority', 'status', sql<number>`count(*)`.as('count')])
    .where('closed_at', 'is', null)
    .groupBy(['priority', 'status'])
    .execute();
}

const columnsButBody = [
  'id',
  'source',
  'external_ref',
  'title',
  'repository',
  'ref',
  'priority',
  'status',
  'reason',
  'dedupe_key',
  'budget_usd',
  'verify',
  'done_when',
  'max_rounds',
  'engine',
  'requested_by',
  'trust',
  'attempts',
  'max_attempts',
  'losses',
  'waiting_for',
  'rank',
  'not_before',
  'cancel_requested_at',
  'created_at',
  'updated_at',
  'closed_at',
  'profile',
  'labels',
  'tier',
  'deliverable',
  'branch',
  'parent_task_id',
  'needs_approval',
  'helped',
] as const satisfies readonly (keyof TaskTable)[];

const listedBodyLength = 2_000;
const shortBody = sql<string | null>`substr(body, 1, ${sql.lit(listedBodyLength)})`.as('body');

function stateColumns(before: Task, after: TaskState, now: number): Partial<TaskTable> {
  return {
    status: after.status,
    reason: toJson(after.reason),
    attempts: after.attempts,
    max_attempts: after.maxAttempts,
    losses: after.losses,
    waiting_for: after.waitingFor,
    not_before: after.notBefore,
    cancel_requested_at: after.cancelRequestedAt,
    closed_at: after.closedAt,
    needs_approval: after.needsApproval ? 1 : 0,
    helped: after.helped ? 1 : 0,
    updated_at: now,
    ...(after.notBefore === before.notBefore
      ? {}
      : { rank: rankOf(before.priority, readySince({ createdAt: before.createdAt, notBefore: after.notBefore })) }),
  };
}

function toRow(task: Task): TaskTable {
  return {
    id: task.id,
    source: task.source,
    external_ref: task.externalRef,
    title: task.title,
    body: task.body,
    repository: task.repository,
    ref: task.ref,
    priority: task.priority,
    status: task.status,
    reason: toJson(task.reason),
    dedupe_key: task.dedupeKey,
    budget_usd: task.budgetUsd,
    verify: toJson(task.verify),
    done_when: task.doneWhen,
    max_rounds: task.maxRounds,
    engine: task.engine,
    requested_by: task.requestedBy,
    trust: task.trust,
    attempts: task.attempts,
    max_attempts: task.maxAttempts,
    losses: task.losses,
    waiting_for: task.waitingFor,
    rank: rankOf(task.priority, readySince(task)),
    not_before: task.notBefore,
    cancel_requested_at: task.cancelRequestedAt,
    created_at: task.createdAt,
    updated_at: task.updatedAt,
    closed_at: task.closedAt,
    profile: task.profile,
    labels: JSON.stringify(task.labels),
    tier: task.tier,
    deliverable: task.deliverable,
    branch: task.branch,
    parent_task_id: task.parentTaskId,
    needs_approval: task.needsApproval ? 1 : 0,
    helped: task.helped ? 1 : 0,
  };
}

function toTask(row: TaskTable): Task {
  return {
    id: row.id,
    source: row.source,
    externalRef: row.external_ref,
    title: row.title,
    body: row.body,
    repository: row.repository,
    ref: row.ref,
    priority: row.priority,
    status: row.status,
    reason: fromJson<Reason>(row.reason),
    dedupeKey: row.dedupe_key,
    budgetUsd: row.budget_usd,
    verify: fromJson<string[]>(row.verify),
    doneWhen: row.done_when,
    maxRounds: row.max_rounds,
    engine: row.engine,
    profile: row.profile,
    tier: row.tier,
    parentTaskId: row.parent_task_id,
    labels: JSON.parse(row.labels) as string[],
    deliverable: row.deliverable,
    branch: row.branch,
    requestedBy: row.requested_by,
    trust: row.trust,
    attempts: row.attempts,
    maxAttempts: row.max_attempts,
    losses: row.losses,
    waitingFor: row.waiting_for,
    notBefore: row.not_before,
    cancelRequestedAt: row.cancel_requested_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    closedAt: row.closed_at,
    needsApproval: row.needs_approval === 1,
    helped: row.helped === 1,
  };
}

export async function sourcesOf(db: Kysely<Schema>, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const chunk of chunks(ids)) {
    for (const { id, source } of await db.selectFrom('tasks').select(['id', 'source']).where('id', 'in', chunk).execute())
      found.set(id, source);
  }
  return found;
}

export async function profilesOf(db: Kysely<Schema>, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const chunk of chunks(ids)) {
    for (const { id, profile } of await db.selectFrom('tasks').select(['id', 'profile']).where('id', 'in', chunk).execute())
      found.set(id, profile);
  }
  return found;
}
