import { type Analyser, found } from './seen.ts';

/** Of a comment, whatever its language. A text that only speaks of to-dos has no colon, no bracket and no comment around it. */
const todo = /(?:\/\/|#|\/?\*|--|<!--|;|%|"""|''')\s*(?:@)?(TODO|FIXME|XXX|HACK)\b(?:\([^)]{0,60}\))?(?::|\s-\s)?\s*(.*?)\s*(?:\*\/|-->)?$/;

/** Somebody said that there is more to do: an agent that stops half-way often says it in a comment and nowhere else. */
export const todosLeft: Analyser = ({ written }) =>
  written.flatMap(({ file, lines }) =>
    lines.flatMap((text) => {
      const [, kind, said] = todo.exec(text) ?? [];
      if (kind === undefined || said === undefined) return [];
      return [found('todo', `${file} ${said}`, `${kind}: ${said === '' ? 'nothing said' : said}`, 3, file)];
    }),
  );
