/**
 * Text from people and models, made fit for a comment of ours: nobody is mentioned, nothing is linked, referred to or
 * embedded, and no HTML or formatting comes through.
 */
export function plain(text: string, limit: number): string {
  return shortened(clean(text), limit)
    .split('\n')
    .map((line) =>
      line
        .trim()
        .replaceAll(/[!-/:-@[-`{-~]/g, '\\$&')
        .replaceAll(/[@#]/g, `$&${gap}`),
    )
    .join('\n');
}

/** The same on one line. */
export const plainLine = (text: string, limit: number): string => plain(oneLine(text), limit);

/** As code: what is in it does nothing. */
export function code(text: string): string {
  const line = shortened(oneLine(text), 300);
  const longest = Math.max(0, ...[...line.matchAll(/`+/g)].map(([run]) => run.length));
  const ticks = '`'.repeat(longest + 1);
  return line === '' ? '' : longest === 0 ? `${ticks}${line}${ticks}` : `${ticks} ${line} ${ticks}`;
}

/** Not Markdown and not HTML, but shown to people: a title, a description. */
export const label = (text: string, limit: number): string => shortened(oneLine(text), limit).replaceAll('@', `@${gap}`);

export const oneLine = (text: string): string => clean(text).replaceAll(/\s+/g, ' ').trim();

/** Not seen, and enough to make a name no mention and a number no reference. */
const gap = '\u200b';

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

const clean = (text: string): string => text.replaceAll(/\r\n?/g, '\n').replaceAll('\t', ' ').replaceAll(controls, '').toWellFormed();

export const shortened = (text: string, limit: number): string =>
  text.length <= limit ? text : `${text.slice(0, limit - 1).toWellFormed()}…`;
