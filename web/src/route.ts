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
