import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { git, write } from '../../test/support/git-world.ts';
import type { Scope } from './scope.ts';

/** A few files with a commit, as a person has it. */
export function makeSmallRepository(scope: Scope): string {
  const directory = mkdtempSync(join(tmpdir(), 'nightshift-bench-repository-'));
  scope.onEnd(() => rmSync(directory, { recursive: true, force: true }));
  git(directory, 'init', '--quiet', '--initial-branch=main');
  write(directory, Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`src/file-${n}.txt`, `This is file ${n}.\n`.repeat(20)])));
  git(directory, 'add', '--all');
  git(directory, 'commit', '--quiet', '-m', 'first');
  return directory;
}
