import type { Migration } from './migration.ts';

export const contracts: Migration = {
  name: 'contracts',
  statements: () => [`alter table tasks add column done_when text`],
};
