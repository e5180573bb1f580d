import type { Kysely } from 'kysely';
import type { Machine } from '../platform/machine.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** What a node says of itself with each beat. */
export interface NodeReport {
  readonly machine: Machine;
  /** The models that it does not get an answer from. */
  readonly breakers: readonly { readonly id: string; readonly state: 'open' | 'half-open' }[];
  /** The names of the alerts that it looks after; it goes by its own settings. An older version does not say. */
  readonly alerts?: readonly string[];
}

export interface Node {
  readonly id: string;
  readonly beat: number;
  readonly startedAt: number;
  readonly address: string | null;
  /** Null before its first beat. */
  readonly report: NodeReport | null;
}

export async function enrol(tx: Tx, node: { readonly id: string; readonly address: string | null }, now: number): Promise<void> {
  await tx.db
    .insertInto('nodes')
    .values({ id: node.id, beat: 1, started_at: now, address: node.address, report: null })
    .onConflict((conflict) =>
      conflict
        .column('id')
        .doUpdateSet((row) => ({ beat: row('nodes.beat', '+', 1), started_at: now, address: node.address, report: null })),
    )
    .execute();
}

/** Also brings back a node that was taken for dead and is not. Without a report, the last one stays. */
export async function beat(tx: Tx, id: string, now: number, said?: NodeReport): Promise<void> {
  const report = said === undefined ? {} : { report: JSON.stringify(said) };
  await tx.db
    .insertInto('nodes')
    .values({ id, beat: 1, started_at: now, address: null, report: null, ...report })
    .onConflict((conflict) => conflict.column('id').doUpdateSet((row) => ({ beat: row('nodes.beat', '+', 1), ...report })))
    .execute();
}

/** Whether the node is on the list; if so, nobody strikes it off before the transaction ends. */
export async function holdNode(tx: Tx, id: string, how: 'to keep it' | 'to strike it off'): Promise<boolean> {
  let query = tx.db.selectFrom('nodes').select('id').where('id', '=', id);
  if (tx.dialect === 'postgres') query = how === 'to keep it' ? query.forShare() : query.forUpdate();
  return (await query.executeTakeFirst()) !== undefined;
}

export async function removeNode(tx: Tx, id: string): Promise<void> {
  await tx.db.deleteFrom('nodes').where('id', '=', id).execute();
}

export async function listNodes(db: Kysely<Schema>): Promise<readonly Node[]> {
  const rows = await db.selectFrom('nodes').selectAll().orderBy('id').execute();
  return rows.map((row) => ({
    ...{ id: row.id, beat: row.beat, startedAt: row.started_at, address: row.address },
    report: row.report === null ? null : (JSON.parse(row.report) as NodeReport),
  }));
}
