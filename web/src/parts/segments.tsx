import type { ReactNode } from 'react';
import { useChosenInSight } from './in-sight.ts';

interface Props<T extends string | number> {
  readonly label: string;
  readonly choices: readonly (readonly [choice: T, name: string])[];
  readonly chosen: T;
  readonly choose: (choice: T) => void;
}

/** One of a few. */
export function Segments<T extends string | number>({ label, choices, chosen, choose }: Props<T>): ReactNode {
  const list = useChosenInSight<HTMLFieldSetElement>(chosen);
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
