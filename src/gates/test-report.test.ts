import { describe, expect, test } from 'vitest';
import { countsIn } from './test-report.ts';

describe('the counts of a test run', () => {
  test.each([
    [
      'node:test as TAP',
      '1..4\n# tests 4\n# suites 0\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 1\n# duration_ms 139.7101\n',
      [1, 1, 1],
    ],
    [
      'node:test as text',
      'ℹ tests 4\nℹ suites 0\nℹ pass 1\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1\nℹ todo 1\nℹ duration_ms 107.407781\n',
      [1, 1, 1],
    ],
    ['node:test that ran into a timeout', 'ℹ tests 3\nℹ pass 1\nℹ fail 0\nℹ cancelled 2\nℹ skipped 0\n', [1, 2, 0]],
    ['node:test in several packages', '# pass 3\n# fail 0\n# skipped 0\n> b@1 test\n# pass 2\n# fail 1\n# skipped 4\n', [5, 1, 4]],
    ['vitest', ' Test Files  1 failed (1)\n      Tests  1 failed | 1 passed | 1 skipped | 1 todo (4)\n   Start at  13:27:23\n', [1, 1, 1]],
    [
      'vitest in colours',
      '\u001b[2m Test Files \u001b[22m \u001b[1m\u001b[31m1 failed\u001b[39m\u001b[22m\u001b[90m (1)\u001b[39m\n' +
        '\u001b[2m      Tests \u001b[22m \u001b[1m\u001b[31m1 failed\u001b[39m\u001b[22m\u001b[2m | \u001b[22m\u001b[1m\u001b[32m1 passed\u001b[39m\u001b[22m\u001b[90m (2)\u001b[39m\n',
      [1, 1, 0],
    ],
    [
      'jest',
      'Test Suites: 1 failed, 2 passed, 3 total\nTests:       1 failed, 2 skipped, 7 passed, 10 total\nSnapshots:   0 total\nTime:        1.2 s\n',
      [7, 1, 2],
    ],
    ['pytest', 'ERROR test_a.py::test_d - Exception: x\n========= 1 failed, 1 passed, 1 skipped, 1 error in 0.12s =========\n', [1, 2, 1]],
    ['a long pytest', '=== 5 passed, 1 deselected, 2 warnings in 63.02s (0:01:03) ===\n', [5, 0, 0]],
    ['pytest -q', 'FAILED test_a.py::test_b - assert 1 == 2\n1 failed, 1 passed, 1 skipped in 0.10s\n', [1, 1, 1]],
    ['pytest that skips everything', '============ 1 skipped, 3 deselected in 0.01s ============\n', [0, 0, 1]],
    [
      'cargo, which has several results',
      'test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n' +
        'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n',
      [2, 1, 1],
    ],
    ['mocha', '  a shift\n    ✔ covers\n\n\n  2 passing (5ms)\n  1 pending\n  1 failing\n\n  1) a shift\n', [2, 1, 1]],
    [
      'go test -v',
      '=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n    b_test.go:4: no\n--- FAIL: TestB (0.00s)\n--- SKIP: TestC (0.00s)\nFAIL\n',
      [1, 1, 1],
    ],
  ])('of %s', (_name, output, [passed, failed, skipped]) => {
    expect(countsIn(output)).toEqual({ passed, failed, skipped });
    expect(countsIn(`> sample@1.0.0 test\n\n${output}npm error code 1\n`)).toEqual({ passed, failed, skipped });
  });

  test.each([
    ['nothing', ''],
    ['prose', 'All 3 tests passed.\nTests: all passed, none failed\nHe is passing 3 exams\n3 passing grades\n1 failed attempt in a row\n'],
    ['a build', 'Compiled 3 files in 2s\n# pass the salt\nerror: 2 failed\n'],
    [
      'go test without -v, which tells only of what failed',
      '--- FAIL: TestB (0.00s)\n    b_test.go:4: no\nFAIL\tsample\t0.003s\nok  \tother\t0.002s\n',
    ],
    ['vitest without tests', ' Test Files  no tests\n      Tests  no tests\n'],
  ])('are not made up from %s', (_name, output) => {
    expect(countsIn(output)).toBeNull();
  });
});

test.each([
  ['lines with nothing in them', '\n'.repeat(100_000)],
  ['a line without end', `Tests: 1 ${'1'.repeat(99_000)}`],
  ['digits without end', `Tests: ${'1'.repeat(90_000)} total`],
])('the counts are given up for %s, which would keep the server busy', (_, output) => {
  expect(countsIn(output)).toBeNull();
});
