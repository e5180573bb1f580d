import { existsSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GitWorld, git, value, write } from '../../test/support/git-world.ts';
import type { Workspace } from './workspace.ts';

const MB = 2 ** 20;

/** As long as it says, and nothing on the disk. */
function hole(path: string, bytes: number): void {
  writeFileSync(path, '');
  truncateSync(path, bytes);
}

describe('files that are too big to be anybody’s work', () => {
  let world: GitWorld;
  let workspace: Workspace;

  beforeEach(async () => {
    world = await GitWorld.open();
    const source = world.checkout('app', { 'a.txt': 'a\n' });
    hole(join(source, 'long.bin'), 51 * MB);
    world.commitTo(source, {});
    workspace = await world.workspace(source);
  });
  afterEach(() => world.remove());

  const taken = async (): Promise<{ readonly files: string; readonly tooBig: readonly string[] }> => {
    const { tree, tooBig } = value(await world.workspaces.snapshot(workspace, world.stop.signal));
    return { files: git(workspace.gitDir, 'ls-tree', '-r', '--name-only', tree), tooBig };
  };

  test('are told, and never read: a hole of a terabyte is one', async () => {
    hole(join(workspace.tree, 'hole.bin'), 2 ** 40);
    write(workspace.tree, { 'b.txt': 'b\n' });
    expect(await taken()).toEqual({ files: 'a.txt\nb.txt\nlong.bin', tooBig: ['hole.bin'] });
  });

  test('are not what is ignored, of which each is told with the rule that does it', async () => {
    write(workspace.tree, {
      '.gitignore': 'out/\n',
      'out/a/b.js': '',
      'lib/.gitignore': '*\n',
      'lib/c.js': '',
      'lib/ü/d.js': '',
      'lib/:(x)e.js': '',
    });
    expect((await taken()).files).toBe('.gitignore\na.txt\nlong.bin');
    const ignored = value(await world.workspaces.ignored(workspace, world.stop.signal));
    expect(ignored.map(({ path, by, pattern }) => `${path} ${by} ${pattern}`)).toEqual([
      'lib/ lib/.gitignore *',
      'lib/.gitignore lib/.gitignore *',
      'lib/:(x)e.js lib/.gitignore *',
      'lib/c.js lib/.gitignore *',
      'lib/ü/ lib/.gitignore *',
      'out/ .gitignore out/',
    ]);
  });

  test('are told in the place of one that git knows, which stays in the tree as it was', async () => {
    const before = (await taken()).files;
    hole(join(workspace.tree, 'a.txt'), 2 ** 40);
    expect(await taken()).toEqual({ files: before, tooBig: ['a.txt'] });
    write(workspace.tree, { 'a.txt': 'again\n' });
    expect(await taken()).toEqual({ files: 'a.txt\nlong.bin', tooBig: [] });
  });

  test('may be many that are too much together', async () => {
    for (let each = 1; each <= 7; each++) hole(join(workspace.tree, `hole-${each}.bin`), 40 * MB);
    expect((await taken()).tooBig).toEqual(['hole-7.bin']);
  });

  test('are not those that were there before, and were only touched', async () => {
    utimesSync(join(workspace.tree, 'long.bin'), new Date(0), new Date(0));
    expect(await taken()).toEqual({ files: 'a.txt\nlong.bin', tooBig: [] });
  });

  test('are gone again when a check has left them', async () => {
    const { tree } = value(await world.workspaces.snapshot(workspace, world.stop.signal));
    const check = async (): Promise<void> => {
      hole(join(workspace.tree, 'hole.bin'), 2 ** 40);
      hole(join(workspace.tree, 'long.bin'), 2 ** 40);
    };
    value(await world.workspaces.preserve(workspace, tree, check, world.stop.signal));
    expect(existsSync(join(workspace.tree, 'hole.bin'))).toBe(false);
    expect(statSync(join(workspace.tree, 'long.bin')).size).toBe(51 * MB);
    expect((await taken()).tooBig).toEqual([]);
  });
});
