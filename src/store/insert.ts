import { CompiledQuery, type Insertable } from 'kysely';
import type { Dialect } from './migrations/migration.ts';
import type { Schema } from './schema.ts';
import type { Tx } from './store.ts';

/** Longer ones are rare, and their text is long: it is not kept. */
const keptRows = 16;

/**
 * Adds rows, all with the same columns, to a table that every submission, event or model call writes to: there, having Kysely
 * build the statement takes longer than running it, so it is written out once for each number of rows. `ending` is what
 * comes after the values. Rejects as any query does.
 */
export function inserting<Table extends keyof Schema, Returned = never>(table: Table, ending = '') {
  const texts: Readonly<Record<Dialect, Map<number, string>>> = { sqlite: new Map(), postgres: new Map() };
  let columns: readonly string[] | undefined;

  return async (tx: Tx, rows: readonly Insertable<Schema[Table]>[]): Promise<readonly Returned[]> => {
    const [first] = rows;
    if (!first) return [];
    columns ??= Object.keys(first);
    const names = columns;
    const kept = texts[tx.dialect];
    const text = kept.get(rows.length) ?? insertText(tx.dialect, table, names, rows.length, ending);
    if (rows.length <= keptRows) kept.set(rows.length, text);
    const values = rows.flatMap((row) => names.map((name) => (row as Readonly<Record<string, unknown>>)[name]));
    return (await tx.db.executeQuery<Returned>(CompiledQuery.raw(text, values))).rows;
  };
}

function insertText(dialect: Dialect, table: string, columns: readonly string[], rows: number, ending: string): string {
  const place = (at: number): string => (dialect === 'postgres' ? `$${at + 1}` : '?');
  const row = (at: number): string => `(${columns.map((_, index) => place(at * columns.length + index)).join(', ')})`;
  const names = columns.map((column) => `"${column}"`).join(', ');
  return `insert into "${table}" (${names}) values ${Array.from({ length: rows }, (_, at) => row(at)).join(', ')} ${ending}`;
}
