import type { Dialect, Migration } from './migration.ts';

const id = (dialect: Dialect): string => (dialect === 'postgres' ? 'text collate "C"' : 'text');

export const trends: Migration = {
  name: 'trends',
  statements: (dialect) => [
    // A person had to say how it goes on, once at least.
    `alter table tasks add column helped integer not null default 0`,
    `update tasks set helped = 1 where id in (select task_id from events where type in ('task.approved', 'task.resolved'))`,

    // Sums that grow as tasks end, so that looking back costs nothing however many there were.
    `create table ends_by_day (
      day ${id(dialect)} not null,
      source text not null,
      status text not null,
      helped integer not null,
      tasks bigint not null,
      primary key (day, source, status, helped)
    )`,
    `insert into ends_by_day (day, source, status, helped, tasks)
      select ${dayOf(dialect, 'closed_at')}, source, status, helped, count(*) from tasks where closed_at is not null group by 1, 2, 3, 4`,

    // The same for what the gates said when they were asked for the last time in a run.
    `create table gates_by_day (
      repository ${id(dialect)} not null,
      day ${id(dialect)} not null,
      runs bigint not null,
      red bigint not null,
      red_before bigint not null,
      findings bigint not null,
      complex bigint not null,
      covered_lines bigint not null,
      measured_lines bigint not null,
      primary key (repository, day)
    )`,
    `create index gates_by_day_by_day on gates_by_day (day, repository, runs)`,
    `insert into gates_by_day (repository, day, runs, red, red_before, findings, complex, covered_lines, measured_lines)
      ${verdictsSoFar(dialect)}`,
  ],
};

const dayOf = (dialect: Dialect, column: string): string =>
  dialect === 'postgres'
    ? `to_char(to_timestamp(${column} / 1000) at time zone 'UTC', 'YYYY-MM-DD')`
    : `strftime('%Y-%m-%d', ${column} / 1000, 'unixepoch')`;

/** What was stored of coverage was only words; it is counted from now on. */
function verdictsSoFar(dialect: Dialect): string {
  const postgres = dialect === 'postgres';
  const verdicts = postgres ? `jsonb_array_elements(r.verdicts::jsonb) as verdict (value)` : `json_each(r.verdicts) as verdict`;
  const field = (name: string): string => (postgres ? `verdict.value ->> '${name}'` : `json_extract(verdict.value, '$.${name}')`);
  const findings = postgres ? `jsonb_array_length(verdict.value -> 'findings')` : `json_array_length(verdict.value, '$.findings')`;
  const isRed = postgres ? `${field('passed')} = 'false'` : `${field('passed')} = 0`;
  const times = (condition: string, amount = '1'): string => `sum(case when ${condition} then ${amount} else 0 end)`;
  return `select case when w.repository like '%.git' then substr(w.repository, 1, length(w.repository) - 4) else w.repository end, ${dayOf(dialect, 'r.at')}, count(distinct r.run_id || ' ' || r.number), ${times(isRed)},
        ${times(`${field('excuse')} = 'red-before'`)}, sum(${findings}), ${times(`${field('kind')} = 'complexity'`, findings)}, 0, 0
      from rounds r
      join (select run_id, min(repository) as repository from workspaces group by run_id) w on w.run_id = r.run_id
      cross join ${postgres ? 'lateral ' : ''}${verdicts}
      where r.decision <> 'continue' group by 1, 2`;
}
