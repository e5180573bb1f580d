import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { failure, GitWorld, git, value, write } from '../../test/support/git-world.ts';
import type { Checkpoint, Rewinding } from '../domain/checkpoint.ts';
import { systemClock } from '../platform/clock.ts';
import { checkpointsOfRun } from '../store/checkpoints.ts';
import { takeFiles } from './checkpoint.ts';
import type { CheckpointWish } from './checkpoints.ts';
import { createGit, type Git } from './git.ts';
import type { Workspace } from './workspace.ts';

const start = { 'a.txt': 'a\n', 'src/b.txt': 'b\n', 'gone.txt': 'x\n', '.gitignore': 'out/\n*.log\nnode_modules/\n' };
const bounds = { bytes: 10_000, files: 20, longestFile: 5_000 };

describe('a checkpoint', () => {
  let world: GitWorld;
  let workspace: Workspace;

  beforeEach(async () => {
    world = await GitWorld.open({ checkpointBounds: bounds, checkpoints: { perRun: 3, keepMs: 3_600_000 } });
    workspace = await world.workspace(world.checkout('app', start));
  });
  afterEach(() => world.remove());

  const wish: CheckpointWish = { kind: 'calls', note: 'After 25 tool calls.', session: null, gates: [] };
  const keep = async (more: Partial<CheckpointWish> = {}): Promise<Checkpoint> =>
    value(await world.workspaces.checkpoints.keep(workspace, { ...wish, ...more }, world.stop.signal));
  const rewind = async (to: Checkpoint): Promise<Rewinding> => {
    await world.endRun(workspace.runId, 'failed');
    return world.workspaces.checkpoints.rewind(to.runId, to.id, 'owner', world.stop.signal);
  };
  const path = (name: string): string => join(workspace.tree, name);
  const refs = (): readonly string[] =>
    git(workspace.gitDir, 'for-each-ref', '--format=%(refname)', 'refs/nightshift/checkpoints').split('\n').filter(Boolean);
  const rows = () => checkpointsOfRun(world.store.read, workspace.runId);

  /** Everything that has a name, except what is the agent's own repository. */
  const everything = (): Readonly<Record<string, string>> =>
    Object.fromEntries(
      readdirSync(workspace.tree, { recursive: true, withFileTypes: true })
        .map((entry) => join(entry.parentPath, entry.name))
        .filter((name) => !name.startsWith(path('.git/')) && !lstatSync(name).isDirectory())
        .map((name) => {
          const found = lstatSync(name);
          const how = found.isSymbolicLink()
            ? `link to ${readlinkSync(name)}`
            : found.isFile()
              ? `${found.mode & 0o100 ? 'x ' : ''}${found.size > 6_000 ? 'long' : readFileSync(name, 'utf8')}`
              : 'special';
          return [name.slice(workspace.tree.length + 1), how] as const;
        })
        .toSorted(([one], [other]) => (one < other ? -1 : 1)),
    );

  test('brings back contents, modes, links, deletions and what is ignored; installed packages stay as they became', async () => {
    write(workspace.tree, {
      'a.txt': 'mine\n',
      'new/c.txt': 'c\n',
      'run.sh': '#!/bin/sh\n',
      'out/deep/report.txt': 'one\n',
      'x.log': 'log\n',
      'node_modules/p/index.js': '1\n',
    });
    rmSync(path('gone.txt'));
    chmodSync(path('run.sh'), 0o755);
    symlinkSync('a.txt', path('link'));
    const then = everything();
    const made = await keep();
    write(workspace.tree, {
      'a.txt': 'spoilt\n',
      'gone.txt': 'back\n',
      'out/deep/report.txt': 'two\n',
      'out/more.txt': 'more\n',
      'y.log': 'y\n',
      'node_modules/p/index.js': '2\n',
      'late/d.txt': 'd\n',
    });
    rmSync(path('new'), { recursive: true });
    rmSync(path('x.log'));
    chmodSync(path('run.sh'), 0o644);
    rmSync(path('link'));
    symlinkSync('src', path('link'));
    const later = everything();

    const rewound = await rewind(made);
    expect(rewound).toMatchObject({ kind: 'rewound', before: { kind: 'rewind' } });
    expect(everything()).toEqual({ ...then, 'node_modules/p/index.js': '2\n' });

    // And back again: nothing was lost.
    const before = rewound.kind === 'rewound' ? rewound.before : null;
    expect(await rewind(before as Checkpoint)).toMatchObject({ kind: 'rewound' });
    expect(everything()).toEqual(later);
  });

  test('sees what was changed at the same size, in the second of the last look, while the list of files was written', async () => {
    /** By second and size alone, so that the times below are all that git can tell by. */
    const bySecond = { GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'core.checkStat', GIT_CONFIG_VALUE_0: 'minimal' };
    const real = createGit({ clock: systemClock, path: process.env['PATH'] ?? '', env: bySecond });
    const second = new Date(Math.floor(Date.now() / 1_000) * 1_000 - 60_000);
    const writeThen = (content: string): void => {
      writeFileSync(path('x.log'), content);
      utimesSync(path('x.log'), second, second);
    };
    const logOf = async (by: Git): Promise<string> => {
      const { ignored } = value(await takeFiles(by, workspace, { live: true }, world.stop.signal));
      return git(workspace.gitDir, 'cat-file', 'blob', `${ignored}:x.log`);
    };
    writeThen('one');
    write(workspace.tree, { 'y.log': 'y' });
    expect(await logOf(real)).toBe('one');
    utimesSync(join(workspace.path, 'ignored-index'), second, second);

    rmSync(path('y.log'));
    let dropped = 0;
    const withAnAgent: Git = {
      ...real,
      run(call, signal) {
        if (call.args.includes('--index-info')) {
          dropped += 1;
          writeThen('two');
        }
        return real.run(call, signal);
      },
    };
    await logOf(withAnAgent);
    expect(dropped).toBe(1);
    expect(await logOf(real)).toBe('two');
  });

  test('follows what becomes ignored and what is ignored no more', async () => {
    write(workspace.tree, { 'was-seen.txt': 'seen\n', 'out/was-hidden.txt': 'hidden\n' });
    const then = everything();
    const made = await keep();
    write(workspace.tree, {
      '.gitignore': 'was-seen.txt\nbig/\n',
      'big/1.bin': 'z'.repeat(4_000),
      'big/2.bin': 'z'.repeat(4_000),
      'big/3.bin': 'z'.repeat(4_000),
      'was-seen.txt': 'other\n',
    });
    const later = everything();
    const rewound = await rewind(made);
    const big = Object.fromEntries([1, 2, 3].map((n) => [`big/${n}.bin`, 'z'.repeat(4_000)]));
    expect(everything()).toEqual({ ...then, ...big });
    const before = rewound.kind === 'rewound' ? rewound.before : null;
    expect(await rewind(before as Checkpoint)).toMatchObject({ kind: 'rewound' });
    expect(everything()).toEqual(later);
  });

  test('leaves installed packages alone that are no longer ignored by the .gitignore of then', async () => {
    write(workspace.tree, { '.gitignore': '' });
    const made = await keep();
    write(workspace.tree, { '.gitignore': 'node_modules/\n', 'node_modules/p/index.js': '1\n', 'a.txt': 'mine\n' });
    expect(await rewind(made)).toMatchObject({ kind: 'rewound' });
    expect(everything()).toMatchObject({ '.gitignore': '', 'a.txt': 'a\n', 'node_modules/p/index.js': '1\n' });
    expect((await rows()).map(({ kind }) => kind)).toEqual(['calls', 'rewind']);
  });

  test('rewinds to where it is without a trace', async () => {
    const made = await keep();
    expect(await rewind(made)).toMatchObject({ kind: 'rewound', before: null });
    expect(await rows()).toHaveLength(1);
  });

  test('is refused while the run is at work, and when it is not of this run', async () => {
    const made = await keep();
    const { checkpoints } = world.workspaces;
    expect(await checkpoints.rewind(made.runId, made.id, 'owner', world.stop.signal)).toEqual({ kind: 'busy' });
    const other = await world.run();
    expect(await checkpoints.rewind(other.runId, made.id, 'owner', world.stop.signal)).toEqual({ kind: 'not-found' });
  });

  test('leaves what does not fit where it is, and goes on without it', async () => {
    write(workspace.tree, { 'out/small.txt': 'small\n', 'cache.log': 'z'.repeat(6_000), 'huge.bin': 'z'.repeat(8_000) });
    const made = await keep();
    expect(made.tooBig.toSorted()).toEqual(['cache.log', 'huge.bin']);
    write(workspace.tree, { 'out/small.txt': 'other\n', 'cache.log': 'y'.repeat(6_000), 'a.txt': 'spoilt\n' });
    await rewind(made);
    expect(readFileSync(path('cache.log'), 'utf8')[0]).toBe('y');
    expect(statSync(path('huge.bin')).size).toBe(8_000);
    expect(readFileSync(path('out/small.txt'), 'utf8')).toBe('small\n');
    expect(readFileSync(path('a.txt'), 'utf8')).toBe('a\n');
  });

  test('leaves an ignored directory that has become too big as it is', async () => {
    write(workspace.tree, { 'out/1.txt': '1\n' });
    const made = await keep();
    write(workspace.tree, { 'out/1.txt': '2\n', 'out/2.bin': 'z'.repeat(5_500), 'a.txt': 'spoilt\n' });
    expect(await rewind(made)).toMatchObject({ kind: 'rewound' });
    expect(everything()).toMatchObject({ 'out/1.txt': '2\n', 'a.txt': 'a\n' });
  });

  test('does not replace what it could not keep', async () => {
    write(workspace.tree, { 'data.bin': 'small\n', lib: 'a file\n' });
    const made = await keep();
    rmSync(path('lib'));
    mkdirSync(path('lib'));
    git(path('lib'), 'init', '-q');
    world.commitTo(path('lib'), { 'precious.txt': 'work\n' });
    write(workspace.tree, { 'a.txt': 'mine\n' });
    const rewound = await rewind(made);
    expect(rewound).toMatchObject({ kind: 'failed', reason: { code: 'in-the-way', message: expect.stringContaining('lib') } });
    expect(readFileSync(path('lib/precious.txt'), 'utf8')).toBe('work\n');
    expect(readFileSync(path('a.txt'), 'utf8')).toBe('mine\n');
    renameSync(path('lib'), path('lib-of-its-own'));
    expect(await rewind(made)).toMatchObject({ kind: 'rewound' });
    expect(readFileSync(path('lib'), 'utf8')).toBe('a file\n');
    expect(readFileSync(path('lib-of-its-own/precious.txt'), 'utf8')).toBe('work\n');
  });

  test('refuses to replace a long file that has changed since, and leaves no rewind behind for the next run', async () => {
    const long = 'x'.repeat(6_000);
    workspace = await world.workspace(world.checkout('with-long', { ...start, 'long.bin': long }));
    const made = await keep();
    expect(made.tooBig).toEqual([]);
    write(workspace.tree, { 'long.bin': 'y'.repeat(7_000), 'a.txt': 'mine\n' });
    expect(await rewind(made)).toMatchObject({
      kind: 'failed',
      reason: { code: 'in-the-way', message: expect.stringContaining('long.bin') },
    });
    expect(await rows()).toHaveLength(1);
    const next = await world.run(workspace.taskId);
    expect(await world.workspaces.resume(workspace.taskId, next.runId)).toMatchObject({ id: workspace.id });
    expect(readFileSync(path('long.bin'), 'utf8')).toBe('y'.repeat(7_000));
    expect(readFileSync(path('a.txt'), 'utf8')).toBe('mine\n');
  });

  test('does not replace a directory whose files it knows, but not the repository that was made in it', async () => {
    write(workspace.tree, { lib: 'a file\n' });
    const made = await keep();
    rmSync(path('lib'));
    write(workspace.tree, { 'lib/work.txt': 'one\n' });
    await keep();
    git(path('lib'), 'init', '-q');
    world.commitTo(path('lib'), { 'work.txt': 'two\n' });
    expect(await rewind(made)).toMatchObject({ kind: 'failed', reason: { code: 'in-the-way' } });
    expect(git(path('lib'), 'show', 'HEAD:work.txt')).toBe('two');
    expect(readFileSync(path('lib/work.txt'), 'utf8')).toBe('two\n');
  });

  test('keeps what stands in the place of a submodule, and removes none that is filled', async () => {
    const theirs = world.checkout('with-sub', start);
    git(theirs, 'update-index', '--add', '--cacheinfo', `160000,${git(theirs, 'rev-parse', 'HEAD')},sub`);
    git(theirs, 'commit', '-q', '-m', 'sub');
    workspace = await world.workspace(theirs);
    const made = await keep({ kind: 'green' });
    rmSync(path('sub'), { recursive: true });
    write(workspace.tree, { sub: 'a file\n' });
    const back = await rewind(made);
    expect(readdirSync(path('sub'))).toEqual([]);
    const file = (back.kind === 'rewound' ? back.before : null) as Checkpoint;
    expect(git(workspace.gitDir, 'cat-file', 'blob', `${file.files}:sub`)).toBe('a file');

    write(workspace.tree, { 'sub/inner.txt': 'to build with\n', 'a.txt': 'mine\n' });
    expect(await rewind(file)).toMatchObject({ kind: 'failed', reason: { code: 'in-the-way' } });
    expect(await rewind(made)).toMatchObject({ kind: 'rewound' });
    expect(readFileSync(path('sub/inner.txt'), 'utf8')).toBe('to build with\n');
    git(path('sub'), 'init', '-q');
    world.commitTo(path('sub'), { 'precious.txt': 'work\n' });
    expect(await rewind(file)).toMatchObject({ kind: 'failed', reason: { code: 'in-the-way' } });
    expect(git(path('sub'), 'show', 'HEAD:precious.txt')).toBe('work');
  });

  test('keeps what lies there since the server died while gates were asked, and leaves what is too big', async () => {
    write(workspace.tree, { 'a.txt': 'good\n' });
    const made = await keep();
    write(workspace.tree, { 'a.txt': 'work\n' });
    const { tree } = value(await world.workspaces.snapshot(workspace, world.stop.signal));
    writeFileSync(join(workspace.path, 'set-aside'), JSON.stringify({ kind: 'files', tree }));
    write(workspace.tree, { 'a.txt': 'by hand\n' });
    writeFileSync(path('dump.bin'), '');
    truncateSync(path('dump.bin'), 51 * 2 ** 20);
    expect(await rewind(made)).toMatchObject({ kind: 'rewound' });
    expect(readFileSync(path('a.txt'), 'utf8')).toBe('good\n');
    expect(existsSync(path('dump.bin'))).toBe(true);
    const kept = (await rows()).filter(({ kind }) => kind === 'rewind');
    expect(kept.map(({ files }) => git(workspace.gitDir, 'cat-file', 'blob', `${files}:a.txt`))).toEqual(['by hand', 'work']);
  });

  test('touches nothing outside, neither through links nor by odd names, pipes and holes', async () => {
    const outside = join(world.root, 'outside');
    write(outside, { 'secret.txt': 'theirs\n' });
    write(workspace.tree, { 'dir/inner.txt': 'inner\n', 'with\nline\tand "quotes" ä': 'odd\n', '-rf': 'flag\n', 'git~1': 'odd\n' });
    writeFileSync(Buffer.concat([Buffer.from(`${workspace.tree}/`), Buffer.from([0xff, 0xfe])]), 'bytes\n');
    symlinkSync(outside, path('away'));
    const made = await keep();
    rmSync(path('dir'), { recursive: true });
    symlinkSync(outside, path('dir'));
    rmSync(path('a.txt'));
    execFileSync('mkfifo', [path('a.txt')]);
    execFileSync('mkfifo', [path('pipe')]);
    writeFileSync(path('hole.log'), '');
    truncateSync(path('hole.log'), 2 ** 40);
    writeFileSync(path('hole.bin'), '');
    truncateSync(path('hole.bin'), 2 ** 40);
    expect(await rewind(made)).toMatchObject({ kind: 'rewound' });
    expect(readFileSync(path('a.txt'), 'utf8')).toBe('a\n');
    expect(lstatSync(path('dir')).isDirectory()).toBe(true);
    expect(readFileSync(path('dir/inner.txt'), 'utf8')).toBe('inner\n');
    expect(readFileSync(path('with\nline\tand "quotes" ä'), 'utf8')).toBe('odd\n');
    expect(readlinkSync(path('away'))).toBe(outside);
    expect(readdirSync(outside)).toEqual(['secret.txt']);
    expect(readFileSync(join(outside, 'secret.txt'), 'utf8')).toBe('theirs\n');
    expect(existsSync(path('hole.bin'))).toBe(true);
  });

  test('never copies a file of the server that a link leads to', async () => {
    const secret = join(world.root, 'secret');
    write(secret, { 'key.txt': 'top secret\n' });
    write(workspace.tree, { 'key.txt': 'harmless\n', 'sub/key.txt': 'harmless\n' });
    await keep();
    rmSync(path('key.txt'));
    symlinkSync(join(secret, 'key.txt'), path('key.txt'));
    rmSync(path('sub'), { recursive: true });
    symlinkSync(secret, path('sub'));
    const made = await keep();
    const shown = git(workspace.gitDir, 'ls-tree', '-r', made.files);
    expect(shown).toMatch(/120000 blob \w+\tkey\.txt/);
    expect(shown).not.toContain('sub/key.txt');
    expect(() => git(workspace.gitDir, 'cat-file', '-e', git(workspace.tree, 'hash-object', join(secret, 'key.txt')))).toThrow();
  });

  test('leaves the repository of the agent alone', async () => {
    const made = await keep();
    write(workspace.tree, { 'a.txt': 'mine\n', '.git/description': 'mine\n' });
    git(workspace.tree, 'add', 'a.txt');
    git(workspace.tree, 'commit', '-q', '-m', 'mine');
    const head = git(workspace.tree, 'rev-parse', 'HEAD');
    await rewind(made);
    expect(git(workspace.tree, 'rev-parse', 'HEAD')).toBe(head);
    expect(readFileSync(path('.git/description'), 'utf8')).toBe('mine\n');
    expect(readFileSync(path('a.txt'), 'utf8')).toBe('a\n');
  });

  test('is a ref of the mirror that no agent sees, and goes with the oldest, with the workspace, and when it has no row', async () => {
    for (let n = 1; n <= 5; n++) {
      write(workspace.tree, { 'a.txt': `${n}\n` });
      await keep(n === 1 ? { kind: 'green' } : {});
    }
    expect((await rows()).map(({ number }) => number)).toEqual([1, 4, 5]);
    expect(refs()).toEqual([1, 4, 5].map((n) => `refs/nightshift/checkpoints/${workspace.runId}/${n}`));
    expect(git(workspace.tree, 'for-each-ref')).not.toContain('checkpoints');

    git(workspace.gitDir, 'update-ref', `refs/nightshift/checkpoints/${workspace.runId}/9`, (await rows())[0]?.files as string);
    await world.workspaces.sweep(world.stop.signal);
    expect(refs()).toHaveLength(3);

    await world.endRun(workspace.runId, 'failed');
    await world.workspaces.remove(workspace.id, world.stop.signal);
    expect(await rows()).toEqual([]);
    expect(refs()).toEqual([]);
  });

  test('can be gone on from in a new run, which gets the workspace as it was then', async () => {
    write(workspace.tree, { 'a.txt': 'good\n', 'out/o.txt': 'o\n' });
    const made = await keep({ kind: 'green' });
    write(workspace.tree, { 'a.txt': 'bad\n' });
    await world.endRun(workspace.runId, 'failed');
    await world.workspaces.close(workspace.id, 'error');
    const next = await world.run(workspace.taskId);
    const taken = value(await world.workspaces.takeUp(made, next.runId, async () => undefined, world.stop.signal));
    expect(taken).toMatchObject({ id: workspace.id, runId: next.runId, status: 'active' });
    expect(readFileSync(path('a.txt'), 'utf8')).toBe('good\n');
    expect(await world.workspaces.find(workspace.id)).toMatchObject({ status: 'active', runId: next.runId, cleanupAt: null });
  });

  test('a rewind that was cut short is finished when the next run takes the workspace over', async () => {
    write(workspace.tree, { 'a.txt': 'good\n' });
    const made = await keep();
    write(workspace.tree, { 'a.txt': 'bad\n', 'half.txt': 'half\n' });
    const { files, ignored, tooBig } = made;
    writeFileSync(join(workspace.path, 'set-aside'), JSON.stringify({ kind: 'rewind', to: { files, ignored, tooBig } }));
    await world.endRun(workspace.runId, 'lost');
    const next = await world.run(workspace.taskId);
    expect(await world.workspaces.resume(workspace.taskId, next.runId)).toMatchObject({ id: workspace.id });
    expect(readFileSync(path('a.txt'), 'utf8')).toBe('good\n');
    expect(existsSync(path('half.txt'))).toBe(false);
    const kept = (await checkpointsOfRun(world.store.read, next.runId)).at(-1) as Checkpoint;
    expect(git(workspace.gitDir, 'cat-file', 'blob', `${kept.files}:half.txt`)).toBe('half');
  });

  test('says so when the workspace is gone', async () => {
    const made = await keep();
    rmSync(workspace.tree, { recursive: true });
    expect(failure(await world.workspaces.checkpoints.keep(workspace, wish, world.stop.signal)).code).toBe('workspace-gone');
    expect(await rewind(made)).toMatchObject({ kind: 'failed', reason: { code: 'workspace-gone' } });
  });
});
