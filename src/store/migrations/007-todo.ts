import type { Migration } from './migration.ts';

export const todo: Migration = {
  name: 'todo',
  statements: () => [
    // The items of TODO files as they were seen last; `overdue` are the triggers whose tasks have yet to be called off.
    `create table todo_items (
      key text primary key,
      file text not null,
      place integer not null,
      title text not null,
      headings text not null,
      digest text not null,
      checked integer not null,
      revision integer not null,
      overdue text
    )`,
    `create index todo_items_by_file on todo_items (file, place)`,
    `create index todo_items_overdue on todo_items (file) where overdue is not null`,
  ],
};
