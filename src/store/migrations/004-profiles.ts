import type { Migration } from './migration.ts';

export const profiles: Migration = {
  name: 'profiles',
  statements: (dialect) => [
    `create table profiles (
      id text primary key,
      name text not null unique,
      description text,
      prompt_template text,
      instructions text,
      tier text,
      model text,
      tools text,
      timeout_seconds integer,
      max_turns integer,
      budget_usd double precision,
      engine text,
      created_at bigint not null,
      updated_at bigint not null
    )`,
    `insert into profiles (id, name, created_at, updated_at) values ('prf_00000000000000000000000000', 'default', ${now[dialect]}, ${now[dialect]})`,
    `alter table tasks add column profile text not null default 'default'`,
    `alter table tasks add column labels text not null default '[]'`,
    `alter table tasks add column tier text`,
    // Nearly every task has the default profile, and that one is never asked about.
    `create index tasks_by_profile on tasks (profile) where closed_at is null and profile <> 'default'`,
  ],
};

const now = {
  sqlite: "cast(strftime('%s', 'now') as integer) * 1000",
  postgres: '(extract(epoch from now()) * 1000)::bigint',
} as const;
