import type { Migration } from './migration.ts';

export const alerts: Migration = {
  name: 'alerts',
  statements: () => [
    `create table alerts (
      name text not null,
      node text not null,
      severity text not null,
      title text not null,
      text text not null,
      since bigint not null,
      raised_at bigint,
      well_since bigint,
      primary key (name, node)
    )`,
    `create table alert_silences (
      name text primary key,
      until bigint not null,
      set_by text not null
    )`,
  ],
};
