import MarkdownIt from 'markdown-it';
import type { Priority } from '../../domain/task.ts';

/** One to-do of a file: a list item with a box. Items without one are part of what stands above them. */
export interface TodoItem {
  /** Where its line begins, from 0. */
  readonly line: number;
  readonly checked: boolean;
  /** What is to be done, in one line, without the tags. */
  readonly title: string;
  /** What else stands in the item, without the to-dos below it. */
  readonly body: string;
  /** The place of the to-do that it stands under, in this list. */
  readonly parent: number | null;
  readonly priority: Priority | null;
  readonly labels: readonly string[];
  readonly repository: string | null;
  /** What has to be done before, by its words. */
  readonly after: readonly string[];
  /** The headings above it, outermost first. */
  readonly headings: readonly string[];
}

/** Begins a line that Nightshift has written below an item. */
export const noteMark = '> Nightshift:';

// Deep enough for any person's outline; each level of a list counts twice.
const markdown = new MarkdownIt('commonmark', { maxNesting: 100 }).enable('table');
// What stands within a line is read by our own rules; to have it taken apart as well would be most of the time of a long file.
markdown.core.ruler.disable(['inline', 'text_join']);
const box = /^\[([ xX])\](?:\s+|$)/;

/** The to-dos of a Markdown text, in order. What stands in code, quotes, comments or under a heading like "Done" is none. */
export function parseTodos(text: string): readonly TodoItem[] {
  const lines = text.split(/\r\n|\n|\r/);
  const items: TodoItem[] = [];
  const headings: { readonly level: number; readonly text: string }[] = [];
  /** The open list items, innermost last: the to-do that each is, or none. */
  const open: { index: number | null; seen: boolean; readonly from: number; readonly to: number }[] = [];
  let quoted = 0;
  const tokens = markdown.parse(text.replace(/^\ufeff/, ''), {});
  for (const [at, token] of tokens.entries()) {
    switch (token.type) {
      case 'blockquote_open':
        quoted++;
        break;
      case 'blockquote_close':
        quoted--;
        break;
      case 'heading_open': {
        if (quoted > 0 || open.length > 0) break;
        const level = Number(token.tag.slice(1));
        while (headings.length > 0 && (headings.at(-1)?.level ?? 0) >= level) headings.pop();
        headings.push({ level, text: tokens[at + 1]?.content ?? '' });
        break;
      }
      case 'list_item_open':
        open.push({ index: null, seen: false, from: token.map?.[0] ?? 0, to: token.map?.[1] ?? 0 });
        break;
      case 'list_item_close':
        open.pop();
        break;
      case 'inline': {
        const item = open.at(-1);
        if (!item || item.seen || quoted > 0) break;
        item.seen = true;
        // Only at the beginning of a paragraph is it a box; in a heading or a table it is text.
        const found = tokens[at - 1]?.type === 'paragraph_open' ? box.exec(token.content) : null;
        if (!found || headings.some((heading) => isOver(heading.text))) break;
        const parent = open.slice(0, -1).findLast(({ index }) => index !== null)?.index ?? null;
        const [first = '', ...rest] = token.content.slice(found[0].length).split('\n');
        const tagged = readTags(
          first,
          headings.map((heading) => heading.text),
        );
        const body = [...rest, ...bodyOf(lines, token.map?.[1] ?? item.to, item.to)].join('\n').trim();
        // Somebody is about to write it.
        if (tagged.title === '' && body === '') break;
        item.index = items.length;
        items.push({
          line: token.map?.[0] ?? item.from,
          checked: found[1] !== ' ' || /^✅/u.test(first),
          parent,
          headings: headings.map((heading) => heading.text),
          ...tagged,
          body,
        });
        break;
      }
    }
  }
  return items;
}

/** The item's own further lines, down to its first list: what is in that one is told by the to-dos themselves. */
function bodyOf(lines: readonly string[], from: number, to: number): readonly string[] {
  const own: string[] = [];
  for (const line of lines.slice(from, to)) {
    if (/^\s*(?:[-*+]|\d{1,9}[.)])\s+\[[ xX]\]/.test(line)) break;
    if (!line.trimStart().startsWith(noteMark)) own.push(line.trim());
  }
  return own;
}

type Tagged = Pick<TodoItem, 'title' | 'priority' | 'labels' | 'repository' | 'after'>;

const priorityTag = /\((?:priority|prio):\s*([a-z0-9]+)\s*\)|\[(p\d{1,2})\]/i;
const valueTag = /\((after|repo|repository):\s*([^()]+)\)/gi;
/** Without parentheses a repository is one word; what comes after it goes on to the next tag or the end. */
const bareRepository = /(?:^|\s)repo:\s*(\S+)/i;
const bareAfter = /(?:^|\s)after:\s*([^#(]+?)(?=\s+(?:repo:|#[a-z]|\()|$)/i;
const labelTag = /(?<=^|\s)#([a-z][\w-]*)/gi;

const mark = '\uE000';
const marked = /\uE000(\d+)\uE000/g;

function readTags(text: string, headings: readonly string[]): Tagged {
  const code: string[] = [];
  // What stands in code is said, not meant. It is set aside behind a mark that no text of ours can hold.
  let rest = text
    .replaceAll(mark, '')
    .replace(/^✅\s*/u, '')
    .replaceAll(/`[^`]*`/g, (span) => `${mark}${code.push(span) - 1}${mark}`);
  const restore = (words: string): string => words.replaceAll(marked, (_, index) => code[Number(index)] ?? '').trim();
  const take = (pattern: RegExp): string | undefined => {
    const found = pattern.exec(rest);
    if (!found) return undefined;
    rest = rest.replace(found[0], ' ');
    return found[1] ?? found[2];
  };
  const named = take(priorityTag);
  const after: string[] = [];
  let repository: string | undefined;
  rest = rest.replaceAll(valueTag, (_, key: string, value: string) => {
    if (key.toLowerCase() === 'after') after.push(...value.split(','));
    else repository ??= value.trim();
    return ' ';
  });
  repository ??= take(bareRepository);
  after.push(...(take(bareAfter)?.split(',') ?? []));
  const labels: string[] = [];
  rest = rest.replaceAll(labelTag, (_, label: string) => {
    labels.push(label.toLowerCase());
    return ' ';
  });
  return {
    title: restore(rest.replaceAll(/\s+/g, ' ')),
    priority: (named === undefined ? null : priorityNamed(named)) ?? priorityOf(headings),
    labels: [...new Set(labels)],
    repository: repository === undefined ? null : restore(repository),
    after: after.map((words) => restore(words)).filter((words) => words !== ''),
  };
}

const words: Readonly<Record<string, Priority>> = {
  critical: 'high',
  urgent: 'high',
  high: 'high',
  medium: 'medium',
  normal: 'medium',
  low: 'low',
  later: 'low',
  someday: 'low',
};

/** `high`, or `P1` to `P10` where one is the most urgent. */
function priorityNamed(name: string): Priority | null {
  const number = /^p?(\d{1,2})$/i.exec(name)?.[1];
  if (number !== undefined) return Number(number) <= 3 ? 'high' : Number(number) <= 7 ? 'medium' : 'low';
  return words[name.toLowerCase()] ?? null;
}

const anyWord = Object.keys(words).join('|');
const inHeading = [
  new RegExp(`^\\W*(${anyWord})\\W*$`, 'i'),
  new RegExp(`\\b(${anyWord})[ -]priority\\b`, 'i'),
  new RegExp(`\\bpriority\\W{1,3}(${anyWord}|p?\\d{1,2})\\b`, 'i'),
  /^\W*(p\d{1,2})\b/i,
];

/** The nearest heading that names one decides. "High availability" names none. */
function priorityOf(headings: readonly string[]): Priority | null {
  for (const heading of headings.toReversed()) {
    for (const pattern of inHeading) {
      const name = pattern.exec(heading)?.[1];
      const priority = name === undefined ? null : priorityNamed(name);
      if (priority) return priority;
    }
  }
  return null;
}

const isOver = (heading: string): boolean => /^\W*(?:done|completed?|finished|archived?|changelog)\W*$/i.test(heading);
