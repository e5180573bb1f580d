import type { Migration } from './migration.ts';

export const workspaces: Migration = {
  name: 'workspaces',
  statements: () => [
    `create table workspaces (
      id text primary key,
      task_id text not null references tasks (id),
      run_id text not null references runs (id),
      node_id text not null,
      status text not null,
      repository text not null,
      ref text not null,
      branch text not null,
      base_commit text not null,
      tip text not null,
      path text not null,
      git_dir text not null,
      created_at bigint not null,
      completed_at bigint,
      cleanup_at bigint,
      removed_at bigint
    )`,
    `create index workspaces_by_task on workspaces (task_id, id)`,
    `create index workspaces_by_run on workspaces (run_id)`,
    // What there is on disk is little beside what there once was.
    `create index workspaces_on_disk on workspaces (node_id, status, id) where removed_at is null`,
  ],
};
