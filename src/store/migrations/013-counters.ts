import type { Migration } from './migration.ts';

export const counters: Migration = {
  name: 'counters',
  statements: (dialect) => [
    // When a budget's counter last changed, so that those of runs and days long past can go.
    `alter table budget_counters add column used_at bigint not null default 0`,
    `update budget_counters set used_at = ${
      dialect === 'postgres' ? 'cast(extract(epoch from now()) * 1000 as bigint)' : "cast(strftime('%s', 'now') as integer) * 1000"
    }`,
  ],
};
