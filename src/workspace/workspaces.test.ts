import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { serveGit } from '../../test/support/git-http.ts';
import { failure, GitWorld, git, repositoryAt, value, write } from '../../test/support/git-world.ts';
import { findWorkspace } from '../store/workspaces.ts';
import { commitAll } from './commit.ts';

describe('a workspace', () => {
  let world: GitWorld;
  let clock: ManualClock;

  beforeEach(async () => {
    clock = new ManualClock(Date.now());
    world = await GitWorld.open({ clock });
  });
  afterEach(() => world.remove());

  test('is a checkout of the default branch, on a branch of its own, with a repository for the agent', async () => {
    const source = world.checkout('app', { 'src/a.js': 'a\n', 'run.sh': 'true\n' });
    git(source, 'tag', 'v1');
    const workspace = await world.workspace(source, { title: 'Fix the test' });

    expect(readFileSync(join(workspace.tree, 'src/a.js'), 'utf8')).toBe('a\n');
    expect(workspace).toMatchObject({ status: 'active', ref: 'main', baseCommit: git(source, 'rev-parse', 'HEAD') });
    expect(workspace.branch).toBe(`nightshift/${workspace.taskId}-fix-the-test`);
    expect(git(workspace.tree, 'status', '--porcelain=v1', '--branch')).toBe(`## ${workspace.branch}`);
    expect(git(workspace.tree, 'log', '--format=%s', 'origin/main')).toBe('first');
    expect(git(workspace.tree, 'describe', '--tags')).toBe('v1');
    expect(git(workspace.tree, 'remote')).toBe('');
    write(workspace.tree, { 'src/a.js': 'b\n' });
    git(workspace.tree, 'commit', '-qam', 'agent');
    expect(git(workspace.tree, 'fsck')).toBe('');
  });

  test('leaves the checkout of a person as it was, and the branch where they can fetch it', async () => {
    const source = world.checkout('app', { 'a.txt': 'a\n' });
    write(source, { 'a.txt': 'half-done\n', 'new.txt': 'mine\n' });
    const picture = (): unknown => [
      readdirSync(source, { recursive: true }).sort(),
      git(source, '--no-optional-locks', 'status', '--porcelain'),
      statSync(join(source, '.git/index')).mtimeMs,
      git(source, 'for-each-ref'),
    ];
    const before = picture();
    const workspace = await world.workspace(source);
    write(workspace.tree, { 'b.txt': 'b\n' });
    value(await commitAll(world.git, workspace, world.wish(), world.stop.signal));
    expect(picture()).toEqual(before);
    expect(readFileSync(join(workspace.tree, 'a.txt'), 'utf8')).toBe('a\n');
    git(source, 'fetch', workspace.gitDir, `${workspace.branch}:${workspace.branch}`);
    expect(git(source, 'show', `${workspace.branch}:b.txt`)).toBe('b');
  });

  test.each([
    ['a branch', 'feature/x', 'feature/x'],
    ['a tag', 'v1', 'v1'],
    ['a full reference', 'refs/heads/feature/x', 'feature/x'],
    ['a reference outside of branches', 'refs/pull/7/head', 'pull/7/head'],
  ])('begins at %s', async (_, ref, found) => {
    const source = world.checkout('app');
    git(source, 'checkout', '-qb', 'feature/x');
    const commit = world.commitTo(source, { 'x.txt': 'x\n' });
    git(source, 'tag', '-a', '-m', 'one', 'v1');
    git(source, 'update-ref', 'refs/pull/7/head', commit);
    git(source, 'checkout', '-q', 'main');
    expect(await world.workspace(source, { ref })).toMatchObject({ baseCommit: commit, ref: found });
  });

  test('begins at a commit, also where HEAD names no branch', async () => {
    const source = world.checkout('app');
    const first = git(source, 'rev-parse', 'HEAD');
    world.commitTo(source, { 'x.txt': 'x\n' });
    expect(await world.workspace(source, { ref: first })).toMatchObject({ baseCommit: first });
    expect(await world.workspace(source, { ref: first.slice(0, 10) })).toMatchObject({ baseCommit: first });
    git(source, 'checkout', '-q', '--detach', first);
    expect(await world.workspace(source)).toMatchObject({ baseCommit: first });
  });

  test('is opened fifty times at once from one mirror', async () => {
    const source = world.checkout('app', Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}.txt`, `${i}\n`])));
    const opened = await Promise.all(Array.from({ length: 50 }, () => world.workspace(source)));
    expect(new Set(opened.map(({ tree }) => tree)).size).toBe(50);
    const committed = await Promise.all(
      opened.map(async (workspace, i) => {
        write(workspace.tree, { 'result.txt': `${i}\n` });
        return value(await commitAll(world.git, workspace, world.wish(), world.stop.signal)).commit;
      }),
    );
    expect(new Set(committed).size).toBe(50);
    expect(readdirSync(join(world.home, 'mirrors')).filter((name) => name.endsWith('.git'))).toHaveLength(1);
    const branches = git(opened[0]?.gitDir ?? '', 'for-each-ref', '--format=%(objectname)', 'refs/heads').split('\n');
    expect(new Set(branches)).toEqual(new Set(committed));
  });

  test('that cannot be opened leaves nothing but a row that says so', async () => {
    const source = world.checkout('app');
    const ids = await world.run();
    const real = world.checkouts.make;
    Object.assign(world.checkouts, {
      make: async (gitDir: string, commit: string, directory: string, signal: AbortSignal) => {
        await real(gitDir, commit, directory, signal);
        return { ok: false, failure: { code: 'disk-full', message: 'full', retryable: true } };
      },
    });
    expect(failure(await world.open(source, ids)).code).toBe('disk-full');
    expect(readdirSync(join(world.home, 'workspaces'))).toEqual([]);
    const rows = await world.store.read.selectFrom('workspaces').select(['status', 'git_dir']).execute();
    expect(rows.map(({ status }) => status)).toEqual(['removed']);
    expect(git(rows[0]?.git_dir ?? '', 'for-each-ref', 'refs/nightshift')).toBe('');
  });

  test('is not opened on a full disk', async () => {
    const source = world.checkout('app');
    mkdirSync(join(world.home, 'workspaces'), { recursive: true });
    await world.start({ minFreeBytes: Number.MAX_SAFE_INTEGER });
    expect(failure(await world.open(source, await world.run()))).toMatchObject({ code: 'disk-full', retryable: true });
  });

  describe('after its process died', () => {
    test('is taken over by the next run of its task, with the locks gone that git left', async () => {
      const source = world.checkout('app');
      const workspace = await world.workspace(source);
      write(workspace.tree, { 'half.txt': 'half\n', '.git/index.lock': '' });
      writeFileSync(`${workspace.index}.lock`, '');
      await world.endRun(workspace.runId, 'lost');
      await world.start();

      const next = await world.run(workspace.taskId);
      const resumed = await world.workspaces.resume(workspace.taskId, next.runId);
      expect(resumed).toMatchObject({ id: workspace.id, tree: workspace.tree, runId: next.runId });
      git(workspace.tree, 'add', 'half.txt');
      const committed = value(await commitAll(world.git, workspace, world.wish(), world.stop.signal));
      expect(git(workspace.gitDir, 'show', `${committed.commit}:half.txt`)).toBe('half');
    });

    test('is not taken from a run that is live, nor by two runs', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      // The database allows one live run per task, so the others stand for a bug.
      expect(await world.workspaces.resume(workspace.taskId, 'run_other')).toBeUndefined();
      await world.endRun(workspace.runId, 'lost');
      const next = await world.run(workspace.taskId);
      const both = await Promise.all([
        world.workspaces.resume(workspace.taskId, next.runId),
        world.workspaces.resume(workspace.taskId, next.runId),
      ]);
      expect(both.filter(Boolean).length).toBeGreaterThan(0);
      expect((await findWorkspace(world.store.read, workspace.id))?.runId).toBe(next.runId);
    });

    test('is given up when the server died before it was furnished', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      rmSync(join(workspace.path, 'furnished'));
      await world.endRun(workspace.runId, 'lost');
      const next = await world.run(workspace.taskId);
      expect(await world.workspaces.resume(workspace.taskId, next.runId)).toBeUndefined();
    });

    test('is given up when its files are gone or are a link to somewhere', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      renameSync(workspace.tree, join(world.root, 'moved'));
      symlinkSync(join(world.root, 'moved'), workspace.tree);
      await world.endRun(workspace.runId, 'lost');
      const next = await world.run(workspace.taskId);
      expect(await world.workspaces.resume(workspace.taskId, next.runId)).toBeUndefined();
      expect((await findWorkspace(world.store.read, workspace.id))?.status).toBe('error');
    });

    test('is begun anew from the last commit of the task', async () => {
      const source = world.checkout('app');
      const workspace = await world.workspace(source);
      write(workspace.tree, { 'done.txt': 'done\n' });
      const { commit } = value(await commitAll(world.git, workspace, world.wish(), world.stop.signal));
      await world.endRun(workspace.runId, 'lost');
      const again = value(await world.open(source, await world.run(workspace.taskId), { from: 'last-commit' }));
      expect(again).toMatchObject({ tip: commit, baseCommit: workspace.baseCommit });
      expect(readFileSync(join(again.tree, 'done.txt'), 'utf8')).toBe('done\n');
    });

    test.each(['the mirror that it was made in', 'another mirror'])(
      'is begun anew before its own commit, though that was pushed to the branch it began at, in %s',
      async (where) => {
        const source = world.checkout('app');
        git(source, 'branch', 'shared');
        const first = value(await world.open(source, await world.run(), { ref: 'shared' }));
        write(first.tree, { 'done.txt': 'done\n' });
        const { commit } = value(await commitAll(world.git, first, world.wish(), world.stop.signal));
        git(source, 'fetch', '--quiet', first.gitDir, `${commit}:refs/heads/shared`);
        await world.endRun(first.runId, 'lost');
        if (where === 'another mirror') git(first.gitDir, 'update-ref', '-d', `refs/heads/${first.branch}`);
        const again = value(await world.open(source, await world.run(first.taskId), { ref: 'shared', from: 'last-commit' }));
        expect(again).toMatchObject({ tip: commit, baseCommit: first.baseCommit });
        expect(value(await commitAll(world.git, again, world.wish(), world.stop.signal))).toMatchObject({ commit, created: false });
        expect(git(first.gitDir, 'rev-parse', first.branch)).toBe(commit);
      },
    );
  });

  describe('when it is over', () => {
    test('is kept for its time and then removed; its row and its branch stay', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      write(workspace.tree, { 'b.txt': 'b\n' });
      value(await commitAll(world.git, workspace, world.wish(), world.stop.signal));
      await world.workspaces.close(workspace.id, 'completed');
      await world.workspaces.close(workspace.id, 'error');
      expect(await findWorkspace(world.store.read, workspace.id)).toMatchObject({
        status: 'completed',
        cleanupAt: clock.now() + 3_600_000,
      });
      await world.endRun(workspace.runId, 'succeeded');

      expect((await world.workspaces.sweep(world.stop.signal)).removed).toBe(0);
      clock.advance(3_600_001);
      expect((await world.workspaces.sweep(world.stop.signal)).removed).toBe(1);
      expect(existsSync(workspace.path)).toBe(false);
      expect(await findWorkspace(world.store.read, workspace.id)).toMatchObject({ status: 'removed', removedAt: clock.now() });
      expect(git(workspace.gitDir, 'for-each-ref', '--format=%(refname)', 'refs/heads', 'refs/nightshift')).toBe(
        `refs/heads/${workspace.branch}`,
      );
    });

    test('is never swept while its run is live, whatever its row says', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      await world.workspaces.close(workspace.id, 'error');
      clock.advance(1e9);
      await world.workspaces.sweep(world.stop.signal);
      expect(existsSync(workspace.tree)).toBe(true);
    });

    test('is ended by the sweep if nobody did: at once when its task is over, later when a run may still come', async () => {
      const [over, waiting] = [await world.workspace(world.checkout('app')), await world.workspace(world.checkout('app2'))];
      await world.endRun(over.runId, 'succeeded');
      await world.closeTask(over.taskId, 'succeeded');
      await world.endRun(waiting.runId, 'lost');
      await world.workspaces.sweep(world.stop.signal);
      const statuses = async (): Promise<unknown> =>
        Promise.all([over, waiting].map(async ({ id }) => (await findWorkspace(world.store.read, id))?.status));
      expect(await statuses()).toEqual(['completed', 'active']);
      clock.advance(7_200_001);
      await world.workspaces.sweep(world.stop.signal);
      expect(await statuses()).toEqual(['removed', 'error']);
    });

    test('is cleaned to the end after a crash in the middle', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      await world.endRun(workspace.runId, 'failed');
      await world.store.write(({ db }) => db.updateTable('workspaces').set({ status: 'cleaning' }).execute());
      await world.start();
      expect((await world.workspaces.sweep(world.stop.signal)).removed).toBe(1);
      expect(existsSync(workspace.path)).toBe(false);
    });

    test('a directory that no row knows is removed when it is old, and nothing else is', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      const directory = join(world.home, 'workspaces');
      const [stray, young] = [world.newId('wsp'), world.newId('wsp')];
      for (const name of [stray, young, 'something-else']) write(join(directory, name, 'tree'), { a: 'a' });
      for (const name of [stray, 'something-else', workspace.id]) utimesSync(join(directory, name), 1, 1);
      expect((await world.workspaces.sweep(world.stop.signal)).stray).toBe(1);
      expect(readdirSync(directory).sort()).toEqual([workspace.id, young, 'something-else'].sort());
    });
  });

  describe('of a repository that takes long to fetch', () => {
    test('is told about, ever more rarely, with what has come so far', async () => {
      const publish = world.publish(world.checkout('app'), 'app.git');
      const server = await serveGit(dirname(publish));
      const held: (() => void)[] = [];
      server.answerWith((_, response) => void held.push(() => response.writeHead(503).end()));
      const told: string[] = [];
      const repository = repositoryAt(`${server.origin}/app.git`);
      try {
        const opening = world.workspaces.open(
          { ...(await world.run()), title: 'x', ref: null, repository, onLongFetch: (text) => told.push(text) },
          world.stop.signal,
        );
        await expect.poll(() => held.length).toBeGreaterThan(0);
        const making = readdirSync(join(world.home, 'mirrors')).find((name) => name.includes('.new-')) ?? '';
        const pack = join(world.home, 'mirrors', making, 'objects/pack/tmp_pack_x');
        write(dirname(pack), { tmp_pack_x: '' });
        truncateSync(pack, 5 * 2 ** 20);
        for (const count of [1, 2]) {
          clock.advance(10_000);
          await expect.poll(() => told.length).toBe(count);
          await expect.poll(() => clock.pending).toBe(1);
        }
        expect(told[1]).toBe(`${repository.url} is still being fetched: 20 s so far, 5 MB received.`);
        clock.advance(10_000);
        server.answerWith((_, response) => response.writeHead(503).end());
        for (const answer of held) answer();
        expect(failure(await opening).code).toBe('network');
        expect([told.length, clock.pending]).toEqual([2, 0]);
      } finally {
        await server.stop();
      }
    });
  });

  describe('removed by hand', () => {
    test('is refused while its run is live, and done afterwards, once', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      const remove = () => world.workspaces.remove(workspace.id, world.stop.signal);
      expect(await remove()).toBe('busy');
      await world.endRun(workspace.runId, 'failed');
      expect(await remove()).toBe('removed');
      expect(await remove()).toBe('not-found');
      expect(await world.workspaces.remove('wsp_nothing', world.stop.signal)).toBe('not-found');
    });

    test('goes, however deep it is and whatever it forbids, and nothing that it links to goes', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      write(join(world.root, 'precious'), { 'a.txt': 'a' });
      symlinkSync(join(world.root, 'precious'), join(workspace.tree, 'out'));
      const deep = `for (let i = 0; i < 60; i++) { const name = 'x'.repeat(100); fs.mkdirSync(name); process.chdir(name); }`;
      execFileSync(process.execPath, ['-e', deep], { cwd: workspace.tree });
      mkdirSync(join(workspace.tree, 'closed/inner'), { recursive: true });
      execFileSync('chmod', ['-R', '0', join(workspace.tree, 'closed')]);
      await world.endRun(workspace.runId, 'failed');
      expect(await world.workspaces.remove(workspace.id, world.stop.signal)).toBe('removed');
      expect(existsSync(workspace.path)).toBe(false);
      expect(readFileSync(join(world.root, 'precious/a.txt'), 'utf8')).toBe('a');
    });

    test('is only a link that goes, when somebody put one in its place', async () => {
      const workspace = await world.workspace(world.checkout('app'));
      renameSync(workspace.path, join(world.root, 'moved'));
      symlinkSync(join(world.root, 'moved'), workspace.path);
      await world.endRun(workspace.runId, 'failed');
      expect(await world.workspaces.remove(workspace.id, world.stop.signal)).toBe('removed');
      expect(existsSync(join(world.root, 'moved/tree/README.md'))).toBe(true);
    });
  });

  describe('of a repository whose checkout takes long', () => {
    test('is made from a spare, which is renewed, survives a restart and follows the branch', async () => {
      await world.start({ worthMs: -1 });
      const source = world.checkout('app', { 'a.txt': '1\n', 'b.txt': '1\n' });
      await world.workspace(source);
      await world.checkouts.settled();
      const spares = join(world.home, 'spares');
      expect(readdirSync(spares)).toHaveLength(1);
      await world.start({ worthMs: -1 });

      const spare = join(spares, readdirSync(spares)[0] ?? '');
      const inode = lstatSync(join(spare, 'tree/b.txt')).ino;
      const commit = world.commitTo(source, { 'a.txt': '2\n', 'c.txt': 'c\n' });
      const workspace = await world.workspace(source);
      expect(readFileSync(join(workspace.tree, 'a.txt'), 'utf8')).toBe('2\n');
      expect(lstatSync(join(workspace.tree, 'b.txt')).ino).toBe(inode);
      expect(git(workspace.tree, 'status', '--porcelain')).toBe('');
      await world.checkouts.settled();
      expect(readdirSync(spares)[0]).toContain(`@${commit}`);
    });

    test('is served by one spare at most once', async () => {
      await world.start({ worthMs: -1 });
      const source = world.checkout('app');
      await world.workspace(source);
      await world.checkouts.settled();
      const opened = await Promise.all([1, 2, 3].map(() => world.workspace(source)));
      expect(new Set(opened.map(({ tree }) => lstatSync(join(tree, 'README.md')).ino)).size).toBe(3);
      await world.checkouts.settled();
    });
  });

  test('keeps its base when the other side rewrites and prunes it', async () => {
    const source = world.checkout('app');
    const workspace = await world.workspace(source);
    git(source, 'commit', '-q', '--amend', '-m', 'rewritten');
    git(source, 'reflog', 'expire', '--expire=now', '--all');
    const later = await world.workspace(source);
    expect(later.baseCommit).not.toBe(workspace.baseCommit);
    git(workspace.gitDir, 'gc', '--quiet', '--prune=now');
    expect(git(workspace.tree, 'log', '--format=%s')).toBe('first');
  });
});
