import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GitWorld, value, write } from '../../test/support/git-world.ts';
import { changedLines, eachAddedLine } from './diff.ts';
import { openTree, treeWithOld } from './tree.ts';
import type { Workspace } from './workspace.ts';

const before = { 'a.txt': 'a\n', 'src/b.txt': 'b\n', 'gone.txt': 'x\n', '.gitignore': 'kept/\n' };

describe('the files of a workspace', () => {
  let world: GitWorld;
  let workspace: Workspace;
  let tree: string;

  beforeEach(async () => {
    world = await GitWorld.open();
    workspace = await world.workspace(world.checkout('app', before));
    write(workspace.tree, {
      'a.txt': 'mine\n',
      'new/c.txt': 'c\n',
      'kept/cache.txt': 'ignored\n',
      'deps/d.txt': 'ignored too\n',
      '.gitignore': 'kept/\ndeps/\n',
    });
    rmSync(join(workspace.tree, 'gone.txt'));
    tree = value(await world.workspaces.snapshot(workspace, world.stop.signal)).tree;
  });
  afterEach(() => world.remove());

  const files = (): Readonly<Record<string, string>> =>
    Object.fromEntries(
      readdirSync(workspace.tree, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !join(entry.parentPath, entry.name).includes('/.git/'))
        .map((entry) => {
          const path = join(entry.parentPath, entry.name);
          return [path.slice(workspace.tree.length + 1), readFileSync(path, 'utf8')] as const;
        })
        .toSorted(),
    );
  const mine = {
    '.gitignore': 'kept/\ndeps/\n',
    'a.txt': 'mine\n',
    'deps/d.txt': 'ignored too\n',
    'kept/cache.txt': 'ignored\n',
    'new/c.txt': 'c\n',
    'src/b.txt': 'b\n',
  };
  const preserve = <T>(work: () => Promise<T>): ReturnType<typeof world.workspaces.preserve<T>> =>
    world.workspaces.preserve(workspace, tree, work, world.stop.signal);

  test('are as they were after something wrote among them; what is ignored stays as it became', async () => {
    const done = await preserve(async () => {
      write(workspace.tree, { 'a.txt': 'spoilt\n', 'made/by/it.txt': 'x\n', 'kept/cache.txt': 'newer\n', '.gitignore': '' });
      rmSync(join(workspace.tree, 'src'), { recursive: true });
      return 'done';
    });
    expect(value(done)).toBe('done');
    expect(files()).toEqual({ ...mine, 'kept/cache.txt': 'newer\n' });
    expect(value(await world.workspaces.snapshot(workspace, world.stop.signal)).tree).toBe(tree);
  });

  test('can be those of the base in between, with what is ignored where it was', async () => {
    let seen = {};
    value(
      await preserve(async () => {
        value(await world.workspaces.swap(workspace, workspace.baseCommit, world.stop.signal));
        seen = files();
        write(workspace.tree, { 'report.txt': 'x\n' });
      }),
    );
    expect(seen).toEqual({ ...before, 'kept/cache.txt': 'ignored\n', 'deps/d.txt': 'ignored too\n' });
    expect(files()).toEqual(mine);
  });

  test('are as they were when it fails, or is called off', async () => {
    await expect(
      preserve(async () => {
        write(workspace.tree, { 'a.txt': 'spoilt\n' });
        world.stop.abort();
        throw new Error('broken');
      }),
    ).rejects.toThrow('broken');
    expect(files()).toEqual(mine);
  });

  test('come back when the server died in between and the next run takes the workspace over', async () => {
    await new Promise<void>((died) => {
      void preserve(async () => {
        value(await world.workspaces.swap(workspace, workspace.baseCommit, world.stop.signal));
        write(workspace.tree, { 'report.txt': 'x\n' });
        died();
        return new Promise(() => undefined);
      });
    });
    expect(existsSync(join(workspace.tree, 'new/c.txt'))).toBe(false);
    const lock = join(workspace.gitDir, 'refs/nightshift/workspaces', workspace.id, 'work.lock');
    writeFileSync(lock, ''); // as the git has left it that was killed
    await world.checkouts.stop();
    await world.start();
    await world.endRun(workspace.runId, 'lost');
    const next = await world.run(workspace.taskId);
    expect(await world.workspaces.resume(workspace.taskId, next.runId)).toMatchObject({ id: workspace.id });
    expect(files()).toEqual(mine);
    expect(value(await preserve(async () => 'again'))).toBe('again');
  });

  test('are not looked for behind a link that took the place of a directory', async () => {
    const outside = join(world.root, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'b.txt'), 'theirs\n');
    value(
      await preserve(async () => {
        rmSync(join(workspace.tree, 'src'), { recursive: true });
        symlinkSync(outside, join(workspace.tree, 'src'));
      }),
    );
    expect(files()).toEqual(mine);
    expect(readdirSync(outside)).toEqual(['b.txt']);
    expect(readFileSync(join(outside, 'b.txt'), 'utf8')).toBe('theirs\n');
  });

  test('are mixed with those of before, also where a git was killed at that', async () => {
    writeFileSync(join(workspace.path, 'mixed-index.lock'), '');
    const mixture = { tree, old: workspace.baseCommit, paths: ['a.txt', 'gone.txt', 'new/c.txt'] };
    const mixed = value(await treeWithOld(world.git, workspace, mixture, world.stop.signal));
    const { read } = value(await openTree(world.git, workspace.gitDir, mixed, world.stop.signal));
    expect(await Promise.all(['a.txt', 'gone.txt', 'new/c.txt', '.gitignore'].map(read))).toEqual(['a\n', 'x\n', 'c\n', 'kept/\ndeps/\n']);
    expect(readdirSync(workspace.path)).not.toContain('mixed-index');
  });

  test('are told line by line, whatever they are named and whatever is in them', async () => {
    write(workspace.tree, {
      'a.txt': '--- a/nothing\n+++ b/nothing\n@@ -1 +1 @@\n',
      'with blank "and quotes" ä\t.txt': 'eins\nzwei',
      'binary.bin': 'x\0y\n',
      'long.txt': `${'z'.repeat(10_000)}\nend\n`,
    });
    const to = value(await world.workspaces.snapshot(workspace, world.stop.signal)).tree;
    const range = { gitDir: workspace.gitDir, from: workspace.baseCommit, to };
    const all = value(await changedLines(world.git, { ...range, maxLines: 100, maxBytes: 1e6 }, world.stop.signal));
    const told = (path: string): readonly unknown[] =>
      all.lines.filter((each) => each.path === path).map(({ kind, line, text }) => [kind, line, text]);
    expect(all.truncated).toBe(false);
    expect(told('a.txt')).toEqual([
      ['removed', 1, 'a'],
      ['added', 1, '--- a/nothing'],
      ['added', 2, '+++ b/nothing'],
      ['added', 3, '@@ -1 +1 @@'],
    ]);
    expect(told('gone.txt')).toEqual([['removed', 1, 'x']]);
    expect(told('with blank "and quotes" ä\t.txt')).toEqual([
      ['added', 1, 'eins'],
      ['added', 2, 'zwei'],
    ]);
    expect(told('binary.bin')).toEqual([['added', 1, 'x\0y']]);
    expect(told('long.txt').map((each) => String((each as unknown[])[2]).length)).toEqual([4_095, 3]);
    expect(value(await changedLines(world.git, { ...range, maxLines: 2, maxBytes: 1e6 }, world.stop.signal))).toMatchObject({
      lines: { length: 2 },
      truncated: true,
    });
  });

  test('are looked at to the end of their longest line, in pieces that overlap', async () => {
    const long = Array.from({ length: 30_000 }, (_, at) => `${at} `).join('');
    write(workspace.tree, { 'a.txt': 'a\nb', 'long.txt': `${long}\nend\n`, 'z.txt': long });
    const to = value(await world.workspaces.snapshot(workspace, world.stop.signal)).tree;
    const pieces = new Map<string, string[]>();
    const range = { gitDir: workspace.gitDir, from: workspace.baseCommit, to };
    value(
      await eachAddedLine(
        world.git,
        range,
        ({ path, line, text }) =>
          void (pieces.get(`${path}:${line}`) ?? pieces.set(`${path}:${line}`, []).get(`${path}:${line}`))?.push(text),
        world.stop.signal,
      ),
    );
    expect(pieces.get('a.txt:2')).toEqual(['b']);
    expect(pieces.get('long.txt:2')).toEqual(['end']);
    for (const place of ['long.txt:1', 'z.txt:1']) {
      const of = pieces.get(place) ?? [];
      expect(Math.max(...of.map((piece) => piece.length))).toBeLessThanOrEqual(4_096);
      const [first = '', ...rest] = of;
      expect(rest.reduce((whole, piece) => whole + piece.slice(1_024), first)).toBe(long);
      expect(of.every((piece, at) => at === 0 || of[at - 1]?.endsWith(piece.slice(0, 1_024)))).toBe(true);
    }
  });
});
