import type { Migration } from './migration.ts';

export const findings: Migration = {
  name: 'findings',
  statements: (dialect) => {
    const id = dialect === 'postgres' ? 'text collate "C"' : 'text';
    return [
      // The task whose run found that this one is worth doing.
      `alter table tasks add column parent_task_id ${id} references tasks (id)`,
      `create index tasks_by_parent on tasks (parent_task_id, id) where parent_task_id is not null`,
      // What the tools of a run showed: once for each run and signature.
      `create table findings (
        run_id ${id} not null references runs (id),
        signature text not null,
        task_id ${id} not null,
        category text not null,
        code text not null,
        message text not null,
        file text,
        line bigint,
        worth integer not null,
        gone integer not null,
        at bigint not null,
        primary key (run_id, signature)
      )`,
      `create index findings_by_task on findings (task_id, run_id)`,
      // Runs that succeeded and were not looked at yet for what should follow.
      `create table follow_ups (
        run_id ${id} primary key references runs (id),
        task_id ${id} not null references tasks (id),
        attempts integer not null,
        holder text,
        created_at bigint not null
      )`,
      // For ever: what was made into a task once is never made into one again, whatever became of it.
      `create table offspring (
        key text primary key,
        task_id ${id} not null references tasks (id),
        run_id ${id} not null references runs (id),
        created_at bigint not null
      )`,
      `create index offspring_by_time on offspring (created_at)`,
      `create index offspring_by_run on offspring (run_id)`,
    ];
  },
};
