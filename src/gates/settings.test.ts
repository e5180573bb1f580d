import { describe, expect, test } from 'vitest';
import { matchesGlob } from './glob.ts';
import { type GateSettings, parseGateSettings, weakerSettings } from './settings.ts';

const settings = (text: string | undefined): GateSettings => {
  const parsed = parseGateSettings(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.settings;
};

describe("a repository's own file", () => {
  test('may be absent or empty', () => {
    expect(settings(undefined)).toEqual(settings(''));
    expect(settings(undefined)).toMatchObject({
      gates: {},
      limits: { changedFiles: 200, changedLines: 10_000, coverage: 80 },
      paths: { forbidden: [] },
    });
  });

  test('sets, adds and switches off gates, and sets limits', () => {
    const text = `
gates:
  tests: npm run "test ci"
  lint: false
  e2e: { run: [npm, run, e2e], timeoutSeconds: 60, required: true }
  build: { required: true }
limits: { rounds: 3, minutes: 20, coverage: 90 }
paths: { forbidden: ['infra/**'] }
`;
    expect(settings(text)).toMatchObject({
      gates: {
        tests: { off: false, run: ['npm', 'run', 'test ci'] },
        lint: { off: true },
        e2e: { run: ['npm', 'run', 'e2e'], timeoutSeconds: 60, required: true },
        build: { run: undefined, required: true },
      },
      limits: { rounds: 3, minutes: 20, coverage: 90, changedFiles: 200 },
      paths: { forbidden: ['infra/**'] },
    });
  });

  test.each<[string, string]>([
    ['is no YAML', 'gates: [unclosed'],
    ['is a list', '- a'],
    ['is a text', 'gates'],
    ['has a key that nobody knows', 'gate: {}'],
    ['has a gate without a sensible name', 'gates: { "../x": true }'],
    ['has a gate that is switched on', 'gates: { tests: true }'],
    ['has an open quote', `gates: { tests: "npm 'test" }`],
    ['has a limit of nothing', 'limits: { rounds: 0 }'],
    ['has a limit of a million rounds', 'limits: { rounds: 1000000 }'],
    ['has aliases', 'a: &a [x]\ngates: { tests: *a }'],
    ['has aliases that explode', `a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n`],
    ['is too long', `# ${'x'.repeat(70_000)}`],
    ['has too many gates', `gates: { ${Array.from({ length: 51 }, (_, i) => `g${i}: x`).join(', ')} }`],
  ])('is refused when it %s', (_name, text) => {
    expect(parseGateSettings(text)).toMatchObject({ ok: false, message: expect.stringMatching(/./) });
  });

  test.each<[string, string, string, readonly (string | RegExp)[]]>([
    ['nothing is changed', 'gates: { tests: x }', 'gates: { tests: x }', []],
    ['a gate is added', '', 'gates: { tests: x }', []],
    ['limits are tightened', '', 'limits: { changedFiles: 10, coverage: 95, rounds: 2 }', []],
    ['a gate is gone', 'gates: { tests: x }', '', [/tests is gone/]],
    ['a gate is switched off', 'gates: { tests: x }', 'gates: { tests: false }', [/tests is switched off/]],
    ['a detected gate is switched off', '', 'gates: { secrets: false }', [/secrets is switched off/]],
    ['a gate runs something else', 'gates: { tests: x }', 'gates: { tests: "true" }', [/another command/]],
    ['a gate is no longer required', 'gates: { tests: { run: x, required: true } }', 'gates: { tests: x }', [/no longer required/]],
    ['limits are raised', '', 'limits: { changedFiles: 1000, coverage: 10 }', [/changedFiles/, /coverage/]],
    ['a path is allowed', 'paths: { forbidden: [a, b] }', 'paths: { forbidden: [a] }', [/^b is no longer/]],
  ])('tells what is weaker when %s', (_name, before, now, weaker) => {
    expect(weakerSettings(settings(before), settings(now))).toEqual(weaker.map((text) => expect.stringMatching(text)));
  });
});

describe('a pattern of paths', () => {
  test.each<[string, string, boolean]>([
    ['infra/**', 'infra/a/b.tf', true],
    ['infra/**', 'infrared/a', false],
    ['**/*.lock', 'a/b/c.lock', true],
    ['**/*.lock', 'c.lock', true],
    ['*.lock', 'a/b/c.lock', true],
    ['.env', 'deep/.env', true],
    ['.env', '.env.example', false],
    ['src/*.ts', 'src/a.ts', true],
    ['src/*.ts', 'src/a/b.ts', false],
    ['/src/**/x?.ts', 'src/a/b/x1.ts', true],
    ['src/**/x.ts', 'src/x.ts', true],
    ['a*b*c', 'dir/aXbYbZc', true],
    ['a[b]', 'a[b]', true],
    ['a[b]', 'ab', false],
    ['**', 'anything/at/all', true],
  ])('%s and %s: %s', (pattern, path, matches) => {
    expect(matchesGlob(path, pattern)).toBe(matches);
  });

  test('that is hostile keeps nobody busy', { timeout: 20_000 }, () => {
    expect(matchesGlob('a'.repeat(4_000), `${'*a'.repeat(100)}b`)).toBe(false);
    expect(matchesGlob('a/'.repeat(2_000), `${'**/'.repeat(66)}b`)).toBe(false);
  });
});
