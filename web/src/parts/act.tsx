import type { ComponentPropsWithRef, MouseEvent, ReactNode } from 'react';
import { useAway } from '../data/use.ts';

export const whyNot = 'Not possible now: the server does not answer.';

/**
 * A button for what the server has to do. While it cannot be pressed it can still be found, keeps the focus, and says why;
 * that is more than `disabled` does.
 */
export function Act({ disabled = false, title, onClick, ...rest }: ComponentPropsWithRef<'button'>): ReactNode {
  const away = useAway();
  const off = disabled || away;
  const press = (event: MouseEvent<HTMLButtonElement>): void => {
    if (off) event.preventDefault();
    else onClick?.(event);
  };
  return <button type="button" {...rest} aria-disabled={off || undefined} title={away ? whyNot : title} onClick={press} />;
}
