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

/** Newest first. `next` is where the following page begins; a page may be short, or even empty, and still have one. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

/** From what was found with one more than the limit. */
export function pageOf<T extends { readonly id: string }>(found: readonly T[], limit: number): Page<T> {
  const items = found.slice(0, limit);
  return { items, next: found.length > limit ? (items.at(-1)?.id ?? null) : null };
}
