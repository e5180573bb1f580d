import { rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { createEmulator, type Emulator } from 'emulate';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Message } from '../../src/domain/mail.ts';
import { createApi } from '../../src/github/api.ts';
import { githubChannel } from '../../src/github/channel.ts';
import type { Channel } from '../../src/outbox/channel.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { webhookSecret } from '../support/github-deliveries.ts';
import { type ApiTask, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';

/**
 * Against a GitHub that others wrote: Vercel's `emulate`. It signs its deliveries, checks the App's JSON Web Token, and has issues,
 * comments, pull requests and reviews. It has no reactions, no commit statuses, no patches of pull requests, no comments on lines
 * by number, no list of issue events and no git over HTTP; those are tested against our own stand-in and real git.
 */

interface Commented {
  readonly id: number;
  readonly body: string;
  readonly user: { readonly login: string; readonly type: string };
}

let database: TestDatabase;
let github: Emulator;
let server: TestServer;
let privateKey: string;
const never = new AbortController().signal;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** What a person does there. */
async function ann<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${github.url}/repos/ann/garden${path}`, {
    method,
    headers: { authorization: 'Bearer ann_token', 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}
const commentsOn = (issue: number): Promise<readonly Commented[]> => ann('GET', `/issues/${issue}/comments?per_page=100`);
const listed = async <T>(path: string): Promise<readonly T[]> =>
  (await server.api.call<{ items: readonly T[] }>('GET', `${path}limit=200`)).body.items;

beforeAll(async () => {
  database = await createDatabase('sqlite');
  const [port, ours] = [await freePort(), await freePort()];
  github = await createEmulator({
    service: 'github',
    port,
    seed: {
      tokens: { ann_token: { login: 'ann', scopes: ['repo'] } },
      github: {
        users: [{ login: 'ann' }],
        repos: [{ owner: 'ann', name: 'garden', auto_init: true }],
        apps: [
          {
            app_id: 42,
            slug: 'nightshift',
            name: 'nightshift',
            permissions: { contents: 'write', issues: 'write', pull_requests: 'write', statuses: 'write' },
            events: ['issues', 'issue_comment', 'pull_request', 'pull_request_review'],
            webhook_url: `http://127.0.0.1:${ours}/webhook/github`,
            webhook_secret: webhookSecret,
            installations: [{ installation_id: 7, account: 'ann', repository_selection: 'all' }],
          },
        ],
      },
    },
  });
  privateKey = github.generatedSecrets.find(({ kind }) => kind === 'github.app_private_key')?.value ?? '';
  server = await startTestServer(database, {
    port: String(ours),
    githubWebhookSecret: webhookSecret,
    githubAppId: '42',
    githubPrivateKey: privateKey,
    githubApiUrl: github.url,
  });
});

afterAll(async () => {
  await server?.running.stop();
  await github?.close();
  await database?.remove();
  rmSync(database.home, { recursive: true, force: true });
});

test('a comment and a label there become tasks, which are answered there, and our own words set nothing going', async () => {
  const { number } = await ann<{ number: number }>('POST', '/issues', { title: 'The gate squeaks', body: 'It does.' });
  await ann('POST', `/issues/${number}/comments`, { body: 'It is `@nightshift` who could mend it.' });
  await ann('POST', `/issues/${number}/comments`, { body: '@nightshift please oil the gate' });
  const [task] = await until('the task', async () => {
    const found = await listed<ApiTask>('/api/tasks?');
    return found.length > 0 && found;
  });
  expect(task).toMatchObject({
    title: 'please oil the gate',
    trust: 'known',
    requestedBy: 'github:ann',
    repository: `${github.url}/ann/garden.git`,
    externalRef: `ann/garden#${number}`,
  });
  expect((await server.api.task(task?.id ?? '')).body).toContain('It does.');
  // There is no model here, so a person has to look; that is an answer too.
  await until('the answer', async () => (await commentsOn(number)).length === 4);
  await ann('POST', `/issues/${number}/labels`, { labels: ['nightshift'] });
  await until('another answer', async () => (await commentsOn(number)).length === 6);
  await until('all to be read', async () => (await listed('/api/inbox?state=received&')).length === 0);
  await until('all to be sent', async () => (await listed('/api/outbox?state=waiting&')).length === 0);

  const said = (await commentsOn(number)).filter(({ body }) => body.startsWith('<!-- nightshift:'));
  expect(said.map(({ body }) => /nightshift:(\w+)/.exec(body)?.[1])).toEqual(['status', 'answer', 'status', 'answer']);
  for (const { body, user } of said) {
    expect(body).toContain('A person has to look at this');
    expect(user.login).toBe('nightshift[bot]');
  }
  expect(await listed('/api/tasks?')).toHaveLength(2);
  const entries = await listed<{ state: string; kind: string; reason: { code: string } | null }>('/api/inbox?');
  expect(entries.filter(({ state }) => state === 'failed')).toEqual([]);
  // Of its own comments it hears as well.
  expect(entries.filter(({ reason }) => reason?.code === 'own-words').length).toBeGreaterThanOrEqual(4);
  const dead = await listed<{ kind: string }>('/api/outbox?state=dead&');
  expect([...new Set(dead.map(({ kind }) => kind))]).toEqual(['reaction']);
});

describe('what we send is taken there:', () => {
  let channel: Channel;
  let pull: { readonly number: number; readonly head: { readonly sha: string } };
  const message = (key: string, body: object, more: Partial<Message> = {}): Message => ({
    id: 'msg_1',
    channel: 'github',
    recipient: 'ann/garden',
    kind: 'note',
    key,
    body: { repository: 'ann/garden', ...body },
    state: 'waiting',
    reason: null,
    revision: 1,
    sentRevision: null,
    ref: null,
    attempts: 1,
    doubtful: false,
    notBefore: 0,
    createdAt: Date.now(),
    sentAt: null,
    ...more,
  });
  const send = (key: string, body: object, more?: Partial<Message>): ReturnType<Channel['send']> =>
    channel.send(message(key, body, more), never);

  beforeAll(async () => {
    const identity = { kind: 'app', appId: '42', privateKey } as const;
    channel = githubChannel(createApi({ apiUrl: github.url, identity, clock: systemClock, userAgent: 'nightshift/test' }));
    const { object } = await ann<{ object: { sha: string } }>('GET', '/git/ref/heads/main');
    await ann('POST', '/git/refs', { ref: 'refs/heads/nightshift/oil', sha: object.sha });
    const content = Buffer.from('hinge\noil\n').toString('base64');
    await ann('PUT', '/contents/gate.md', { message: 'oil', content, branch: 'nightshift/oil' });
    const wish = { type: 'pull-request', branch: 'nightshift/oil', base: 'main', title: 'Oil', text: 'Oiled.' };
    const made = await send('pull', wish);
    expect(made).toMatchObject({ kind: 'sent' });
    pull = await ann('GET', `/pulls/${made.kind === 'sent' ? made.ref : ''}`);
  });

  test('a pull request, which is found and changed the second time', async () => {
    const again = await send('pull', { type: 'pull-request', branch: 'nightshift/oil', base: 'main', title: 'Oil it', text: 'More.' });
    expect(again).toEqual({ kind: 'sent', ref: String(pull.number) });
    expect(await ann('GET', '/pulls?state=all')).toMatchObject([{ number: pull.number, title: 'Oil it' }]);
  });

  test('a comment, which is found by its mark and changed in its place', async () => {
    const body = { type: 'comment', number: pull.number, text: 'Working', branch: 'nightshift/oil' };
    await send('status', body);
    const found = await channel.find?.(message('status', body), never);
    const [comment] = await commentsOn(pull.number);
    expect(found).toEqual({ kind: 'found', ref: String(comment?.id) });
    await send('status', { ...body, text: 'Done' }, { ref: String(comment?.id) });
    const now = await commentsOn(pull.number);
    expect(now.map((each) => each.body)).toEqual([`<!-- nightshift:status -->\nDone\n\nPull request: #${pull.number}`]);
    expect(await channel.find?.(message('other', body), never)).toEqual({ kind: 'absent' });
  });

  test('a review, which is found by its mark', async () => {
    const comments = [{ path: 'gate.md', line: 2, side: 'new', text: 'Which oil?' }];
    const body = { type: 'review', number: pull.number, commit: pull.head.sha, event: 'COMMENT', text: 'Well oiled.', comments };
    const sent = await send('review', body);
    expect(sent).toMatchObject({ kind: 'sent' });
    const reviews = await ann<readonly { id: number; body: string; state: string }[]>('GET', `/pulls/${pull.number}/reviews`);
    // It shows no patch, so there is no line that the comment could stand at.
    expect(reviews).toMatchObject([{ state: 'COMMENTED', body: expect.stringContaining('`gate.md:2`\nWhich oil\\?') }]);
    expect(await channel.find?.(message('review', body), never)).toEqual({ kind: 'found', ref: String(reviews[0]?.id) });
  });

  test('and what is not there is told from what went wrong', async () => {
    expect(await send('gone', { type: 'comment', number: 999, text: 'x' })).toMatchObject({ kind: 'refused', code: 'gone' });
    expect(await send('gone', { type: 'comment', repository: 'ann/none', number: 1, text: 'x' })).toMatchObject({
      kind: 'refused',
      code: 'gone',
    });
  });
});
