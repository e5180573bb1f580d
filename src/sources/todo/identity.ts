import type { TodoItem } from './parse.ts';

/** An item as it was seen last. Its key stays the same however the item is edited, moved or reordered. */
export interface KnownItem {
  readonly key: string;
  readonly title: string;
  readonly headings: readonly string[];
  /** The place that it had among the items of its file. */
  readonly at: number;
}

export interface Matching {
  /** Per found item: the key of the known one that it is, or null when it is new. */
  readonly keys: readonly (string | null)[];
  /** Keys of those that are gone. */
  readonly gone: readonly string[];
}

/** At least so much of their words two wordings of one item have in common. */
const alikeEnough = 0.5;
/** How far an edited item is looked for around its old place, counted in items that have no other match. */
const reach = 25;
/** When more than this is lost at once, the file was rewritten rather than edited. */
const mostEdited = 2_000;

/**
 * Which found item is which known one: first those with the same words, under the same headings if there are several, in
 * their order; then, among what is left, the most alike near the old place. A file of many thousands costs one pass.
 */
export function matchItems(known: readonly KnownItem[], found: readonly TodoItem[]): Matching {
  const keys: (string | null)[] = found.map(() => null);
  const left = new Set(known);
  const pair = (item: KnownItem, at: number): void => {
    keys[at] = item.key;
    left.delete(item);
  };
  // Down to the first difference each is what it was, which most of a long file is at most edits.
  const same = sameUpTo(known, found);
  for (const [at, item] of known.slice(0, same).entries()) pair(item, at);
  for (const sameness of [placeOf, wordsOf]) {
    const waiting = Map.groupBy([...left].toReversed(), sameness);
    for (const [after, item] of found.slice(same).entries()) {
      const at = same + after;
      const next = keys[at] === null ? waiting.get(sameness(item))?.pop() : undefined;
      if (next) pair(next, at);
    }
  }
  for (const { item, at } of edited([...left], found, keys)) {
    if (keys[at] === null && left.has(item)) pair(item, at);
  }
  return { keys, gone: [...left].map(({ key }) => key) };
}

function sameUpTo(known: readonly KnownItem[], found: readonly TodoItem[]): number {
  const differs = found.findIndex(({ title, headings }, at) => {
    const other = known[at];
    return other?.title !== title || other.headings.join('\n') !== headings.join('\n');
  });
  return differs === -1 ? found.length : differs;
}

const normal = (title: string): string => title.toLowerCase().replaceAll(/\s+/g, ' ').trim();
export const wordsOf = ({ title }: Pick<TodoItem, 'title'>): string => normal(title);
const placeOf = ({ title, headings }: Pick<TodoItem, 'title' | 'headings'>): string => [...headings, normal(title)].join('\n');

function edited(
  lost: readonly KnownItem[],
  found: readonly TodoItem[],
  keys: readonly (string | null)[],
): readonly { readonly item: KnownItem; readonly at: number }[] {
  const fresh = found.map((_, at) => at).filter((at) => keys[at] === null);
  if (fresh.length === 0) return [];
  const bags = fresh.map((at) => bagOf(found[at]?.title ?? ''));
  const candidates = lost.slice(0, mostEdited).flatMap((item) => {
    const bag = bagOf(item.title);
    const middle = lowerBound(fresh, item.at);
    const near = fresh.slice(Math.max(0, middle - reach), middle + reach);
    return near.map((at, index) => ({ item, at, alike: alike(bag, bags[Math.max(0, middle - reach) + index] ?? new Set()) }));
  });
  return candidates
    .filter((candidate) => candidate.alike >= alikeEnough)
    .sort((a, b) => b.alike - a.alike || Math.abs(a.at - a.item.at) - Math.abs(b.at - b.item.at));
}

const bagOf = (title: string): ReadonlySet<string> => new Set(normal(title).match(/[\p{L}\p{N}]+/gu) ?? []);

/** Dice's coefficient over words. */
function alike(one: ReadonlySet<string>, other: ReadonlySet<string>): number {
  if (one.size + other.size === 0) return 0;
  let common = 0;
  for (const word of one) if (other.has(word)) common++;
  return (2 * common) / (one.size + other.size);
}

/** The first place whose value is not below this one. */
export function lowerBound<T extends number | string>(sorted: readonly T[], value: T): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as T) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
