import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestReport } from '../domain/result.ts';

type Counts = NonNullable<TestReport['counts']>;

/** The closing lines of common test runners. Where a run prints several, as in a repository of many packages, they are added up. */
const closings: readonly ((text: string) => Counts | undefined)[] = [
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

export function countsIn(output: string): Counts | null {
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

/** What a repository says its tests are started with, or undefined. Reads only names that everybody knows. */
export async function testCommandOf(tree: string): Promise<readonly string[] | undefined> {
  const read = (name: string): Promise<string | undefined> => plainText(join(tree, name));
  const script = testScript(await read('package.json'));
  if (script !== undefined && !/no test specified/.test(script)) return ['npm', 'test', '--silent'];
  if ((await read('Cargo.toml')) !== undefined) return ['cargo', 'test'];
  if ((await read('go.mod')) !== undefined) return ['go', 'test', './...'];
  if ((await read('pytest.ini')) !== undefined || /^\[tool\.pytest/m.test((await read('pyproject.toml')) ?? ''))
    return ['python3', '-m', 'pytest'];
  if (/^test:/m.test((await read('Makefile')) ?? '')) return ['make', 'test'];
  return undefined;
}

const longestManifest = 1024 * 1024;

/** An agent was there: it may be a link to a device, or a pipe that nobody writes to and that would be waited for without end. */
async function plainText(path: string): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => undefined);
  try {
    const found = await file?.stat();
    return found?.isFile() && found.size <= longestManifest ? await file?.readFile('utf8') : undefined;
  } catch {
    return undefined;
  } finally {
    await file?.close();
  }
}

function testScript(manifest: string | undefined): string | undefined {
  try {
    const { scripts } = JSON.parse(manifest ?? '{}') as { scripts?: { test?: unknown } };
    return typeof scripts?.test === 'string' ? scripts.test : undefined;
  } catch {
    return undefined;
  }
}

/** Each number has a line of its own; whichever the runner, it always tells how many passed. */
function summed(text: string, lines: Readonly<Record<keyof Counts, RegExp>>): Counts | undefined {
  const sum = (line: RegExp): number => [...text.matchAll(line)].reduce((total, [, count]) => total + Number(count), 0);
  if (text.search(lines.passed) < 0) return undefined;
  return { passed: sum(lines.passed), failed: sum(lines.failed), skipped: sum(lines.skipped) };
}

/** "3 passed, 1 failed, 2 skipped" in any order and with anything between. */
function onOneLine(text: string, lines: RegExp): Counts | undefined {
  const found = [...text.matchAll(lines)].map(([, line]) => line ?? '').join('\n');
  if (found === '') return undefined;
  const sum = (words: RegExp): number => [...found.matchAll(words)].reduce((total, [, count]) => total + Number(count), 0);
  return { passed: sum(/(\d+) passed/g), failed: sum(/(\d+) (?:failed|errors?\b)/g), skipped: sum(/(\d+) (?:skipped|ignored)/g) };
}
