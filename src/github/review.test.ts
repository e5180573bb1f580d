import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { GitHubServer } from '../../test/support/github-api.ts';
import { pullPayload } from '../../test/support/github-deliveries.ts';
import type { Message } from '../domain/mail.ts';
import type { ReviewComment } from '../domain/review.ts';
import type { Channel } from '../outbox/channel.ts';
import { createApi } from './api.ts';
import { githubChannel } from './channel.ts';
import { linesIn, type ReviewMessage } from './review.ts';

const patch = [
  '@@ -1,4 +1,4 @@ the gate',
  ' hinge',
  '-rust',
  '+oil',
  ' latch',
  ' post',
  '@@ -20,2 +20,3 @@',
  ' bell',
  '+rope',
  ' wall',
  '\\ No newline at end of file',
].join('\n');

let github: GitHubServer;
let channel: Channel;
const never = new AbortController().signal;
const commit = 'a'.repeat(40);

beforeEach(async () => {
  github = new GitHubServer();
  const apiUrl = await github.start();
  channel = githubChannel(createApi({ apiUrl, identity: { kind: 'token', token: 't' }, clock: new ManualClock(), userAgent: 'x' }));
  github.things.set('/repos/octo/garden/pulls/7', pullPayload(7));
  github.things.set('/repos/octo/garden/pulls/7/files', [
    { filename: 'gate.md', status: 'modified', additions: 2, deletions: 1, patch },
    { filename: 'picture.png', status: 'added' },
  ]);
});

afterEach(() => github.stop());

const comment = (line: number, more: Partial<ReviewComment> = {}): ReviewComment => ({
  path: 'gate.md',
  line,
  side: 'new',
  text: `about ${line}`,
  ...more,
});

const message = (body: Partial<ReviewMessage>, more: Partial<Message> = {}): Message => ({
  id: 'msg_1',
  channel: 'github',
  recipient: 'octo/garden#7',
  kind: 'review',
  key: 'review/tsk_1',
  body: { type: 'review', repository: 'octo/garden', number: 7, commit, event: 'COMMENT', text: 'Well oiled.', comments: [], ...body },
  state: 'waiting',
  reason: null,
  revision: 1,
  sentRevision: null,
  ref: null,
  attempts: 1,
  doubtful: false,
  notBefore: 0,
  createdAt: 0,
  sentAt: null,
  ...more,
});

describe('the lines that a patch shows', () => {
  test('are counted on both sides, each with its hunk', () => {
    const { old, new: now } = linesIn({ patch });
    expect([...old]).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 1],
      [20, 2],
      [21, 2],
    ]);
    expect([...now]).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 1],
      [20, 2],
      [21, 2],
      [22, 2],
    ]);
    expect(linesIn({ patch: '' }).new.size).toBe(0);
    expect(linesIn({ patch: 'no hunk\n+x' }).new.size).toBe(0);
  });
});

describe('a review', () => {
  test('stands at the lines that the change shows, and says the rest in its text', async () => {
    const comments = [
      comment(2),
      comment(2, { side: 'old', text: 'good riddance' }),
      comment(22, { startLine: 20 }),
      comment(21, { startLine: 3, text: 'from one hunk into the next' }),
      comment(9, { text: 'outside @ann <b>' }),
      comment(1, { path: 'picture.png', text: 'no lines' }),
      comment(1, { path: '../../etc/passwd', text: 'not here' }),
    ];
    expect(await channel.send(message({ event: 'REQUEST_CHANGES', comments }), never)).toMatchObject({ kind: 'sent' });
    const [review, ...others] = github.reviews;
    expect(others).toEqual([]);
    expect(review).toMatchObject({ event: 'REQUEST_CHANGES', commit });
    expect(review?.comments).toEqual([
      { path: 'gate.md', line: 2, side: 'RIGHT', body: 'about 2' },
      { path: 'gate.md', line: 2, side: 'LEFT', body: 'good riddance' },
      { path: 'gate.md', line: 22, side: 'RIGHT', start_line: 20, start_side: 'RIGHT', body: 'about 22' },
    ]);
    expect(review?.body).toMatch(/^<!-- nightshift:review\/tsk_1 -->\nWell oiled\./);
    for (const part of ['`gate.md:3–21`', '`gate.md:9`', '`picture.png:1`', '`../../etc/passwd:1`']) expect(review?.body).toContain(part);
    expect(review?.body).not.toMatch(/@ann|<b>/);
  });

  test('that comes when the pull request has moved on points at no line', async () => {
    await channel.send(message({ commit: 'd'.repeat(40), comments: [comment(2)] }), never);
    expect(github.reviews).toMatchObject([{ event: 'COMMENT', commit: null, comments: [] }]);
    expect(github.reviews[0]?.body).toContain('`gate.md:2`');
  });

  test('of a pull request of its own is a comment, and keeps its lines', async () => {
    github.things.set('/repos/octo/garden/pulls/7', pullPayload(7, { user: { login: 'nightshift', type: 'User' } }));
    await channel.send(message({ event: 'REQUEST_CHANGES', comments: [comment(2)] }), never);
    expect(github.reviews).toMatchObject([{ event: 'COMMENT', comments: [{ line: 2 }] }]);
  });

  test('whose lines GitHub refuses all the same is said without them', async () => {
    github.mishap = ({ method, body }) =>
      method === 'POST' && ((body as { comments?: unknown[] }).comments ?? []).length > 0
        ? { kind: 'answer', status: 422, body: { message: 'Unprocessable Entity' } }
        : undefined;
    expect(await channel.send(message({ comments: [comment(2)] }), never)).toMatchObject({ kind: 'sent' });
    expect(github.reviews).toMatchObject([{ event: 'COMMENT', comments: [] }]);
    expect(github.reviews[0]?.body).toContain('about 2');
  });

  test('of more than fifty lines, and longer than a comment may be, goes out in one piece', async () => {
    const long = `@@ -0,0 +1,90 @@\n${'+x\n'.repeat(90)}`;
    github.things.set('/repos/octo/garden/pulls/7/files', [{ filename: 'gate.md', status: 'added', patch: long }]);
    const comments = Array.from({ length: 80 }, (_, index) => comment(index + 1, { text: 'y'.repeat(3_900) }));
    await channel.send(message({ comments }), never);
    expect(github.reviews[0]?.comments).toHaveLength(50);
    expect(github.reviews[0]?.body.length).toBeLessThanOrEqual(65_000);
  });

  test('that may have arrived is looked for, and not said again', async () => {
    github.mishap = ({ method }) => (method === 'POST' ? { kind: 'cut', done: true } : undefined);
    expect(await channel.send(message({ comments: [comment(2)] }), never)).toMatchObject({ kind: 'retry', doubtful: true });
    github.mishap = () => undefined;
    const found = await channel.find?.(message({}), never);
    expect(found).toEqual({ kind: 'found', ref: String(github.reviews[0]?.id) });
    expect(await channel.send(message({}, { ref: String(github.reviews[0]?.id) }), never)).toMatchObject({ kind: 'sent' });
    expect(github.reviews).toHaveLength(1);
    expect(await channel.find?.(message({}, { key: 'review/tsk_2' }), never)).toEqual({ kind: 'absent' });
  });

  test('of a pull request that is gone, or while GitHub is away, is told from one that was refused', async () => {
    expect(await channel.send(message({ number: 8, comments: [comment(2)] }), never)).toMatchObject({ kind: 'refused', code: 'gone' });
    github.mishap = ({ path }) => (path.includes('/files') ? { kind: 'answer', status: 502 } : undefined);
    expect(await channel.send(message({ comments: [comment(2)] }), never)).toMatchObject({ kind: 'retry', code: 'github-unreachable' });
    expect(github.reviews).toEqual([]);
  });
});
