import type { Migration } from './migration.ts';

export const roundsOfATask: Migration = {
  name: 'rounds-of-a-task',
  statements: () => [`alter table tasks add column max_rounds integer`],
};
