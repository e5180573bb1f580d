import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GitHttpServer, serveGit } from '../support/git-http.ts';
import { git, write } from '../support/git-world.ts';
import { GitHubServer } from '../support/github-api.ts';
import { commentPayload, deliver, pullPayload, webhookSecret } from '../support/github-deliveries.ts';
import { Api, type ApiTask, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../support/stores.ts';

const gitHubToken = 'ghp_a_token_of_the_tests';

/** What the model does is decided by the wish; its last words are its summary. */
const script = {
  name: 'github',
  turns: [
    // At first it forgets to write its review down.
    { when: { first: true, prompt: 'Review this pull request' }, say: 'It looks fine to me.' },
    { when: { prompt: 'Review this pull request', tool: 'Write' }, say: 'It is written down.' },
    {
      when: { prompt: 'Review this pull request', said: 'There is no review' },
      say: 'I have read it again.',
      call: {
        tool: 'Write',
        input: {
          file_path: '{{cwd}}/.nightshift/artifacts/review.json',
          content: JSON.stringify({
            verdict: 'request-changes',
            summary: 'Oil alone does not do.',
            comments: [
              { path: 'gate.md', line: 2, text: 'Say which oil, @ann.' },
              { path: 'gate.md', line: 40, text: 'This line is not in the change.' },
            ],
          }),
        },
      },
    },
    {
      when: { first: true, prompt: 'plant a rose' },
      say: 'I plant.',
      call: { tool: 'Write', input: { file_path: '{{cwd}}/rose.md', content: 'red\n' } },
    },
    {
      when: { first: true, prompt: 'paint it' },
      say: 'I paint.',
      call: { tool: 'Write', input: { file_path: '{{cwd}}/paint.md', content: 'green\n' } },
    },
    {
      when: { first: true, prompt: 'oil the gate' },
      say: 'I oil.',
      call: { tool: 'Write', input: { file_path: '{{cwd}}/gate.md', content: 'hinge\noil\n' } },
    },
    { when: { said: 'interrupted' }, say: 'It was done already. All is well.' },
    { say: 'Done, and all is well.' },
  ],
};

type Moment =
  | 'as the branch arrives'
  | 'as the pull request is made'
  | 'as the answer is written'
  | 'as the reaction is given'
  | 'as the commit status is set'
  | 'as the review is left';

/** GitHub's API and its repositories under one address, as a GitHub server of one's own has them. */
async function front(parts: {
  readonly api: string;
  readonly git: string;
  readonly seen: (request: IncomingMessage) => void;
}): Promise<Server> {
  const forward = (request: IncomingMessage, response: ServerResponse): void => {
    parts.seen(request);
    const to = new URL(request.url ?? '/', request.url?.includes('.git/') ? parts.git : parts.api);
    const onward = send(to, { method: request.method, headers: { ...request.headers, host: to.host } }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  };
  const server = createServer(forward);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** From a signed delivery to a pull request: the real server in its own process, the real agent engine, real git over HTTP. */
for (const dialect of dialects)
  describe.skipIf(missing(dialect))(`work asked for on GitHub, on ${dialect}`, () => {
    let root: string;
    let database: TestDatabase;
    let github: GitHubServer;
    let forge: GitHttpServer;
    let door: Server;
    let origin: string;
    let server: ServerProcess;
    let restarting: Promise<void> | undefined;
    let bare: string;
    let killAt: Moment[] = [];
    const killed: Moment[] = [];
    let beforePush = (): void => undefined;
    let whileDown = (): void => undefined;

    const begin = async (): Promise<void> => {
      server = spawnServer(database.home, {
        NIGHTSHIFT_TOKEN: testToken,
        ...(database.databaseUrl === undefined ? {} : { DATABASE_URL: database.databaseUrl }),
        NIGHTSHIFT_LEASE_SECONDS: '2',
        NIGHTSHIFT_DRAIN_SECONDS: '0',
        LLM_PROVIDER: 'rehearsal',
        NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
        GITHUB_WEBHOOK_SECRET: webhookSecret,
        GITHUB_TOKEN: gitHubToken,
        GITHUB_API_URL: origin,
      });
      await server.address;
    };
    const kill = (moment: Moment): boolean => {
      if (!killAt.includes(moment) || restarting) return false;
      killAt = killAt.filter((each) => each !== moment);
      killed.push(moment);
      server.child.kill('SIGKILL');
      restarting = server.exited
        .then(() => whileDown())
        .then(begin)
        .finally(() => {
          restarting = undefined;
        });
      return true;
    };
    const api = async (): Promise<Api> => {
      await restarting;
      return new Api(await server.address, testToken);
    };
    const inGarden = (payload: Record<string, unknown>): Record<string, unknown> => ({
      ...payload,
      repository: { full_name: 'octo/garden', clone_url: `${origin}/octo/garden.git`, default_branch: 'main' },
    });
    /** The task of a delivery, once all of it is done and said. */
    async function endOf(event: string, payload: Record<string, unknown>): Promise<ApiTask> {
      const before = (await (await api()).call<{ items: readonly ApiTask[] }>('GET', '/api/tasks')).body.items.length;
      const { status } = await deliver((await api()).address, event, inGarden(payload));
      expect(status).toBe(200);
      return until(
        'the task to end, and everybody to be told',
        async () => {
          const look = async (path: string) => (await (await api()).call<{ items: readonly ApiTask[] }>('GET', path)).body.items;
          const [tasks, waiting] = await Promise.all([look('/api/tasks'), look('/api/outbox?state=waiting')]).catch(() => [[], []]);
          const [newest] = tasks;
          if (tasks.length <= before || waiting.length > 0 || restarting) return false;
          return newest && ['succeeded', 'failed', 'escalated'].includes(newest.status) && newest;
        },
        90,
      );
    }
    const said = (kind: string): readonly string[] =>
      github.comments.flatMap(({ body }) => (body.startsWith(`<!-- nightshift:${kind}/`) ? body : []));
    const files = (ref: string): readonly string[] => git(bare, 'ls-tree', '-r', '--name-only', ref).split('\n');

    beforeAll(async () => {
      root = mkdtempSync(join(tmpdir(), 'nightshift-github-'));
      writeFileSync(join(root, 'script.json'), JSON.stringify(script));
      database = await createDatabase(dialect);
      const repository = join(root, 'repository');
      mkdirSync(repository);
      git(repository, 'init', '--quiet', '--initial-branch=main');
      write(repository, {
        'gate.md': 'hinge\nrust\n',
        'package.json': '{"scripts":{"test":"node --test"}}',
        'a.test.js': "require('node:test')('it closes', () => undefined);\n",
      });
      git(repository, 'add', '--all');
      git(repository, 'commit', '--quiet', '-m', 'first');
      bare = join(root, 'forge', 'octo', 'garden.git');
      mkdirSync(join(root, 'forge', 'octo'), { recursive: true });
      git(root, 'clone', '--quiet', '--bare', repository, bare);
      forge = await serveGit(join(root, 'forge'), gitHubToken);
      github = new GitHubServer();
      github.things.set('/repos/octo/garden/issues/12', {
        number: 12,
        title: 'The gate squeaks',
        body: 'It does.',
        user: { login: 'bob' },
      });
      github.mishap = ({ method, path, body }) => {
        const moment: Moment | undefined =
          method !== 'POST'
            ? undefined
            : path.endsWith('/pulls')
              ? 'as the pull request is made'
              : path.endsWith('/reactions')
                ? 'as the reaction is given'
                : path.endsWith('/reviews')
                  ? 'as the review is left'
                  : path.includes('/statuses/') && (body as { state?: string }).state === 'success'
                    ? 'as the commit status is set'
                    : (body as { body?: string }).body?.startsWith('<!-- nightshift:answer/')
                      ? 'as the answer is written'
                      : undefined;
        return moment && kill(moment) ? { kind: 'cut', done: true } : undefined;
      };
      // The branch arrives, but nobody is there any more to hear so.
      const seen = ({ method, url }: IncomingMessage): void => {
        if (url?.includes('service=git-receive-pack')) beforePush();
        if (method === 'POST' && url?.endsWith('/git-receive-pack')) kill('as the branch arrives');
      };
      door = await front({ api: await github.start(), git: forge.origin, seen });
      origin = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
      await begin();
    });

    afterAll(async () => {
      await restarting;
      server.child.kill('SIGTERM');
      await server.exited;
      await new Promise((resolve) => {
        door.close(resolve);
        door.closeAllConnections();
      });
      await Promise.all([forge.stop(), github.stop()]);
      await database.remove();
      rmSync(root, { recursive: true, force: true });
    });

    test('becomes a pull request with an answer, and goes on in it; once, though the server is killed on the way', {
      timeout: 240_000,
    }, async () => {
      killAt = ['as the reaction is given', 'as the branch arrives', 'as the pull request is made', 'as the answer is written'];
      const task = await endOf('issue_comment', commentPayload('@nightshift please oil the gate', { id: 1 }));
      expect([task.status, task.reason]).toEqual(['succeeded', null]);
      expect(killed).toEqual([
        'as the reaction is given',
        'as the branch arrives',
        'as the pull request is made',
        'as the answer is written',
      ]);

      const [pull, ...otherPulls] = github.pulls;
      expect(otherPulls).toEqual([]);
      expect(pull).toMatchObject({ base: 'main', head: expect.stringContaining(task.id) });
      expect(pull?.body).toContain('Closes #12.');
      const head = (): string => git(bare, 'rev-parse', pull?.head ?? '');
      const first = head();
      expect(git(bare, 'show', `${first}:gate.md`)).toBe('hinge\noil');
      expect(git(bare, 'rev-list', '--count', `main..${first}`)).toBe('1');
      expect(github.reactions).toEqual([{ to: 'issues/comments/1', content: 'eyes' }]);
      expect(said('status')).toHaveLength(1);
      expect(said('status')[0]).toContain('**Done**');
      expect(said('answer')).toHaveLength(1);
      for (const part of ['is well', '1 file changed, +1 −1', 'Tests pass', `#${pull?.number}`]) expect(said('answer')[0]).toContain(part);
      expect(github.statuses).toContainEqual({ sha: first, state: 'success' });
      // git spoke with the same token, and with no other host.
      expect(forge.requests.some(({ url, user }) => url.endsWith('git-receive-pack') && user === 'x-access-token')).toBe(true);

      const shown = (): Record<string, unknown> =>
        pullPayload(pull?.number ?? 0, {
          head: { ref: pull?.head, sha: head(), repo: { full_name: 'octo/garden' } },
          user: { login: 'nightshift', type: 'User' },
        });
      github.things.set(`/repos/octo/garden/pulls/${pull?.number}`, shown());
      // What is pushed is the very branch that it began at; and then its workspace is gone.
      killAt = ['as the branch arrives'];
      whileDown = () => rmSync(join(database.home, 'workspaces'), { recursive: true });
      const more = await endOf(
        'issue_comment',
        commentPayload('@nightshift now paint it', { id: 2, issue: pull?.number ?? 0, pull: true }),
      );
      whileDown = () => undefined;
      expect(killAt).toEqual([]);
      expect([more.status, more.reason, more.branch]).toEqual(['succeeded', null, pull?.head]);
      expect(github.pulls).toHaveLength(1);
      expect(git(bare, 'rev-parse', `${pull?.head}^`)).toBe(first);
      expect(files(pull?.head ?? '')).toEqual(['a.test.js', 'gate.md', 'package.json', 'paint.md']);
      expect(git(bare, 'for-each-ref', '--format=%(refname:short)', 'refs/heads').split('\n')).toEqual(['main', pull?.head]);
      expect(said('answer')).toHaveLength(2);
      expect(github.statuses).toContainEqual({ sha: head(), state: 'success' });
    });

    test('begins again where somebody else has gone on in the same pull request', { timeout: 120_000 }, async () => {
      const branch = 'nightshift/roses';
      git(bare, 'branch', branch, 'main');
      github.things.set('/repos/octo/garden/pulls/8', {
        ...pullPayload(8),
        head: { ref: branch, sha: git(bare, 'rev-parse', branch), repo: { full_name: 'octo/garden' } },
      });
      let byHand = '';
      beforePush = () => {
        if (byHand !== '') return;
        byHand = git(bare, 'commit-tree', `${branch}^{tree}`, '-p', branch, '-m', 'by hand');
        git(bare, 'update-ref', `refs/heads/${branch}`, byHand);
      };
      const task = await endOf('issue_comment', commentPayload('@nightshift plant a rose', { id: 3, issue: 8, pull: true }));
      expect([task.status, task.reason, task.attempts]).toEqual(['succeeded', null, 2]);
      expect(git(bare, 'rev-parse', `${branch}^`)).toBe(byHand);
      expect(git(bare, 'show', `${branch}:rose.md`)).toBe('red');
    });

    test('ends as a review where one is asked for, at the lines that it is about', { timeout: 120_000 }, async () => {
      const at = git(bare, 'rev-parse', 'main');
      git(bare, 'branch', 'oil', 'main');
      const pull = pullPayload(7, { head: { ref: 'oil', sha: at, repo: { full_name: 'octo/garden' } } });
      github.things.set('/repos/octo/garden/pulls/7', pull);
      github.things.set('/repos/octo/garden/pulls/7/files', [
        { filename: 'gate.md', status: 'modified', additions: 1, deletions: 1, patch: '@@ -1,2 +1,2 @@\n hinge\n-rust\n+oil' },
      ]);
      const before = said('answer').length;
      killAt = ['as the review is left', 'as the commit status is set'];
      const asked = {
        action: 'review_requested',
        pull_request: pull,
        requested_reviewer: { login: 'nightshift' },
        sender: { login: 'ann' },
      };
      const task = await endOf('pull_request', asked);
      expect([task.status, task.reason, task.deliverable]).toEqual(['succeeded', null, 'review']);
      expect(killAt).toEqual([]);
      // Of one commit and one context GitHub shows the last; to say the same again changes nothing.
      expect(github.statuses.filter(({ sha }) => sha === at).at(-1)?.state).toBe('success');
      const [review, ...others] = github.reviews;
      expect(others).toEqual([]);
      expect(review).toMatchObject({
        pull: 7,
        event: 'REQUEST_CHANGES',
        commit: at,
        comments: [{ path: 'gate.md', line: 2, side: 'RIGHT', body: expect.stringContaining('Say which oil') }],
      });
      expect(review?.comments[0]?.['body']).not.toContain('@ann');
      for (const part of ['Oil alone does not do', '`gate.md:40`', 'not in the change']) expect(review?.body).toContain(part);
      expect(said('answer')).toHaveLength(before);
      expect(git(bare, 'for-each-ref', '--format=%(refname:short)', 'refs/heads').split('\n')).toHaveLength(4);
      const { body: run } = await (await api()).call<{ review: { verdict: string } }>('GET', `/api/runs/${task.runs[0]?.id}`);
      expect(run.review.verdict).toBe('request-changes');
    });
  });
