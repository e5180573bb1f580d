import type { Kysely } from 'kysely';
import type { GateVerdict } from '../domain/gate.ts';
import type { DecidedRound } from '../domain/round.ts';
import type { RoundTable, Schema } from './schema.ts';
import type { Tx } from './store.ts';
import { countGates } from './trends.ts';

/** With `repository`, what its gates said is added to what they have said so far, once the run is at its end. */
export async function insertRound(
  tx: Tx,
  runId: string,
  sessionId: string | null,
  repository: string | null,
  round: DecidedRound,
): Promise<void> {
  await tx.db
    .insertInto('rounds')
    .values({
      run_id: runId,
      number: round.number,
      session_id: sessionId,
      tree: round.tree,
      verdicts: JSON.stringify(round.verdicts),
      decision: round.decision,
      rule: round.rule,
      at: round.at,
    })
    .execute();
  if (repository !== null && round.decision !== 'continue') await countGates(tx, repository, round.verdicts, round.at);
}

export async function roundsOfRun(db: Kysely<Schema>, runId: string): Promise<readonly DecidedRound[]> {
  const rows = await db.selectFrom('rounds').selectAll().where('run_id', '=', runId).orderBy('number').execute();
  return rows.map(toRound);
}

/** Of all runs that went on with it, in order. */
export async function roundsOfSession(db: Kysely<Schema>, sessionId: string): Promise<readonly DecidedRound[]> {
  const rows = await db.selectFrom('rounds').selectAll().where('session_id', '=', sessionId).orderBy('run_id').orderBy('number').execute();
  return rows.map(toRound);
}

const toRound = (row: RoundTable): DecidedRound => ({
  number: row.number,
  tree: row.tree,
  verdicts: JSON.parse(row.verdicts) as readonly GateVerdict[],
  decision: row.decision,
  rule: row.rule,
  at: row.at,
});
