import type { Kysely } from 'kysely';
import { chunks } from './rows.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** An item of a TODO file as it was seen last. */
export interface TodoRow {
  /** Stays the same however the item is edited or moved. */
  readonly key: string;
  readonly file: string;
  /** Its place among the items of the file; null when it is not in it any more. */
  readonly place: number | null;
  readonly title: string;
  readonly headings: readonly string[];
  /** Changes with whatever makes another task of it. */
  readonly digest: string;
  readonly checked: boolean;
  /** Counts the tasks that were wanted for it; zero when none was. */
  readonly revision: number;
}

/** What is in the file, in its order. */
export async function itemsOfFile(db: Kysely<Schema>, file: string): Promise<readonly TodoRow[]> {
  const rows = await db.selectFrom('todo_items').selectAll().where('file', '=', file).where('place', '>=', 0).orderBy('place').execute();
  return rows.map(toItem);
}

export async function findItems(db: Kysely<Schema>, keys: readonly string[]): Promise<ReadonlyMap<string, TodoRow>> {
  const found = new Map<string, TodoRow>();
  for (const chunk of chunks(keys)) {
    for (const row of await db.selectFrom('todo_items').selectAll().where('key', 'in', chunk).execute()) found.set(row.key, toItem(row));
  }
  return found;
}

export async function saveItems(tx: Tx, items: readonly TodoRow[]): Promise<void> {
  for (const chunk of chunks(items)) {
    await tx.db
      .insertInto('todo_items')
      .values(
        chunk.map(({ place, headings, checked, ...item }) => ({
          ...item,
          place: place ?? gone,
          headings: JSON.stringify(headings),
          checked: checked ? 1 : 0,
          overdue: null,
        })),
      )
      .onConflict((conflict) =>
        conflict.column('key').doUpdateSet((row) => ({
          place: row.ref('excluded.place'),
          title: row.ref('excluded.title'),
          headings: row.ref('excluded.headings'),
          digest: row.ref('excluded.digest'),
          checked: row.ref('excluded.checked'),
          revision: row.ref('excluded.revision'),
        })),
      )
      .execute();
  }
}

/** Remembers that what these triggers have made, or may yet make, is not wanted any more. */
export async function addOverdue(tx: Tx, key: string, triggers: readonly string[]): Promise<void> {
  const row = await tx.db.selectFrom('todo_items').select('overdue').where('key', '=', key).executeTakeFirst();
  const all = [...new Set([...parsed(row?.overdue ?? null), ...triggers])];
  await tx.db
    .updateTable('todo_items')
    .set({ overdue: JSON.stringify(all) })
    .where('key', '=', key)
    .execute();
}

/** Of the whole file, or of a few of its items. */
export async function overdueOf(
  db: Kysely<Schema>,
  file: string,
  keys?: readonly string[],
): Promise<readonly { readonly key: string; readonly triggers: readonly string[] }[]> {
  const overdue = db.selectFrom('todo_items').select(['key', 'overdue']).where('overdue', 'is not', null);
  // Not both: with the file as well, SQLite walks through all that is overdue in it for each few keys.
  const rows = await (keys ? overdue.where('key', 'in', keys) : overdue.where('file', '=', file)).execute();
  return rows.map(({ key, overdue }) => ({ key, triggers: parsed(overdue) }));
}

export async function keepOverdue(tx: Tx, key: string, triggers: readonly string[]): Promise<void> {
  const overdue = triggers.length === 0 ? null : JSON.stringify(triggers);
  await tx.db.updateTable('todo_items').set({ overdue }).where('key', '=', key).execute();
}

const gone = -1;

const parsed = (triggers: string | null): readonly string[] => (triggers === null ? [] : (JSON.parse(triggers) as string[]));

const toItem = (row: Schema['todo_items']): TodoRow => ({
  key: row.key,
  file: row.file,
  place: row.place < 0 ? null : row.place,
  title: row.title,
  headings: JSON.parse(row.headings) as string[],
  digest: row.digest,
  checked: row.checked === 1,
  revision: row.revision,
});
