import { type ReactNode, useLayoutEffect, useRef } from 'react';

interface Props<T extends string | number> {
  readonly label: string;
  readonly choices: readonly (readonly [choice: T, name: string])[];
  readonly chosen: T;
  readonly choose: (choice: T) => void;
}

/** One of a few. Where there is no room for all of them side by side, the chosen one is in sight. */
export function Segments<T extends string | number>({ label, choices, chosen, choose }: Props<T>): ReactNode {
  const list = useRef<HTMLFieldSetElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another choice puts another button there
  useLayoutEffect(() => {
    const pressed = list.current?.querySelector('[aria-pressed=true]');
    // Not into view: that would move the page as well.
    if (list.current && pressed) list.current.scrollLeft += middleOf(pressed) - middleOf(list.current);
  }, [chosen]);
  return (
    <fieldset ref={list} className="segments">
      <legend className="sr">{label}</legend>
      {choices.map(([choice, name]) => (
        <button key={choice} type="button" aria-pressed={choice === chosen} onClick={() => choose(choice)}>
          {name}
        </button>
      ))}
    </fieldset>
  );
}

function middleOf(element: Element): number {
  const { left, right } = element.getBoundingClientRect();
  return (left + right) / 2;
}
