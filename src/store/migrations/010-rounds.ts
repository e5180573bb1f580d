import type { Migration } from './migration.ts';

export const rounds: Migration = {
  name: 'rounds',
  statements: () => [
    // Numbered on over the runs of one session: what went on after a crash has not begun anew.
    `create table rounds (
      run_id text not null references runs (id),
      number integer not null,
      session_id text,
      tree text,
      verdicts text not null,
      decision text not null,
      rule text,
      at bigint not null,
      primary key (run_id, number)
    )`,
    `alter table run_results add column not_green text`,
    `create index rounds_by_session on rounds (session_id) where session_id is not null`,
  ],
};
