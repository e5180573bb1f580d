import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { failure, GitWorld, git, repositoryAt, value } from '../../test/support/git-world.ts';
import { type Combining, cherryPick, merge, rebase, tag } from './combine.ts';

describe('combining commits in a mirror', () => {
  let world: GitWorld;
  let source: string;
  let at: Combining;
  let commits: { base: string; main: string; topic: string; first: string };

  beforeEach(async () => {
    world = await GitWorld.open();
    source = world.checkout('app', { 'a.txt': 'a\nb\nc\n', 'gone.txt': 'x\n' });
    const base = git(source, 'rev-parse', 'HEAD');
    git(source, 'checkout', '-qb', 'topic');
    const first = world.commitTo(source, { 'topic.txt': '1\n' }, 'topic one');
    const topic = world.commitTo(source, { 'a.txt': 'a\nb\ntopic\n' }, 'topic two');
    git(source, 'checkout', '-q', 'main');
    const main = world.commitTo(source, { 'main.txt': 'm\n' }, 'main one');
    commits = { base, main, topic, first };
    await refresh();
  });
  afterEach(() => world.remove());

  const refresh = async (): Promise<void> => {
    const fetched = value(await world.mirrors.fetch(repositoryAt(source), { ref: null, history: 'full' }, world.stop.signal));
    at = { git: world.git, gitDir: fetched.gitDir, subject: source };
  };
  const by = { committer: { name: 'Nightshift', email: 'n@example.org' }, at: Date.UTC(2026, 0, 1) };
  const signed = { ...by, author: by.committer, message: 'Merge' };
  const files = (commit: string): string => git(at.gitDir, 'ls-tree', '-r', '--name-only', commit).replaceAll('\n', ' ');

  test('merges, goes forward, or finds nothing to do', async () => {
    const { base, main, topic } = commits;
    const merged = value(await merge(at, main, topic, signed, world.stop.signal));
    expect(merged.kind).toBe('merged');
    expect(files(merged.commit)).toBe('a.txt gone.txt main.txt topic.txt');
    expect(git(at.gitDir, 'log', '-1', '--format=%P', merged.commit)).toBe(`${main} ${topic}`);
    expect(value(await merge(at, base, topic, signed, world.stop.signal))).toEqual({ kind: 'forward', commit: topic });
    expect(value(await merge(at, topic, base, signed, world.stop.signal))).toEqual({ kind: 'already', commit: topic });
  });

  test('picks a commit with its author and message', async () => {
    const picked = value(await cherryPick(at, commits.topic, commits.main, by, world.stop.signal));
    expect(files(picked)).toBe('a.txt gone.txt main.txt');
    expect(git(at.gitDir, 'show', `${picked}:a.txt`)).toBe('a\nb\ntopic');
    expect(git(at.gitDir, 'log', '-1', '--format=%an|%cn|%s|%P', picked)).toBe(`Ada|Nightshift|topic two|${commits.main}`);
    expect(value(await cherryPick(at, commits.first, commits.base, by, world.stop.signal))).toBe(commits.first);
    expect(value(await cherryPick(at, commits.topic, commits.main, by, world.stop.signal))).toBe(picked);
  });

  test('rebases in order and drops what is there already', async () => {
    const rebased = value(await rebase(at, commits.topic, commits.main, by, world.stop.signal));
    expect(rebased.count).toBe(2);
    expect(git(at.gitDir, 'log', '--format=%s', rebased.commit)).toBe('topic two\ntopic one\nmain one\nfirst');
    git(source, 'cherry-pick', commits.first);
    await refresh();
    const onto = git(source, 'rev-parse', 'main');
    const again = value(await rebase(at, commits.topic, onto, by, world.stop.signal));
    expect(again.count).toBe(1);
    expect(git(at.gitDir, 'log', '--format=%s', `${onto}..${again.commit}`)).toBe('topic two');
    expect(value(await rebase(at, commits.base, commits.main, by, world.stop.signal))).toEqual({ commit: commits.main, count: 0 });
  });

  test('reports conflicts by path and kind, and leaves nothing half-done', async () => {
    git(source, 'checkout', '-q', 'topic');
    git(source, 'rm', '-q', 'gone.txt');
    const theirs = world.commitTo(source, { 'odd\nname': '1\n' }, 'topic three');
    git(source, 'checkout', '-q', 'main');
    const ours = world.commitTo(source, { 'a.txt': 'a\nb\nmain\n', 'gone.txt': 'changed\n', 'odd\nname': '2\n' }, 'main two');
    await refresh();
    const before = git(at.gitDir, 'for-each-ref');
    for (const outcome of [
      await merge(at, ours, theirs, signed, world.stop.signal),
      await rebase(at, theirs, ours, by, world.stop.signal),
      await cherryPick(at, theirs, ours, by, world.stop.signal),
    ]) {
      const failed = failure(outcome);
      expect(failed).toMatchObject({ code: 'conflict', retryable: false });
      expect(failed.conflicts?.length).toBeGreaterThan(0);
    }
    const { conflicts } = failure(await merge(at, ours, theirs, signed, world.stop.signal));
    expect(conflicts?.map(({ path, kind }) => [path, kind])).toEqual([
      ['a.txt', 'contents'],
      ['gone.txt', 'modify/delete'],
      ['odd\nname', 'contents'],
    ]);
    expect(git(at.gitDir, 'for-each-ref')).toBe(before);
  });

  test('refuses histories that have nothing in common, and merges to be picked', async () => {
    git(source, 'checkout', '-q', '--orphan', 'alone');
    const alone = world.commitTo(source, { 'z.txt': 'z\n' });
    git(source, 'checkout', '-q', 'main');
    git(source, 'merge', '-q', '-m', 'merge', 'topic');
    await refresh();
    const { signal } = world.stop;
    expect(failure(await merge(at, commits.main, alone, signed, signal)).code).toBe('unrelated-histories');
    expect(failure(await rebase(at, alone, commits.main, by, signal)).code).toBe('unrelated-histories');
    expect(failure(await cherryPick(at, git(source, 'rev-parse', 'main'), commits.base, by, signal)).message).toContain('merge');
  });

  test('makes tags and never moves one', async () => {
    const { signal } = world.stop;
    expect(value(await tag(at, 'v1', commits.main, by, signal))).toBe(commits.main);
    const annotated = value(await tag(at, 'v2', commits.main, { ...by, message: 'Two\n# kept' }, signal));
    expect(git(at.gitDir, 'cat-file', '-p', annotated)).toContain('# kept');
    expect(failure(await tag(at, 'v1', commits.topic, by, signal)).code).toBe('non-fast-forward');
    expect(failure(await tag(at, '-d', commits.topic, by, signal)).code).toBe('invalid-ref');
    await refresh();
    expect(git(at.gitDir, 'tag').split('\n')).toEqual(['v1', 'v2']);
  });
});
