import { type AnchorHTMLAttributes, type MouseEvent, type ReactNode, useSyncExternalStore } from 'react';

const listeners = new Set<() => void>();
const notify = (): void => {
  for (const listener of listeners) listener();
};
addEventListener('popstate', notify);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function go(to: string, how: 'push' | 'replace' = 'push'): void {
  if (to === location.pathname + location.search) return;
  const before = pageIn(location.pathname);
  history[how === 'push' ? 'pushState' : 'replaceState'](null, '', to);
  // Another page is read from its beginning; on the same one, as beside a task, one stays where one was.
  if (how === 'push' && pageIn(location.pathname) !== before) scrollTo(0, 0);
  notify();
}

const pageIn = (path: string): string | undefined => path.split('/')[1];

/** One of a few that the address tells, so that links to it can be kept and sent. The first is what it is without a word. */
export function useAddressed<T extends string>(name: string, choices: readonly [T, ...T[]]): readonly [T, (choice: T) => void] {
  const asked = new URLSearchParams(useSearch()).get(name);
  const choose = (choice: T): void => go(`${location.pathname}${choice === choices[0] ? '' : `?${name}=${choice}`}`, 'replace');
  return [choices.find((each) => each === asked) ?? choices[0], choose];
}

export const useSearch = (): string => useSyncExternalStore(subscribe, () => location.search);
export const usePath = (): string => useSyncExternalStore(subscribe, () => location.pathname);

interface LinkProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  readonly to: string;
  readonly children: ReactNode;
}

/** A link within the dashboard. Whoever wants a new tab gets one. */
export function Link({ to, children, onClick, ...rest }: LinkProps): ReactNode {
  const follow = (event: MouseEvent<HTMLAnchorElement>): void => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={to} onClick={follow} {...rest}>
      {children}
    </a>
  );
}
