import type { Dialect, Migration } from './migration.ts';

/** Ids are compared as bytes, here and in the program; a database made with another language's order must not differ. */
const id = (dialect: Dialect): string => (dialect === 'postgres' ? 'text collate "C"' : 'text');

export const core: Migration = {
  name: 'core',
  statements: (dialect) => [
    `create table tasks (
      id ${id(dialect)} primary key,
      source text not null,
      external_ref text,
      title text not null,
      body text,
      repository text,
      ref text,
      priority text not null,
      status text not null,
      reason text,
      dedupe_key text,
      budget_usd double precision,
      verify text,
      engine text,
      requested_by text not null,
      trust text not null,
      attempts integer not null,
      max_attempts integer not null,
      losses integer not null,
      waiting_for integer not null,
      rank bigint not null,
      not_before bigint,
      cancel_requested_at bigint,
      created_at bigint not null,
      updated_at bigint not null,
      closed_at bigint
    )`,
    // The line itself: a claim reads its first entries and nothing else.
    // The status leads although it is always the same: without it SQLite prefers the index by status, and sorts.
    `create index tasks_line on tasks (status, rank, id) where status = 'queued'`,
    `create index tasks_due on tasks (status, not_before, id) where status = 'delayed'`,
    `create unique index tasks_dedupe on tasks (dedupe_key) where closed_at is null and dedupe_key is not null`,
    // Counting reads this index and no rows.
    `create index tasks_open on tasks (priority, status, closed_at) where closed_at is null`,
    `create index tasks_by_status on tasks (status, id)`,
    `create index tasks_by_repository on tasks (repository, id) where repository is not null`,

    `create table task_dependencies (
      task_id ${id(dialect)} not null references tasks (id),
      depends_on ${id(dialect)} not null references tasks (id),
      primary key (task_id, depends_on)
    )`,
    `create index task_dependents on task_dependencies (depends_on)`,

    `create table runs (
      id ${id(dialect)} primary key,
      task_id ${id(dialect)} not null references tasks (id),
      node_id text not null,
      engine text,
      attempt integer not null,
      status text not null,
      reason text,
      summary text,
      started_at bigint not null,
      finished_at bigint
    )`,
    `create index runs_by_task on runs (task_id, id)`,
    // At most one live run per task, by the database's own word.
    `create unique index runs_live on runs (task_id) where status = 'running'`,
    `create index runs_live_by_node on runs (node_id) where status = 'running'`,

    dialect === 'sqlite'
      ? `create table events (
          seq integer primary key,
          tx integer not null default 0,
          at bigint not null,
          type text not null,
          task_id text,
          run_id text,
          data text not null
        )`
      : `create table events (
          seq bigint generated always as identity,
          tx bigint not null default (pg_current_xact_id()::text::bigint),
          at bigint not null,
          type text not null,
          task_id text,
          run_id text,
          data text not null,
          primary key (tx, seq)
        )`,
    ...(dialect === 'sqlite'
      ? [
          // Every index entry ends with the row's seq, which is the order that readers want.
          `create index events_by_task on events (task_id) where task_id is not null`,
          `create index events_by_run on events (run_id) where run_id is not null`,
        ]
      : [
          `create index events_by_task on events (task_id, tx, seq) where task_id is not null`,
          `create index events_by_run on events (run_id, tx, seq) where run_id is not null`,
        ]),

    `create table nodes (
      id ${id(dialect)} primary key,
      beat bigint not null,
      started_at bigint not null,
      address text
    )`,
    `create table settings (key text primary key, value text not null)`,
  ],
};
