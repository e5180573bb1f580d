import type { Finding } from '../../domain/finding.ts';
import { withoutSecrets } from '../../domain/secret-forms.ts';

/** One use of a tool, as the analysers look at it. */
export interface Seen {
  readonly tool: string;
  /** What was run; null for a tool that runs nothing. */
  readonly command: string | null;
  /** What it printed, without colours, line by line; neither line nor list is longer than an expression can bear. */
  readonly lines: readonly string[];
  readonly failed: boolean;
  readonly durationMs: number | null;
  /** What it wrote into files: the lines that were not in what they replace. */
  readonly written: readonly { readonly file: string; readonly lines: readonly string[] }[];
}

/** Pure, and bounded by what it is given. */
export type Analyser = (seen: Seen) => readonly Finding[];

const longestLine = 500;
const mostLines = 5_000;
const longestMessage = 400;
const longestCode = 200;

/** The shape that all findings have, whatever a program printed: errors often tell the address with the password that they failed with. */
export const found = (
  category: Finding['category'],
  code: string,
  message: string,
  worth: Finding['worth'],
  file?: string | undefined,
  line?: number | string | undefined,
): Finding => ({
  category,
  code: withoutSecrets(onOneLine(code)).slice(0, longestCode).toWellFormed(),
  message: withoutSecrets(onOneLine(message)).slice(0, longestMessage).toWellFormed(),
  worth,
  file: file === undefined || file === '' ? null : onOneLine(file).slice(0, longestLine).toWellFormed(),
  line: line === undefined ? null : asLine(Number(line)),
});

const asLine = (line: number): number | null => (Number.isSafeInteger(line) && line > 0 && line < 1e9 ? line : null);
const onOneLine = (text: string): string => text.replaceAll(/[\s\0]+/g, ' ').trim();

/** The beginning and the end of a text that has more lines than are looked at. */
export function linesOf(text: string, most = mostLines): readonly string[] {
  const lines = withoutColours(text).split('\n');
  const half = most / 2;
  const kept = lines.length <= most ? lines : [...lines.slice(0, half), ...lines.slice(-half)];
  return kept.map((line) => line.slice(0, longestLine).trimEnd());
}

const withoutColours = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what terminals obey begins with one
  text.replaceAll(/\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]{0,500}(?:\u0007|\u001b\\)?|[@-Z\\-_])|\r/g, '');

/** The first match at or after a line, within so many lines. */
export function matchWithin(lines: readonly string[], from: number, count: number, pattern: RegExp): RegExpExecArray | undefined {
  for (const line of lines.slice(from, from + count)) {
    const match = pattern.exec(line);
    if (match) return match;
  }
  return undefined;
}
