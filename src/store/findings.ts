import type { Kysely } from 'kysely';
import type { KeptFinding, Worth } from '../domain/finding.ts';
import type { FindingTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** Stores those that the run has not found before, and answers their signatures. */
export async function insertFindings(
  tx: Tx,
  of: { readonly taskId: string; readonly runId: string },
  findings: readonly KeptFinding[],
  now: number,
): Promise<ReadonlySet<string>> {
  if (findings.length === 0) return new Set();
  const rows = await tx.db
    .insertInto('findings')
    .values(
      findings.map(({ signature, category, code, message, file, line, worth, gone }) => ({
        run_id: of.runId,
        task_id: of.taskId,
        ...{ signature, category, code, message, file, line, worth, gone: gone ? 1 : 0, at: now },
      })),
    )
    .onConflict((conflict) => conflict.columns(['run_id', 'signature']).doNothing())
    .returning('signature')
    .execute();
  return new Set(rows.map(({ signature }) => signature));
}

export async function markGone(tx: Tx, runId: string, signatures: readonly string[], gone: boolean): Promise<void> {
  if (signatures.length === 0) return;
  await tx.db
    .updateTable('findings')
    .set({ gone: gone ? 1 : 0 })
    .where('run_id', '=', runId)
    .where('signature', 'in', signatures)
    .execute();
}

/** The ones most worth knowing first. */
export async function findingsOfRun(db: Kysely<Schema>, runId: string): Promise<readonly KeptFinding[]> {
  const rows = await db
    .selectFrom('findings')
    .selectAll()
    .where('run_id', '=', runId)
    .orderBy('worth', 'desc')
    .orderBy('at')
    .orderBy('signature')
    .execute();
  return rows.map(toFinding);
}

const toFinding = ({ signature, category, code, message, file, line, worth, gone }: FindingTable): KeptFinding => ({
  signature,
  category,
  code,
  message,
  file,
  line,
  worth: worth as Worth,
  gone: gone === 1,
});
