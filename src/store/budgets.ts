import type { Kysely } from 'kysely';
import { type BudgetScope, budgetScopes, type Limits, microUsd } from '../domain/budget.ts';
import type { CallKind } from '../domain/spending.ts';
import { inserting } from './insert.ts';
import { chunks } from './rows.ts';
import type { ReservationTable, Schema } from './schema.ts';
import { writeSetting } from './settings.ts';
import type { Tx } from './store.ts';

/** What a budget has paid, and what calls under way may still cost it. Of dollars in millionths, or of tokens. */
export interface Counter {
  readonly spent: number;
  readonly reserved: number;
  /** A call was refused for it, and that has been told. */
  readonly exhausted: boolean;
}

export const noCounter: Counter = { spent: 0, reserved: 0, exhausted: false };

/** The worst case of a call that is under way, held against every budget that it counts for. */
export interface Reservation {
  readonly id: string;
  /** Its day is the day it counts for, whenever it ends. */
  readonly at: number;
  readonly nodeId: string;
  readonly runId: string;
  readonly taskId: string | null;
  readonly conversationId: string | null;
  readonly kind: CallKind;
  readonly model: string | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly microUsd: number;
}

const insertOrHold = inserting<'budget_counters', Schema['budget_counters']>(
  'budget_counters',
  'on conflict (id) do update set spent = budget_counters.spent returning *',
);
const insertOrReplace = inserting(
  'budget_counters',
  'on conflict (id) do update set spent = excluded.spent, reserved = excluded.reserved, exhausted = excluded.exhausted, used_at = excluded.used_at',
);
const insertEach = inserting('budget_reservations');

/**
 * The named counters, held until the transaction ends; those that do not exist yet begin at nothing. One statement takes
 * them all in the order of their names, so that two transactions never wait for each other.
 */
export async function holdCounters(tx: Tx, ids: Iterable<string>): Promise<Map<string, Counter>> {
  const found = new Map<string, Counter>();
  for (const chunk of chunks([...new Set(ids)].sort())) {
    const rows = await insertOrHold(
      tx,
      chunk.map((id) => ({ id, spent: 0, reserved: 0, exhausted: 0, used_at: 0 })),
    );
    for (const { id, ...row } of rows) found.set(id, toCounter(row));
  }
  return found;
}

/** Counters that the transaction holds, as they are now. */
export async function saveCounters(tx: Tx, counters: ReadonlyMap<string, Counter>, at: number): Promise<void> {
  for (const chunk of chunks([...counters].sort(([a], [b]) => (a < b ? -1 : 1)))) {
    await insertOrReplace(
      tx,
      chunk.map(([id, { spent, reserved, exhausted }]) => ({ id, spent, reserved, exhausted: exhausted ? 1 : 0, used_at: at })),
    );
  }
}

export async function findCounters(db: Kysely<Schema>, ids: readonly string[]): Promise<ReadonlyMap<string, Counter>> {
  const rows = await db.selectFrom('budget_counters').selectAll().where('id', 'in', ids).execute();
  return new Map(rows.map(({ id, ...row }) => [id, toCounter(row)]));
}

/**
 * Removes counters that nothing has changed since then: those of days, runs and conversations. A task's stays, because the
 * task may be taken up again under the same budget; so does what a call under way is held against. Answers how many.
 */
export async function forgetCounters(tx: Tx, before: number): Promise<number> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('budget_counters')
    .where('used_at', '<', before)
    .where('reserved', '=', 0)
    .where('id', 'not like', 'task:%')
    .executeTakeFirst();
  return Number(numDeletedRows);
}

export async function insertReservations(tx: Tx, reservations: readonly Reservation[]): Promise<void> {
  for (const chunk of chunks(reservations)) await insertEach(tx, chunk.map(toRow));
}

/** Ends reservations; answers which of them there were. */
export async function takeReservations(tx: Tx, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const taken = new Set<string>();
  for (const chunk of chunks(ids)) {
    const rows = await tx.db.deleteFrom('budget_reservations').where('id', 'in', chunk).returning('id').execute();
    for (const { id } of rows) taken.add(id);
  }
  return taken;
}

/** Those of a node, and of nodes that nobody knows any more. */
export async function reservationsWithout(tx: Tx, nodeId: string): Promise<readonly Reservation[]> {
  const rows = await tx.db
    .selectFrom('budget_reservations')
    .selectAll()
    .where((row) => row.or([row('node_id', '=', nodeId), row('node_id', 'not in', row.selectFrom('nodes').select('id'))]))
    .execute();
  return rows.map(fromRow);
}

const keyOf = (scope: BudgetScope): string => `budget.${scope}`;

/** What the owner has set, else what the settings say. */
export async function limitsIn(db: Kysely<Schema>, defaults: Limits): Promise<Limits> {
  const rows = await db.selectFrom('settings').selectAll().where('key', 'in', budgetScopes.map(keyOf)).execute();
  const set = new Map(rows.map(({ key, value }) => [key, JSON.parse(value) as number | null]));
  return Object.fromEntries(
    budgetScopes.map((scope) => [scope, set.has(keyOf(scope)) ? set.get(keyOf(scope)) : defaults[scope]]),
  ) as Limits;
}

export async function saveLimit(tx: Tx, scope: BudgetScope, limit: number | null): Promise<void> {
  await writeSetting(tx, keyOf(scope), JSON.stringify(limit));
}

/** Of those tasks that have a budget of their own, in millionths of a dollar. */
export async function taskBudgets(db: Kysely<Schema>, taskIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const chunk of chunks([...new Set(taskIds)])) {
    const rows = await db
      .selectFrom('tasks')
      .select(['id', 'budget_usd'])
      .where('id', 'in', chunk)
      .where('budget_usd', 'is not', null)
      .execute();
    for (const { id, budget_usd } of rows) if (budget_usd !== null) found.set(id, microUsd(budget_usd));
  }
  return found;
}

const toCounter = ({ spent, reserved, exhausted }: Pick<Schema['budget_counters'], 'spent' | 'reserved' | 'exhausted'>): Counter => ({
  spent,
  reserved,
  exhausted: exhausted === 1,
});

const toRow = (reservation: Reservation): ReservationTable => ({
  id: reservation.id,
  at: reservation.at,
  node_id: reservation.nodeId,
  run_id: reservation.runId,
  task_id: reservation.taskId,
  conversation_id: reservation.conversationId,
  kind: reservation.kind,
  model: reservation.model,
  input_tokens: reservation.inputTokens,
  output_tokens: reservation.outputTokens,
  micro_usd: reservation.microUsd,
});

const fromRow = (row: ReservationTable): Reservation => ({
  id: row.id,
  at: row.at,
  nodeId: row.node_id,
  runId: row.run_id,
  taskId: row.task_id,
  conversationId: row.conversation_id,
  kind: row.kind,
  model: row.model,
  inputTokens: row.input_tokens,
  outputTokens: row.output_tokens,
  microUsd: row.micro_usd,
});
