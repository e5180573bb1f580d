import type { ReactNode } from 'react';

interface Props {
  readonly label: string;
  readonly className: string;
  readonly children: ReactNode;
}

/** What scrolls by itself must be reachable by keyboard, and say what it is. */
export const Scrolling = ({ label, className, children }: Props): ReactNode => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: without it a keyboard cannot scroll here
  <section className={className} aria-label={label} tabIndex={0}>
    {children}
  </section>
);

/** A long text of a machine's, under its name. */
export const Part = ({ name, text }: { readonly name: string; readonly text: string }): ReactNode => (
  <>
    <p className="part-name">{name}</p>
    <Scrolling className="part" label={name}>
      {text}
    </Scrolling>
  </>
);
