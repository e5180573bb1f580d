/**
 * Text from outside, made fit for a terminal. A title, a reason or a program's output can hold escape sequences that
 * move the cursor, rename the window or fill the clipboard; none of them gets through.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const sequences = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]/g;
const spaces = /[\t\n\v\f\r\u0085\u2028\u2029]+/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** For a table or a sentence: everything on one line. */
export const oneLine = (text: string): string =>
  text.replaceAll(sequences, '').replaceAll(spaces, ' ').replaceAll(controls, '�').toWellFormed();

/** For a block of text: line breaks and tabs stay. */
export const block = (text: string): string =>
  text.replaceAll(sequences, '').replaceAll(/\r\n?/g, '\n').replaceAll(controls, '�').toWellFormed();

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const colour = /^\x1b\[[0-9;:]*m$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unfinished = /(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]{0,4096}\x1b?|[ -/]*)?|\x9b[0-?]*[ -/]*|\r)$/;

/** For the output of a program, which arrives in pieces: colours stay if wanted, and nothing else that commands a terminal. */
export class OutputFilter {
  private held = '';
  private readonly colours: boolean;

  constructor(colours: boolean) {
    this.colours = colours;
  }

  /** The part of what has come so far that can be shown; a sequence cut in two waits for its other half. */
  next(text: string): string {
    const all = this.held + text;
    this.held = unfinished.exec(all)?.[0] ?? '';
    return this.clean(all.slice(0, all.length - this.held.length));
  }

  end(): string {
    const rest = this.held === '\r' ? '\n' : '';
    this.held = '';
    return rest;
  }

  private clean(text: string): string {
    const kept: string[] = [];
    const marked = text
      .replaceAll(/\r\n?/g, '\n')
      .replaceAll('\ue000', '�')
      .replaceAll(sequences, (sequence) => {
        if (!this.colours || !colour.test(sequence)) return '';
        kept.push(sequence);
        return '\ue000';
      });
    let next = 0;
    return marked.replaceAll(controls, '').replaceAll('\ue000', () => kept[next++] ?? '');
  }
}

/** JSON that is safe to print: the control characters that JSON allows in strings are escaped too. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replaceAll(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const printableAscii = /^[ -~]*$/;
const wide =
  /[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\p{Regional_Indicator}|\ufe0f/u;
const invisible = /^[\p{Mark}\p{Cf}]*$/u;

/** How many columns a terminal gives to a line. */
export function displayWidth(text: string): number {
  if (printableAscii.test(text)) return text.length;
  let width = 0;
  for (const { segment } of characters(text)) width += widthOf(segment);
  return width;
}

/** The line itself, or its beginning and an ellipsis, in at most `width` columns; never half a character. */
export function truncate(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let kept = '';
  let used = 0;
  for (const { segment } of characters(text)) {
    used += widthOf(segment);
    if (used > width - 1) break;
    kept += segment;
  }
  return width < 1 ? '' : `${kept.trimEnd()}…`;
}

let segmenter: Intl.Segmenter | undefined;

function characters(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter();
  return segmenter.segment(text);
}

function widthOf(character: string): number {
  if (invisible.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}
