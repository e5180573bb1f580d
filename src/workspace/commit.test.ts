import { chmodSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { failure, GitWorld, git, value, write } from '../../test/support/git-world.ts';
import { setTip } from '../store/workspaces.ts';
import { commitAll, moveBranch, withTrailers } from './commit.ts';
import { diff } from './diff.ts';
import { takeSnapshot } from './snapshot.ts';
import type { Workspace } from './workspace.ts';

let world: GitWorld;
beforeEach(async () => {
  world = await GitWorld.open();
});
afterEach(() => world.remove());

const commit = (workspace: Workspace, message?: string) => commitAll(world.git, workspace, world.wish(message), world.stop.signal);

describe('a commit', () => {
  test('holds what is there and not ignored, under our name, with the task in a trailer', async () => {
    const source = world.checkout('app', { 'a.txt': 'a\n', 'gone.txt': 'x\n', '.gitignore': 'build/\n', 'build/kept.txt': 'tracked\n' });
    const workspace = await world.workspace(source);
    rmSync(join(workspace.tree, 'gone.txt'));
    write(workspace.tree, { 'a.txt': 'b\n', 'new/deep.txt': 'n\n', 'build/out.txt': 'ignored\n', 'build/kept.txt': 'changed\n' });
    const { commit: id, created } = value(
      await commitAll(
        world.git,
        workspace,
        { ...world.wish('Fix it'), trailers: { 'Nightshift-Run': workspace.runId } },
        world.stop.signal,
      ),
    );
    expect(created).toBe(true);
    expect(git(workspace.gitDir, 'ls-tree', '-r', '--name-only', id).split('\n')).toEqual([
      '.gitignore',
      'a.txt',
      'build/kept.txt',
      'new/deep.txt',
    ]);
    expect(git(workspace.gitDir, 'log', '-1', '--format=%an <%ae>|%cn|%at|%P|%s|%(trailers)', id)).toBe(
      `Nightshift <nightshift@example.org>|Nightshift|1767225600|${workspace.baseCommit}|Fix it|Nightshift-Task: ${workspace.taskId}\nNightshift-Run: ${workspace.runId}`,
    );
    expect(git(workspace.gitDir, 'rev-parse', workspace.branch)).toBe(id);
  });

  test('leaves the index and the commits of the agent alone, and takes what the agent committed', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    write(workspace.tree, { 'committed.txt': 'c\n', 'staged.txt': 's\n', 'loose.txt': 'l\n' });
    git(workspace.tree, 'add', 'committed.txt');
    git(workspace.tree, 'commit', '-qm', 'by the agent');
    git(workspace.tree, 'add', 'staged.txt');
    const before = [
      git(workspace.tree, 'status', '--porcelain'),
      git(workspace.tree, 'rev-parse', 'HEAD'),
      readFileSync(join(workspace.tree, '.git/index')),
    ];
    const { commit: id } = value(await commit(workspace));
    expect([
      git(workspace.tree, 'status', '--porcelain'),
      git(workspace.tree, 'rev-parse', 'HEAD'),
      readFileSync(join(workspace.tree, '.git/index')),
    ]).toEqual(before);
    expect(git(workspace.gitDir, 'diff', '--name-only', workspace.baseCommit, id).split('\n')).toEqual([
      'committed.txt',
      'loose.txt',
      'staged.txt',
    ]);
    expect(git(workspace.gitDir, 'rev-list', '--count', `${workspace.baseCommit}..${id}`)).toBe('1');
  });

  test('is not made of nothing, not even of touched files', async () => {
    const workspace = await world.workspace(world.checkout('app', { 'a.txt': 'a\n' }));
    writeFileSync(join(workspace.tree, 'a.txt'), 'a\n');
    expect(failure(await commit(workspace)).code).toBe('nothing-to-commit');
    expect(git(workspace.gitDir, 'for-each-ref', 'refs/heads')).toBe('');
  });

  test('made before a crash is recognised, whether its tip was stored or not', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    write(workspace.tree, { 'b.txt': 'b\n' });
    const first = value(await commit(workspace));
    writeFileSync(`${workspace.index}.lock`, '');
    expect(value(await commit(workspace, 'other words'))).toEqual({ ...first, created: false });
    await world.store.write((tx) => setTip(tx, workspace.id, first.commit));
    const reread = await world.workspaces.find(workspace.id);
    expect(value(await commit(reread as Workspace))).toEqual({ ...first, created: false });
    expect(git(workspace.gitDir, 'rev-list', '--count', `${workspace.baseCommit}..${workspace.branch}`)).toBe('1');

    write(workspace.tree, { 'c.txt': 'c\n' });
    const second = value(await commit(reread as Workspace));
    expect(git(workspace.gitDir, 'rev-parse', `${second.commit}^`)).toBe(first.commit);
  });

  test('goes on from the last one, whichever copy of the workspace is held', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    const step = async (text: string): Promise<string> => {
      write(workspace.tree, { 'b.txt': text });
      return value(await world.workspaces.commit(workspace, world.wish(text), world.stop.signal)).commit;
    };
    const commits = [await step('1\n'), await step('2\n'), await step('3\n')];
    expect(git(workspace.gitDir, 'rev-list', '--reverse', `${workspace.baseCommit}..${workspace.branch}`).split('\n')).toEqual(commits);
    const changes = value(await world.workspaces.changes(workspace, join(world.root, 'p'), world.stop.signal));
    expect(changes).toMatchObject({ additions: 1, files: [{ path: 'b.txt', kind: 'added' }], leftOut: [] });
    const [first, second] = await Promise.all([
      world.workspaces.changes(workspace, join(world.root, 'p1'), world.stop.signal),
      world.workspaces.commit(workspace, world.wish(), world.stop.signal),
    ]);
    expect([first.ok, second.ok && second.value.created]).toEqual([true, false]);
  });

  test('killed in the middle leaves nothing that stops the next try', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    write(workspace.tree, Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`f${i}.txt`, `${i}\n`.repeat(500)])));
    for (const after of [0, 5, 10, 20, 40]) {
      const stop = new AbortController();
      const going = commitAll(world.git, workspace, world.wish(), stop.signal);
      await new Promise<void>((resolve) => world.clock.after(after, resolve));
      stop.abort();
      const outcome = await going;
      if (!outcome.ok) expect(outcome.failure.code).toBe('cancelled');
    }
    const { tree } = value(await commit(workspace));
    expect(git(workspace.gitDir, 'ls-tree', '-r', '--name-only', tree).split('\n')).toHaveLength(201);
    expect(git(workspace.gitDir, 'rev-list', '--count', `${workspace.baseCommit}..${workspace.branch}`)).toBe('1');
  });

  test('moves a branch only from where it was thought to be', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    const move = (to: string | null, from: string | null, name = 'nightshift/x') =>
      moveBranch(world.git, workspace.gitDir, name, to, from, world.stop.signal);
    const { baseCommit } = workspace;
    expect((await move(baseCommit, null)).ok).toBe(true);
    expect(failure(await move(baseCommit, null)).code).toBe('non-fast-forward');
    expect(failure(await move(baseCommit, 'a'.repeat(40))).code).toBe('non-fast-forward');
    expect(failure(await move(baseCommit, null, '--delete')).code).toBe('invalid-ref');
    expect((await move(null, baseCommit)).ok).toBe(true);
  });

  test('takes a file that was as long before, and of one that has become too long the version from before', async () => {
    const long = 'x'.repeat(51 * 2 ** 20);
    const source = world.checkout('app', { 'long.txt': long, 'short.txt': 'short\n' });
    const workspace = await world.workspace(source);
    write(workspace.tree, { 'long.txt': `${long}more\n`, 'short.txt': long, 'new.txt': long });
    const snapshot = value(await takeSnapshot(world.git, workspace, world.stop.signal));
    expect(snapshot.tooBig.toSorted()).toEqual(['new.txt', 'short.txt']);
    const sizes = git(workspace.gitDir, 'ls-tree', '-l', snapshot.tree).replaceAll(/\S+ blob \S+ +/g, '');
    expect(sizes.trim().split('\n')).toEqual([`${long.length + 5}\tlong.txt`, '6\tshort.txt']);
  });

  test('has its trailers as a last paragraph that nobody else can write', () => {
    expect(withTrailers('Subject\n\nBody\r\nNightshift-Task: tsk_forged\n', { 'Nightshift-Task': 'tsk_1' })).toBe(
      'Subject\n\nBody\n> Nightshift-Task: tsk_forged\n\nNightshift-Task: tsk_1\n',
    );
    expect(withTrailers('\0  \n', { A: 'x\ny' })).toBe('Work by Nightshift\n\nA: x y\n');
  });
});

describe('a diff', () => {
  const between = async (workspace: Workspace, limits: { previewBytes?: number; fileBytes?: number } = {}) => {
    const { tree } = value(await takeSnapshot(world.git, workspace, world.stop.signal));
    const patchFile = join(world.root, 'result.patch');
    const wish = { gitDir: workspace.gitDir, from: workspace.baseCommit, to: tree, patchFile, ...limits };
    return { ...value(await diff(world.git, wish, world.stop.signal)), patchFile };
  };

  test('tells renames, modes, binaries, links and counts, and its file can be applied', async () => {
    const text = Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join('');
    const source = world.checkout('app', {
      'old name.txt': text,
      'run.sh': 'true\n',
      'image.bin': '\0\x01\x02',
      'a.txt': 'a\nb\n',
      'gone.txt': 'x\n',
    });
    const workspace = await world.workspace(source);
    rmSync(join(workspace.tree, 'old name.txt'));
    rmSync(join(workspace.tree, 'gone.txt'));
    write(workspace.tree, { 'new/näme.txt': `${text}more\n`, 'image.bin': '\0\x03', 'a.txt': 'a\nc\nd\n', empty: '' });
    chmodSync(join(workspace.tree, 'run.sh'), 0o755);
    symlinkSync('a.txt', join(workspace.tree, 'link'));
    const found = await between(workspace);
    const of = (path: string): unknown => found.files.find((file) => file.path === path);
    expect(of('new/näme.txt')).toMatchObject({ kind: 'renamed', from: 'old name.txt', additions: 1, deletions: 0 });
    expect(of('run.sh')).toMatchObject({ kind: 'modified', oldMode: '100644', newMode: '100755', additions: 0 });
    expect(of('image.bin')).toMatchObject({ binary: true, additions: null, deletions: null });
    expect(of('a.txt')).toMatchObject({ additions: 2, deletions: 1 });
    expect(of('gone.txt')).toMatchObject({ kind: 'deleted', newMode: '000000' });
    expect(of('link')).toMatchObject({ kind: 'added', newMode: '120000' });
    expect(of('empty')).toMatchObject({ kind: 'added', additions: 0 });
    expect(found).toMatchObject({ additions: 4, deletions: 2, truncated: false, fileTruncated: false });
    expect(readFileSync(found.patchFile, 'utf8')).toBe(found.patch);

    git(source, 'apply', '--index', found.patchFile);
    expect(git(source, 'write-tree')).toBe(value(await takeSnapshot(world.git, workspace, world.stop.signal)).tree);
  });

  test('that is huge is shown in part and kept in a file, which has an end as well', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    write(workspace.tree, { 'big.txt': 'a line of text\n'.repeat(100_000) });
    const shown = await between(workspace, { previewBytes: 10_000 });
    expect(shown).toMatchObject({ truncated: true, fileTruncated: false, additions: 100_000 });
    expect(shown.patch.length).toBeLessThanOrEqual(10_000);
    expect(shown.patch.endsWith('\n')).toBe(true);
    expect(readFileSync(shown.patchFile).length).toBe(shown.patchBytes);
    const cut = await between(workspace, { previewBytes: 10_000, fileBytes: 50_000 });
    expect(cut).toMatchObject({ truncated: true, fileTruncated: true, patchBytes: 50_000 });
  });

  test('of nothing is empty', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    expect(await between(workspace)).toMatchObject({ files: [], patch: '', truncated: false, patchBytes: 0 });
    expect(existsSync(join(world.root, 'result.patch'))).toBe(true);
  });
});
