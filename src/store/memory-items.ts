import type { Kysely } from 'kysely';
import { chunks } from './rows.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** Per item of a list, how often it has been wanted. */
export async function revisionsOf(db: Kysely<Schema>, list: string, items: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const chunk of chunks(items)) {
    const rows = await db
      .selectFrom('memory_items')
      .select(['item', 'revision'])
      .where('list', '=', list)
      .where('item', 'in', chunk)
      .execute();
    for (const { item, revision } of rows) found.set(item, revision);
  }
  return found;
}

export async function saveRevisions(
  tx: Tx,
  list: string,
  revisions: readonly { readonly item: string; readonly revision: number }[],
): Promise<void> {
  for (const chunk of chunks(revisions)) {
    await tx.db
      .insertInto('memory_items')
      .values(chunk.map((each) => ({ list, ...each })))
      .onConflict((conflict) => conflict.columns(['list', 'item']).doUpdateSet((row) => ({ revision: row.ref('excluded.revision') })))
      .execute();
  }
}
