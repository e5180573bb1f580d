import { expect, test } from 'vitest';
import { failuresIn } from './failures.ts';

test.each<[string, string, readonly string[]]>([
  [
    'node:test as text',
    '✔ a (0.5ms)\n✖ adds (1.2ms)\n  ✖ inner one (0.1ms)\nℹ fail 2\n\n✖ failing tests:\n\n✖ adds (1.2ms)\n',
    ['adds', 'inner one'],
  ],
  ['node:test as TAP', 'ok 1 - a\nnot ok 2 - adds\n    not ok 1 - inner one\n# fail 2\n', ['adds', 'inner one']],
  ['vitest', ' FAIL  src/a.test.ts > sum > adds\n   × adds 3ms\n', ['src/a.test.ts > sum > adds', 'adds']],
  ['vitest in colours', '\u001b[31m FAIL \u001b[39m src/a.test.ts > adds\n', ['src/a.test.ts > adds']],
  ['jest', '  ● sum › adds\n\n    expect(received)\n', ['sum › adds']],
  ['pytest', 'FAILED a/test_b.py::test_c - assert 1 == 2\nERROR a/test_d.py::test_e - x\n', ['a/test_b.py::test_c', 'a/test_d.py::test_e']],
  ['unittest', 'FAIL: test_a (mod.Case.test_a)\n', ['test_a (mod.Case.test_a)']],
  ['go', '--- FAIL: TestB (0.00s)\n    --- FAIL: TestB/inner (0.00s)\n', ['TestB', 'TestB/inner']],
  ['cargo', 'test tests::adds ... FAILED\ntest tests::b ... ok\n', ['tests::adds']],
  ['mocha', '  sum\n    1) adds\n\n  1 passing (5ms)\n  1 failing\n\n  1) sum\n', ['adds', 'sum']],
  ['maven', '[ERROR]   SumTest.adds:12 expected: <5> but was: <1>\n', ['SumTest.adds']],
  ['gradle', 'SumTest > adds() FAILED\n', ['SumTest > adds()']],
  ['prose', 'The build failed.\n1) first\nFAILED\nerror: no\n', []],
])('the tests that failed are named by %s', (_name, output, names) => {
  expect([...failuresIn(output)]).toEqual(names);
});
