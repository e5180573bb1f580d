import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { type GitHttpServer, serveGit } from '../../test/support/git-http.ts';
import { failure, GitWorld, git, repositoryAt, value, write } from '../../test/support/git-world.ts';
import { systemClock } from '../platform/clock.ts';
import { commitAll } from './commit.ts';
import { createGit } from './git.ts';
import { lockFile } from './lock.ts';

describe('a mirror', () => {
  let world: GitWorld;
  beforeEach(async () => {
    world = await GitWorld.open();
  });
  afterEach(() => world.remove());

  const fetchFrom = (address: string, ref: string | null = null, history: 'full' | 'shallow' = 'full', signal = world.stop.signal) =>
    world.mirrors.fetch(repositoryAt(address), { ref, history }, signal);

  test('follows a branch that moves, is rewritten, vanishes, or makes room for another', async () => {
    const source = world.checkout('app');
    const first = value(await fetchFrom(source));
    expect(value(await fetchFrom(source)).commit).toBe(first.commit);
    const second = world.commitTo(source, { 'b.txt': 'b\n' });
    expect(value(await fetchFrom(source)).commit).toBe(second);
    git(source, 'reset', '-q', '--hard', 'HEAD^');
    const forced = world.commitTo(source, { 'c.txt': 'c\n' });
    expect(value(await fetchFrom(source)).commit).toBe(forced);
    git(source, 'branch', 'topic');
    expect(value(await fetchFrom(source, 'topic')).commit).toBe(forced);
    git(source, 'branch', '-D', 'topic');
    git(source, 'branch', 'topic/inner');
    expect(failure(await fetchFrom(source, 'topic')).code).toBe('no-such-ref');
    expect(value(await fetchFrom(source, 'topic/inner')).commit).toBe(forced);
  });

  test('fetches once for everybody who asks at the same time', async () => {
    const source = world.checkout('app');
    const bare = world.publish(source, 'app.git');
    const server = await serveGit(join(bare, '..'));
    try {
      await fetchFrom(`${server.origin}/app.git`, 'main');
      const before = server.requests.length;
      value(await fetchFrom(`${server.origin}/app.git`, 'main'));
      const one = server.requests.length - before;
      const all = await Promise.all(Array.from({ length: 20 }, () => fetchFrom(`${server.origin}/app.git`, 'main')));
      expect(all.every(({ ok }) => ok)).toBe(true);
      expect(server.requests.length - before - one).toBeLessThanOrEqual(2 * one);
    } finally {
      await server.stop();
    }
  });

  test.each(['nothing', 'v9', 'a'.repeat(40), 'refs/pull/1/head'])('has no such ref as %s', async (ref) => {
    expect(failure(await fetchFrom(world.checkout('app'), ref))).toMatchObject({ code: 'no-such-ref', retryable: false });
  });

  test.each(['--upload-pack=touch /tmp/pwned', '-x', 'a..b', 'main:refs/heads/x', 'main^{/x}', '@{-1}', 'HEAD~1'])(
    'refuses %j as a ref before git sees it',
    async (ref) => {
      expect(failure(await fetchFrom(world.checkout('app'), ref)).code).toBe('invalid-ref');
    },
  );

  test('tells an empty repository, one without a default branch, and none at all apart', async () => {
    const empty = join(world.root, 'theirs', 'empty');
    mkdirSync(empty, { recursive: true });
    git(empty, 'init', '-q', '--initial-branch=main');
    expect(failure(await fetchFrom(empty)).code).toBe('empty-repository');
    expect(failure(await fetchFrom(empty, 'main')).code).toBe('empty-repository');
    world.commitTo(empty, { a: 'a' });
    git(empty, 'branch', '-m', 'main', 'other');
    git(empty, 'symbolic-ref', 'HEAD', 'refs/heads/main');
    expect(failure(await fetchFrom(empty)).code).toBe('no-such-ref');
    expect(failure(await fetchFrom(join(world.root, 'nowhere')))).toMatchObject({ code: 'repository-not-found', retryable: false });
    expect(readdirSync(join(world.home, 'mirrors')).filter((name) => name.endsWith('.git'))).toHaveLength(1);
  });

  test('is not made of what lies in the home', async () => {
    const { gitDir } = value(await fetchFrom(world.checkout('app')));
    expect(failure(await fetchFrom(gitDir)).code).toBe('invalid-repository');
  });

  test('of a repository of another user of this machine can be read, or says why not', async () => {
    const source = world.checkout('app');
    execFileSync('chown', ['-R', '65534:65534', source]);
    const fetched = await fetchFrom(source);
    if (!fetched.ok) expect(fetched.failure).toMatchObject({ code: 'auth-failed', message: expect.stringContaining('another user') });
  });

  test('stays when the repository vanishes, and says that it is the repository', async () => {
    const source = world.checkout('app');
    const { gitDir } = value(await fetchFrom(source));
    rmSync(source, { recursive: true });
    expect(failure(await fetchFrom(source)).code).toBe('repository-not-found');
    expect(existsSync(gitDir)).toBe(true);
  });

  test('can be shallow, for a branch, a tag or a commit', async () => {
    const source = world.checkout('app');
    const first = git(source, 'rev-parse', 'HEAD');
    const second = world.commitTo(source, { 'b.txt': 'b\n' });
    git(source, 'tag', 'v1');
    for (const ref of [null, 'main', 'v1', second]) {
      const fetched = value(await fetchFrom(source, ref, 'shallow'));
      expect(fetched.commit).toBe(second);
      expect(git(fetched.gitDir, 'rev-list', '--count', second)).toBe('1');
    }
    expect(value(await fetchFrom(source, first)).commit).toBe(first);
    expect(failure(await fetchFrom(source, 'nothing', 'shallow')).code).toBe('no-such-ref');
    const workspace = value(await world.open(source, await world.run(), { history: 'shallow' }));
    expect(git(workspace.tree, 'log', '--format=%s')).toBe('more');
    write(workspace.tree, { 'b.txt': 'x\n' });
    expect(value(await commitAll(world.git, workspace, world.wish(), world.stop.signal)).created).toBe(true);
  });

  test('that is damaged is made anew, and keeps the results that can still be read', async () => {
    const source = world.checkout('app');
    const workspace = await world.workspace(source);
    write(workspace.tree, { 'b.txt': 'b\n' });
    const { commit } = value(await commitAll(world.git, workspace, world.wish(), world.stop.signal));
    writeFileSync(join(workspace.gitDir, 'config'), 'not a configuration');
    writeFileSync(join(workspace.gitDir, 'HEAD'), 'not a head');
    const next = world.commitTo(source, { 'c.txt': 'c\n' });
    expect(value(await fetchFrom(source)).commit).toBe(next);
    expect(git(workspace.tree, 'log', '--format=%s')).toBe('first');
    expect(git(workspace.gitDir, 'rev-parse', workspace.branch)).toBe(commit);
    expect(readdirSync(join(world.home, 'mirrors')).filter((name) => name.includes('damaged'))).toEqual([]);
  });

  test('gets over locks that a killed process left', async () => {
    const source = world.checkout('app');
    const { gitDir } = value(await fetchFrom(source));
    const commit = world.commitTo(source, { 'b.txt': 'b\n' });
    for (const name of ['packed-refs.lock', 'shallow.lock', 'refs/upstream/heads/main.lock', 'objects/pack/tmp_pack_x']) {
      writeFileSync(join(gitDir, name), '');
    }
    mkdirSync(`${gitDir}.new-unfinished`);
    await world.start();
    expect(value(await fetchFrom(source)).commit).toBe(commit);
    expect(existsSync(join(gitDir, 'objects/pack/tmp_pack_x'))).toBe(false);
  });

  test('leaves the locks of a git that is at work, in a mirror that is new as in one that was there', async () => {
    const source = world.checkout('app');
    const { gitDir } = value(await fetchFrom(source));
    for (const round of ['new', 'old']) {
      const lock = join(gitDir, 'refs/upstream', `${round}.lock`);
      if (round === 'old') {
        await world.start();
        await world.mirrors.ready(gitDir);
      }
      writeFileSync(lock, '');
      await fetchFrom(source);
      expect(existsSync(lock)).toBe(true);
    }
  });

  test('is not begun by two processes at once', async () => {
    const source = world.checkout('app');
    const gitDir = world.mirrors.gitDirOf(repositoryAt(source), 'full');
    const release = await lockFile(`${gitDir}.lock`, systemClock, world.stop.signal);
    const giveUp = new AbortController();
    const waiting = fetchFrom(source, null, 'full', giveUp.signal);
    giveUp.abort();
    expect(failure(await waiting).code).toBe('cancelled');
    const patient = fetchFrom(source);
    release?.();
    expect((await patient).ok).toBe(true);
  });

  test('is packed when it has scattered, without losing anything', async () => {
    const source = world.checkout('app');
    const { gitDir } = value(await fetchFrom(source));
    for (let i = 0; i < 26; i++) {
      const tree = git(source, 'rev-parse', 'HEAD^{tree}');
      const commit = git(source, 'commit-tree', '-m', `${i}`, tree);
      git(source, 'update-ref', 'refs/heads/main', commit);
      git(gitDir, '-c', 'fetch.unpackLimit=1', 'fetch', '-q', source, `+refs/heads/main:refs/kept/${i}`);
    }
    const packs = (): number => readdirSync(join(gitDir, 'objects/pack')).filter((name) => name.endsWith('.pack')).length;
    expect(packs()).toBeGreaterThan(24);
    await world.mirrors.maintain(async () => false, world.stop.signal);
    expect(packs()).toBeLessThan(10);
    git(gitDir, 'fsck', '--connectivity-only');
  });

  describe('that nothing has used for long', () => {
    const month = 30 * 86_400_000;
    let clock: ManualClock;
    beforeEach(async () => {
      await world.remove();
      clock = new ManualClock();
      world = await GitWorld.open({ clock });
    });
    const maintain = (): Promise<number> => world.mirrors.maintain(async () => false, world.stop.signal);
    const mirrors = (): readonly string[] =>
      readdirSync(join(world.home, 'mirrors')).filter((name) => name.includes('.git') && !name.endsWith('.lock'));

    test('is removed after a month, and made anew when it is wanted again', async () => {
      const source = world.checkout('app');
      const { commit } = value(await fetchFrom(source));
      clock.advance(month - 1_000);
      value(await fetchFrom(source));
      clock.advance(month - 1_000);
      expect(await maintain()).toBe(0);
      clock.advance(2_000);
      expect(await maintain()).toBe(1);
      expect(mirrors()).toEqual([]);
      expect(value(await fetchFrom(source)).commit).toBe(commit);
    });

    test('stays while a workspace is made from it, or while it holds the only copy of a result', async () => {
      const source = world.checkout('app');
      const { gitDir, commit } = value(await fetchFrom(source));
      clock.advance(month + 1_000);
      expect(await world.mirrors.maintain(async (asked) => asked === gitDir, world.stop.signal)).toBe(0);
      git(gitDir, 'update-ref', 'refs/heads/nightshift/one', commit);
      expect(await maintain()).toBe(0);
      git(gitDir, 'update-ref', '-d', 'refs/heads/nightshift/one');
      expect(await maintain()).toBe(1);
    });

    test('has its month from when it was first seen, and what a crash left of a removal goes', async () => {
      const { gitDir } = value(await fetchFrom(world.checkout('app')));
      rmSync(join(gitDir, 'nightshift-used'));
      mkdirSync(`${gitDir}.gone-0`);
      clock.advance(2 * month);
      expect(await maintain()).toBe(0);
      expect(mirrors()).toEqual([basename(gitDir)]);
      clock.advance(month + 1_000);
      expect(await maintain()).toBe(1);
    });
  });

  describe('when git or the network is in trouble', () => {
    let server: GitHttpServer;
    beforeEach(async () => {
      world.publish(world.checkout('app'), 'app.git');
      server = await serveGit(join(world.root, 'forge'));
    });
    afterEach(() => server.stop());

    test.each([
      ['network', 500],
      ['network', 503],
      ['network', 429],
      ['auth-failed', 403],
      ['repository-not-found', 404],
    ] as const)('says %s for an answer of %i', async (code, status) => {
      server.answerWith((_, response) => void response.writeHead(status).end('<script>'));
      expect(failure(await fetchFrom(`${server.origin}/app.git`))).toMatchObject({ code, retryable: code === 'network' });
    });

    test.each([
      ['garbage', (response: import('node:http').ServerResponse) => response.end('hello')],
      ['a cut connection', (response: import('node:http').ServerResponse) => response.destroy()],
    ])('survives %s', async (_, answer) => {
      server.answerWith((__, response) => void answer(response));
      const failed = failure(await fetchFrom(`${server.origin}/app.git`));
      expect(['network', 'repository-not-found', 'git-failed', 'empty-repository']).toContain(failed.code);
    });

    test('that nobody listens is the network', async () => {
      const { origin } = server;
      await server.stop();
      expect(failure(await fetchFrom(`${origin}/app.git`))).toMatchObject({ code: 'network', retryable: true });
      server = await serveGit(join(world.root, 'forge'));
    });

    test('gives up a hanging server when called off, and leaves no process', async () => {
      const asked = new Promise<void>((resolve) => server.answerWith(() => resolve()));
      const stop = new AbortController();
      const waiting = fetchFrom(`${server.origin}/app.git`, null, 'full', stop.signal);
      await asked;
      stop.abort();
      expect(failure(await waiting).code).toBe('cancelled');
      expect(execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain(server.origin);
    });

    test('lets go whoever is called off, although others go on waiting for the same fetch', async () => {
      const held: (() => void)[] = [];
      const asked = new Promise<void>((resolve) =>
        server.answerWith((_, response) => {
          held.push(() => response.writeHead(404).end());
          resolve();
        }),
      );
      const stop = new AbortController();
      const patient = fetchFrom(`${server.origin}/app.git`, 'main');
      const hasty = fetchFrom(`${server.origin}/app.git`, 'main', 'full', stop.signal);
      await asked;
      stop.abort();
      expect(failure(await hasty).code).toBe('cancelled');
      for (const answer of held) answer();
      expect(failure(await patient).code).toBe('repository-not-found');
    });

    test('gives up a hanging server in time', async () => {
      server.answerWith(() => undefined);
      const outcome = await world.git.run(
        {
          gitDir: value(await fetchFrom(join(world.root, 'forge/app.git'))).gitDir,
          args: ['ls-remote', `${server.origin}/app.git`],
          transport: { protocols: 'http', env: {}, redact: (text) => text },
          timeoutMs: 100,
        },
        world.stop.signal,
      );
      expect(failure(outcome)).toMatchObject({ code: 'timeout', retryable: true });
    });

    test('says that git is missing', async () => {
      const without = createGit({ clock: systemClock, path: '/nowhere' });
      expect(failure(await without.run({ args: ['version'] }, world.stop.signal)).code).toBe('git-missing');
    });

    test('does not call git missing when the machine is out of descriptors', () => {
      const script = `
        import { openSync } from 'node:fs';
        import { systemClock } from ${JSON.stringify(new URL('../platform/clock.ts', import.meta.url).href)};
        import { createGit } from ${JSON.stringify(new URL('./git.ts', import.meta.url).href)};
        const git = createGit({ clock: systemClock, path: process.env.PATH });
        try { for (;;) openSync('/dev/null'); } catch {}
        const { failure } = await git.run({ args: ['version'] }, new AbortController().signal);
        console.log(failure.code, failure.retryable);`;
      const argv = ['-c', 'ulimit -n 64; exec "$0" "$@"', process.execPath, '--input-type=module', '-e', script];
      expect(execFileSync('sh', argv, { encoding: 'utf8' }).trim()).toBe('host-unfit true');
    });

    test('stops git when it prints without end', async () => {
      const pieces: number[] = [];
      const directory = join(world.root, 'bin');
      write(directory, { git: '#!/bin/sh\nexec yes\n' });
      chmodSync(join(directory, 'git'), 0o755);
      const chatty = createGit({ clock: systemClock, path: `${directory}:/usr/bin:/bin` });
      const outcome = await chatty.stream(
        { args: ['log'] },
        async (piece) => {
          pieces.push(piece.length);
          return pieces.length < 5;
        },
        world.stop.signal,
      );
      expect([outcome.ok, pieces.length]).toEqual([true, 5]);
      expect(failure(await chatty.run({ args: ['log'] }, world.stop.signal)).code).toBe('output-too-large');
    });
  });

  describe('of a private repository', () => {
    let server: GitHttpServer;
    const token = 'ghp_s3cret/with+odd=chars';
    beforeEach(async () => {
      world.publish(world.checkout('app'), 'app.git');
      server = await serveGit(join(world.root, 'forge'), token);
      world.tokens = [{ origin: server.origin, token }];
    });
    afterEach(() => server.stop());

    const everything = (directory: string): string =>
      readdirSync(directory, { recursive: true, encoding: 'utf8' })
        .map((name) => join(directory, name))
        .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile())
        .map((path) => readFileSync(path, 'latin1'))
        .join('\n');

    test('is fetched with the token of its host, which stays nowhere', async () => {
      const workspace = value(await world.open(`${server.origin}/app.git`, await world.run()));
      expect(server.requests.at(-1)?.user).toBe('x-access-token');
      expect(everything(world.home)).not.toContain(token);
      expect(readdirSync(join(world.home, 'askpass'))).toEqual([]);
      expect(git(workspace.tree, 'config', '--list')).not.toContain('127.0.0.1');
    });

    test('never shows the token to processes that look: not in arguments, not in environments', async () => {
      let seen = '';
      server.answerWith((request, response) => {
        seen += execFileSync('ps', ['eww', '-eo', 'args'], { encoding: 'utf8' });
        if (!request.headers.authorization) response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
        else response.writeHead(404).end();
      });
      await fetchFrom(`${server.origin}/app.git`);
      expect(seen).toContain('remote-http');
      expect(seen).not.toContain(token);
      expect(seen).not.toContain(Buffer.from(`x-access-token:${token}`).toString('base64'));
    });

    test('is refused without a token, and with a wrong one, in words that do not repeat it', async () => {
      world.tokens = [];
      expect(failure(await fetchFrom(`${server.origin}/app.git`)).code).toBe('auth-failed');
      world.tokens = [{ origin: server.origin, token: 'wrong-token' }];
      const failed = failure(await fetchFrom(`${server.origin}/app.git`));
      expect(failed.code).toBe('auth-failed');
      expect(JSON.stringify(failed)).not.toContain('wrong-token');
    });

    test('does not get a token that belongs to another host, not even by a redirect', async () => {
      const other = await serveGit(join(world.root, 'forge'), 'anything');
      try {
        server.answerWith((request, response) => void response.writeHead(302, { location: `${other.origin}${request.url}` }).end());
        failure(await fetchFrom(`${server.origin}/app.git`));
        expect(other.requests.map(({ user }) => user).filter(Boolean)).toEqual([]);
        world.tokens = [{ origin: 'https://github.com', token }];
        server.answerWith(undefined);
        expect(failure(await fetchFrom(`${server.origin}/app.git`)).code).toBe('auth-failed');
      } finally {
        await other.stop();
      }
    });

    test('leaves no token behind when the server is killed in the middle', async () => {
      writeFileSync(join(world.home, 'askpass', 'left'), `https\nhost\nname\n${token}\n`);
      await world.start();
      expect(everything(world.home)).not.toContain(token);
    });

    test('whose server repeats the token in what it says gets it cut out', async () => {
      const { redact } = await world.credentials.reaching(repositoryAt(`${server.origin}/app.git`), async (transport) => transport);
      const encoded = Buffer.from(`x-access-token:${token}`).toString('base64');
      expect(redact(`remote: ${token} ${encoded} ${encodeURIComponent(token)}`)).toBe('remote: [secret] [secret] [secret]');
    });
  });

  test('whose packs are cut short is fetched anew', async () => {
    const source = world.checkout('app', { 'a.txt': 'a\n'.repeat(2_000) });
    const workspace = await world.workspace(source);
    write(workspace.tree, { 'b.txt': 'b\n' });
    value(await commitAll(world.git, workspace, world.wish(), world.stop.signal));
    git(workspace.gitDir, 'repack', '-qad');
    const packs = join(workspace.gitDir, 'objects/pack');
    for (const name of readdirSync(packs)) {
      chmodSync(join(packs, name), 0o600);
      truncateSync(join(packs, name), 20);
    }
    const commit = world.commitTo(source, { 'c.txt': 'c\n' });
    expect(value(await fetchFrom(source)).commit).toBe(commit);
    expect((await world.workspace(source)).baseCommit).toBe(commit);
    // What could not be read is not thrown away: somebody may know how.
    expect(readdirSync(join(world.home, 'mirrors')).filter((name) => name.includes('damaged'))).toHaveLength(1);
  });
});
