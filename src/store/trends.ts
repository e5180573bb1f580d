import { type Kysely, sql } from 'kysely';
import { utcDay } from '../domain/budget.ts';
import type { GateVerdict } from '../domain/gate.ts';
import { isClosed, type Task, type TaskState } from '../domain/task.ts';
import type { EndsAlike, Week } from '../domain/trend.ts';
import { chunks } from './rows.ts';
import type { GateSums, Schema } from './schema.ts';
import type { Tx } from './store.ts';

/**
 * Adds up tasks that ended, and takes out again those that are taken up anew, on the day on which they had ended. Rows are
 * touched in the order of their keys, so that two transactions wait for each other instead of deadlocking.
 */
export async function countEnds(tx: Tx, changes: readonly { readonly before: Task; readonly after: TaskState }[]): Promise<void> {
  const rows = new Map<string, Schema['ends_by_day']>();
  const count = (source: string, { status, closedAt, helped }: TaskState, tasks: 1 | -1): void => {
    if (!isClosed(status) || closedAt === null) return;
    const named = { day: utcDay(closedAt), source, status, helped: helped ? 1 : 0 };
    const key = Object.values(named).join('\n');
    rows.set(key, { ...named, tasks: (rows.get(key)?.tasks ?? 0) + tasks });
  };
  for (const { before, after } of changes) {
    if (before.closedAt === after.closedAt) continue;
    count(before.source, before, -1);
    count(before.source, after, 1);
  }
  for (const chunk of chunks(inOrder(rows))) {
    await tx.db
      .insertInto('ends_by_day')
      .values(chunk)
      .onConflict((conflict) =>
        conflict.columns(['day', 'source', 'status', 'helped']).doUpdateSet({ tasks: sql`ends_by_day.tasks + excluded.tasks` }),
      )
      .execute();
  }
}

const inOrder = <T>(rows: ReadonlyMap<string, T>): readonly T[] => [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);

type EndsRow = Omit<EndsAlike, 'helped'> & { readonly helped: number };

/** Of all sources together. Days are from the first to the last, both included. */
export async function endsByDay(db: Kysely<Schema>, from: string, to: string): Promise<readonly EndsAlike[]> {
  const { rows } = await sql<EndsRow>`
    select day as since, status, helped, cast(sum(tasks) as bigint) as tasks from ends_by_day
    where day >= ${from} and day <= ${to} group by day, status, helped having sum(tasks) > 0 order by day, status, helped`.execute(db);
  return rows.map(toEnds);
}

/** Each source's, by these weeks. */
export async function endsBySource(
  db: Kysely<Schema>,
  weeks: readonly Week[],
): Promise<readonly (EndsAlike & { readonly source: string })[]> {
  const spans = sql.join(weeks.map(({ from, to }) => sql`(${from}, ${to})`));
  const { rows } = await sql<EndsRow & { source: string }>`
    with weeks (since, last) as (values ${spans})
    select weeks.since, source, status, helped, cast(sum(tasks) as bigint) as tasks
    from weeks join ends_by_day on day >= weeks.since and day <= weeks.last
    group by weeks.since, source, status, helped having sum(tasks) > 0 order by weeks.since, source, status, helped`.execute(db);
  return rows.map((row) => ({ ...toEnds(row), source: row.source }));
}

const toEnds = ({ since, status, helped, tasks }: EndsRow): EndsAlike => ({ since, status, helped: helped === 1, tasks });

/** What the gates said when they were asked for the last time in a run. */
export async function countGates(tx: Tx, repository: string, verdicts: readonly GateVerdict[], at: number): Promise<void> {
  await tx.db
    .insertInto('gates_by_day')
    .values({ repository, day: utcDay(at), ...sumsOf(verdicts) })
    .onConflict((conflict) =>
      conflict
        .columns(['repository', 'day'])
        .doUpdateSet(
          Object.fromEntries(
            sumColumns.map((column) => [column, sql`${sql.ref(`gates_by_day.${column}`)} + ${sql.ref(`excluded.${column}`)}`]),
          ),
        ),
    )
    .execute();
}

function sumsOf(verdicts: readonly GateVerdict[]): GateSums {
  const sum = (of: (verdict: GateVerdict) => number): number => verdicts.reduce((all, verdict) => all + of(verdict), 0);
  return {
    runs: 1,
    red: sum(({ passed }) => (passed ? 0 : 1)),
    red_before: sum(({ excuse }) => (excuse === 'red-before' ? 1 : 0)),
    findings: sum(({ findings }) => findings.length),
    complex: sum(({ kind, findings }) => (kind === 'complexity' ? findings.length : 0)),
    covered_lines: sum(({ coverage }) => coverage?.covered ?? 0),
    measured_lines: sum(({ coverage }) => coverage?.measured ?? 0),
  };
}

const sumColumns = [
  'runs',
  'red',
  'red_before',
  'findings',
  'complex',
  'covered_lines',
  'measured_lines',
] as const satisfies readonly (keyof GateSums)[];

/** Days on which gates were asked, of one repository or of all together. */
export async function gatesBetween(
  db: Kysely<Schema>,
  from: string,
  to: string,
  repository: string | undefined,
): Promise<readonly (GateSums & { readonly day: string })[]> {
  const sums = sql.join(sumColumns.map((column) => sql`cast(sum(${sql.ref(column)}) as bigint) as ${sql.ref(column)}`));
  const about = repository === undefined ? sql`` : sql`and repository = ${repository}`;
  const { rows } = await sql<GateSums & { day: string }>`
    select day, ${sums} from gates_by_day where day >= ${from} and day <= ${to} ${about} group by day order by day`.execute(db);
  return rows;
}

/** The busiest first. */
export async function gatedRepositories(
  db: Kysely<Schema>,
  from: string,
  to: string,
  limit: number,
): Promise<readonly { readonly repository: string; readonly runs: number }[]> {
  const { rows } = await sql<{ repository: string; runs: number }>`
    select repository, cast(sum(runs) as bigint) as runs from gates_by_day where day >= ${from} and day <= ${to}
    group by repository order by runs desc, repository limit ${limit}`.execute(db);
  return rows;
}
