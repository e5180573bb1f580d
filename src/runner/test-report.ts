import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestReport } from '../domain/result.ts';

type Counts = NonNullable<TestReport['counts']>;

/** The closing lines of common test runners, the newest known forms first. Colours are taken out before. */
const closings: readonly ((text: string) => Counts | undefined)[] = [
  // node:test, as TAP and as text
  (text) => counted(text, { passed: /^(?:#|ℹ) pass (\d+)$/m, failed: /^(?:#|ℹ) fail (\d+)$/m, skipped: /^(?:#|ℹ) skipped (\d+)$/m }),
  // vitest and jest
  (text) => onOneLine(text, /^\s*Tests:?\s+(.*(?:passed|failed).*)$/gm),
  // cargo
  (text) => onOneLine(text, /^test result: \w+\. (.*)$/gm),
  // pytest
  (text) => onOneLine(text, /^=+ (.*(?:passed|failed|error).*) in [\d.]+s.*=+$/gm),
  // mocha
  (text) => counted(text, { passed: /^\s*(\d+) passing/m, failed: /^\s*(\d+) failing/m, skipped: /^\s*(\d+) pending/m }),
  // go test -v
  (text) => {
    const times = (mark: string): number => text.match(new RegExp(`^\\s*--- ${mark}:`, 'gm'))?.length ?? 0;
    const counts = { passed: times('PASS'), failed: times('FAIL'), skipped: times('SKIP') };
    return counts.passed + counts.failed > 0 ? counts : undefined;
  },
];

export function countsIn(output: string): Counts | null {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
  const plain = output.replaceAll(/\u001b\[[\d;]*m/g, '');
  for (const closing of closings) {
    const counts = closing(plain);
    if (counts) return counts;
  }
  return null;
}

/** What a repository says its tests are started with, or undefined. Reads only names that everybody knows. */
export async function testCommandOf(tree: string): Promise<readonly string[] | undefined> {
  const read = (name: string): Promise<string | undefined> => readFile(join(tree, name), 'utf8').catch(() => undefined);
  const script = testScript(await read('package.json'));
  if (script !== undefined && !/no test specified/.test(script)) return ['npm', 'test', '--silent'];
  if ((await read('Cargo.toml')) !== undefined) return ['cargo', 'test'];
  if ((await read('go.mod')) !== undefined) return ['go', 'test', './...'];
  if ((await read('pytest.ini')) !== undefined || /^\[tool\.pytest/m.test((await read('pyproject.toml')) ?? ''))
    return ['python3', '-m', 'pytest'];
  if (/^test:/m.test((await read('Makefile')) ?? '')) return ['make', 'test'];
  return undefined;
}

function testScript(manifest: string | undefined): string | undefined {
  try {
    const { scripts } = JSON.parse(manifest ?? '{}') as { scripts?: { test?: unknown } };
    return typeof scripts?.test === 'string' ? scripts.test : undefined;
  } catch {
    return undefined;
  }
}

function counted(text: string, patterns: Readonly<Record<keyof Counts, RegExp>>): Counts | undefined {
  const number = (pattern: RegExp): number | undefined => {
    const found = pattern.exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const [passed, failed] = [number(patterns.passed), number(patterns.failed)];
  if (passed === undefined && failed === undefined) return undefined;
  return { passed: passed ?? 0, failed: failed ?? 0, skipped: number(patterns.skipped) ?? 0 };
}

/** "3 passed, 1 failed, 2 skipped" in any order and with anything between; of several such lines, the sum. */
function onOneLine(text: string, lines: RegExp): Counts | undefined {
  const found = [...text.matchAll(lines)].map(([, line]) => line ?? '');
  if (found.length === 0) return undefined;
  const sum = (word: RegExp): number => found.reduce((total, line) => total + Number(word.exec(line)?.[1] ?? 0), 0);
  return { passed: sum(/(\d+) passed/), failed: sum(/(\d+) (?:failed|errors?)/), skipped: sum(/(\d+) (?:skipped|ignored)/) };
}
