import type { TestCounts } from '../domain/gate.ts';

/** The closing lines of common test runners. Where a run prints several, as in a repository of many packages, they are added up. */
const closings: readonly ((text: string) => TestCounts | undefined)[] = [
  // node:test, as TAP and as text
  (text) => summed(text, { passed: /^[#ℹ] pass (\d+)$/gm, failed: /^[#ℹ] (?:fail|cancelled) (\d+)$/gm, skipped: /^[#ℹ] skipped (\d+)$/gm }),
  // vitest and jest
  (text) => onOneLine(text, /^\s*Tests:?\s+(\d+ .*(?:\(\d+\)|\d+ total))$/gm),
  // cargo
  (text) => onOneLine(text, /^test result: \w+\. (\d+ passed; .*)$/gm),
  // pytest, also with -q
  (text) => onOneLine(text, /^(?:=+ )?(\d+ (?:passed|failed|errors?|skipped)\b.*) in [\d.]+s\b.*$/gm),
  // mocha
  (text) => summed(text, { passed: /^\s*(\d+) passing \(\d+\w+\)$/gm, failed: /^\s*(\d+) failing$/gm, skipped: /^\s*(\d+) pending$/gm }),
  // go test -v; without it, it tells only of what failed
  (text) => {
    if (!/^=== RUN /m.test(text)) return undefined;
    const times = (mark: string): number => text.match(new RegExp(`^\\s*--- ${mark}: `, 'gm'))?.length ?? 0;
    return { passed: times('PASS'), failed: times('FAIL'), skipped: times('SKIP') };
  },
];

const longestLine = 500;

export function countsIn(output: string): TestCounts | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
  const plain = output.replaceAll(/\u001b\[[\d;]*m/g, '');
  // What an agent's program prints must not keep the server busy: the search takes the square of what has no words in it.
  const lines = plain.split('\n').filter((line) => line.length <= longestLine && line.trim() !== '');
  const text = lines.join('\n');
  for (const closing of closings) {
    const counts = closing(text);
    if (counts) return counts;
  }
  return null;
}

/** Each number has a line of its own; whichever the runner, it always tells how many passed. */
function summed(text: string, lines: Readonly<Record<keyof TestCounts, RegExp>>): TestCounts | undefined {
  const sum = (line: RegExp): number => [...text.matchAll(line)].reduce((total, [, count]) => total + Number(count), 0);
  if (text.search(lines.passed) < 0) return undefined;
  return { passed: sum(lines.passed), failed: sum(lines.failed), skipped: sum(lines.skipped) };
}

/** "3 passed, 1 failed, 2 skipped" in any order and with anything between. */
function onOneLine(text: string, lines: RegExp): TestCounts | undefined {
  const found = [...text.matchAll(lines)].map(([, line]) => line ?? '').join('\n');
  if (found === '') return undefined;
  const sum = (words: RegExp): number => [...found.matchAll(words)].reduce((total, [, count]) => total + Number(count), 0);
  return { passed: sum(/(\d+) passed/g), failed: sum(/(\d+) (?:failed|errors?\b)/g), skipped: sum(/(\d+) (?:skipped|ignored)/g) };
}
