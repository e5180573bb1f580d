import type { Migration } from './migration.ts';

/** What gates said of files of a workspace, for runs that find these files again there. */
export const keptVerdicts: Migration = {
  name: 'kept-verdicts',
  statements: () => [
    `create table kept_verdicts (
      workspace_id text not null references workspaces (id),
      tree text not null,
      gate text not null,
      definition text not null,
      verdict text not null,
      at bigint not null,
      primary key (workspace_id, tree, gate)
    )`,
  ],
};
