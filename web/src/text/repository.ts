/** A repository in a list: of an address what follows its host, of a path its end, which tells it from others. */
export const shortRepository = (repository: string): string => tailOf(repository.replace(/^.*\/\/[^/]+\//, '').replace(/\.git$/, ''));

const longest = 32;

/** As many whole names from the end of a path as are read at a glance. */
export function tailOf(path: string): string {
  if (!path.startsWith('/') || path.length <= longest) return path;
  const from = path.indexOf('/', path.length - longest);
  return `…${path.slice(from === -1 ? path.lastIndexOf('/') : from)}`;
}
