import type { Kysely } from 'kysely';
import { chunks } from './rows.ts';
import type { Schema } from './schema.ts';
import { readSetting, writeSetting } from './settings.ts';
import type { Tx } from './store.ts';

export interface MemoryStanding {
  /** How often it has been wanted and was ours. */
  readonly revision: number;
  /** Since when we try to have it once more; null when we do not. */
  readonly claimedAt: number | null;
}

/** Of these items of a list, those that we ever tried to have. */
export async function standingOf(db: Kysely<Schema>, list: string, items: readonly string[]): Promise<ReadonlyMap<string, MemoryStanding>> {
  const found = new Map<string, MemoryStanding>();
  for (const chunk of chunks(items)) {
    const rows = await db
      .selectFrom('memory_items')
      .select(['item', 'revision', 'claimed_at'])
      .where('list', '=', list)
      .where('item', 'in', chunk)
      .execute();
    for (const { item, revision, claimed_at } of rows) found.set(item, { revision, claimedAt: claimed_at });
  }
  return found;
}

export async function saveStanding(tx: Tx, list: string, items: readonly ({ readonly item: string } & MemoryStanding)[]): Promise<void> {
  for (const chunk of chunks(items)) {
    await tx.db
      .insertInto('memory_items')
      .values(chunk.map(({ item, revision, claimedAt }) => ({ list, item, revision, claimed_at: claimedAt })))
      .onConflict((conflict) =>
        conflict
          .columns(['list', 'item'])
          .doUpdateSet((row) => ({ revision: row.ref('excluded.revision'), claimed_at: row.ref('excluded.claimed_at') })),
      )
      .execute();
  }
}

/** Undoes claims of `at` that were not even tried: as it stood before, unless somebody else has gone on with it since. */
export async function putBackClaims(
  tx: Tx,
  list: string,
  items: readonly { readonly item: string; readonly claimedAt: number | null }[],
  at: number,
): Promise<void> {
  for (const { item, claimedAt } of items) {
    await tx.db
      .updateTable('memory_items')
      .set({ claimed_at: claimedAt })
      .where('list', '=', list)
      .where('item', '=', item)
      .where('claimed_at', '=', at)
      .execute();
  }
}

const nameKey = 'memory.name';

/** How all servers on this store call themselves on lists: the first of them gave its name. The lock `memory` is held. */
export async function nameOnLists(tx: Tx, node: string): Promise<string> {
  const known = await readSetting(tx.db, nameKey);
  if (known !== undefined) return known;
  await writeSetting(tx, nameKey, node);
  return node;
}
