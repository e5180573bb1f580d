/**
 * Whether somebody is spoken to in a comment. What GitHub would not show as the author's own words does not count: code, quotes,
 * HTML comments, tags. Where Markdown is ambiguous this errs towards silence. Linear in the length of the text.
 */
export function mentions(markdown: string, name: string): boolean {
  return mentionOf(name).test(ownWords(markdown));
}

/** The comment as a request: the whole of it, without the mention where it only is the address. */
export function withoutAddress(markdown: string, name: string): string {
  return markdown.replace(new RegExp(`^\\s*@${escaped(name)}(?:\\[bot\\])?(?![\\w-])[,:]?[ \\t]*`, 'i'), '').trim();
}

/** `@name` or `@name[bot]`, not part of an address, a path, a longer name or a team. */
function mentionOf(name: string): RegExp {
  return new RegExp(`(?<![\\w@./\\\\+-])@${escaped(name)}(?:\\[bot\\])?(?![\\w-]|[./@]\\w)`, 'i');
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

function ownWords(markdown: string): string {
  return withoutTags(withoutCodeSpans(withoutHtmlComments(withoutBlocks(markdown.replaceAll(/\r\n?/g, '\n')))));
}

const fence = /^(?:[ \t]|[-*+>][ \t]|\d{1,9}[.)][ \t])*(`{3,}|~{3,})/;

/** Drops fenced and indented code and quoted lines. A fence that is never closed goes on to the end. */
function withoutBlocks(text: string): string {
  const kept: string[] = [];
  let open: string | undefined;
  let inCode = false;
  let afterBlank = true;
  for (const line of text.split('\n')) {
    const marks = fence.exec(line)?.[1];
    if (open !== undefined) {
      const rest = line.replace(/^[>\s]+/, '').trimEnd();
      if (rest.length >= open.length && rest === (open[0] as string).repeat(rest.length)) open = undefined;
      continue;
    }
    if (marks !== undefined && !(marks.startsWith('`') && line.slice(line.indexOf(marks) + marks.length).includes('`'))) {
      open = marks;
      kept.push('');
      continue;
    }
    const blank = line.trim() === '';
    const indented = /^(?: {4}|\t| {1,3}\t)/.test(line);
    inCode = indented && !blank && (inCode || afterBlank);
    afterBlank = blank || (inCode && afterBlank);
    // A line that goes on under a quote without its mark was typed by the author.
    if (inCode || /^\s*>/.test(line)) kept.push('');
    else kept.push(line);
  }
  return kept.join('\n');
}

/** One that is never closed goes on to the end. */
function withoutHtmlComments(text: string): string {
  let kept = '';
  let at = 0;
  for (;;) {
    const start = text.indexOf('<!--', at);
    if (start < 0) return kept + text.slice(at);
    kept += `${text.slice(at, start)} `;
    const end = text.indexOf('-->', start + 4);
    if (end < 0) return kept;
    at = end + 3;
  }
}

/** A run of backticks opens a span if one of the same length follows in the same paragraph; else it is text. */
function withoutCodeSpans(text: string): string {
  return text
    .split(/\n[ \t]*\n/)
    .map(withoutSpansOf)
    .join('\n\n');
}

function withoutSpansOf(paragraph: string): string {
  const runs = [...paragraph.matchAll(/`+/g)].map(({ index, 0: { length } }) => ({ index, length }));
  const places = new Map<number, number[]>();
  for (const { index, length } of runs.toReversed()) {
    const known = places.get(length);
    if (known) known.push(index);
    else places.set(length, [index]);
  }
  let kept = '';
  let at = 0;
  for (const { index, length } of runs) {
    if (index < at) continue;
    const later = places.get(length) as number[];
    while (later.length > 0 && (later.at(-1) as number) <= index) later.pop();
    const escapedTick = paragraph[index - 1] === '\\' && paragraph[index - 2] !== '\\';
    const end = escapedTick ? undefined : later.at(-1);
    if (end === undefined) continue;
    kept += `${paragraph.slice(at, index)} \u0000`;
    at = end + length;
  }
  return kept + paragraph.slice(at);
}

/** A value in quotes may hold a `>`; where the quotes make no sense the tag ends at the first one. */
const tags = /<(\/?)([a-z][a-z0-9-]*)(?=[\s/>])(?:(?:[^<>"']|"[^"]*"|'[^']*')*|[^<>]*)>/gi;

/** Tags go with their attributes; what stands in `<code>`, `<pre>` and their like goes too. */
function withoutTags(text: string): string {
  let kept = '';
  let at = 0;
  let silent: string | undefined;
  for (const { index, 0: tag, 1: slash, 2: name = '' } of text.matchAll(tags)) {
    const lower = name.toLowerCase();
    if (silent === undefined) kept += `${text.slice(at, index)} `;
    at = index + tag.length;
    if (silent === undefined && slash === '' && silentTags.has(lower)) silent = lower;
    else if (silent === lower && slash === '/') silent = undefined;
  }
  return silent === undefined ? kept + text.slice(at) : kept;
}

const silentTags = new Set(['code', 'pre', 'blockquote', 'kbd', 'samp', 'script', 'style', 'textarea']);
