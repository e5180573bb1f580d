import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

export interface Node {
  readonly id: string;
  readonly beat: number;
  readonly startedAt: number;
  readonly address: string | null;
}

export async function enrol(tx: Tx, node: { readonly id: string; readonly address: string | null }, now: number): Promise<void> {
  await tx.db
    .insertInto('nodes')
    .values({ id: node.id, beat: 1, started_at: now, address: node.address })
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((row) => ({ beat: row('nodes.beat', '+', 1), started_at: now, address: node.address })),
    )
    .execute();
}

export async function beat(tx: Tx, id: string): Promise<void> {
  await tx.db
    .updateTable('nodes')
    .set((row) => ({ beat: row('beat', '+', 1) }))
    .where('id', '=', id)
    .execute();
}

export async function removeNode(tx: Tx, id: string): Promise<void> {
  await tx.db.deleteFrom('nodes').where('id', '=', id).execute();
}

export async function listNodes(db: Kysely<Schema>): Promise<readonly Node[]> {
  const rows = await db.selectFrom('nodes').selectAll().orderBy('id').execute();
  return rows.map((row) => ({ id: row.id, beat: row.beat, startedAt: row.started_at, address: row.address }));
}
