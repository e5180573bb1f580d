/**
 * `*` and `?` within a name, `**` across directories. The patterns come from repositories, so there is no regular expression
 * in here that a hostile one could keep busy: the work is bounded by the two lengths.
 */
export function matchesGlob(path: string, pattern: string): boolean {
  const names = path.split('/');
  // A name without a slash is meant wherever it stands, as in .gitignore.
  const parts = (pattern.includes('/') ? pattern.replace(/^\//, '') : `**/${pattern}`).split('/');
  let reached = new Set([0]);
  for (const part of parts) {
    const next = new Set<number>();
    for (const at of reached) {
      if (part === '**') for (let to = at; to <= names.length; to++) next.add(to);
      else if (at < names.length && matchesName(names[at] as string, part)) next.add(at + 1);
    }
    reached = next;
  }
  return reached.has(names.length);
}

function matchesName(name: string, pattern: string): boolean {
  let [at, part, star, retry] = [0, 0, -1, 0];
  while (at < name.length) {
    if (part < pattern.length && (pattern[part] === '?' || (pattern[part] === name[at] && pattern[part] !== '*'))) {
      at += 1;
      part += 1;
    } else if (pattern[part] === '*') {
      star = part++;
      retry = at;
    } else if (star >= 0) {
      part = star + 1;
      at = ++retry;
    } else return false;
  }
  while (pattern[part] === '*') part += 1;
  return part === pattern.length;
}
