import { describe, expect, test } from 'vitest';
import type { ChangedLine } from '../workspace/diff.ts';
import { mayRunOtherTests, weakerConfiguration } from './configuration.ts';
import type { Change } from './gate.ts';
import { goesBy } from './goes-by.ts';
import { hiddenWork } from './hidden-work.ts';

type Files = Readonly<Record<string, string>>;

/** Whole files: every line of the one is removed, and every line of the other added. The others are as they were. */
function changeOf(path: string, before: string | undefined, now: string | undefined, others: Files = {}): Change {
  const linesOf = (kind: ChangedLine['kind'], text = ''): ChangedLine[] =>
    text.split('\n').map((line, index) => ({ path, kind, line: index + 1, text: line }));
  const kept = new Set(before?.split('\n').filter((line) => now?.split('\n').includes(line)));
  return {
    files: [
      {
        path,
        kind: before === undefined ? 'added' : now === undefined ? 'deleted' : 'modified',
        additions: 1,
        deletions: 1,
        binary: false,
        oldMode: '100644',
        newMode: '100644',
      },
    ],
    lines: [...linesOf('removed', before), ...linesOf('added', now)].filter(({ text }) => text !== '' && !kept.has(text)),
    linesTruncated: false,
    ignored: [],
    touchedPrograms: [],
    eachAdded: async () => ({ ok: true }),
    before: async (asked) => (asked === path ? before : others[asked]),
    now: async (asked) => (asked === path ? now : others[asked]),
  };
}

const told = async (path: string, before: string | undefined, now: string | undefined, others?: Files): Promise<readonly string[]> =>
  [
    ...(await weakerConfiguration(changeOf(path, before, now, others))),
    ...(await hiddenWork(changeOf(path, before, now, others))).grave,
  ].map(({ text }) => text);
const scripts = (of: Readonly<Record<string, string>>): string => JSON.stringify({ scripts: of });

describe('weaker is', () => {
  test.each<[string, string, string | undefined, string | undefined, RegExp, Files?]>([
    [
      'another test script',
      'package.json',
      scripts({ test: 'vitest run' }),
      scripts({ test: 'vitest run a.test.ts' }),
      /another command as "test"/,
    ],
    [
      'a test script that goes on after a failure',
      'package.json',
      scripts({ test: 'vitest' }),
      scripts({ test: 'vitest; echo ok' }),
      /another command/,
    ],
    [
      'a lint script that is one in name',
      'package.json',
      scripts({ lint: 'eslint .' }),
      scripts({ lint: 'eslint --version' }),
      /as "lint"/,
    ],
    [
      'a script that the test script calls',
      'package.json',
      scripts({ test: 'npm run unit', unit: 'vitest' }),
      scripts({ test: 'npm run unit', unit: 'true' }),
      /another command as "unit": "true" in the place of "vitest"/,
    ],
    [
      'a script that is run before the tests',
      'package.json',
      scripts({ test: 'vitest', pretest: 'tsc' }),
      scripts({ test: 'vitest' }),
      /as "pretest": nothing/,
    ],

    ['another recipe', 'Makefile', 'test:\n\tpytest\n', 'test:\n\tpytest tests/unit\n', /something else for "test": without "pytest"/],
    ['a recipe whose failure counts for nothing', 'Makefile', 'test:\n\tpytest\n', 'test:\n\t-pytest\n', /something else for "test"/],
    ['a target that is gone', 'Makefile', 'test:\n\tpytest\nlint:\n\truff\n', 'test:\n\tpytest\n', /no target "lint" any more/],
    [
      'a target that needs less',
      'Makefile',
      'test: unit e2e\nunit:\n\ta\ne2e:\n\tb\n',
      'test: unit\nunit:\n\ta\ne2e:\n\tb\n',
      /without "e2e"/,
    ],
    [
      'a target that a target calls',
      'Makefile',
      'test:\n\t$(MAKE) unit\nunit:\n\ta\n',
      'test:\n\t$(MAKE) unit\nunit:\n\ttrue\n',
      /for "unit"/,
    ],
    ['make that goes on after failures', 'Makefile', 'test:\n\ta\n', 'MAKEFLAGS += -i\ntest:\n\ta\n', /no longer minds what fails/],

    [
      'tests that vitest leaves out',
      'vitest.config.ts',
      'export default { test: {} };',
      "export default { test: { exclude: ['**/slow.test.ts'] } };",
      /leaves out more \(exclude: \*\*\/slow/,
    ],
    [
      'tests that vitest leaves out of a list of many lines',
      'vite.config.ts',
      "export default {\n  test: {\n    exclude: [\n      'a',\n    ],\n  },\n};",
      "export default {\n  test: {\n    exclude: [\n      'a',\n      'src/b.test.ts',\n    ],\n  },\n};",
      /src\/b\.test\.ts/,
    ],
    [
      'tests that vitest no longer chooses',
      'vitest.config.ts',
      "export default { test: { include: ['a/**', 'b/**'] } };",
      "export default { test: { include: ['a/**'] } };",
      /no longer chooses b\/\*\*/,
    ],
    [
      'tests that vitest need not find',
      'vitest.config.ts',
      'export default { test: { } };',
      'export default { test: {\n passWithNoTests: true } };',
      /mind less \(passWithNoTests\)/,
    ],
    [
      'tests that jest leaves out',
      'jest.config.js',
      'module.exports = {};',
      "module.exports = { testPathIgnorePatterns: ['slow'] };",
      /testPathIgnorePatterns: slow/,
    ],
    [
      'tests that jest leaves out by package.json',
      'package.json',
      '{"jest":{}}',
      '{"jest":{"testPathIgnorePatterns":["slow"]}}',
      /testPathIgnorePatterns: slow/,
    ],
    [
      'tests that jest no longer matches',
      'jest.config.js',
      "module.exports = { testMatch: ['**/*.test.js'] };",
      "module.exports = { testMatch: ['**/a.test.js'] };",
      /no longer chooses/,
    ],
    [
      'tests that pytest leaves out',
      'pytest.ini',
      '[pytest]\naddopts = -q\n',
      '[pytest]\naddopts = -q --ignore=tests/slow\n',
      /runs a part of the tests \(--ignore=tests\/slow\)/,
    ],
    [
      'tests that pytest looks for in fewer places',
      'pyproject.toml',
      '[tool.pytest.ini_options]\ntestpaths = ["tests", "more"]\n',
      '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
      /no longer chooses more/,
    ],
    [
      'tests that pytest does not go into',
      'setup.cfg',
      '[tool:pytest]\nnorecursedirs = a\n',
      '[tool:pytest]\nnorecursedirs = a\n  slow\n',
      /norecursedirs: slow/,
    ],
    [
      'warnings that pytest minds no longer',
      'pytest.ini',
      '[pytest]\naddopts = -q -Werror\n',
      '[pytest]\naddopts = -q\n',
      /no longer chooses -Werror/,
    ],

    [
      'files that tsc leaves out',
      'tsconfig.json',
      '{"include":["src"]}',
      '{"include":["src"],"exclude":["src/hard"]}',
      /exclude: src\/hard/,
    ],
    ['files that tsc no longer includes', 'tsconfig.json', '{"include":["src","test"]}', '{"include":["src"]}', /no longer chooses test/],
    ['libraries that tsc does not check', 'tsconfig.json', '{\n}', '{\n"skipLibCheck": true\n}', /mind less \(skipLibCheck\)/],

    [
      'a rule of ESLint that is off',
      'eslint.config.js',
      'export default [];',
      "export default [{ rules: { 'no-undef': 'off' } }];",
      /the rule no-undef to off/,
    ],
    [
      'a rule of ESLint that only warns',
      '.eslintrc.json',
      '{"rules":{"eqeqeq":["error"]}}',
      '{"rules":{"eqeqeq":["warn"]}}',
      /the rule eqeqeq to warn/,
    ],
    ['a rule of ESLint that is zero', '.eslintrc.json', '{"rules":{"no-undef":2}}', '{"rules":{"no-undef":0}}', /the rule no-undef to off/],
    ['files that ESLint ignores', 'eslint.config.js', 'export default [];', "export default [{ ignores: ['src/**'] }];", /ignores: src/],
    ['a rule of Biome that is off', 'biome.json', '{}', '{"linter":{"rules":{"style":{"noVar":"off"}}}}', /the rule noVar to off/],
    ['rules of Biome that are all off', 'biome.json', '{\n}', '{\n"recommended": false\n}', /mind less \(recommended\)/],
    ['what ruff ignores', 'pyproject.toml', '[tool.ruff.lint]\nignore = []\n', '[tool.ruff.lint]\nignore = ["E501"]\n', /ignore: E501/],
    ['what ruff no longer selects', 'ruff.toml', 'select = ["E", "F"]\n', 'select = ["E"]\n', /no longer chooses F/],
    ['errors that mypy ignores', 'mypy.ini', '[mypy]\n', '[mypy]\nignore_errors = True\n', /mind less \(ignore_errors\)/],
    ['lines that coverage omits', '.coveragerc', '[run]\n', '[run]\nomit =\n    src/hard.py\n', /omit: src\/hard\.py/],
    [
      'tests that Maven need not pass',
      'pom.xml',
      '<a>\n',
      '<a>\n<testFailureIgnore>true</testFailureIgnore>\n',
      /mind less \(testFailureIgnore\)/,
    ],
    [
      'tests that Gradle need not pass',
      'build.gradle',
      'test {\n}\n',
      'test {\nignoreFailures = true\n}\n',
      /mind less \(ignoreFailures\)/,
    ],

    ['tests that git ignores', '.gitignore', 'x\n', 'x\n*.test.ts\n', /^hides \*\.test\.ts$/],
    ['a directory of tests that git ignores', 'a/.gitignore', undefined, 'tests/\n', /^hides tests\/$/],
    ['everything that git ignores', '.gitignore', 'x\n', 'x\n*\n', /^hides \*$/],
    ['what configures pytest and is ignored', '.gitignore', 'x\n', 'x\n/conftest.py\n', /hides \/conftest\.py/],
    ['tests that ESLint ignores', '.eslintignore', 'x\n', 'x\nsrc/*.ts\n', /hides src\/\*\.ts/],
    ['sources that nobody is shown', '.gitattributes', undefined, 'src/*.ts linguist-generated=true\n', /hides src\/\*\.ts/],
    ['sources that are no text', '.gitattributes', undefined, '*.py -diff\n', /hides \*\.py/],

    ['CI that is gone', '.github/workflows/ci.yml', 'on: push\n', undefined, /^is gone$/],
    [
      'CI that goes on after errors',
      '.github/workflows/ci.yml',
      '  - run: npm test\n',
      '  - run: npm test\n    continue-on-error: true\n',
      /continue-on-error/,
    ],
    [
      'CI that no longer tests',
      '.github/workflows/ci.yml',
      '  - run: npm ci\n  - run: npm test\n',
      '  - run: npm ci\n',
      /no longer runs npm test/,
    ],
    ['CI whose test never fails', '.gitlab-ci.yml', '  script:\n  - npm test\n', '  script:\n  - npm test || true\n', /mind less/],
    ['CI that is never run', '.github/workflows/ci.yml', 'jobs:\n', 'jobs:\n  if: false\n', /mind less \(if\)/],

    ['a target whose commands are written anew', 'Makefile', 'lint:\n\truff\n', 'lint:\n\truff\nlint:\n\ttrue\n', /without "ruff"/],
    ['a shell that only reads', 'Makefile', 'lint:\n\truff\n', '.SHELLFLAGS = -n -c\nlint:\n\truff\n', /no longer minds/],
    ['a shell that is none', 'Makefile', 'lint:\n\truff\n', 'SHELL = /bin/true\nlint:\n\truff\n', /no longer minds/],
    ['a file that make prefers', 'GNUmakefile', undefined, 'lint:\n\ttrue\n', /the place of the Makefile/, { Makefile: 'lint:\n\truff\n' }],
    ['scripts in a shell that is none', '.npmrc', undefined, 'script-shell=/bin/true\n', /mind less \(script-shell\)/],
    ['Maven that skips tests', '.mvn/maven.config', undefined, '-DskipTests\n', /mind less \(-DskipTests\)/],
    [
      'new settings of a linter that there is',
      'eslint.config.js',
      undefined,
      "export default [{ ignores: ['src/a/**'] }];\n",
      /leaves out more/,
      { 'package.json': scripts({ lint: 'eslint .' }) },
    ],
    [
      'new settings of a linter that only .nightshift.yaml names',
      'biome.json',
      undefined,
      '{ "linter": { "enabled": false } }\n',
      /mind less/,
      { '.nightshift.yaml': 'gates: { lint: biome check }\n' },
    ],
    [
      'tests that are left out, beside those that need not be covered',
      'vitest.config.ts',
      'export default { test: {} };',
      "export default { test: { coverage: { exclude: ['**/*.test.ts'] }, exclude: ['**/*.test.ts'] } };",
      /leaves out more/,
    ],
  ])('%s', async (_name, path, before, now, why, others) => {
    expect(await told(path, before, now, others)).toContainEqual(expect.stringMatching(why));
  });
});

describe('weaker is not', () => {
  test.each<[string, string, string | undefined, string | undefined, Files?]>([
    ['a script that does more', 'package.json', scripts({ test: 'vitest' }), scripts({ test: 'tsc && vitest' })],
    ['another build', 'package.json', scripts({ build: 'vite build' }), scripts({ build: 'vite build --mode x' })],
    [
      'a script that is no gate',
      'package.json',
      scripts({ test: 'vitest', start: 'node a' }),
      scripts({ test: 'vitest', start: 'node b' }),
    ],
    ['the first test script', 'package.json', scripts({ test: 'echo "Error: no test specified" && exit 1' }), scripts({ test: 'vitest' })],
    ['what is published', 'package.json', '{"files":["dist","src"]}', '{"files":["dist"]}'],
    ['another target', 'Makefile', 'test:\n\tpytest\nrun:\n\ta\n', 'test:\n\truff check\n\tpytest\nrun:\n\tb\n'],
    [
      'what a bundler includes',
      'vite.config.ts',
      "export default { optimizeDeps: { include: ['a'] } };",
      "export default { optimizeDeps: { include: ['b'], exclude: ['c'] } };",
    ],
    [
      'what nobody tests',
      'vitest.config.ts',
      'export default { test: {} };',
      "export default { test: { exclude: ['**/node_modules/**', 'dist/**'] } };",
    ],
    [
      'tests in more places',
      'vitest.config.ts',
      "export default { test: { include: ['a/**'] } };",
      "export default { test: { include: ['a/**', 'b/**'] } };",
    ],
    [
      'what a package is made of',
      'pyproject.toml',
      '[tool.setuptools]\ninclude = ["a"]\n',
      '[tool.setuptools]\ninclude = ["b"]\nexclude = ["c"]\n',
    ],
    ['a rule that is stricter', '.eslintrc.json', '{"rules":{"eqeqeq":"off"}}', '{"rules":{"eqeqeq":"error"}}'],
    [
      'a step of CI that is renamed',
      '.github/workflows/ci.yml',
      '  - name: Test\n    run: npm test\n',
      '  - name: All tests\n    run: npm test\n',
    ],
    ['a step of CI that measures more', '.github/workflows/ci.yml', '  - run: npm test\n', '  - run: npm test -- --coverage\n'],
    ['another test runner', 'package.json', scripts({ test: 'jest' }), scripts({ test: 'vitest run --coverage' })],
    [
      'an action of CI in a newer version',
      '.github/workflows/ci.yml',
      '  - uses: actions/checkout@v3\n',
      '  - uses: actions/checkout@v4\n',
    ],
    ['what everybody ignores', '.gitignore', 'x\n', 'x\ndist/\n*.log\n.env\nnode_modules\n__pycache__/\ncoverage/\n'],
    ['a package that another one is not to bring', 'build.gradle.kts', 'a\n', 'a\nb { exclude(group = "x", module = "y") }\n'],
    ['what may fail beside the gates', 'Makefile', 'test:\n\ta\n', 'test:\n\ta\nclean:\n\tpkill x || true\n'],
    ['the ends of lines', '.gitattributes', undefined, '* text=auto\n*.png binary\n*.ts text\n'],
    ['a switch that was there before', 'tsconfig.json', '{\n"skipLibCheck": true\n}', '{\n  "skipLibCheck": true\n}'],
    ['what tools keep for themselves', '.gitignore', 'x\n', 'x\n.eslintcache\n.stylelintcache\ntests/output/\ne2e/screenshots\n'],
    ['a shell that is one', 'Makefile', 'test:\n\ta\n', 'SHELL := /bin/bash\n.SHELLFLAGS := -eu -o pipefail -c\ntest:\n\ta\n'],
    ['a test script that measures more', 'package.json', scripts({ test: 'vitest run' }), scripts({ test: 'vitest run --coverage' })],
    [
      'tests that need not be covered',
      'vitest.config.ts',
      'export default { test: {} };',
      "export default { test: { coverage: { exclude: ['src/**/*.{test,spec}.ts', 'tests/**'] } } };",
    ],
    [
      'the first settings of a linter',
      'eslint.config.js',
      undefined,
      "export default [{ ignores: ['public/**'], rules: { 'no-console': 'off' } }];\n",
    ],
    [
      'the settings of a new package',
      'packages/b/tsconfig.json',
      undefined,
      '{\n"compilerOptions": {\n"skipLibCheck": true },\n"exclude": ["**/*.test.ts"] }\n',
      { 'package.json': scripts({ types: 'tsc -b', test: 'vitest' }) },
    ],
    [
      'more CI',
      '.github/workflows/e2e.yml',
      undefined,
      'jobs:\n  - run: npm run e2e || true\n',
      { 'package.json': scripts({ test: 'vitest' }) },
    ],
  ])('%s', async (_name, path, before, now, others) => {
    expect(await told(path, before, now, others)).toEqual([]);
  });
});

describe('other tests may be run', () => {
  const others: Files = {
    'package.json': scripts({ test: 'npm run unit', unit: 'node ./scripts/unit.js', start: 'node src/a.js', posttest: 'make test' }),
    Makefile: 'test:\n\tsh tools/test.sh\n',
  };
  test.each<[string, boolean]>([
    ['vitest.config.ts', true],
    ['.npmrc', true],
    ['.cargo/config.toml', true],
    ['gradlew', true],
    ['tests/conftest.py', true],
    ['scripts/unit.js', true],
    ['tools/test.sh', true],
    ['src/a.js', false],
  ])('when %s is changed: %s', async (path, may) => {
    expect(mayRunOtherTests(changeOf(path, 'a', 'b'), await goesBy(['npm', 'test'], async (asked) => others[asked]))).toBe(may);
  });
});

test('files of a megabyte that are made to keep somebody busy do not', { timeout: 20_000 }, async () => {
  const hostile = ['[', 'exclude: [', 'exclude:', 'a b ', 'test: ', '"a-b": ["', "ignore = '", '\\\n', 'a-'.repeat(40), ' '].map((piece) =>
    piece.repeat(Math.ceil(2 ** 20 / piece.length)),
  );
  for (const text of hostile)
    for (const path of ['Makefile', 'eslint.config.js', 'vite.config.ts', 'pyproject.toml', 'package.json', 'pytest.ini'])
      await weakerConfiguration({ ...changeOf(path, '', ''), lines: [], before: async () => text, now: async () => `${text}\n` });
});
