import type { Migration } from './migration.ts';

export const memoryClaims: Migration = {
  name: 'memory-claims',
  statements: () => [
    // Since when we try to have an item, until the list has shown whose it is. Its revision is 0 until it was ours once.
    `alter table memory_items add column claimed_at bigint`,
  ],
};
