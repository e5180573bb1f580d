import type { Migration } from './migration.ts';

export const tasksByTime: Migration = {
  name: 'tasks-by-time',
  statements: (dialect) =>
    // A column that the condition names already must not lead: PostgreSQL leaves it out of the search, and so reads all of
    // the index to learn that nothing is due. SQLite wants it there.
    dialect === 'sqlite'
      ? []
      : [
          `drop index tasks_due`,
          `create index tasks_due on tasks (not_before, id) where status = 'delayed'`,
          `drop index tasks_line`,
          `create index tasks_line on tasks (rank, id) where status = 'queued'`,
        ],
};
