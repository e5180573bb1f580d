import type { Migration } from './migration.ts';

export const runResults: Migration = {
  name: 'run-results',
  statements: () => [
    // What came of a run, apart from the runs themselves: those are read and written by the thousand, these one by one.
    `create table run_results (
      run_id text primary key references runs (id),
      session_id text,
      branch text,
      base_commit text,
      commits text not null,
      files_changed text not null,
      diff text,
      diff_file text,
      diff_truncated integer not null,
      delivery text,
      tests text,
      tokens text not null,
      cost_usd double precision not null,
      tool_calls integer not null
    )`,
  ],
};
