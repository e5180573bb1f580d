import type { TodoItem } from './parse.ts';

export interface Order {
  /** Every place, such that what waits for others comes after them. */
  readonly places: readonly number[];
  /** The places of the items that come before the one at this place, those that are ticked among them. */
  before(place: number): readonly number[];
  /** No other item has the same words. */
  isUnique(place: number): boolean;
}

/**
 * What waits for what in a file: an item for those under it, and for those that it names. A name counts where it leads to
 * no circle: of two that wait for each other, the later one does.
 */
export function orderOf(items: readonly TodoItem[]): Order {
  const under = Map.groupBy(items.keys(), (place) => (items[place] as TodoItem).parent);
  const withTitle = Map.groupBy(items.keys(), (place) => (items[place] as TodoItem).title.toLowerCase());

  const named = (words: string): readonly number[] => {
    const wanted = words.toLowerCase();
    return withTitle.get(wanted) ?? items.flatMap(({ title }, place) => (title.toLowerCase().startsWith(wanted) ? [place] : []));
  };
  const wanted = items.map(({ after }, place) =>
    [...new Set([...(under.get(place) ?? []), ...after.flatMap(named)])].filter((other) => other !== place),
  );
  const leadsTo = (from: number, goal: number): boolean => {
    const seen = new Set([from]);
    for (const place of seen) {
      if (place === goal) return true;
      for (const next of wanted[place] ?? []) seen.add(next);
    }
    return false;
  };
  // Without any `after` there are no circles, and most files have none.
  const someNamed = items.some(({ after }) => after.length > 0);
  const before = someNamed ? wanted.map((others, place) => others.filter((other) => other < place || !leadsTo(other, place))) : wanted;
  return {
    places: sorted(before),
    before: (place) => before[place] ?? [],
    isUnique: (place) => withTitle.get((items[place] as TodoItem).title.toLowerCase())?.length === 1,
  };
}

function sorted(before: readonly (readonly number[])[]): readonly number[] {
  const waiting = before.map((others) => others.length);
  const after = new Map<number, number[]>();
  for (const [place, others] of before.entries()) {
    for (const other of others) after.set(other, [...(after.get(other) ?? []), place]);
  }
  const places = [...waiting.keys()].filter((place) => waiting[place] === 0);
  for (const place of places) {
    for (const next of after.get(place) ?? []) {
      waiting[next] = (waiting[next] ?? 0) - 1;
      if (waiting[next] === 0) places.push(next);
    }
  }
  return places;
}
