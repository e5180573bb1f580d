import { Unusable } from '../domain/errors.ts';
import { core } from './migrations/001-core.ts';
import { workspaces } from './migrations/002-workspaces.ts';
import { runResults } from './migrations/003-run-results.ts';
import { profiles } from './migrations/004-profiles.ts';
import { ledger } from './migrations/005-ledger.ts';
import { mail } from './migrations/006-mail.ts';
import { todo } from './migrations/007-todo.ts';
import { memoryItems } from './migrations/008-memory.ts';
import { alerts } from './migrations/009-alerts.ts';
import { rounds } from './migrations/010-rounds.ts';
import { reviews } from './migrations/011-reviews.ts';
import { mailLines } from './migrations/012-mail-lines.ts';
import { counters } from './migrations/013-counters.ts';
import { notes } from './migrations/014-notes.ts';
import { access } from './migrations/015-access.ts';
import { checkpoints } from './migrations/016-checkpoints.ts';
import { findings } from './migrations/017-findings.ts';
import { notesByKind } from './migrations/018-notes-by-kind.ts';
import { contracts } from './migrations/019-contracts.ts';
import { tasksByTime } from './migrations/020-tasks-by-time.ts';
import { traces } from './migrations/021-traces.ts';
import { push } from './migrations/022-push.ts';
import { trends } from './migrations/023-trends.ts';
import { keptVerdicts } from './migrations/024-kept-verdicts.ts';
import { roundsOfATask } from './migrations/025-rounds-of-a-task.ts';
import { neverApproved } from './migrations/026-never-approved.ts';
import { deliveryBodies } from './migrations/027-delivery-bodies.ts';
import { memoryClaims } from './migrations/029-memory-claims.ts';
import { nodeReports } from './migrations/030-node-reports.ts';
import type { Dialect, Migration } from './migrations/migration.ts';

/** In order of landing, for ever: a landed migration is never edited, and there is no way back but a backup. */
export const migrations: readonly Migration[] = [
  core,
  workspaces,
  runResults,
  profiles,
  ledger,
  mail,
  todo,
  memoryItems,
  alerts,
  rounds,
  reviews,
  mailLines,
  counters,
  notes,
  access,
  checkpoints,
  findings,
  notesByKind,
  contracts,
  tasksByTime,
  traces,
  push,
  trends,
  keptVerdicts,
  roundsOfATask,
  neverApproved,
  deliveryBodies,
  memoryClaims,
  nodeReports,
];

/** What a database must offer to be migrated. All of it runs in one transaction that the caller holds under a lock. */
export interface MigrationTarget {
  readonly dialect: Dialect;
  run(statement: string): Promise<void>;
  /** The newest applied version; the table of versions exists when this is called. */
  version(): Promise<number>;
  record(version: number, name: string): Promise<void>;
}

export async function migrate(target: MigrationTarget, known: readonly Migration[] = migrations): Promise<void> {
  await target.run(
    'create table if not exists schema_migrations (version integer primary key, name text not null, applied_at text default current_timestamp)',
  );
  const version = await target.version();
  if (version > known.length) {
    throw new Unusable(
      'database-newer',
      `The database is at version ${version}, but this program knows only ${known.length}. Run the newer Nightshift again, or restore a backup made before the update.`,
    );
  }
  for (const [index, migration] of known.entries()) {
    if (index < version) continue;
    for (const statement of migration.statements(target.dialect)) await target.run(statement);
    await target.record(index + 1, migration.name);
  }
}
