import type { Migration } from './migration.ts';

export const nodeReports: Migration = {
  name: 'node-reports',
  // What a node has to work with, and what it cannot reach: told with each beat, so that any other node can show it.
  statements: () => [`alter table nodes add column report text`],
};
