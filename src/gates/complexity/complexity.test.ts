import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { until } from '../../../test/support/server-process.ts';
import { systemClock } from '../../platform/clock.ts';
import type { ChangedLine } from '../../workspace/diff.ts';
import type { Evidence, Scene } from '../gate.ts';
import { complexityGate, touchedFunctions } from './complexity.ts';
import { measure } from './measure.ts';

const measured = async (path: string, text: string): Promise<Readonly<Record<string, number>>> => {
  const complexities: Record<string, number> = {};
  for await (const functions of measure([{ path, text }])) for (const { name, complexity } of functions) complexities[name] = complexity;
  return complexities;
};

describe('the complexity of a function is told', () => {
  test.each<[string, string, Readonly<Record<string, number>>]>([
    [
      'a.ts',
      'function plain() {}\nconst f = (x: A) => (x ? 1 : 2);\nclass C { m(a: A) { if (a && b || c) return; for (const x of a) {} while (a) {} } }\nexport default { k() { try {} catch {} }, l: () => a ?? b };\n',
      { plain: 1, f: 2, 'C.m': 6, k: 2, l: 2 },
    ],
    ['a.js', 'function f(a) { switch (a) { case 1: return 1; case 2: return 2; default: return 3; } }\n', { f: 2 }],
    ['a.tsx', 'const V = ({ a }: P) => <p>{a ? <b /> : null}</p>;\n', { V: 2 }],
    ['a.js', 'function outer() { return () => { if (a) b(); }; }\n', { outer: 1, 'outer.(function)': 2 }],
    [
      'a.py',
      'def f(x):\n  if x and y:\n    pass\n  elif z:\n    pass\n  try:\n    pass\n  except E:\n    pass\n  return [i for i in x if i]\n\nclass A:\n  async def g(self):\n    return 1 if x else 2\n',
      { f: 6, 'A.g': 2 },
    ],
    ['a.go', 'package a\nfunc (t T) F(a int) {\n if a && b { }\n for {}\n switch a { case 1: }\n}\nfunc g() {}\n', { F: 5, g: 1 }],
    [
      'a.rs',
      'fn f(a: i32) -> i32 { if a > 1 && a < 9 { 1 } else { match a { 1 => 2, _ => 3 } } }\nfn g() { for i in x {} while y {} }\n',
      { f: 4, g: 3 },
    ],
    [
      'a.java',
      'class A { A() {} int f(int a) { for (int x : xs) {} int y = a > 1 ? 1 : 2; try {} catch (E e) {} if (a && b) {} return 1; } }\n',
      { 'A.A': 1, 'A.f': 6 },
    ],
    [
      'a.js',
      "app.get('/a', (a) => a && b);\napp.get('/b', (a) => a);\nitems.map((a) => (a ? 1 : 2));\n(() => a || b)();\n",
      { "app.get('/a')": 2, "app.get('/b')": 1, 'items.map(…)': 2, '(function)': 2 },
    ],
    ['a.rs', 'impl Shop { fn f() { if a {} } }\nimpl Bank { fn f() {} }\n', { 'Shop.f': 2, 'Bank.f': 1 }],
    ['a.py', 'f = lambda x: 1 if x else 2\n', { f: 2 }],
    ['a.txt', 'function f() {}', {}],
    ['a.ts', 'function ( { if if if ) broken =>', {}],
  ])('in %s', async (path, text, complexities) => {
    expect(await measured(path, text)).toMatchObject(complexities);
  });

  test('however deep it is nested', async () => {
    expect(await measured('a.js', `function f() { return ${'('.repeat(20_000)}1${')'.repeat(20_000)}; }`)).toEqual({ f: 1 });
  });
});

const branches = (count: number): string => Array.from({ length: count }, (_, i) => `  if (a === ${i}) return ${i};`).join('\n');
const source = (name: string, count: number): string => `function ${name}(a) {\n${branches(count)}\n}\n`;

async function verdictOn(
  files: Readonly<Record<string, readonly [before: string | undefined, now: string]>>,
  most = 10,
): Promise<Evidence> {
  const lines = Object.entries(files).flatMap(([path, [before, now]]) => {
    const known = new Set(before?.split('\n'));
    return now
      .split('\n')
      .flatMap((text, index): ChangedLine[] => (known.has(text) ? [] : [{ path, kind: 'added', line: index + 1, text }]));
  });
  const scene: Scene = {
    change: {
      files: Object.entries(files).map(([path, [before]]) => ({
        path,
        kind: before === undefined ? 'added' : 'modified',
        additions: 1,
        deletions: 0,
        binary: false,
        oldMode: '100644',
        newMode: '100644',
      })),
      lines,
      linesTruncated: false,
      ignored: [],
      touchedPrograms: [],
      async eachAdded(look) {
        lines.forEach(look);
        return { ok: true };
      },
      before: async (path) => files[path]?.[0],
      now: async (path) => files[path]?.[1],
    },
    run: () => Promise.reject(new Error('a command')),
    runBefore: async () => undefined,
    runWithOld: async () => undefined,
    known: () => false,
    leftBehind: async () => undefined,
    directory: '/nowhere',
  };
  const checked = await complexityGate(most, systemClock).check(scene, new AbortController().signal);
  if (!checked.ok) throw new Error('no evidence');
  return checked.evidence;
}

describe('a change is', () => {
  test('red when it adds a function that is too complex, which it names', async () => {
    expect(await verdictOn({ 'a.js': [undefined, source('parse', 12)] })).toMatchObject({
      passed: false,
      summary: 'A function is too complex; at most 10 is asked for.',
      findings: [{ path: 'a.js', line: 1, text: 'parse has a complexity of 13' }],
    });
  });

  test('green when what it adds is plain', async () => {
    expect(await verdictOn({ 'a.js': [undefined, source('parse', 9)], 'b.md': [undefined, 'x'] })).toMatchObject({
      passed: true,
      findings: [],
    });
  });

  test('red when it makes a complex function more so, and excused when it does not', async () => {
    expect(await verdictOn({ 'a.js': [source('parse', 12), source('parse', 13)] })).toMatchObject({
      passed: false,
      findings: [{ text: 'parse has a complexity of 14 (it was 13)' }],
    });
    expect(await verdictOn({ 'a.js': [source('parse', 12), source('parse', 12).replace('return 3', 'return 33')] })).toMatchObject({
      passed: true,
      findings: [{ text: 'parse has a complexity of 13 (it was 13)' }],
    });
  });

  test('not red for a function that it moves or renames, which it names', async () => {
    const moved = { 'a.js': [source('parse', 12), 'const a = 1;\n'], 'b.js': [undefined, `// Moved.\n${source('read', 12)}`] } as const;
    expect(await verdictOn(moved)).toMatchObject({
      passed: true,
      findings: [{ path: 'b.js', line: 2, text: 'read has a complexity of 13 (it was 13)' }],
    });
    const twice = { ...moved, 'c.js': [undefined, source('again', 12)] } as const;
    expect(await verdictOn(twice)).toMatchObject({ passed: false, findings: [{ path: 'c.js' }, { path: 'b.js' }] });
    const other = { ...moved, 'b.js': [undefined, source('read', 12).replaceAll('=== ', '=== 1')] } as const;
    expect(await verdictOn(other)).toMatchObject({ passed: false });
    const more = { ...moved, 'b.js': [undefined, source('read', 13)] } as const;
    expect(await verdictOn(more)).toMatchObject({ passed: false });
  });

  test('not asked about functions that it does not touch', async () => {
    const before = source('parse', 12);
    expect(await verdictOn({ 'a.js': [before, `${before}${source('more', 1).replace('a === 0', 'a === "x"')}`] })).toMatchObject({
      passed: true,
      summary: '1 function is new or changed, and none is too complex or has become more so.',
      findings: [],
    });
  });

  test('not asked about what programs have written', async () => {
    expect(await verdictOn({ 'dist/a.js': [undefined, source('parse', 12)] })).toMatchObject({ passed: true });
  });
});

test('functions by the ten thousand take no longer than their number', () => {
  const functions = Array.from({ length: 100_000 }, (_, at) => ({ name: `f${at}`, firstLine: at + 1, lastLine: at + 1, complexity: 2 }));
  const lines = functions.flatMap(({ firstLine }) => (firstLine % 2 === 0 ? [[firstLine, firstLine] as const] : []));
  const touched = touchedFunctions(functions, functions, lines);
  expect(touched).toHaveLength(50_000);
  expect(touched[0]).toEqual({ name: 'f1', firstLine: 2, lastLine: 2, complexity: 2, before: 2 });
});

test('a function around others is touched by what is in them', () => {
  const inOrder = [
    { name: 'outer', firstLine: 1, lastLine: 9, complexity: 1 },
    { name: 'first', firstLine: 2, lastLine: 3, complexity: 1 },
    { name: 'second', firstLine: 5, lastLine: 6, complexity: 1 },
    { name: 'after', firstLine: 11, lastLine: 12, complexity: 1 },
  ];
  expect(touchedFunctions(inOrder, [], [[6, 6]]).map(({ name }) => name)).toEqual(['outer', 'second']);
});

test('of several with one name, each is held against one that was there', () => {
  const of = (...complexities: readonly number[]): { name: string; firstLine: number; lastLine: number; complexity: number }[] =>
    complexities.map((complexity, at) => ({ name: '(function)', firstLine: at + 1, lastLine: at + 1, complexity }));
  const held = (now: readonly number[], before: readonly number[]): readonly number[] =>
    touchedFunctions(of(...now), of(...before), [[1, 9]]).map((each) => each.before);
  expect(held([12, 15], [15, 3])).toEqual([3, 15]);
  expect(held([12, 15], [15])).toEqual([0, 15]);
});

describe('what cannot be measured is', () => {
  const sceneOf = (files: Readonly<Record<string, string>>): Scene =>
    ({
      change: {
        files: Object.keys(files).map((path) => ({ path, kind: 'added', binary: false, newMode: '100644' })),
        async eachAdded(look: (line: ChangedLine) => void) {
          for (const path of Object.keys(files)) look({ path, kind: 'added', line: 1, text: '' });
          return { ok: true };
        },
        now: async (path: string) => files[path],
        before: async () => undefined,
      },
    }) as unknown as Scene;

  test('red when it keeps the parser busy for too long', async () => {
    const clock = new ManualClock(0);
    const checking = complexityGate(10, clock).check(sceneOf({ 'a.js': source('parse', 12) }), new AbortController().signal);
    await until('the measuring to be timed', async () => clock.pending === 1);
    clock.advance(30_000);
    expect(await checking).toMatchObject({
      evidence: {
        passed: false,
        summary: expect.stringContaining('could not be measured in time'),
        findings: [{ path: 'a.js', text: 'could not be measured in time' }],
      },
    });
  });

  test('told when it is a file too long to be read', async () => {
    const files = { 'data.js': `export default [${'1,'.repeat(300_000)}];`, 'a.js': source('plain', 2) };
    expect(await complexityGate(10, systemClock).check(sceneOf(files), new AbortController().signal)).toMatchObject({
      evidence: {
        passed: true,
        summary: '1 function is new or changed, and none is too complex or has become more so. 1 file is too long to be measured.',
        findings: [{ path: 'data.js', text: 'could not be measured for its length' }],
      },
    });
  });

  test('not what is merely a lot: a function in the last of a thousand files is seen', async () => {
    const files = Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`f${at}.js`, source(`f${at}`, at === 999 ? 12 : 1)]));
    expect(await complexityGate(10, systemClock).check(sceneOf(files), new AbortController().signal)).toMatchObject({
      evidence: { passed: false, findings: [{ path: 'f999.js', text: 'f999 has a complexity of 13' }] },
    });
  });
});
