/** How common test runners name a test that failed, each on a line of its own. */
const forms: readonly RegExp[] = [
  // node:test as text and as TAP; its heading above the list of failures is no test
  /^\s*✖ (?!failing tests:)(.+?)(?: \([\d.]+ms\))?$/,
  /^\s*not ok \d+ - (.+)$/,
  // vitest and jest
  /^\s*(?:FAIL|×)\s+(\S.*?)(?:\s+\d+ms)?$/,
  /^\s*● (.+ › .+)$/,
  // pytest, unittest
  /^(?:FAILED|ERROR) (\S+::\S+)/,
  /^(?:FAIL|ERROR): (\w+ \([\w.]+\))$/,
  // go, cargo
  /^\s*--- FAIL: (\S+)/,
  /^test (\S+) \.\.\. FAILED$/,
  // maven, gradle
  /^\[ERROR\]\s+([\w$]+\.[\w$]+):\d+/,
  /^(\S.* > .+) FAILED$/,
];
const mocha = { ended: /^\s*\d+ failing$/, test: /^\s+\d+\) (.+)$/ };

const longestLine = 500;

/** The tests that failed, by name; empty where none can be told. */
export function failuresIn(output: string): ReadonlySet<string> {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
  const plain = output.replaceAll(/\u001b\[[\d;]*m/g, '');
  const lines = plain
    .split('\n')
    .filter((line) => line.length <= longestLine)
    .map((line) => line.trimEnd());
  const all = lines.some((line) => mocha.ended.test(line)) ? [mocha.test] : forms;
  return new Set(lines.flatMap((line) => all.flatMap((form) => form.exec(line)?.[1]?.trim() ?? [])));
}
