import { type AnchorHTMLAttributes, type MouseEvent, type ReactNode, useSyncExternalStore } from 'react';

/** Every page there is. What cannot be read as one is `lost`. */
export type Route =
  | { readonly page: 'now' | 'approvals' | 'notes' | 'safety' | 'trends' | 'usage' | 'workspaces' | 'settings' | 'lost' }
  | { readonly page: 'sources'; readonly view: 'inbox' | 'outbox' | 'channels' }
  | { readonly page: 'tasks'; readonly task: string | undefined }
  | { readonly page: 'run'; readonly run: string };

const plainPages = ['approvals', 'safety', 'notes', 'trends', 'usage', 'workspaces', 'settings'] as const;

export function routeOf(path: string): Route {
  const [first = '', second, ...more] = path.split('/').slice(1);
  if (more.length > 0) return { page: 'lost' };
  if (first === '' && second === undefined) return { page: 'now' };
  const plain = plainPages.find((each) => each === first);
  if (second === undefined && plain !== undefined) return { page: plain };
  if (first === 'sources' && second === undefined) return { page: 'sources', view: 'inbox' };
  if (first === 'sources' && (second === 'outbox' || second === 'channels')) return { page: 'sources', view: second };
  if (first === 'tasks') return { page: 'tasks', task: second || undefined };
  if (first === 'runs' && second) return { page: 'run', run: second };
  return { page: 'lost' };
}

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
  history[how === 'push' ? 'pushState' : 'replaceState'](null, '', to);
  notify();
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
