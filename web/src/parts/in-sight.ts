import { type RefObject, useEffect, useRef } from 'react';

/** For choices in a row: where there is no room for all of them, the chosen one is in sight. */
export function useChosenInSight<E extends HTMLElement>(chosen: unknown): RefObject<E | null> {
  const row = useRef<E>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another choice is what it follows
  useEffect(() => {
    const [, ...others] = row.current?.querySelectorAll('button') ?? [];
    const marked = others.find((each) => each.ariaPressed === 'true' || each.ariaSelected === 'true');
    // The first one needs no look, which takes a layout. `scrollIntoView` would move the page as well.
    if (row.current && marked) row.current.scrollLeft += middleOf(marked) - middleOf(row.current);
  }, [chosen]);
  return row;
}

function middleOf(element: Element): number {
  const { left, right } = element.getBoundingClientRect();
  return (left + right) / 2;
}
