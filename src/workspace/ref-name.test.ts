import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { branchFor, isBranchName } from './ref-name.ts';

function gitAccepts(name: string): boolean {
  try {
    execFileSync('git', ['check-ref-format', '--branch', name], { stdio: 'ignore', cwd: '/' });
    return true;
  } catch {
    return false;
  }
}

describe('names of branches', () => {
  test.each(['main', 'feature/x', 'a.b', 'v1.2', 'ä/ö', 'nightshift/tsk_1-fix', 'a@b'])('%s is one', (name) => {
    expect([isBranchName(name), gitAccepts(name)]).toEqual([true, true]);
  });

  test.each([
    '',
    '-x',
    '--upload-pack=x',
    'HEAD',
    '@',
    'a..b',
    '../a',
    '.a',
    'a/.b',
    'a.lock',
    'a.lock/b',
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a?',
  ])('%j is none', (name) => {
    expect(isBranchName(name)).toBe(false);
  });

  test.each(['a*', 'a[b', 'a\\b', 'a@{1}', '/a', 'a/', 'a//b', 'a.', 'a\nb', 'a\0b', 'a\x7f', 'x'.repeat(300), '\ud800'])(
    '%j is none',
    (name) => {
      expect(isBranchName(name)).toBe(false);
    },
  );

  test('whatever is accepted, git accepts', () => {
    const likely = fc
      .array(fc.constantFrom('a', '/', '.', '..', '-', '@', '{', '~', '.lock', 'HEAD', ' ', 'ü', '\\', ':'), { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(likely, (name) => {
        fc.pre(isBranchName(name));
        expect(gitAccepts(name)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('every title gives a valid branch', () => {
    const anything = fc.string({ unit: 'binary', maxLength: 200 });
    fc.assert(
      fc.property(anything, anything, (task, title) => {
        expect(isBranchName(branchFor(task, title))).toBe(true);
        expect(branchFor(task, title)).toMatch(/^nightshift\/\w/);
      }),
      { numRuns: 2_000 },
    );
    expect(branchFor('tsk_01', 'Fix: the café’s `..` test!')).toBe('nightshift/tsk_01-fix-the-cafe-s-test');
    expect(branchFor('tsk_01', '日本語')).toBe('nightshift/tsk_01');
  });
});
