import type { Migration } from './migration.ts';

export const checkpoints: Migration = {
  name: 'checkpoints',
  statements: () => [
    `create table checkpoints (
      id text primary key,
      task_id text not null references tasks (id),
      run_id text not null references runs (id),
      number integer not null,
      workspace_id text not null references workspaces (id),
      kind text not null,
      note text not null,
      files text not null,
      ignored text,
      too_big text not null,
      tip text not null,
      session_id text,
      message_id text,
      gates text not null,
      at bigint not null,
      unique (run_id, number)
    )`,
    `create index checkpoints_by_task on checkpoints (task_id)`,
    `create index checkpoints_by_workspace on checkpoints (workspace_id)`,
    // How the next attempt at a task begins, when it does not simply begin. `taken_by` is the run that has begun like this.
    `create table next_attempts (
      task_id text primary key references tasks (id),
      plan text not null,
      taken_by text,
      at bigint not null
    )`,
  ],
};
