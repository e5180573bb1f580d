import type { Finding } from '../../domain/finding.ts';
import { found, linesOf, type Seen } from './seen.ts';

/** Of a comment, whatever its language. A text that only speaks of to-dos has no colon, no bracket and no comment around it. */
const todo = /(?:\/\/|#|\/?\*|--|<!--|;|%|"""|''')\s*(?:@)?(TODO|FIXME|XXX|HACK)\b(?:\([^)]{0,60}\))?(?::|\s-\s)?\s*(.*?)\s*(?:\*\/|-->)?$/;

/** The same of a change as git shows it, whatever wrote it. */
export function todosIn(diff: string): readonly Finding[] {
  const written = new Map<string, string[]>();
  let file: string | undefined;
  for (const line of linesOf(diff, Number.POSITIVE_INFINITY)) {
    if (line.startsWith('diff --git ')) file = undefined;
    else if (file === undefined) file = /^\+\+\+ b\/(.+)$/.exec(line)?.[1];
    else if (line.startsWith('+')) (written.get(file) ?? written.set(file, []).get(file))?.push(line.slice(1));
  }
  return todosLeft({ written: [...written].map(([path, lines]) => ({ file: path, lines })) });
}

/** Somebody said that there is more to do: an agent that stops half-way often says it in a comment and nowhere else. */
export const todosLeft = ({ written }: Pick<Seen, 'written'>): readonly Finding[] =>
  written.flatMap(({ file, lines }) =>
    lines.flatMap((text) => {
      const [, kind, said] = todo.exec(text) ?? [];
      if (kind === undefined || said === undefined) return [];
      return [found('todo', `${file} ${said}`, `${kind}: ${said === '' ? 'nothing said' : said}`, 3, file)];
    }),
  );
