import type { Migration } from './migration.ts';

export const memoryItems: Migration = {
  name: 'memory-items',
  statements: () => [
    // How often an item of a list has been wanted: one that is pending again after its task was over is wanted once more.
    `create table memory_items (
      list text not null,
      item text not null,
      revision integer not null,
      primary key (list, item)
    )`,
  ],
};
