import { expect, test } from 'vitest';
import { asksForGreen } from './asks-for-green.ts';

test.each([
  'Fix the failing tests',
  'make sure that all tests pass',
  'The suite is red since Tuesday.\nFind out why.',
  'Add an export\n\nThe unit tests should be green afterwards.',
  'Workflow build fails on main',
  'Repair CI',
  'Get the integration tests to pass',
  'make test fails with 2 failures in the suite',
  'test_sum in tests/test_sum.py is failing: the test expects 5',
])('%j asks for green tests', (text) => {
  expect(asksForGreen(text, 'tests')).toBe(true);
});

test.each([
  'Add an export named more',
  'Write a test for sum',
  'Fix the crash in the parser and add a test',
  'Handle errors of the upload, and test that',
  'Write a test for the failing payment',
  'Rename the failing payment state to declined',
  'Fix the typo in the README. Tests are written in vitest.',
  'Improve the greenhouse page and its testimonials',
  '',
])('%j does not', (text) => {
  expect(asksForGreen(text, 'tests')).toBe(false);
});

test('each gate has words of its own', () => {
  expect(asksForGreen('The build is broken', 'build')).toBe(true);
  expect(asksForGreen('The build is broken', 'tests')).toBe(false);
  expect(asksForGreen('Fix all type errors', 'types')).toBe(true);
  expect(asksForGreen('clean up what the linter complains of', 'lint')).toBe(true);
  expect(asksForGreen('Mend the warnings of eslint', 'lint')).toBe(true);
  expect(asksForGreen('Fix the failing tests', 'changed')).toBe(false);
});

test('a text without end is read as far as it matters', () => {
  expect(asksForGreen(`${'test '.repeat(200_000)}`, 'tests')).toBe(false);
  expect(asksForGreen(`${'x\n'.repeat(50_000)}fix the tests`, 'tests')).toBe(false);
});
