import type { Kysely } from 'kysely';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** While it is set, nothing is begun. Its value is since when. */
export const pausedKey = 'queue.paused';

/** Switches that outlive the process and hold on every node. */
export async function readSetting(db: Kysely<Schema>, key: string): Promise<string | undefined> {
  return (await db.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst())?.value;
}

export async function writeSetting(tx: Tx, key: string, value: string): Promise<void> {
  await tx.db
    .insertInto('settings')
    .values({ key, value })
    .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
    .execute();
}
