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

/**
 * What a run has found, and those of its task whose work it went on with after an interruption; of what both found, how it was
 * last.
 */
export async function findingsUpTo(
  db: Kysely<Schema>,
  of: { readonly taskId: string; readonly runId: string },
): Promise<readonly KeptFinding[]> {
  const rows = await db
    .selectFrom('findings')
    .innerJoin('runs', 'runs.id', 'findings.run_id')
    .selectAll('findings')
    .where('findings.task_id', '=', of.taskId)
    .where((where) => where.or([where('runs.id', '=', of.runId), where('runs.status', 'in', ['lost', 'released', 'over-budget'])]))
    .orderBy('findings.run_id')
    .orderBy('findings.at')
    .orderBy('findings.signature')
    .execute();
  return [...new Map(rows.map((row) => [row.signature, toFinding(row)])).values()];
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
