import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type GitHttpServer, serveGit } from '../../test/support/git-http.ts';
import { failure, GitWorld, git, repositoryAt, value, write } from '../../test/support/git-world.ts';
import { commitAll } from './commit.ts';
import { push } from './push.ts';
import type { Workspace } from './workspace.ts';

describe('a push', () => {
  let world: GitWorld;
  let server: GitHttpServer;
  let source: string;
  let forge: string;
  let address: string;

  beforeEach(async () => {
    world = await GitWorld.open();
    source = world.checkout('app');
    forge = world.publish(source, 'app.git');
    server = await serveGit(join(world.root, 'forge'), 'token-of-the-forge');
    address = `${server.origin}/app.git`;
    world.tokens = [{ origin: server.origin, token: 'token-of-the-forge' }];
  });
  afterEach(async () => {
    await server.stop();
    await world.remove();
  });

  const send = (workspace: Workspace, commit: string, branch?: string, to = address) =>
    push(world.git, world.credentials, workspace, repositoryAt(to), commit, world.stop.signal, branch);

  const worked = async (text = 'b\n', taskId?: string): Promise<{ workspace: Workspace; commit: string }> => {
    const workspace = value(await world.open(address, await world.run(taskId)));
    write(workspace.tree, { 'b.txt': text });
    return { workspace, commit: value(await commitAll(world.git, workspace, world.wish(text), world.stop.signal)).commit };
  };

  test('brings the branch over HTTP with a token, and says so when it was there already', async () => {
    const { workspace, commit } = await worked();
    expect(value(await send(workspace, commit))).toEqual({ kind: 'pushed', branch: workspace.branch, before: null });
    expect(git(forge, 'rev-parse', workspace.branch)).toBe(commit);
    // As after a crash between the push and the note of it.
    await world.start();
    const posts = server.requests.filter(({ method, url }) => method === 'POST' && url.includes('receive-pack')).length;
    expect(value(await send(workspace, commit))).toEqual({ kind: 'already-there', branch: workspace.branch });
    expect(server.requests.filter(({ method, url }) => method === 'POST' && url.includes('receive-pack'))).toHaveLength(posts);
  });

  test('whose answer was lost is recognised when it is tried again', async () => {
    const { workspace, commit } = await worked();
    git(forge, 'fetch', '-q', workspace.gitDir, `${workspace.branch}:${workspace.branch}`);
    expect(value(await send(workspace, commit)).kind).toBe('already-there');
  });

  test('replaces what an earlier attempt of the same task pushed, and nothing else', async () => {
    const first = await worked('first\n');
    value(await send(first.workspace, first.commit));
    await world.endRun(first.workspace.runId, 'failed');
    const second = await worked('second\n', first.workspace.taskId);
    expect(second.workspace.branch).toBe(first.workspace.branch);
    expect(value(await send(second.workspace, second.commit))).toMatchObject({ kind: 'pushed', before: first.commit });
    expect(git(forge, 'rev-parse', second.workspace.branch)).toBe(second.commit);

    // Somebody goes on from there.
    git(source, 'fetch', '-q', forge, `${second.workspace.branch}:theirs`);
    git(source, 'checkout', '-q', 'theirs');
    const theirs = world.commitTo(source, { 'human.txt': 'h\n' });
    git(source, 'push', '-q', forge, `theirs:${second.workspace.branch}`);
    await world.endRun(second.workspace.runId, 'failed');
    const third = await worked('third\n', first.workspace.taskId);
    expect(failure(await send(third.workspace, third.commit)).code).toBe('non-fast-forward');
    expect(git(forge, 'rev-parse', third.workspace.branch)).toBe(theirs);
  });

  test('to a branch that moved on is refused, and to one that it follows is not', async () => {
    const { workspace, commit } = await worked();
    expect(value(await send(workspace, commit, 'main'))).toMatchObject({ kind: 'pushed', before: workspace.baseCommit });
    const late = await worked('late\n');
    const other = world.commitTo(source, { 'c.txt': 'c\n' });
    git(source, 'push', '-qf', forge, 'HEAD:main');
    expect(failure(await send(late.workspace, late.commit, 'main')).code).toBe('non-fast-forward');
    expect(git(forge, 'rev-parse', 'main')).toBe(other);
  });

  test.each([
    ['a hook', 'refused-by-hook', 'echo "Tests must pass first" >&2; exit 1', 'Tests must pass first'],
    [
      'a protected branch',
      'protected-branch',
      'echo "error: GH006: Protected branch update failed for refs/heads/main." >&2; exit 1',
      'GH006',
    ],
  ])('refused by %s says so, with the reason', async (_, code, script, reason) => {
    write(forge, { 'hooks/pre-receive': `#!/bin/sh\n${script}\n` });
    chmodSync(join(forge, 'hooks/pre-receive'), 0o755);
    const { workspace, commit } = await worked();
    const failed = failure(await send(workspace, commit));
    expect(failed).toMatchObject({ code, retryable: false, detail: expect.stringContaining(reason) });
  });

  test('without a token that may write is an authentication failure', async () => {
    const { workspace, commit } = await worked();
    world.tokens = [{ origin: server.origin, token: 'wrong-token' }];
    expect(failure(await send(workspace, commit)).code).toBe('auth-failed');
  });

  test('to a repository on this machine writes nothing there and says how to fetch', async () => {
    const workspace = await world.workspace(source);
    write(workspace.tree, { 'b.txt': 'b\n' });
    const { commit } = value(await commitAll(world.git, workspace, world.wish(), world.stop.signal));
    const outcome = value(await send(workspace, commit, undefined, source));
    expect(outcome).toMatchObject({ kind: 'left-in-mirror', fetchCommand: expect.stringMatching(/^git fetch \//) });
    expect(git(source, 'for-each-ref', '--format=%(refname)')).toBe('refs/heads/main');
    const [, ...args] = outcome.kind === 'left-in-mirror' ? outcome.fetchCommand.split(' ') : [];
    git(source, ...args);
    expect(git(source, 'rev-parse', workspace.branch)).toBe(commit);
  });

  test('to a name that is no branch is refused before git sees it', async () => {
    const { workspace, commit } = await worked();
    expect(failure(await send(workspace, commit, '--mirror')).code).toBe('invalid-ref');
  });
});
