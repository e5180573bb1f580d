import { meaningOf } from '../../queue/meaning.ts';
import { lowerBound } from './identity.ts';
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
  let alike: ReadonlyMap<string, number> | undefined;

  const named = namesOf(withTitle);
  const wanted = items.map(({ after }, place) =>
    [...new Set([...(under.get(place) ?? []), ...after.flatMap(named)])].filter((other) => other !== place),
  );
  const circles = circlesOf(wanted);
  const before = wanted.map((others, place) => others.filter((other) => other < place || circles[other] !== circles[place]));
  return {
    places: sorted(before),
    before: (place) => before[place] ?? [],
    // Asked only of what is new or reworded: at most edits of a long file of nothing, or of one.
    isUnique(place) {
      alike ??= howOften(items.map(wordsOf));
      return alike.get(wordsOf(items[place] as TodoItem)) === 1;
    },
  };
}

function howOften(all: readonly string[]): ReadonlyMap<string, number> {
  const often = new Map<string, number>();
  for (const each of all) often.set(each, (often.get(each) ?? 0) + 1);
  return often;
}

/** Two items of a file are two wishes, also where from two sources they would be one. */
const wordsOf = ({ title }: TodoItem): string => meaningOf({ title, repository: null });

/** What fits more items than this is no name. */
const mostNamed = 100;

/** The places that words name: those of the items that are called so, else of those whose titles begin with them. */
function namesOf(withTitle: ReadonlyMap<string, readonly number[]>): (words: string) => readonly number[] {
  const titles = [...withTitle.keys()].sort();
  return (words) => {
    const wanted = words.toLowerCase();
    const called = withTitle.get(wanted);
    if (called) return called.length > mostNamed ? [] : called;
    const found: number[] = [];
    for (let at = lowerBound(titles, wanted); titles[at]?.startsWith(wanted); at++) {
      found.push(...(withTitle.get(titles[at] as string) ?? []));
      if (found.length > mostNamed) return [];
    }
    return found;
  };
}

/** Per place a number, the same for all that lead to each other (Kosaraju's two passes: a file may be one chain of 50,000). */
function circlesOf(wanted: readonly (readonly number[])[]): readonly number[] {
  const wanting: number[][] = wanted.map(() => []);
  for (const [place, others] of wanted.entries()) for (const other of others) wanting[other]?.push(place);
  const circles: number[] = wanted.map(() => -1);
  for (const first of finishingOrder(wanted).toReversed()) {
    if (circles[first] !== -1) continue;
    circles[first] = first;
    const reached = [first];
    for (const place of reached) {
      for (const next of wanting[place] ?? []) {
        if (circles[next] !== -1) continue;
        circles[next] = first;
        reached.push(next);
      }
    }
  }
  return circles;
}

/** Every place after all those that it leads to, but for circles. */
function finishingOrder(wanted: readonly (readonly number[])[]): readonly number[] {
  const finished: number[] = [];
  const looked: number[] = wanted.map(() => -1);
  for (const root of wanted.keys()) {
    if (looked[root] !== -1) continue;
    looked[root] = 0;
    const path = [root];
    for (let place = path.at(-1); place !== undefined; place = path.at(-1)) {
      const next = wanted[place]?.[looked[place] as number];
      looked[place] = (looked[place] as number) + 1;
      if (next === undefined) {
        finished.push(place);
        path.pop();
      } else if (looked[next] === -1) {
        looked[next] = 0;
        path.push(next);
      }
    }
  }
  return finished;
}

function sorted(before: readonly (readonly number[])[]): readonly number[] {
  const waiting = before.map((others) => others.length);
  const after = new Map<number, number[]>();
  for (const [place, others] of before.entries()) {
    for (const other of others) {
      const waits = after.get(other);
      if (waits) waits.push(place);
      else after.set(other, [place]);
    }
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
