import { chunks } from '../../store/rows.ts';
import { wordsOf } from './identity.ts';
import type { Order } from './order.ts';
import type { TodoItem } from './parse.ts';

/** So many new items are taken in at once. */
export const itemsAtOnce = 500;

/**
 * In which steps the items of a file are taken in; the server may die between any two. Whatever is known already is in the
 * first, with all that it waits for: what becomes of it is decided at one moment. An item comes after those that it waits
 * for, and of several with the same words the upper one first, so that those taken in are told from those that are not.
 */
export function batchesOf(
  items: readonly TodoItem[],
  order: Order,
  isKnown: (place: number) => boolean,
  atOnce = itemsAtOnce,
): readonly (readonly number[])[] {
  let unknown = 0;
  for (const place of items.keys()) if (!isKnown(place)) unknown++;
  if (unknown <= atOnce) return [order.places];
  const first = withAllBefore(
    order.places.filter((place) => isKnown(place)),
    items,
    order,
  );
  let fresh = [...first].filter((place) => !isKnown(place)).length;
  for (const place of order.places) {
    if (fresh >= atOnce) break;
    if (first.has(place)) continue;
    first.add(place);
    fresh++;
  }
  const rest = order.places.filter((place) => !first.has(place));
  return [order.places.filter((place) => first.has(place)), ...chunks(rest, atOnce)];
}

/** Together with what comes before them, and with those of the same words of which an upper one comes after a lower one. */
function withAllBefore(known: readonly number[], items: readonly TodoItem[], order: Order): Set<number> {
  const words = items.map(wordsOf);
  const alike = Map.groupBy(items.keys(), (place) => words[place] as string);
  const upper = new Map<number, number>();
  for (const places of alike.values()) for (const [at, place] of places.entries()) if (at > 0) upper.set(place, places[at - 1] as number);

  const reached = new Set([...known, ...crossing(words, order).flatMap((each) => alike.get(each) ?? [])]);
  for (const place of reached) {
    for (const other of order.before(place)) reached.add(other);
    const above = upper.get(place);
    if (above !== undefined) reached.add(above);
  }
  return reached;
}

/** The words of those that do not come in the order of the file. */
function crossing(words: readonly string[], order: Order): readonly string[] {
  const lowest = new Map<string, number>();
  const crossed = new Set<string>();
  for (const place of order.places) {
    const each = words[place] as string;
    if (place < (lowest.get(each) ?? -1)) crossed.add(each);
    else lowest.set(each, place);
  }
  return [...crossed];
}
