import type { Kysely } from 'kysely';
import type { Reason } from '../domain/outcome.ts';
import type { TaskStatus } from '../domain/task.ts';
import { fromJson } from './rows.ts';
import type { Schema } from './schema.ts';

/** A task as far as it is somebody's execution. */
export interface Executed {
  readonly id: string;
  readonly profile: string;
  readonly status: TaskStatus;
  readonly reason: Reason | null;
  readonly cancelRequestedAt: number | null;
  readonly createdAt: number;
  readonly closedAt: number | null;
}

export interface ExecutionFilter {
  readonly ids?: readonly string[] | undefined;
  readonly statuses?: readonly TaskStatus[] | undefined;
  /** Called off, though it may still run. */
  readonly calledOff?: boolean | undefined;
  readonly profile?: string | undefined;
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** Only the newest so many are looked at: whoever counts all matches of a filter would have to read every task there ever was. */
export const executionWindow = 10_000;

/** Newest first: what is executed or was; not what still waits for somebody's word. */
export async function listExecuted(
  db: Kysely<Schema>,
  filter: ExecutionFilter,
  { offset, limit }: { readonly offset: number; readonly limit: number },
): Promise<{ readonly items: readonly Executed[]; readonly total: number }> {
  let window = db
    .selectFrom('tasks')
    .select(['id', 'profile', 'status', 'reason', 'cancel_requested_at', 'created_at', 'closed_at'])
    .where('status', '!=', 'awaiting-approval')
    .orderBy('id', 'desc')
    .limit(executionWindow);
  if (filter.ids) window = window.where('id', 'in', filter.ids);
  let matching = db.selectFrom(window.as('recent'));
  if (filter.statuses) matching = matching.where('status', 'in', filter.statuses);
  if (filter.calledOff === true) {
    matching = matching.where((row) => row.or([row('status', '=', 'cancelled'), row('cancel_requested_at', 'is not', null)]));
  }
  if (filter.calledOff === false) matching = matching.where('cancel_requested_at', 'is', null);
  if (filter.profile !== undefined) matching = matching.where('profile', '=', filter.profile);
  if (filter.from !== undefined) matching = matching.where('created_at', '>=', filter.from);
  if (filter.to !== undefined) matching = matching.where('created_at', '<=', filter.to);
  const { count } = await matching.select((row) => row.fn.countAll().as('count')).executeTakeFirstOrThrow();
  const rows = await matching.selectAll().orderBy('id', 'desc').offset(offset).limit(limit).execute();
  return {
    total: Number(count),
    items: rows.map((row) => ({
      id: row.id,
      profile: row.profile,
      status: row.status,
      reason: fromJson<Reason>(row.reason),
      cancelRequestedAt: row.cancel_requested_at,
      createdAt: row.created_at,
      closedAt: row.closed_at,
    })),
  };
}

/** How many tasks run with each profile right now. */
export async function busyProfiles(db: Kysely<Schema>): Promise<ReadonlyMap<string, number>> {
  const rows = await db
    .selectFrom('tasks')
    .select(['profile', (row) => row.fn.countAll().as('count')])
    .where('status', '=', 'running')
    .groupBy('profile')
    .execute();
  return new Map(rows.map(({ profile, count }) => [profile, Number(count)]));
}
