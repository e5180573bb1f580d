import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Files, GitWorld, git, value, write } from '../../test/support/git-world.ts';
import { changedFiles, changedLines } from '../workspace/diff.ts';
import { openTree } from '../workspace/tree.ts';
import { coverageGate } from './coverage.ts';
import type { Change, Evidence, Gate, Scene } from './gate.ts';
import { weakeningGate } from './weakening.ts';

let world: GitWorld;
beforeAll(async () => {
  world = await GitWorld.open();
});
afterAll(() => world.remove());

const allOf =
  (lines: Change['lines']): Change['eachAdded'] =>
  async (look) => {
    for (const line of lines) if (line.kind === 'added') look(line);
    return { ok: true };
  };

let repositories = 0;

/** A real change between two commits; null removes a file. */
async function changeOf(before: Files, now: Readonly<Record<string, string | null>>): Promise<Change> {
  const directory = world.checkout(`r${repositories++}`, { 'README.md': '# Sample\n', ...before });
  const from = git(directory, 'rev-parse', 'HEAD');
  for (const [path, text] of Object.entries(now)) if (text === null) git(directory, 'rm', '--quiet', path);
  write(directory, Object.fromEntries(Object.entries(now).flatMap(([path, text]) => (text === null ? [] : [[path, text]]))));
  const to = world.commitTo(directory, {});
  const range = { gitDir: `${directory}/.git`, from, to };
  const { signal } = new AbortController();
  const lines = value(await changedLines(world.git, { ...range, maxLines: 1_000, maxBytes: 1e6 }, signal));
  const [old, fresh] = [
    value(await openTree(world.git, range.gitDir, from, signal)),
    value(await openTree(world.git, range.gitDir, to, signal)),
  ];
  return {
    files: value(await changedFiles(world.git, range, signal)),
    lines: lines.lines,
    linesTruncated: lines.truncated,
    ignored: [],
    touchedPrograms: [],
    eachAdded: allOf(lines.lines),
    before: (path) => old.read(path),
    now: (path) => fresh.read(path),
  };
}

async function ask(gate: Gate, scene: Partial<Scene>): Promise<Evidence> {
  const checked = await gate.check({ leftBehind: async () => undefined, directory: '/w', ...scene } as Scene, new AbortController().signal);
  if (!checked.ok) throw new Error('not checked');
  return checked.evidence;
}

const told = ({ findings }: Evidence): readonly string[] =>
  findings.map(({ path, line, text }) => [path, line, text].filter((each) => each !== null).join(' '));
const tests = (...names: readonly string[]): string =>
  names.map((name) => `test('${name}', () => {\n  expect(size('${name}')).toBe(1);\n});\n`).join('');

describe('a change that weakens gates', () => {
  test.each<[string, Files, Readonly<Record<string, string | null>>, RegExp]>([
    [
      'by deleting a test file',
      { 'a.test.ts': tests('a', 'b') },
      { 'a.test.ts': null },
      /^a\.test\.ts has lost tests: 2 are gone, 0 have come/,
    ],
    ['by deleting one test of many', { 'a.test.ts': tests('a', 'b', 'c') }, { 'a.test.ts': tests('a', 'c') }, /has lost tests: 1 are gone/],
    [
      'by deleting a test in Python',
      { 'tests/test_a.py': 'def test_a():\n    assert x\n\ndef test_b():\n    assert y\n' },
      { 'tests/test_a.py': 'def test_a():\n    assert x\n' },
      /has lost tests/,
    ],
    [
      'by deleting a test in Go',
      { 'a_test.go': 'func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) {}\n' },
      { 'a_test.go': 'func TestA(t *testing.T) {}\n' },
      /has lost tests/,
    ],
    ['by deleting a test in Rust', { 'src/a.rs': '#[test]\nfn a() {}\n' }, { 'src/a.rs': 'fn b() {}\n' }, /has lost tests/],
    [
      'by deleting a file of tests that nobody can count',
      { 'test/run.rb': 'check 1\ncheck 2\n' },
      { 'test/run.rb': null },
      /deleted file of tests/,
    ],
    [
      'by skipping',
      { 'a.test.ts': tests('a', 'b') },
      { 'a.test.ts': tests('a', 'b').replace("test('b'", "test.skip('b'") },
      /skips tests|has lost/,
    ],
    [
      'by running one test alone',
      { 'a.test.ts': tests('a', 'b') },
      { 'a.test.ts': tests('a', 'b').replace("test('b'", "test.only('b'") },
      /skips tests/,
    ],
    [
      'by skipping in Python',
      { 'test_a.py': 'def test_a():\n    assert x\n' },
      { 'test_a.py': '@pytest.mark.skip\ndef test_a():\n    assert x\n' },
      /test_a\.py 1 skips tests/,
    ],
    [
      'by skipping in Go',
      { 'a_test.go': 'func TestA(t *testing.T) {\n}\n' },
      { 'a_test.go': 'func TestA(t *testing.T) {\n\tt.Skip("later")\n}\n' },
      /skips tests/,
    ],
    [
      'by giving a file of tests a name that is none',
      { 'a.test.ts': tests('a', 'b', 'c') },
      { 'a.test.ts': null, 'old/a.ts.txt': tests('a', 'b', 'c'), 'b.test.ts': tests('z') },
      /^a\.test\.ts is a file of tests, and none any more as old\/a\.ts\.txt/,
    ],
    [
      'behind more than can be looked at',
      { 'z.test.ts': tests('a', 'b', 'c') },
      { 'a.txt': 'x\n'.repeat(2_000), 'z.test.ts': tests('a') },
      /^z\.test\.ts was not looked at/,
    ],
    [
      'by wanting a test to fail',
      { 'a.test.ts': tests('a', 'b') },
      { 'a.test.ts': tests('a', 'b').replace("test('b'", "test.fails('b'") },
      /skips tests/,
    ],
    [
      'by a condition that never holds',
      { 'a.test.ts': `describe('all', () => {\n${tests('a')}});\n` },
      { 'a.test.ts': `describe.skipIf(true)('all', () => {\n${tests('a')}});\n` },
      /skips tests/,
    ],
    [
      'by skipping in the middle of a test',
      { 'a.test.js': "test('a', (t) => {\n  b();\n});\n" },
      { 'a.test.js': "test('a', (t) => {\n  t.skip();\n  b();\n});\n" },
      /skips tests/,
    ],
    [
      'by lowering the second threshold of a line',
      { 'vitest.config.ts': 'export default { lines: 90, branches: 90 };\n' },
      { 'vitest.config.ts': 'export default { lines: 90, branches: 10 };\n' },
      /sets branches to 10 \(it was 90\)/,
    ],
    [
      'by lowering a threshold beside a higher one of that name',
      { 'vitest.config.ts': 'export default {\n  lines: 90,\n};\n' },
      { 'vitest.config.ts': 'export default {\n  a: { lines: 95 },\n  lines: 10,\n};\n' },
      /sets lines to 10 \(it was 90\)/,
    ],
    [
      'by lowering a threshold',
      { '.nycrc.json': '{\n  "lines": 90\n}\n' },
      { '.nycrc.json': '{\n  "lines": 50\n}\n' },
      /\.nycrc\.json 2 sets lines to 50 \(it was 90\)/,
    ],
    [
      'by lowering it in Python',
      { 'pyproject.toml': '[tool.coverage.report]\nfail_under = 85\n' },
      { 'pyproject.toml': '[tool.coverage.report]\nfail_under = 5\n' },
      /sets fail_under to 5/,
    ],
    [
      'by removing a threshold',
      { 'vitest.config.ts': 'export default {\n  lines: 90,\n}\n' },
      { 'vitest.config.ts': 'export default {\n}\n' },
      /no longer sets lines \(it was 90\)/,
    ],
    [
      'by giving up strictness',
      { 'tsconfig.json': '{\n"strict": true,\n"x": 1\n}\n' },
      { 'tsconfig.json': '{\n"strict": false,\n"x": 1\n}\n' },
      /sets strict to false/,
    ],
    [
      'by removing a script',
      { 'package.json': '{"scripts":{"test":"vitest","lint":"eslint"}}' },
      { 'package.json': '{"scripts":{"test":"vitest"}}' },
      /no real script "lint"/,
    ],
    [
      'by emptying a script',
      { 'package.json': '{"scripts":{"test":"vitest"}}' },
      { 'package.json': '{"scripts":{"test":"true"}}' },
      /no real script "test"/,
    ],
    [
      'by a script that cannot fail any more',
      { 'package.json': '{"scripts":{"test":"vitest"}}' },
      { 'package.json': '{"scripts":{"test":"vitest || true"}}' },
      /no real script "test"/,
    ],
    ['by deleting package.json', { 'package.json': '{"scripts":{"test":"vitest"}}' }, { 'package.json': null }, /no real script "test"/],
    ['by its own file', { '.nightshift.yaml': 'gates: { e2e: x }' }, { '.nightshift.yaml': 'gates: {}' }, /the gate e2e is gone/],
    ['by deleting its own file', { '.nightshift.yaml': 'gates: { e2e: x }' }, { '.nightshift.yaml': null }, /\.nightshift\.yaml is gone/],
    ['by breaking its own file', { '.nightshift.yaml': 'gates: { e2e: x }' }, { '.nightshift.yaml': 'gates: [' }, /can no longer be read/],
    [
      'by taking out all that a test asks for',
      { 'a.test.ts': tests('a', 'b') },
      { 'a.test.ts': tests('a', 'b').replaceAll(/ {2}expect.*\n/g, '  void 0;\n') },
      /^a\.test\.ts checks nothing any more \(assertions before: 2\)/,
    ],
    [
      'by asking for what always holds',
      { 'test_a.py': 'def test_a():\n    assert f() == 1\n' },
      { 'test_a.py': 'def test_a():\n    assert True\n' },
      /checks nothing any more/,
    ],
    [
      'by asking whether a thing is itself',
      { 'a.test.ts': tests('a') },
      { 'a.test.ts': "test('a', () => {\n  expect(true).toBe(true);\n});\n" },
      /checks nothing any more/,
    ],
    [
      'by taking out what a test in Go asks for',
      { 'a_test.go': 'func TestA(t *testing.T) {\n\tif f() != 1 {\n\t\tt.Errorf("no")\n\t}\n}\n' },
      { 'a_test.go': 'func TestA(t *testing.T) {\n\tf()\n}\n' },
      /checks nothing any more/,
    ],
    [
      'by an empty test in the place of one',
      { 'a.test.ts': tests('a', 'b') },
      { 'a.test.ts': `${tests('a')}test('b', () => {});\n` },
      /a\.test\.ts 4 is an empty test/,
    ],
    [
      'by a condition around a test',
      { 'a.test.ts': tests('a') },
      { 'a.test.ts': `if (false) {\n${tests('a')}}\n` },
      /a\.test\.ts 1 keeps tests from being run/,
    ],
    ['by a comment around a test', { 'a.test.ts': tests('a') }, { 'a.test.ts': `/*\n${tests('a')}*/\n` }, /has tests in a comment/],
    [
      'by ending before the tests',
      { 'a.test.ts': tests('a') },
      { 'a.test.ts': `process.exit(0);\n${tests('a')}` },
      /keeps tests from being run/,
    ],
    [
      'by a tag that nobody builds with',
      { 'a_test.go': 'package a\nfunc TestA(t *testing.T) {}\n' },
      { 'a_test.go': '//go:build never\n\npackage a\nfunc TestA(t *testing.T) {}\n' },
      /a_test\.go 1 keeps tests from being run/,
    ],
    [
      'by a configuration that never holds',
      { 'src/a.rs': '#[cfg(test)]\n#[test]\nfn a() {}\n' },
      { 'tests/a.rs': '', 'src/a.rs': '#[cfg(any())]\n#[test]\nfn a() {}\n' },
      /keeps tests from being run/,
    ],
    [
      'by skipping on the platform that it is run on',
      { 'a.test.ts': tests('a') },
      { 'a.test.ts': tests('a').replace("test('a'", "test.skipIf(process.platform === 'linux')('a'") },
      /skips tests/,
    ],
    [
      'by deleting a file of tests with another than it tests',
      { 'src/a.ts': 'x\n', 'src/b.ts': 'y\n', 'src/a.test.ts': tests('a') },
      { 'src/b.ts': null, 'src/a.test.ts': null },
      /^src\/a\.test\.ts has lost tests/,
    ],
  ])('%s is red, unless the task allows it', async (_name, before, now, why) => {
    const change = await changeOf(before, now);
    const evidence = await ask(weakeningGate(false), { change });
    expect(told(evidence)).toContainEqual(expect.stringMatching(why));
    expect(evidence).toMatchObject({ passed: false, signature: expect.stringMatching(/./) });
    expect(await ask(weakeningGate(true), { change })).toMatchObject({
      passed: true,
      summary: expect.stringContaining('The task allows it.'),
    });
  });

  test.each<[string, Files, Readonly<Record<string, string | null>>, readonly string[]]>([
    ['adds tests', { 'a.test.ts': tests('a') }, { 'a.test.ts': tests('a', 'b') }, []],
    ['rewrites a test', { 'a.test.ts': tests('a') }, { 'a.test.ts': tests('renamed') }, []],
    ['moves tests to another file', { 'a.test.ts': tests('a', 'b') }, { 'a.test.ts': null, 'deep/b.test.ts': tests('b', 'a') }, []],
    ['renames a file of tests', { 'test/run.rb': 'check 1\n' }, { 'test/run.rb': null, 'test/walk.rb': 'check 1\n' }, []],
    ['takes a skip away', { 'a.test.ts': "test.skip('a', f);\n" }, { 'a.test.ts': "test('a', f);\n" }, []],
    ['moves a skip', { 'a.test.ts': `test.skip('a', f);\n${tests('b')}` }, { 'a.test.ts': `${tests('b')}test.skip('a', f);\n` }, []],
    [
      'moves a helper of tests',
      { 'test/time.ts': 'export const now = 1;\n' },
      { 'test/time.ts': null, 'src/time.ts': 'export const now = 1;\n' },
      [],
    ],
    ['is long, and changes nothing that gates are made of', {}, { 'a.txt': 'x\n'.repeat(2_000), 'z.txt': 'x\n' }, []],
    ['speaks of skipping elsewhere', {}, { 'src/queue.ts': 'test.skip(); // it.only(\n' }, []],
    [
      'raises a threshold',
      { '.nycrc.json': '{\n  "lines": 50\n}\n' },
      { '.nycrc.json': '{\n  "lines": 90\n}\n' },
      ['.nycrc.json configures gates or CI and is modified'],
    ],
    [
      'has numbers that are no thresholds',
      { 'src/a.ts': 'const lines = { lines: 90 };\n' },
      { 'src/a.ts': 'const lines = { lines: 1 };\n' },
      [],
    ],
    [
      'edits CI',
      { '.github/workflows/ci.yml': 'on: push\n' },
      { '.github/workflows/ci.yml': 'on: [push, pull_request]\n' },
      ['.github/workflows/ci.yml configures gates or CI and is modified'],
    ],
    ['silences a check', {}, { 'src/a.ts': '// @ts-ignore\nx();\n' }, ['src/a.ts 1 silences a check']],
    ['adds a gate', {}, { '.nightshift.yaml': 'gates: { e2e: x }' }, ['.nightshift.yaml configures gates or CI and is added']],
    [
      'adds a dependency',
      { 'package.json': '{\n"scripts":{"test":"vitest"}\n}' },
      { 'package.json': '{\n"scripts":{"test":"vitest"},\n"dependencies":{"x":"1"}\n}' },
      ['package.json configures gates or CI and is modified'],
    ],
    [
      'removes something with its tests',
      { 'src/shop/a.ts': 'x\n', 'test/shop/a.test.ts': tests('a', 'b') },
      { 'src/shop/a.ts': null, 'test/shop/a.test.ts': null },
      ['test/shop/a.test.ts is removed with src/shop/a.ts, which it tests'],
    ],
    [
      'removes a module of Python with its tests',
      { 'shop/cart.py': 'x\n', 'tests/unit/test_cart.py': 'from shop import cart\ndef test_a():\n    assert cart\n' },
      { 'shop/cart.py': null, 'tests/unit/test_cart.py': null },
      ['tests/unit/test_cart.py is removed with shop/cart.py, which it tests'],
    ],
    [
      'skips on another platform',
      { 'a.test.ts': tests('a') },
      { 'a.test.ts': tests('a').replace("test('a'", "test.skipIf(process.platform === 'win32')('a'") },
      ['a.test.ts 1 skips tests on some platforms'],
    ],
    [
      'skips on another platform in Go',
      { 'a_test.go': 'func TestA(t *testing.T) {\n}\n' },
      { 'a_test.go': 'func TestA(t *testing.T) {\n\tif runtime.GOOS == "windows" {\n\t\tt.Skip("no")\n\t}\n}\n' },
      ['a_test.go 3 skips tests on some platforms'],
    ],
    [
      'takes out some of what a test asks for',
      { 'a.test.ts': tests('a', 'b') },
      { 'a.test.ts': tests('a', 'b').replace("  expect(size('a')).toBe(1);\n", '') },
      ['a.test.ts checks less (assertions before: 2, now: 1)'],
    ],
    [
      'leaves a test early',
      { 'a.test.ts': tests('a') },
      { 'a.test.ts': tests('a').replace('  expect', '  return;\n  expect') },
      ['a.test.ts 2 leaves a test early'],
    ],
    [
      'is made to keep whoever reads it busy',
      { 'a.test.ts': tests('a') },
      { 'a.test.ts': tests('a') + `return${' '.repeat(4_000)}x\nassert(true${' '.repeat(980)}x\n`.repeat(50) },
      [],
    ],
    [
      'has tests run where they can',
      { 'a_test.go': 'package a\nfunc TestA(t *testing.T) {}\n' },
      { 'a_test.go': '//go:build linux && !cgo\npackage a\nfunc TestA(t *testing.T) {}\n' },
      ['a_test.go 1 has tests run on some platforms alone'],
    ],
    [
      'moves what a test asks for to another file',
      { 'a.test.ts': tests('a', 'bb'), 'b.test.ts': tests('c') },
      { 'a.test.ts': tests('a'), 'b.test.ts': tests('c', 'bb') },
      [],
    ],
    [
      'asks for less, where what asks has two words',
      { 'a.test.js': "import assert from 'node:assert';\ntest('a', () => {\n  assert.equal(f(), 1);\n  assert.ok(g());\n});\n" },
      { 'a.test.js': "import assert from 'node:assert';\ntest('a', () => {\n  assert.equal(f(), 1);\n});\n" },
      ['a.test.js checks less (assertions before: 2, now: 1)'],
    ],
    [
      'asks the same in other words',
      { 'a.test.ts': tests('a') },
      { 'a.test.ts': tests('a').replace("expect(size('a')).toBe(1)", 'assert.equal(f(), 1)') },
      [],
    ],
  ])('is not one that %s', async (_name, before, now, findings) => {
    const evidence = await ask(weakeningGate(false), { change: await changeOf(before, now) });
    expect({ passed: evidence.passed, told: told(evidence) }).toEqual({ passed: true, told: findings });
  });
});

test('thousands of thresholds take no longer than their number', async () => {
  const setting = (kind: 'added' | 'removed') => (line: number) => ({ path: '.eslintrc.json', kind, line, text: `lines: ${line % 90}` });
  const numbers = Array.from({ length: 40_000 }, (_, at) => at);
  const lines = [...numbers.map(setting('removed')), ...numbers.map(setting('added'))];
  const change = {
    files: [],
    lines,
    linesTruncated: false,
    ignored: [],
    touchedPrograms: [],
    eachAdded: allOf(lines),
    before: async () => undefined,
    now: async () => undefined,
  };
  expect(await ask(weakeningGate(false), { change })).toMatchObject({ passed: true });
});

describe('the coverage of a change', () => {
  const added = Object.fromEntries([['src/a.ts', `${Array.from({ length: 10 }, (_, i) => `line${i}();`).join('\n')}\n`]]);
  const lcov = (covered: number, path = 'src/a.ts'): string =>
    `TN:\nSF:${path}\n${Array.from({ length: 10 }, (_, i) => `DA:${i + 1},${i < covered ? 2 : 0}`).join('\n')}\nend_of_record\n`;
  const cobertura = (covered: number): string =>
    `<coverage><sources><source>/w</source></sources><class name="a" filename="src/a.ts"><lines>${Array.from({ length: 10 }, (_, i) => `<line number="${i + 1}" hits="${i < covered ? 1 : 0}" branch="false"/>`).join('')}</lines></class></coverage>`;

  /** Cut where it hurts most: into pieces that are shorter than a line. */
  const leaving =
    (reports: Readonly<Record<string, string>>): Scene['leftBehind'] =>
    async (path) => {
      const text = reports[path];
      const piece = (text?.length ?? 0) > 100_000 ? 65_536 : 7;
      async function* pieces(): AsyncGenerator<string> {
        for (let at = 0; at < (text?.length ?? 0); at += piece) yield text?.slice(at, at + piece) ?? '';
      }
      return text === undefined ? undefined : { kind: 'file', pieces: pieces() };
    };

  test.each<[string, Readonly<Record<string, string>>, boolean, string]>([
    ['enough by lcov', { 'coverage/lcov.info': lcov(8) }, true, '80 % of 10 changed lines are covered by tests.'],
    [
      'too little by lcov',
      { 'coverage/lcov.info': lcov(7) },
      false,
      '70 % of 10 changed lines are covered by tests; at least 80 % are asked for.',
    ],
    [
      'by lcov with whole paths',
      { 'lcov.info': lcov(5, '/w/src/a.ts') },
      false,
      '50 % of 10 changed lines are covered by tests; at least 80 % are asked for.',
    ],
    [
      'too little by cobertura',
      { 'coverage.xml': cobertura(1) },
      false,
      '10 % of 10 changed lines are covered by tests; at least 80 % are asked for.',
    ],
    ['of other files', { 'lcov.info': lcov(0, 'src/b.ts') }, true, '100 % of 0 changed lines are covered by tests: too few to judge.'],
    ['of nothing', {}, true, 'The tests left no report of coverage by lines.'],
    [
      'in a report of tags that never end',
      { 'coverage.xml': '<line '.repeat(2_000_000) },
      true,
      '100 % of 0 changed lines are covered by tests: too few to judge.',
    ],
    [
      'in a report that is none',
      { 'lcov.info': 'DA:x\nSF:\n<line' },
      true,
      '100 % of 0 changed lines are covered by tests: too few to judge.',
    ],
  ])('is told: %s', async (_name, reports, passed, summary) => {
    const change = await changeOf({}, added);
    expect(await ask(coverageGate(80), { change, leftBehind: leaving(reports) })).toMatchObject({ passed, summary });
  });

  test('is none of a report that nobody can read to its end', async () => {
    const change = await changeOf({}, added);
    expect(await ask(coverageGate(80), { change, leftBehind: async () => ({ kind: 'too-long', limit: 2 ** 20 }) })).toMatchObject({
      passed: false,
      summary: 'The report coverage/lcov.info is longer than 1 MB and was not judged.',
    });
  });
});
