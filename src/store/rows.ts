/**
 * How many rows one statement carries. SQLite takes 32,766 parameters, PostgreSQL 65,535;
 * the widest table has 29 columns.
 */
const chunkSize = 500;

export function* chunks<T>(items: readonly T[], size = chunkSize): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

export const toJson = (value: unknown): string | null => (value === null || value === undefined ? null : JSON.stringify(value));

/** Only for text that this program wrote; what comes from outside is parsed where it enters. */
export const fromJson = <T>(text: string | null): T | null => (text === null ? null : (JSON.parse(text) as T));
