import type { Migration } from './migration.ts';

export const notesByKind: Migration = {
  name: 'notes-by-kind',
  statements: () => [
    // One kind about one repository: neither index alone leads to it, and a kind may have a million notes about others.
    `create index notes_of_repository_and_kind on notes (repository, kind, id, superseded_by)`,
  ],
};
