import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { failure, GitWorld, git, value, write } from '../../test/support/git-world.ts';
import { commitAll } from './commit.ts';
import { changedFiles, diff } from './diff.ts';
import { takeSnapshot } from './snapshot.ts';
import type { Workspace } from './workspace.ts';

/** Whatever a repository or an agent prepares, nothing of it is run by the server, read from outside or written there. */
describe('a hostile repository or agent', () => {
  let world: GitWorld;
  let proof: string;
  let program: string;

  beforeEach(async () => {
    world = await GitWorld.open();
    proof = join(world.root, 'proof');
    program = join(world.root, 'evil.sh');
    writeFileSync(program, `#!/bin/sh\necho "$0 $*" >> '${proof}'\ncat\n`);
    chmodSync(program, 0o755);
  });
  afterEach(() => world.remove());

  const commit = (workspace: Workspace) => commitAll(world.git, workspace, world.wish(), world.stop.signal);
  const filesIn = (workspace: Workspace, commitId: string): readonly string[] =>
    git(workspace.gitDir, 'ls-tree', '-r', '--name-only', commitId).split('\n');
  const patchFile = (): string => join(world.root, 'patch');

  /** Everything that git can be told to run, in one configuration. */
  const config = (): string => `[core]
	fsmonitor = ${program}
	hooksPath = ${join(world.root, 'hooks')}
	pager = ${program}
	editor = ${program}
	sshCommand = ${program}
	askPass = ${program}
	gitProxy = ${program}
	worktree = /tmp
[filter "x"]
	clean = ${program}
	smudge = ${program}
	process = ${program}
	required = true
[diff]
	external = ${program}
[diff "x"]
	command = ${program}
	textconv = ${program}
[merge "x"]
	driver = ${program}
[gpg]
	program = ${program}
[commit]
	gpgSign = true
[credential]
	helper = ${program}
[alias]
	status = !${program}
	update-index = !${program}
[uploadpack]
	packObjectsHook = ${program}
[remote "origin"]
	uploadpack = ${program}
	url = ext::${program}
[url "ext::${program} "]
	insteadOf = https://
[include]
	path = ${join(world.root, 'more')}
[trailer "x"]
	command = ${program}
`;

  const hookNames = [
    'pre-commit',
    'post-commit',
    'post-checkout',
    'post-index-change',
    'reference-transaction',
    'pre-push',
    'fsmonitor-watchman',
  ];
  const plantHooks = (directory: string): void => {
    for (const name of hookNames) {
      write(directory, { [name]: readFileSync(program, 'utf8') });
      chmodSync(join(directory, name), 0o755);
    }
  };

  test('runs nothing by hooks, configuration, attributes or drivers', async () => {
    plantHooks(join(world.root, 'hooks'));
    const attributes = '* filter=x diff=x merge=x\n';
    const source = world.checkout('app', { 'a.txt': 'a\n', '.gitattributes': attributes });
    writeFileSync(join(source, '.git/config'), config().replace('worktree = /tmp', ''), { flag: 'a' });
    plantHooks(join(source, '.git/hooks'));
    const workspace = await world.workspace(source);

    writeFileSync(join(workspace.tree, '.git/config'), config());
    plantHooks(join(workspace.tree, '.git/hooks'));
    write(workspace.tree, { '.git/info/attributes': attributes, 'a.txt': 'b\n', 'sub/.gitattributes': attributes, 'sub/b.txt': 'b\n' });
    const committed = value(await commit(workspace));
    const shown = value(
      await diff(
        world.git,
        { gitDir: workspace.gitDir, from: workspace.baseCommit, to: committed.commit, patchFile: patchFile() },
        world.stop.signal,
      ),
    );
    expect(shown.files.map(({ path }) => path)).toEqual(['a.txt', 'sub/.gitattributes', 'sub/b.txt']);
    expect(shown.patch).toContain('+b');
    await world.endRun(workspace.runId, 'failed');
    await world.workspaces.resume(workspace.taskId, (await world.run(workspace.taskId)).runId);
    expect(existsSync(proof)).toBe(false);

    // The traps are real: git as everybody runs it falls into them.
    writeFileSync(join(workspace.tree, '.git/config'), config().replace('worktree = /tmp', ''));
    expect(() => git(workspace.tree, 'diff', '--stat')).toThrow();
    expect(existsSync(proof)).toBe(true);
  });

  test('runs nothing through a repository that the agent made inside its workspace', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    const nested = join(workspace.tree, 'nested');
    mkdirSync(nested);
    git(nested, 'init', '-q');
    world.commitTo(nested, { 'n.txt': 'n\n' });
    git(nested, 'init', '-q', 'empty');
    writeFileSync(join(nested, '.git/config'), config().replace('worktree = /tmp', ''), { flag: 'a' });
    plantHooks(join(nested, '.git/hooks'));
    write(workspace.tree, { 'own.txt': 'own\n', 'link/.git': `gitdir: ${join(nested, '.git')}\n`, 'link/x.txt': 'x' });
    const committed = value(await commit(workspace));
    expect(filesIn(workspace, committed.commit)).toEqual(['README.md', 'own.txt']);
    expect(committed.leftOut).toEqual(expect.arrayContaining(['nested', 'link']));
    expect(existsSync(proof)).toBe(false);
  });

  test('runs nothing through a submodule, whose address is never asked', async () => {
    const inner = world.checkout('inner');
    const source = world.checkout('app');
    const pinned = git(inner, 'rev-parse', 'HEAD');
    write(source, {
      '.gitmodules': `[submodule "--upload-pack=x"]\n\tpath = sub\n\turl = ext::${program}\n\tupdate = !${program}\n\tignore = none\n`,
    });
    git(source, 'update-index', '--add', '--cacheinfo', `160000,${pinned},sub`);
    git(source, 'add', '.gitmodules');
    git(source, 'commit', '-qm', 'submodule');
    const workspace = await world.workspace(source);
    expect(readdirSync(join(workspace.tree, 'sub'))).toEqual([]);

    // The agent fills it with a repository of its own, at another commit and with changes.
    git(join(workspace.tree, 'sub'), 'init', '-q');
    world.commitTo(join(workspace.tree, 'sub'), { 'a.txt': 'a\n' });
    writeFileSync(join(workspace.tree, 'sub/.git/config'), config().replace('worktree = /tmp', ''), { flag: 'a' });
    write(workspace.tree, { 'sub/a.txt': 'dirty\n', 'own.txt': 'own\n' });
    const committed = value(await commit(workspace));
    expect(git(workspace.gitDir, 'ls-tree', committed.commit, 'sub')).toContain(`160000 commit ${pinned}`);
    expect(
      value(
        await changedFiles(world.git, { gitDir: workspace.gitDir, from: workspace.baseCommit, to: committed.commit }, world.stop.signal),
      ),
    ).toMatchObject([{ path: 'own.txt' }]);
    expect(existsSync(proof)).toBe(false);
  });

  test('reads nothing through links out of the workspace', async () => {
    write(world.root, { 'secret/key': 'secret\n' });
    const source = world.checkout('app', { 'dir/a.txt': 'a\n', 'dir/b.txt': 'b\n' });
    symlinkSync(join(world.root, 'secret/key'), join(source, 'committed-link'));
    world.commitTo(source, {});
    const workspace = await world.workspace(source);
    expect(readlinkSync(join(workspace.tree, 'committed-link'))).toBe(join(world.root, 'secret/key'));

    rmSync(join(workspace.tree, 'dir'), { recursive: true });
    symlinkSync(join(world.root, 'secret'), join(workspace.tree, 'dir'));
    write(join(world.root, 'secret'), { 'a.txt': 'secret a\n' });
    for (const name of ['.gitignore', '.gitattributes', '.mailmap'])
      symlinkSync(join(world.root, 'secret/key'), join(workspace.tree, name));
    const committed = value(await commit(workspace));
    expect(git(workspace.gitDir, 'ls-tree', '-r', committed.commit)).not.toContain('dir/');
    expect(git(workspace.gitDir, 'cat-file', 'blob', `${committed.commit}:dir`)).toBe(join(world.root, 'secret'));
    const everything = execFileSync('git', ['cat-file', '--batch', '--batch-all-objects'], { cwd: workspace.gitDir, encoding: 'latin1' });
    expect(everything).not.toContain('secret a');
  });

  test('takes no result from a link in the place of the workspace', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    renameSync(workspace.tree, join(world.root, 'elsewhere'));
    symlinkSync('/etc', workspace.tree);
    expect(failure(await commit(workspace))).toMatchObject({ code: 'workspace-gone', retryable: true });
  });

  test('gets in with no path that leads out or into .git', async () => {
    const source = world.checkout('app');
    for (const path of ['../escaped', '.git/hooks/post-checkout', 'a/../../b', '.GIT/config', 'git~1/config']) {
      const blob = execFileSync('git', ['hash-object', '-w', '--stdin'], { cwd: source, input: '#!/bin/sh\n', encoding: 'utf8' }).trim();
      const name = path.split('/');
      let object = blob;
      let type = 'blob';
      let mode = '100755';
      for (const part of name.toReversed()) {
        const raw = Buffer.concat([Buffer.from(`${mode} ${part}\0`), Buffer.from(object, 'hex')]);
        object = execFileSync('git', ['hash-object', '-w', '-t', 'tree', '--literally', '--stdin'], {
          cwd: source,
          input: raw,
          encoding: 'utf8',
        }).trim();
        [type, mode] = ['tree', '40000'];
      }
      expect(type).toBe('tree');
      git(source, 'update-ref', 'refs/heads/hostile', git(source, 'commit-tree', '-m', 'hostile', object));
      expect(failure(await world.open(source, await world.run(), { ref: 'hostile' })).code).toBe('unsafe-content');
      expect(readdirSync(join(world.home, 'workspaces'))).toEqual([]);
    }
    expect((await world.open(source, await world.run())).ok).toBe(true);
  });

  test('names files like options, magic words and bytes without meaning, and they are just files', async () => {
    const source = world.checkout('app');
    const workspace = await world.workspace(source);
    const names = ['--help', '-x', ':(exclude)*', ':!all', '*', 'a\nb', ' blank ', '\\', '"quoted"', 'ü', '$(touch x)', 'a\tb'];
    write(workspace.tree, Object.fromEntries(names.map((name) => [name, `${name}\n`])));
    writeFileSync(Buffer.concat([Buffer.from(`${workspace.tree}/`), Buffer.from([0x66, 0xff, 0xfe])]), 'bytes\n');
    const committed = value(await commit(workspace));
    const listed = execFileSync('git', ['ls-tree', '-rz', '--name-only', committed.commit], { cwd: workspace.gitDir, encoding: 'latin1' })
      .split('\0')
      .filter(Boolean);
    const expected = ['README.md', ...names].map((name) => Buffer.from(name).toString('latin1'));
    expect(listed.sort()).toEqual([...expected, 'f\xff\xfe'].sort());
    const shown = value(
      await diff(
        world.git,
        { gitDir: workspace.gitDir, from: workspace.baseCommit, to: committed.commit, patchFile: patchFile() },
        world.stop.signal,
      ),
    );
    expect(shown.files.map(({ path }) => path)).toEqual(expect.arrayContaining(names));
    expect(shown.additions).toBe(names.length + 2);
  });

  test('puts pipes, sockets and directories where files were', async () => {
    const workspace = await world.workspace(world.checkout('app', { 'a.txt': 'a\n', 'b.txt': 'b\n', 'd/x.txt': 'x\n' }));
    rmSync(join(workspace.tree, 'a.txt'));
    execFileSync('mkfifo', [join(workspace.tree, 'a.txt'), join(workspace.tree, 'new-pipe')]);
    rmSync(join(workspace.tree, 'b.txt'));
    write(workspace.tree, { 'b.txt/inner.txt': 'i\n' });
    rmSync(join(workspace.tree, 'd'), { recursive: true });
    write(workspace.tree, { d: 'now a file\n' });
    const committed = value(await commit(workspace));
    expect(filesIn(workspace, committed.commit)).toEqual(['b.txt/inner.txt', 'd']);
    expect(committed.leftOut).toEqual(['a.txt']);
  });

  test('deletes or replaces its own .git, and the result is the same', async () => {
    const workspace = await world.workspace(world.checkout('app'));
    rmSync(join(workspace.tree, '.git'), { recursive: true });
    write(workspace.tree, { 'b.txt': 'b\n' });
    const first = value(await takeSnapshot(world.git, workspace, world.stop.signal));
    symlinkSync('/etc', join(workspace.tree, '.git'));
    expect(value(await takeSnapshot(world.git, workspace, world.stop.signal))).toEqual(first);
    await world.endRun(workspace.runId, 'lost');
    expect(await world.workspaces.resume(workspace.taskId, (await world.run(workspace.taskId)).runId)).toBeDefined();
    expect(filesIn(workspace, value(await commit(workspace)).commit)).toEqual(['README.md', 'b.txt']);
  });

  test('cannot hide a change by dates or by declaring it binary', async () => {
    const workspace = await world.workspace(world.checkout('app', { 'a.txt': 'aaaa\n' }));
    const file = join(workspace.tree, 'a.txt');
    execFileSync('sh', ['-c', 'touch -r "$0" ref && printf "bbbb\\n" > "$0" && touch -r ref "$0" && rm ref', file], { cwd: world.root });
    write(workspace.tree, { '.gitattributes': '* -diff binary\n' });
    const committed = value(await commit(workspace));
    const shown = value(
      await diff(
        world.git,
        { gitDir: workspace.gitDir, from: workspace.baseCommit, to: committed.commit, patchFile: patchFile() },
        world.stop.signal,
      ),
    );
    expect(shown.patch).toContain('+bbbb');
  });

  test('writes settings into the mirror when nothing holds it back, and they are gone before they are read', async () => {
    const source = world.checkout('app');
    const workspace = await world.workspace(source);
    plantHooks(join(world.root, 'hooks'));
    writeFileSync(join(workspace.gitDir, 'config'), config().replace('worktree = /tmp', ''));
    plantHooks(join(workspace.gitDir, 'hooks'));
    world.commitTo(source, { 'b.txt': 'b\n' });
    await world.workspace(source);
    expect(existsSync(proof)).toBe(false);
  });
});
