import { describe, expect, test } from 'vitest';
import type { Finding } from '../../domain/finding.ts';
import type { ToolEnd } from '../hooks/hook.ts';
import { examine, headOf, seenIn, slowMs } from './examine.ts';
import { todosIn } from './written.ts';

const used = (output: string, more: Partial<ToolEnd> = {}): ToolEnd => ({
  call: 'c',
  name: 'Bash',
  input: { command: 'make check' },
  bySubagent: false,
  failed: true,
  output,
  outputSize: output.length,
  durationMs: 5,
  ...more,
});
const findingsIn = (output: string, more?: Partial<ToolEnd>): readonly Finding[] => examine(seenIn(used(output, more), '/srv/tree'));
type Told = readonly [Finding['category'], string, string, (string | null)?, (number | null)?];
const told = (findings: readonly Finding[]): readonly Told[] =>
  findings.map(({ category, code, message, file, line }) => [category, code, message, file, line]);

/** As the programs themselves print it. */
const outputs: readonly (readonly [string, string, readonly Told[]])[] = [
  [
    'vitest, in colours',
    `\u001b[31m⎯⎯⎯⎯⎯⎯⎯\u001b[39m\u001b[1m\u001b[41m Failed Tests 1 \u001b[49m\u001b[22m\u001b[31m⎯⎯⎯⎯⎯⎯⎯\u001b[39m

\u001b[41m\u001b[1m FAIL \u001b[22m\u001b[49m src/sum.test.ts\u001b[2m > \u001b[22msums\u001b[2m > \u001b[22madds
\u001b[31m\u001b[1mAssertionError\u001b[22m: expected -1 to be 5 // Object.is equality\u001b[39m

\u001b[32m- Expected\u001b[39m
\u001b[31m+ Received\u001b[39m

\u001b[32m- 5\u001b[39m
\u001b[31m+ -1\u001b[39m

\u001b[36m \u001b[2m❯\u001b[22m src/sum.test.ts:\u001b[2m2:59\u001b[22m\u001b[39m
    \u001b[90m  1|\u001b[39m import { expect } from 'vitest';`,
    [['test-failure', 'src/sum.test.ts > sums > adds', 'AssertionError: expected -1 to be 5 // Object.is equality', 'src/sum.test.ts', 2]],
  ],
  [
    'jest',
    `FAIL src/sum.test.js (5.1 s)
  sums
    ✕ adds (3 ms)
    ✓ stays

  ● sums › adds

    expect(received).toBe(expected) // Object.is equality

    Expected: 5
    Received: -1

      3 | test('adds', () => {
    > 4 |   expect(sum(2, 3)).toBe(5);
        |                     ^

      at Object.toBe (src/sum.test.js:4:21)

Tests:       1 failed, 1 passed, 2 total`,
    [['test-failure', 'src/sum.test.js > sums › adds', 'expect(received).toBe(expected) // Object.is equality', 'src/sum.test.js', 4]],
  ],
  [
    'node:test',
    `▶ sums
  ✖ adds (10.209251ms)
  ✔ stays (0.427937ms)
✖ sums (18.708315ms)
ℹ tests 3
ℹ fail 2

✖ failing tests:

test at sum.test.js:3:26
✖ adds (10.209251ms)
  AssertionError [ERR_ASSERTION]: -1 == 5
      at TestContext.<anonymous> (file:///srv/tree/sum.test.js:3:52)
      at Test.runInAsyncScope (node:async_hooks:227:14) {
    generatedMessage: true,
    code: 'ERR_ASSERTION',
  }

test at sum.test.js:4:1
✖ rejects words (0.375139ms)
  TypeError: no numbers here
      at TestContext.<anonymous> (file:///srv/tree/sum.test.js:4:37)`,
    [
      ['test-failure', 'sum.test.js > adds', 'AssertionError [ERR_ASSERTION]: -1 == 5', 'sum.test.js', 3],
      ['test-failure', 'sum.test.js > rejects words', 'TypeError: no numbers here', 'sum.test.js', 4],
    ],
  ],
  [
    'TAP',
    `TAP version 13
# Subtest: sums
    # Subtest: adds
    not ok 1 - adds
      ---
      duration_ms: 0.995984
      type: 'test'
      location: '/srv/tree/sum.test.js:3:26'
      failureType: 'testCodeFailure'
      error: '-1 == 5'
      code: 'ERR_ASSERTION'
      ...
    ok 2 - stays
    not ok 3 - later # TODO
    1..2
not ok 1 - sums
  ---
  duration_ms: 1.877728
  type: 'suite'
  location: '/srv/tree/sum.test.js:3:1'
  error: '1 subtest failed'`,
    [['test-failure', 'sum.test.js > adds', '-1 == 5', 'sum.test.js', 3]],
  ],
  [
    'pytest',
    `FF                                                                       [100%]
=================================== FAILURES ===================================
__________________________________ test_adds ___________________________________

    def test_adds():
>       assert 2 - 3 == 5
E       assert (2 - 3) == 5

tests/test_sum.py:2: AssertionError
=========================== short test summary info ============================
FAILED tests/test_sum.py::test_adds - assert (2 - 3) == 5
FAILED tests/test_sum.py::TestBoom::test_boom[a b] - ValueError: no numbers
ERROR tests/test_broken.py - ModuleNotFoundError: No module named 'nothing'
2 failed, 1 error in 6.05s`,
    [
      ['test-failure', 'tests/test_sum.py > test_adds', 'assert (2 - 3) == 5', 'tests/test_sum.py', null],
      ['test-failure', 'tests/test_sum.py > TestBoom::test_boom[a b]', 'ValueError: no numbers', 'tests/test_sum.py', null],
      [
        'test-failure',
        'tests/test_broken.py > tests/test_broken.py',
        "ModuleNotFoundError: No module named 'nothing'",
        'tests/test_broken.py',
        null,
      ],
    ],
  ],
  [
    'go test',
    `--- FAIL: TestSum (0.00s)
    --- FAIL: TestSum/adds (0.00s)
        sum_test.go:10: got -1, want 5
--- FAIL: TestOther (0.01s)
    other_test.go:7: no
FAIL
FAIL	example.com/sum	0.003s`,
    [
      ['test-failure', 'sum_test.go > TestSum/adds', 'got -1, want 5', 'sum_test.go', 10],
      ['test-failure', 'other_test.go > TestOther', 'no', 'other_test.go', 7],
    ],
  ],
  [
    'cargo test, with a deprecation',
    `warning: use of deprecated function \`sum\`: use add
 --> src/lib.rs:2:64
  |
running 2 tests
test tests::stays ... ok
test tests::adds ... FAILED

failures:

---- tests::adds stdout ----

thread 'tests::adds' (5016) panicked at src/lib.rs:2:46:
assertion \`left == right\` failed
  left: -1
 right: 5

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.74s`,
    [
      ['test-failure', 'src/lib.rs > tests::adds', 'assertion `left == right` failed', 'src/lib.rs', 2],
      ['deprecation', 'sum', 'sum is deprecated: use add', 'src/lib.rs', 2],
    ],
  ],
  [
    "Maven's Surefire",
    `[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.06 s <<< FAILURE! -- in com.example.SumTest
[ERROR] com.example.SumTest.adds -- Time elapsed: 0.01 s <<< FAILURE!
[ERROR] Failures:
[ERROR]   SumTest.adds:15 expected: <5> but was: <-1>
[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0`,
    [['test-failure', 'SumTest.adds', 'expected: <5> but was: <-1>', null, 15]],
  ],
  [
    'tsc, plain and for people',
    `src/a.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'.
\u001b[96msrc/b.ts\u001b[0m:\u001b[93m3\u001b[0m:\u001b[93m5\u001b[0m - \u001b[91merror\u001b[0m\u001b[90m TS2304: \u001b[0mCannot find name 'x'.`,
    [
      ['type-error', 'TS2322', "Type 'string' is not assignable to type 'number'.", 'src/a.ts', 1],
      ['type-error', 'TS2304', "Cannot find name 'x'.", 'src/b.ts', 3],
    ],
  ],
  [
    'mypy',
    'src/sum.py:3: error: Incompatible return value type (got "str", expected "int")  [return-value]\nFound 1 error in 1 file (checked 1 source file)',
    [['type-error', 'return-value', 'Incompatible return value type (got "str", expected "int")', 'src/sum.py', 3]],
  ],
  ['go build', '# example.com/sum\n./main.go:10:2: undefined: x', [['compile-error', 'go', 'undefined: x', './main.go', 10]]],
  [
    'rustc',
    `error[E0308]: mismatched types
 --> src/lib.rs:1:69
  |
1 | pub fn sum() -> i32 { "x" }

error: could not compile \`s\` (lib) due to 1 previous error`,
    [['compile-error', 'E0308', 'mismatched types', 'src/lib.rs', 1]],
  ],
  [
    'javac, and as Maven tells it',
    `A.java:1: error: ';' expected
class A { int x = "y" }
[ERROR] /srv/tree/src/B.java:[5,10] cannot find symbol`,
    [
      ['compile-error', 'javac', "';' expected", 'A.java', 1],
      ['compile-error', 'javac', 'cannot find symbol', 'src/B.java', 5],
    ],
  ],
  [
    'gcc',
    `a.c: In function ‘main’:
a.c:4:1: warning: ‘f’ is deprecated: use g [-Wdeprecated-declarations]
a.c:4:51: error: ‘x’ undeclared (first use in this function)`,
    [
      ['deprecation', 'f', '‘f’ is deprecated: use g', 'a.c', 4],
      ['compile-error', 'c', '‘x’ undeclared (first use in this function)', 'a.c', 4],
    ],
  ],
  [
    'a crash of Node, with the library that it came through',
    `/srv/tree/e.js:1
function f(){ null.x }
                   ^

TypeError: Cannot read properties of null (reading 'x')
    at Object.each (/srv/tree/node_modules/lib/index.js:9:1)
    at f (/srv/tree/e.js:1:20)
    at Module._compile (node:internal/modules/cjs/loader:1929:14)

Node.js v24.21.0`,
    [['crash', 'TypeError', "TypeError: Cannot read properties of null (reading 'x')", 'e.js', 1]],
  ],
  [
    'a crash of Python',
    `Traceback (most recent call last):
  File "/srv/tree/t.py", line 3, in <module>
    f()
  File "/srv/tree/t.py", line 2, in f
    return {}["k"]
           ~~^^^^^
KeyError: 'k'`,
    [['crash', 'KeyError', "KeyError: 'k'", 't.py', 2]],
  ],
  [
    'a crash of Java',
    'Exception in thread "main" java.lang.IllegalStateException: no\n\tat B.main(B.java:1)',
    [['crash', 'java.lang.IllegalStateException', 'java.lang.IllegalStateException: no', 'B.java', 1]],
  ],
  [
    'a panic of Go',
    `panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.main()
	/srv/tree/main.go:7 +0x1d
exit status 2`,
    [['crash', 'panic', 'runtime error: index out of range [5] with length 3', 'main.go', 7]],
  ],
  [
    'a panic of Rust, new and old',
    `thread 'main' panicked at src/main.rs:3:5:
no numbers
thread 'main' panicked at 'old way', src/old.rs:9:1`,
    [
      ['crash', 'panic', 'no numbers', 'src/main.rs', 3],
      ['crash', 'panic', 'old way', 'src/old.rs', 9],
    ],
  ],
  [
    'deprecations of Node, npm, Python, Java and Go',
    `(node:3649) [DEP0040] DeprecationWarning: The \`punycode\` module is deprecated. Please use a userland alternative instead.
(Use \`node --trace-deprecation ...\` to show where the warning was created)
npm warn deprecated inflight@1.0.6: This module is not supported, and leaks memory.
/srv/tree/src/a.py:3: DeprecationWarning: datetime.utcnow() is deprecated
B.java:1: warning: [removal] suspend() in Thread has been deprecated and marked for removal
main.go:3:5: ioutil.ReadFile is deprecated: As of Go 1.16, use os.ReadFile. (SA1019)`,
    [
      ['deprecation', 'DEP0040', 'The `punycode` module is deprecated. Please use a userland alternative instead.', null, null],
      ['deprecation', 'npm inflight', 'inflight: This module is not supported, and leaks memory.', null, null],
      ['deprecation', 'DeprecationWarning', 'datetime.utcnow() is deprecated', 'src/a.py', 3],
      ['deprecation', 'suspend()', 'suspend() in Thread has been deprecated and marked for removal', 'B.java', 1],
      ['deprecation', 'ioutil.ReadFile', 'ioutil.ReadFile is deprecated: As of Go 1.16, use os.ReadFile. (SA1019)', 'main.go', 3],
    ],
  ],
  [
    'npm audit',
    `# npm audit report

lodash  <=4.17.20
Severity: high
Command Injection in lodash - https://github.com/advisories/GHSA-35jh-r3h4-6jhm
Regular Expression Denial of Service (ReDoS) in lodash - https://github.com/advisories/GHSA-29mw-wpgm-hmr9
fix available via \`npm audit fix\`
node_modules/lodash

1 high severity vulnerability`,
    [
      ['security', 'lodash GHSA-35jh-r3h4-6jhm', 'lodash: Command Injection in lodash (high, GHSA-35jh-r3h4-6jhm)', null, null],
      [
        'security',
        'lodash GHSA-29mw-wpgm-hmr9',
        'lodash: Regular Expression Denial of Service (ReDoS) in lodash (high, GHSA-29mw-wpgm-hmr9)',
        null,
        null,
      ],
    ],
  ],
  [
    'cargo audit, pip-audit and Bandit',
    `Crate:     time
Version:   0.1.45
Title:     Potential segfault in the time crate
ID:        RUSTSEC-2020-0071
flask  0.5     PYSEC-2019-179 1.0
>> Issue: [B602:subprocess_popen_with_shell_equals_true] subprocess call with shell=True identified, security issue.
   Severity: High   Confidence: High
   CWE: CWE-78 (https://cwe.mitre.org/data/definitions/78.html)
   Location: ./run.py:4:0`,
    [
      ['security', 'B602', 'subprocess call with shell=True identified, security issue.', './run.py', 4],
      ['security', 'RUSTSEC-2020-0071', 'time: Potential segfault in the time crate (RUSTSEC-2020-0071)', null, null],
      ['security', 'PYSEC-2019-179', 'flask  0.5     PYSEC-2019-179 1.0'.replaceAll(/\s+/g, ' '), null, null],
    ],
  ],
  [
    'what could be better',
    `✖ 12 problems (8 errors, 4 warnings)
  5 errors and 2 warnings potentially fixable with the \`--fix\` option.
(!) Some chunks are larger than 500 kB after minification. Consider:`,
    [
      ['improvement', 'eslint --fix', 'ESLint could mend 5 errors and 2 warnings by itself (--fix).', null, null],
      ['improvement', 'large-chunks', 'The build has chunks of more than 500 kB; they could be split.', null, null],
    ],
  ],
  ['nothing', 'ok\n 12 passing\n0 errors, 0 vulnerabilities\nFAIL is a word, and TypeError: is one too\n', []],
];

describe('what programs print', () => {
  test.each(outputs)('%s', (_, output, expected) => {
    expect(told(findingsIn(output))).toEqual(expected);
  });

  test('is no finding where it was only read', () => {
    const [[, output] = ['', '']] = outputs;
    expect(findingsIn(output).length).toBe(1);
    for (const command of ['cat log.txt', 'cd src && grep -rn FAIL . | head -5', 'git log -p', 'tail -100 out.txt; ls']) {
      expect(findingsIn(output, { input: { command } }), command).toEqual([]);
    }
    expect(findingsIn(output, { name: 'Read', input: { file_path: '/srv/tree/log.txt' } })).toEqual([]);
    expect(findingsIn(output, { name: 'command', input: { command: ['npm', 'test'] } }).length).toBe(1);
  });

  test('is the same finding whatever directory the run works in', () => {
    const output = '/other/place/src/a.py:3: DeprecationWarning: old';
    expect(examine(seenIn(used(output), '/other/place'))).toEqual(findingsIn('/srv/tree/src/a.py:3: DeprecationWarning: old'));
  });

  test('that is endless, or made to keep expressions busy, is looked at in no time and told in few findings', () => {
    const began = performance.now();
    for (const text of [
      'a'.repeat(64_000),
      'src/a.ts(1,7): error TS2322: x\n'.repeat(2_000),
      `${'('.repeat(500)}\n`.repeat(120),
      Array.from({ length: 2_000 }, (_, i) => `FAILED tests/test_${i}.py::test - no`).join('\n'),
      `${' '.repeat(499)}x\n`.repeat(120),
      `${'at '.repeat(160)}\n`.repeat(130),
      'Traceback (most recent call last):\n'.repeat(1_800),
      'TypeError: x\n'.repeat(4_900),
      '\u001b['.repeat(32_000),
      '\u001b]'.repeat(32_000),
      `# npm audit report\n${'a  b\n'.repeat(5_000)}`,
    ]) {
      expect(findingsIn(text).length).toBeLessThanOrEqual(30);
    }
    expect(performance.now() - began).toBeLessThan(10_000); // a hang, not a figure
  });

  test('takes long: a slow command is told, with what it was', () => {
    expect(told(findingsIn('', { durationMs: slowMs, input: { command: 'CI=1 npm test -- --all' } }))).toEqual([
      ['slow-command', 'npm test', 'It took 2.0 minutes: CI=1 npm test -- --all', null, null],
    ]);
    expect(findingsIn('', { name: 'Read', durationMs: slowMs })).toEqual([]);
  });
});

describe('what was written', () => {
  const write = (content: string, name = 'Write', input: object = { file_path: '/srv/tree/src/a.ts', content }): readonly Told[] =>
    told(findingsIn('', { name, failed: false, input }));

  test('says that there is more to do, in whatever language', () => {
    expect(write('const a = 1; // TODO: think about words\n# FIXME(me) broken\n/* XXX later */\n<!-- HACK -->')).toEqual([
      ['todo', 'src/a.ts think about words', 'TODO: think about words', 'src/a.ts', null],
      ['todo', 'src/a.ts broken', 'FIXME: broken', 'src/a.ts', null],
      ['todo', 'src/a.ts later', 'XXX: later', 'src/a.ts', null],
      ['todo', 'src/a.ts', 'HACK: nothing said', 'src/a.ts', null],
    ]);
  });

  test('is read from a change as well, whatever wrote it: what it adds, and nothing else', () => {
    const diff = `diff --git a/src/a.ts b/src/a.ts
index 1..2 100644
--- a/src/a.ts
+++ b/src/a.ts
@@ -1,3 +1,3 @@
 // TODO: stood there
-// TODO: done
+// TODO: new
++++ b/not/a/file // TODO: odd
diff --git a/b.py b/b.py
deleted file mode 100644
--- a/b.py
+++ /dev/null
-# TODO: gone with it`;
    expect(told(todosIn(diff))).toEqual([
      ['todo', 'src/a.ts new', 'TODO: new', 'src/a.ts', null],
      ['todo', 'src/a.ts odd', 'TODO: odd', 'src/a.ts', null],
    ]);
  });

  test('is no finding when it stood there before, when it is no comment, or when the file was not written', () => {
    const edit = { file_path: 'a.ts', old_string: '// TODO: old\nx', new_string: '// TODO: old\ny // TODO: new' };
    expect(write('', 'Edit', edit)).toEqual([['todo', 'a.ts new', 'TODO: new', 'a.ts', null]]);
    expect(write('', 'MultiEdit', { file_path: 'a.ts', edits: [edit, null, 5] })).toHaveLength(1);
    expect(write('readTODO(file); const s = "a TODO list";')).toEqual([]);
    expect(findingsIn('', { name: 'Write', failed: true, input: { file_path: 'a.ts', content: '// TODO: x' } })).toEqual([]);
  });
});

test('a finding holds no secret that a program printed', () => {
  const address = ['postgres://app:', 'gW7xQ2mK', '@db.internal/app'].join('');
  expect(findingsIn(`Error: cannot connect to ${address}\n    at connect (src/db.ts:3:5)`)).toMatchObject([
    { category: 'crash', message: 'Error: cannot connect to postgres://app:[secret]@db.internal/app' },
  ]);
});

test.each([
  ['npm test', 'npm test'],
  ['cd app && CI=1 npm test -- --run 2>&1 | tail -20', 'npm test'],
  ['npm run build:all -- --prod', 'npm run build:all'],
  ['python -m pytest -q tests', 'python -m pytest'],
  ['./check.sh -v', './check.sh'],
  ['node --test', 'node'],
  ['', ''],
])('the head of %j is %j', (command, head) => expect(headOf(command)).toBe(head));
