import type { Migration } from './migration.ts';

export const reviews: Migration = {
  name: 'reviews',
  statements: () => [
    `alter table tasks add column deliverable text not null default 'changes'`,
    // The branch that the work goes to, instead of one of its own.
    `alter table tasks add column branch text`,
    `alter table run_results add column review text`,
    // At least so many milliseconds lie between two texts under one key.
    `alter table outbox add column pause integer not null default 0`,
    // Who replays a delivery under another id shows the same content: see insertArrivals.
    `create index inbox_contents on inbox (source, body_hash)`,
  ],
};
