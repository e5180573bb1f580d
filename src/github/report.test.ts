import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';
import type { NewEvent } from '../domain/event.ts';
import type { Message } from '../domain/mail.ts';
import type { Outcome } from '../domain/outcome.ts';
import { noResult, type RunResult } from '../domain/result.ts';
import type { ReviewVerdict } from '../domain/review.ts';
import { type Announcer, createAnnouncer } from '../outbox/announce.ts';
import { createOutbox } from '../outbox/outbox.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import { createQueue } from '../queue/durable-queue.ts';
import type { Claim, Queue } from '../queue/queue.ts';
import { sqliteLine } from '../queue/sqlite.ts';
import { insertOrigins } from '../store/inbox.ts';
import { enrol } from '../store/nodes.ts';
import { listMessages } from '../store/outbox.ts';
import { saveResult } from '../store/results.ts';
import type { Store } from '../store/store.ts';
import type { GitHubMessage } from './channel.ts';
import { githubReporter } from './report.ts';
import type { Address } from './source.ts';

let database: TestDatabase;
let store: Store;
let queue: Queue;
let announcer: Announcer;
const clock = new ManualClock();
let policy: { reviews: ReviewVerdict };

beforeEach(async () => {
  policy = { reviews: 'request-changes' };
  database = await createDatabase('sqlite');
  store = await database.open();
  const newId = createIds(clock);
  const outbox = createOutbox({ store, clock, newId, chance: () => 0.5, log: silentLog, node: 'nod_a', channels: [] });
  announcer = createAnnouncer(outbox, [githubReporter(policy)]);
  const { changed } = announcer;
  queue = createQueue({ store, line: sqliteLine, clock, newId, chance: () => 0.5, defaultEngine: 'claude', changed });
  await store.write((tx) => enrol(tx, { id: 'nod_a', address: null }, clock.now()));
});

afterEach(async () => {
  await store.close();
  await database.remove();
});

const address: Address = { repository: 'octo/garden', number: 12, isPull: false, reactTo: null, base: 'main', commit: null };

async function claimed(to: Partial<Address> = {}): Promise<Claim> {
  await store.write(async (tx) => {
    const wish = {
      title: 'oil @eve the <gate>',
      source: 'github',
      requestedBy: 'github:ann',
      trust: 'known',
      priority: 'high',
      maxAttempts: 1,
    } as const;
    const [submission] = await queue.enqueue(tx, [wish]);
    if (submission?.kind !== 'created') throw new Error('not created');
    await insertOrigins(tx, [
      { taskId: submission.task.id, source: 'github', trigger: `a comment for ${submission.task.id}`, address: { ...address, ...to } },
    ]);
  });
  const [claim] = await queue.claim('nod_a', 1);
  return claim as Claim;
}

async function end({ task, run }: Claim, outcome: Outcome, result: Partial<RunResult> = {}): Promise<void> {
  clock.advance(90_000);
  await store.write((tx) => saveResult(tx, run.id, { ...noResult, ...result }));
  await queue.settle({ taskId: task.id, runId: run.id, outcome });
}

/** A gate was asked, or a round has ended. */
const eventOf = (decision: 'continue' | 'finish' | undefined): NewEvent =>
  decision === undefined
    ? {
        type: 'run.gate',
        data: { gate: 'tests', kind: 'tests', passed: true, excuse: null, summary: 'x', findings: 0, durationMs: 1, cached: false },
      }
    : { type: 'run.round', data: { number: 1, tree: null, decision, rule: null, red: [], excused: [] } };

const messages = async (): Promise<readonly (Message & { readonly body: GitHubMessage })[]> =>
  (await listMessages(store.read, {}, { before: null, limit: 100 })).toReversed() as readonly (Message & {
    readonly body: GitHubMessage;
  })[];
const textOf = (message: Message | undefined): string => (message?.body as { text?: string } | undefined)?.text ?? '';

describe('who asked on GitHub', () => {
  test('sees in one comment how it goes, as the newest state of it', async () => {
    const claim = await claimed();
    const [status, ...others] = await messages();
    expect(others).toEqual([]);
    expect(status).toMatchObject({ kind: 'status', recipient: 'octo/garden#12', revision: 1, taskId: claim.task.id });
    expect(textOf(status)).toContain('Working on it');
    await end(claim, { kind: 'released', reason: { code: 'draining', message: 'The server stopped.' } });
    expect(textOf((await messages())[0])).toContain('Queued');
    expect((await messages())[0]?.revision).toBe(2);
  });

  test('gets a pull request, and then an answer with the changes, the tests and the cost', async () => {
    const claim = await claimed();
    await end(
      claim,
      { kind: 'succeeded', summary: 'Oiled it. Ask @eve, see #1 <img src=x>' },
      {
        branch: 'nightshift/oil',
        commits: ['c'.repeat(40)],
        delivery: { kind: 'pushed', branch: 'nightshift/oil' },
        filesChanged: [{ path: 'gate`.md', kind: 'modified', additions: 3, deletions: 1, binary: false }],
        tests: { command: ['npm', 'test'], passed: true, exitCode: 0, counts: { passed: 12, failed: 0, skipped: 1 } },
        costUsd: 0.4,
      },
    );
    const all = await messages();
    const toThread = all.filter(({ recipient }) => recipient === 'octo/garden#12');
    expect(toThread.map(({ kind }) => kind)).toEqual(['status', 'pull-request', 'answer']);
    expect(textOf(toThread[0])).toContain('**Done** · 90 s · $0.40');
    expect(toThread[1]?.body).toMatchObject({ branch: 'nightshift/oil', base: 'main', title: 'oil @\u200beve the <gate>' });
    expect(textOf(toThread[1])).toMatch(/^Closes #12\./);
    const answer = textOf(toThread[2]);
    for (const part of [
      '1 file changed, +3 −1',
      '`` gate`.md `` +3 −1',
      'Tests pass (`npm test`): 12 passed, 0 failed, 1 skipped',
      '`nightshift/oil`',
    ])
      expect(answer).toContain(part);
    expect(answer).not.toMatch(/@eve|#1|(?<!\\)<img/);
    expect(all.filter(({ recipient }) => recipient !== 'octo/garden#12').map(({ body }) => body)).toEqual([
      {
        type: 'commit-status',
        repository: 'octo/garden',
        commit: 'c'.repeat(40),
        state: 'success',
        description: 'Done: oil @\u200beve the <gate>',
      },
    ]);
  });

  test('sees at once what is done but was not green, before or after', async () => {
    const claim = await claimed({ commit: 'a'.repeat(40) });
    const excused = { gate: 'tests', excuse: 'red-before' as const, summary: 'npm test exited with 1, as it did before the agent came.' };
    await end(
      claim,
      { kind: 'succeeded', summary: 'The gate tests was red before and still is.' },
      {
        branch: 'nightshift/oil',
        commits: ['c'.repeat(40)],
        delivery: { kind: 'pushed', branch: 'nightshift/oil' },
        notGreen: [excused, { gate: 'lint', excuse: 'flaky', summary: 'green when it was run again' }],
      },
    );
    const all = await messages();
    for (const kind of ['status', 'pull-request', 'answer'])
      expect(textOf(all.find((each) => each.kind === kind))).toContain('**Done, but not green**');
    const statuses = all.flatMap(({ body }) =>
      body.type === 'commit-status' ? [[body.commit.slice(0, 1), body.state, body.description]] : [],
    );
    expect(statuses).toEqual([
      ['a', 'failure', expect.stringContaining('Done, but not green')],
      ['c', 'failure', 'Not green, nor was it before: tests'],
    ]);
  });

  test('sees when its work is checked and delivered, but nothing of that once the run is over or another', async () => {
    const claim = await claimed();
    const happens = (runId: string, decision: 'continue' | 'finish' | undefined = undefined): Promise<void> =>
      store.write((tx) => announcer.happened(tx, { ...eventOf(decision), taskId: claim.task.id, runId }));
    const status = async (): Promise<string> => textOf((await messages())[0]).split('\n')[0] as string;
    await happens('run_of_before');
    expect(await status()).toBe('**Working on it**');
    await happens(claim.run.id);
    expect(await status()).toBe('**Checking what was done**');
    await happens(claim.run.id, 'continue');
    expect(await status()).toBe('**Working on it**');
    await happens(claim.run.id, 'finish');
    expect(await status()).toBe('**Delivering it**');
    expect(await messages()).toHaveLength(1);
    await end(claim, { kind: 'succeeded' });
    expect(await status()).toContain('**Done**');
    await happens(claim.run.id);
    expect(await status()).toContain('**Done**');
  });

  test('gets a review, where one was asked for, and no other answer; an approval only where the settings allow one', async () => {
    const review = { verdict: 'approve', summary: 'Good, @eve.', comments: [{ path: 'a', line: 1, side: 'new', text: 'x' }] } as const;
    const verdictOf = async (more: Partial<RunResult> = {}): Promise<string | undefined> => {
      const claim = await claimed({ isPull: true, commit: 'a'.repeat(40) });
      await end(claim, { kind: 'succeeded', summary: 'I have read it.' }, { review, ...more });
      const all = (await messages()).filter(({ taskId }) => taskId === claim.task.id);
      expect(all.map(({ kind }) => kind).sort()).toEqual(['commit-status', 'review', 'status']);
      const body = all.find(({ kind }) => kind === 'review')?.body;
      expect(body).toMatchObject({ number: 12, comments: review.comments, text: expect.stringContaining('Good\\, \\@\u200beve') });
      return body?.type === 'review' ? `${body.event} ${body.commit?.[0]}` : undefined;
    };
    expect(await verdictOf()).toBe('COMMENT a');
    expect(await verdictOf({ review: { ...review, verdict: 'request-changes' }, baseCommit: 'b'.repeat(40) })).toBe('REQUEST_CHANGES b');
    policy.reviews = 'approve';
    expect(await verdictOf()).toBe('APPROVE a');
    policy.reviews = 'comment';
    expect(await verdictOf({ review: { ...review, verdict: 'request-changes' } })).toBe('COMMENT a');
  });

  test('is told why it failed, and told again when it is tried again', async () => {
    const claim = await claimed({ isPull: true, commit: 'a'.repeat(40) });
    await end(claim, { kind: 'failed', retryable: false, reason: { code: 'no', message: 'The gate is **gone**.' } });
    const answers = async (): Promise<readonly Message[]> => (await messages()).filter(({ kind }) => kind === 'answer');
    expect(textOf((await answers())[0])).toContain('**Failed** · 90 s\n\nThe gate is \\*\\*gone\\*\\*\\.');
    const states = (await messages()).flatMap(({ body }) => (body.type === 'commit-status' ? body.state : []));
    expect(states).toEqual(['failure']);
    await queue.retry(claim.task.id);
    const [again] = await queue.claim('nod_a', 1);
    await end(again as Claim, { kind: 'cancelled' });
    expect((await answers()).map((each) => textOf(each).split(' ·')[0])).toEqual(['**Failed**', '**Cancelled**']);
  });

  test('is told nothing of tasks of others', async () => {
    await queue.submit({ title: 'not yours', source: 'api', requestedBy: 'owner', trust: 'owner', priority: 'low' });
    const [claim] = await queue.claim('nod_a', 1);
    await end(claim as Claim, { kind: 'succeeded' });
    expect(await messages()).toEqual([]);
  });
});
