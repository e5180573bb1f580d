import { type Kysely, sql } from 'kysely';
import { utcDay } from '../domain/budget.ts';
import type { CallEnd, LedgerEntry, Spending, UsageDimension } from '../domain/spending.ts';
import { type Counter, holdCounters, noCounter, type Reservation, reservationsWithout, saveCounters, takeReservations } from './budgets.ts';
import { inserting } from './insert.ts';
import { chunks } from './rows.ts';
import type { LedgerTable, Schema, UsageSums } from './schema.ts';
import type { Tx } from './store.ts';

/** A call that is over, and what was reserved for it, if anything was. */
export interface Booking {
  readonly entry: LedgerEntry;
  readonly reservation: Reservation | undefined;
}

/** Every counter that a call is held against, and how much of it. A conversation only counts. */
export function chargesOf({
  runId,
  taskId,
  conversationId,
  kind,
  at,
}: Pick<LedgerEntry, 'runId' | 'taskId' | 'conversationId' | 'kind' | 'at'>): {
  readonly usd: readonly string[];
  readonly tokens: readonly string[];
} {
  const day = utcDay(at);
  return {
    usd: [`day:${day}`, `run:${runId}`, ...(taskId === null ? [] : [`task:${taskId}`])],
    tokens: [...(kind === 'proactive' ? [`proactive:${day}`] : []), ...(conversationId === null ? [] : [`conversation:${conversationId}`])],
  };
}

/** The one counter of tokens that is a cap, so that what a call may take is held against it. */
export const isProactive = (id: string): boolean => id.startsWith('proactive:');

const insertEntries = inserting('token_ledger');

/**
 * Enters calls into the ledger and turns what was reserved for them into what they cost. A reservation that is not there
 * any more was settled before, by whoever took this node for dead: then its call is in the ledger already, and stays as it is.
 * Answers what was entered, and the counters before and after.
 */
export async function book(
  tx: Tx,
  bookings: readonly Booking[],
): Promise<{
  readonly entered: readonly LedgerEntry[];
  readonly before: ReadonlyMap<string, Counter>;
  readonly after: ReadonlyMap<string, Counter>;
}> {
  const reserved = bookings.filter(({ reservation }) => reservation !== undefined);
  const before = await holdCounters(
    tx,
    reserved.flatMap(({ entry }) => [...chargesOf(entry).usd, ...chargesOf(entry).tokens]),
  );
  const open = await takeReservations(
    tx,
    reserved.map(({ entry }) => entry.id),
  );
  const valid = bookings.filter(({ entry, reservation }) => reservation === undefined || open.has(entry.id));
  const after = new Map(before);
  const charge = (id: string, amount: number, held: number): void => {
    const counter = after.get(id) ?? noCounter;
    after.set(id, { ...counter, spent: counter.spent + amount, reserved: counter.reserved - held });
  };
  for (const { entry, reservation } of valid) {
    if (!reservation) continue;
    const charges = chargesOf(entry);
    for (const id of charges.usd) charge(id, entry.costMicroUsd, reservation.microUsd);
    for (const id of charges.tokens) {
      charge(id, tokensOf(entry), isProactive(id) ? reservation.inputTokens + reservation.outputTokens : 0);
    }
  }
  if (valid.length > 0) await saveCounters(tx, after, Math.max(...valid.map(({ entry }) => entry.at)));
  const entered = valid.map(({ entry }) => entry);
  for (const chunk of chunks(entered)) await insertEntries(tx, chunk.map(toRow));
  // What never left the house is no call that anybody made.
  await addUp(
    tx,
    entered.filter(({ end }) => end !== 'over-budget'),
  );
  return { entered, before, after };
}

const tokensOf = ({
  inputTokens,
  outputTokens,
  cacheReadTokens,
  cacheWriteTokens,
}: Omit<Spending, 'calls' | 'failedCalls' | 'costMicroUsd'>): number => inputTokens + outputTokens + cacheReadTokens + cacheWriteTokens;

/**
 * Calls whose node died under them: nobody will ever know what they cost, so they are booked at the most that they can
 * have cost. Also those of nodes that are on no list any more.
 */
export async function bookLost(tx: Tx, nodeId: string): Promise<number> {
  const lost = await reservationsWithout(tx, nodeId);
  if (lost.length === 0) return 0;
  const { entered } = await book(
    tx,
    lost.map((reservation) => ({ reservation, entry: lostEntry(reservation) })),
  );
  return entered.length;
}

const lostEntry = ({ inputTokens, outputTokens, microUsd, ...call }: Reservation): LedgerEntry => ({
  ...call,
  provider: null,
  keyId: null,
  inputTokens,
  outputTokens,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  costMicroUsd: microUsd,
  firstByteMs: null,
  latencyMs: null,
  status: null,
  end: 'lost',
  estimated: true,
});

const failures: readonly CallEnd[] = ['refused', 'cut', 'lost', 'try'];

/** Held by the day's counter where money was spent; rows that only count failures are taken in the order of their keys. */
async function addUp(tx: Tx, entries: readonly LedgerEntry[]): Promise<void> {
  const days = new Map<string, Schema['usage_by_day']>();
  const tasks = new Map<string, Schema['usage_by_task']>();
  for (const entry of entries) {
    const day = utcDay(entry.at);
    const { kind, provider, model, keyId, taskId } = entry;
    const named = { day, kind, provider: provider ?? '', model: model ?? '', key_id: keyId ?? '' };
    const key = Object.values(named).join('\n');
    days.set(key, { ...named, ...plus(days.get(key), entry) });
    if (taskId === null) continue;
    const taskKey = `${day}\n${taskId}`;
    tasks.set(taskKey, { day, task_id: taskId, ...plus(tasks.get(taskKey), entry) });
  }
  for (const chunk of chunks(inOrder(days))) {
    await tx.db
      .insertInto('usage_by_day')
      .values(chunk)
      .onConflict((conflict) => conflict.columns(['day', 'kind', 'provider', 'model', 'key_id']).doUpdateSet(added('usage_by_day')))
      .execute();
  }
  for (const chunk of chunks(inOrder(tasks))) {
    await tx.db
      .insertInto('usage_by_task')
      .values(chunk)
      .onConflict((conflict) => conflict.columns(['day', 'task_id']).doUpdateSet(added('usage_by_task')))
      .execute();
  }
}

const inOrder = <T>(rows: ReadonlyMap<string, T>): readonly T[] => [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);

const sumColumns = [
  'calls',
  'failed_calls',
  'input_tokens',
  'output_tokens',
  'cache_read_tokens',
  'cache_write_tokens',
  'cost_micro_usd',
] as const satisfies readonly (keyof UsageSums)[];

const added = (table: 'usage_by_day' | 'usage_by_task') =>
  Object.fromEntries(
    sumColumns.map((column) => [column, sql<number>`${sql.ref(`${table}.${column}`)} + ${sql.ref(`excluded.${column}`)}`]),
  ) as Record<(typeof sumColumns)[number], ReturnType<typeof sql<number>>>;

const plus = (before: UsageSums | undefined, entry: LedgerEntry): UsageSums => ({
  calls: (before?.calls ?? 0) + 1,
  failed_calls: (before?.failed_calls ?? 0) + (failures.includes(entry.end) ? 1 : 0),
  input_tokens: (before?.input_tokens ?? 0) + entry.inputTokens,
  output_tokens: (before?.output_tokens ?? 0) + entry.outputTokens,
  cache_read_tokens: (before?.cache_read_tokens ?? 0) + entry.cacheReadTokens,
  cache_write_tokens: (before?.cache_write_tokens ?? 0) + entry.cacheWriteTokens,
  cost_micro_usd: (before?.cost_micro_usd ?? 0) + entry.costMicroUsd,
});

export interface UsageRow extends Spending {
  /** A day, a model, a task's id …; empty where the call had none. */
  readonly key: string;
}

/** Days are from the first to the last, both included. Days come in order, everything else dearest first. */
export async function usageBy(
  db: Kysely<Schema>,
  by: UsageDimension,
  from: string,
  to: string,
  limit: number,
): Promise<readonly UsageRow[]> {
  const table = by === 'task' ? 'usage_by_task' : 'usage_by_day';
  const column = sql.ref(by === 'task' ? 'task_id' : by === 'key' ? 'key_id' : by);
  const order = by === 'day' ? sql`key` : sql`cost_micro_usd desc, key`;
  const { rows } = await sql<UsageSums & { key: string }>`
    select ${column} as key, ${sums} from ${sql.table(table)}
    where day >= ${from} and day <= ${to} group by ${column} order by ${order} limit ${limit}`.execute(db);
  return rows.map(({ key, ...row }) => ({ key, ...toSpending(row) }));
}

export async function usageIn(db: Kysely<Schema>, from: string, to: string): Promise<Spending> {
  const { rows } = await sql<UsageSums>`select ${sums} from usage_by_day where day >= ${from} and day <= ${to}`.execute(db);
  return toSpending(rows[0]);
}

/** What a run's calls came to so far, by the ledger itself. */
export async function spentByRun(db: Kysely<Schema>, runId: string): Promise<Spending> {
  const { rows } = await sql<UsageSums>`
    select count(*) as calls, 0 as failed_calls, ${tokenSums} from token_ledger where run_id = ${runId}`.execute(db);
  return toSpending(rows[0]);
}

export interface SpendingAt extends Pick<Spending, 'calls' | 'inputTokens' | 'outputTokens' | 'costMicroUsd'> {
  readonly at: number;
}

/** How a run's calls came to that, in order; of very many, those of a while together, and no more than `most` such whiles. */
export async function spendingOfRun(db: Kysely<Schema>, runId: string, most: number): Promise<readonly SpendingAt[]> {
  const span = await db
    .selectFrom('token_ledger')
    .select([sql<number | null>`min(at)`.as('first'), sql<number | null>`max(at)`.as('last')])
    .where('run_id', '=', runId)
    .executeTakeFirst();
  if (span === undefined || span.first === null || span.last === null) return [];
  const { first } = span;
  const width = Math.max(1, Math.ceil((span.last - first + 1) / most));
  const read = sql`input_tokens + cache_read_tokens + cache_write_tokens`;
  const { rows } = await sql<SpendingAt>`
    select max(at) as at, count(*) as calls, cast(sum(${read}) as bigint) as "inputTokens",
      cast(sum(output_tokens) as bigint) as "outputTokens", cast(sum(cost_micro_usd) as bigint) as "costMicroUsd"
    from token_ledger where run_id = ${runId} group by cast((at - ${first}) / ${width} as bigint) order by max(at)`.execute(db);
  return rows;
}

/** PostgreSQL adds bigints up to a numeric, which would come back as text. */
const sumOf = (column: string) => sql`cast(coalesce(sum(${sql.ref(column)}), 0) as bigint) as ${sql.ref(column)}`;
const sums = sql.join(sumColumns.map(sumOf));
const tokenSums = sql.join(sumColumns.slice(2).map(sumOf));

const toSpending = (row: UsageSums | undefined): Spending => ({
  calls: row?.calls ?? 0,
  failedCalls: row?.failed_calls ?? 0,
  inputTokens: row?.input_tokens ?? 0,
  outputTokens: row?.output_tokens ?? 0,
  cacheReadTokens: row?.cache_read_tokens ?? 0,
  cacheWriteTokens: row?.cache_write_tokens ?? 0,
  costMicroUsd: row?.cost_micro_usd ?? 0,
});

const toRow = (entry: LedgerEntry): LedgerTable => ({
  id: entry.id,
  at: entry.at,
  node_id: entry.nodeId,
  run_id: entry.runId,
  task_id: entry.taskId,
  conversation_id: entry.conversationId,
  kind: entry.kind,
  provider: entry.provider,
  model: entry.model,
  key_id: entry.keyId,
  input_tokens: entry.inputTokens,
  output_tokens: entry.outputTokens,
  cache_read_tokens: entry.cacheReadTokens,
  cache_write_tokens: entry.cacheWriteTokens,
  cost_micro_usd: entry.costMicroUsd,
  first_byte_ms: entry.firstByteMs,
  latency_ms: entry.latencyMs,
  status: entry.status,
  ended: entry.end,
  estimated: entry.estimated ? 1 : 0,
});
