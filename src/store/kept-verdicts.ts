import type { Kysely } from 'kysely';
import type { GateVerdict } from '../domain/gate.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

export interface KeptVerdict {
  readonly workspaceId: string;
  /** git's name for all the files as they were. */
  readonly tree: string;
  /** What else the verdict depends on. */
  readonly definition: string;
  readonly verdict: GateVerdict;
}

/** As many of one workspace; it is rounds that make them, and runs have few of those. */
export const mostKept = 200;

/** Replaces what the gate said of these files before. The oldest of the workspace go when there are too many. */
export async function keepVerdict(tx: Tx, { workspaceId, tree, definition, verdict }: KeptVerdict, now: number): Promise<void> {
  const values = { definition, verdict: JSON.stringify(verdict), at: now };
  await tx.db
    .insertInto('kept_verdicts')
    .values({ workspace_id: workspaceId, tree, gate: verdict.gate, ...values })
    .onConflict((conflict) => conflict.columns(['workspace_id', 'tree', 'gate']).doUpdateSet(values))
    .execute();
  const oldest = await tx.db
    .selectFrom('kept_verdicts')
    .select('at')
    .where('workspace_id', '=', workspaceId)
    .orderBy('at', 'desc')
    .offset(mostKept)
    .limit(1)
    .executeTakeFirst();
  if (oldest) await tx.db.deleteFrom('kept_verdicts').where('workspace_id', '=', workspaceId).where('at', '<=', oldest.at).execute();
}

export async function verdictsKept(
  db: Kysely<Schema>,
  { workspaceId, tree }: Pick<KeptVerdict, 'workspaceId' | 'tree'>,
): Promise<readonly KeptVerdict[]> {
  const rows = await db.selectFrom('kept_verdicts').selectAll().where('workspace_id', '=', workspaceId).where('tree', '=', tree).execute();
  return rows.map(({ definition, verdict }) => ({ workspaceId, tree, definition, verdict: JSON.parse(verdict) as GateVerdict }));
}
