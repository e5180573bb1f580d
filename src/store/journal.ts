import { type Kysely, sql } from 'kysely';
import type { JournalEvent, NewEvent, Position } from '../domain/event.ts';
import type { Denial } from '../domain/round.ts';
import type { Tier } from '../domain/tier.ts';
import { inserting } from './insert.ts';
import { chunks } from './rows.ts';
import type { EventTable, Schema } from './schema.ts';
import type { Store, Tx } from './store.ts';

const insertEvents = inserting('events');

/** Appends events in the order given, in the transaction of the change that they tell of. */
export async function append(tx: Tx, events: readonly NewEvent[], now: number): Promise<void> {
  if (events.length === 0) return;
  for (const chunk of chunks(events, 1_000)) {
    await insertEvents(
      tx,
      chunk.map(({ type, data, taskId, runId }) => ({
        at: now,
        type,
        task_id: taskId ?? null,
        run_id: runId ?? null,
        data: JSON.stringify(data),
      })),
    );
  }
  tx.touch('journal');
}

export interface JournalFilter {
  readonly taskId?: string | undefined;
  readonly runId?: string | undefined;
}

/**
 * Events after a position, oldest first. On PostgreSQL an event becomes readable only once no transaction that began
 * before its own is still open: only then can nothing appear before it any more, and a reader's position is safe.
 */
export async function readAfter(
  store: Pick<Store, 'read' | 'dialect'>,
  after: Position,
  limit: number,
  filter: JournalFilter = {},
): Promise<readonly JournalEvent[]> {
  const { tx, seq } = parsePosition(after) ?? { tx: 0, seq: 0 };
  let query = store.read.selectFrom('events').selectAll().orderBy('tx').orderBy('seq').limit(limit);
  if (store.dialect === 'sqlite') {
    query = store.read.selectFrom('events').selectAll().orderBy('seq').limit(limit).where('seq', '>', seq);
  } else {
    query = query.where(sql<boolean>`(tx, seq) > (${tx}::bigint, ${seq}::bigint)`).where(readable);
  }
  if (filter.taskId !== undefined) query = query.where('task_id', '=', filter.taskId);
  if (filter.runId !== undefined) query = query.where('run_id', '=', filter.runId);
  return (await query.execute()).map(toEvent);
}

/**
 * Nothing that was open when the question was asked began before it. Transactions of the cluster's other databases do not
 * count: they cannot write here, and somebody's long import there would keep every event from being read meanwhile. One
 * that has ended since is taken for ours.
 */
const readable = sql<boolean>`tx < (
  select coalesce(min(open.tx::text::bigint), pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
  from pg_snapshot_xip(pg_current_snapshot()) as open(tx)
  where not exists (
    select from pg_stat_get_activity(null) as backend
    where backend.datid <> (select oid from pg_database where datname = current_database())
      and backend.backend_xid::text::bigint = open.tx::text::bigint % 4294967296
  )
)`;

/** The position of the newest readable event. */
export async function latest(store: Pick<Store, 'read' | 'dialect'>): Promise<Position> {
  let query = store.read.selectFrom('events').select(['tx', 'seq']).limit(1);
  query = store.dialect === 'sqlite' ? query.orderBy('seq', 'desc') : query.where(readable).orderBy('tx', 'desc').orderBy('seq', 'desc');
  const row = await query.executeTakeFirst();
  return row ? position(row) : beginning;
}

/** The position of the event that ended a run, once it is readable. */
export async function endOf(store: Pick<Store, 'read' | 'dialect'>, runId: string): Promise<Position | undefined> {
  let query = store.read.selectFrom('events').select(['tx', 'seq']).where('run_id', '=', runId).where('type', '=', 'run.finished').limit(1);
  if (store.dialect === 'postgres') query = query.where(readable);
  const row = await query.executeTakeFirst();
  return row && position(row);
}

/** That the agent of a run worked with; null when it had none. */
export async function tierOfRun(db: Kysely<Schema>, runId: string): Promise<Tier | null> {
  const row = await db
    .selectFrom('events')
    .select('data')
    .where('run_id', '=', runId)
    .where('type', '=', 'run.model')
    .orderBy('tx')
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst();
  return row ? (JSON.parse(row.data) as { readonly tier: Tier }).tier : null;
}

/** The position after which a run has at most so many events; the beginning when it has no more than that. */
export async function positionBeforeLast(store: Pick<Store, 'read' | 'dialect'>, runId: string, count: number): Promise<Position> {
  let query = store.read.selectFrom('events').select(['tx', 'seq']).where('run_id', '=', runId).limit(1).offset(count);
  query = store.dialect === 'sqlite' ? query.orderBy('seq', 'desc') : query.orderBy('tx', 'desc').orderBy('seq', 'desc');
  const row = await query.executeTakeFirst();
  return row ? position(row) : beginning;
}

/** What the agent of a run was refused, in order; of one that goes on with a session, also in the runs of that before it. */
export async function denialsOf(
  db: Kysely<Schema>,
  { taskId, runId, sessionId }: { readonly taskId: string; readonly runId: string; readonly sessionId: string | undefined },
): Promise<readonly Denial[]> {
  const before =
    sessionId === undefined
      ? []
      : await db
          .selectFrom('runs')
          .innerJoin('run_results', 'run_results.run_id', 'runs.id')
          .select('runs.id')
          .where('runs.task_id', '=', taskId)
          .where('run_results.session_id', '=', sessionId)
          .execute();
  const rows = await db
    .selectFrom('events')
    .select('data')
    .where('run_id', 'in', [runId, ...before.map(({ id }) => id)])
    .where('type', '=', 'run.denied')
    .orderBy('tx')
    .orderBy('seq')
    .execute();
  return rows.map(({ data }) => JSON.parse(data) as Denial);
}

/** What the agent of a run said last. */
export async function lastWords(db: Kysely<Schema>, runId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('events')
    .select('data')
    .where('run_id', '=', runId)
    .where('type', '=', 'run.text')
    .orderBy('tx', 'desc')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row && (JSON.parse(row.data) as { readonly text: string }).text;
}

export const beginning: Position = '0';

/** `seq`, or `tx-seq` where transactions overlap. Undefined for text that never was a position. */
export function parsePosition(text: string): { readonly tx: number; readonly seq: number } | undefined {
  const match = /^(?:(\d{1,15})-)?(\d{1,15})$/.exec(text);
  return match ? { tx: Number(match[1] ?? 0), seq: Number(match[2]) } : undefined;
}

export function comparePositions(a: Position, b: Position): number {
  const [left, right] = [parsePosition(a), parsePosition(b)];
  if (!left || !right) return 0;
  return left.tx - right.tx || left.seq - right.seq;
}

const position = ({ tx, seq }: Pick<Row, 'tx' | 'seq'>): Position => (tx === 0 ? String(seq) : `${tx}-${seq}`);

type Row = Omit<EventTable, 'seq' | 'tx'> & { seq: number; tx: number };

const toEvent = (row: Row): JournalEvent => ({
  id: position(row),
  at: row.at,
  type: row.type as JournalEvent['type'],
  taskId: row.task_id,
  runId: row.run_id,
  data: JSON.parse(row.data) as Record<string, unknown>,
});

/** When the newest event was written, or null when there is none. */
export async function newestEventAt({ read, dialect }: Pick<Store, 'read' | 'dialect'>): Promise<number | null> {
  const newest = read.selectFrom('events').select('at').limit(1);
  const ordered = dialect === 'sqlite' ? newest.orderBy('seq', 'desc') : newest.orderBy('tx', 'desc').orderBy('seq', 'desc');
  return (await ordered.executeTakeFirst())?.at ?? null;
}
