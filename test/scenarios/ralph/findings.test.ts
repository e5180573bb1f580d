import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readAfter } from '../../../src/store/journal.ts';
import { EventStream } from '../../support/event-stream.ts';
import { type GitHttpServer, serveGit } from '../../support/git-http.ts';
import { git, write } from '../../support/git-world.ts';
import { Api, type ApiEvent, type ApiTask, testToken } from '../../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../../support/server-process.ts';
import { createDatabase, type TestDatabase } from '../../support/stores.ts';

const bash = (command: string): object => ({ tool: 'Bash', input: { command, description: 'Work' } });

/** What the agent does is decided by a word in the task's title. */
const script = {
  name: 'findings',
  turns: [
    { when: { first: true, prompt: 'finds' }, call: bash('npm run check; echo change > change.txt') },
    { when: { first: true, prompt: 'forbidden' }, call: bash('git push origin HEAD:main') },
    { when: { prompt: 'forbidden', failed: true }, call: bash('echo "instead" > change.txt') },
    { when: { first: true, prompt: 'rewritten' }, call: bash('echo plain > change.txt') },
    { say: 'Done.' },
  ],
  answers: { review: [{ give: { followUps: [{ title: 'Test the change', body: 'It has none.', worth: 5, kind: 'tests' }] } }] },
};

/** Says what it is asked about, refuses to push, and changes what is echoed. */
const guard = `export default ({ tool }) => {
  const { command } = tool.input;
  if (command.includes('git push')) return { allow: false, reason: 'Nightshift pushes by itself' };
  if (command.includes('plain')) return { allow: true, input: { ...tool.input, command: command.replace('plain', 'better') }, reason: 'plain is forbidden here' };
};`;

const settings = `
hooks:
  - { id: guard, on: pre-tool, tools: [Bash], module: ./hooks/guard.mjs, required: true }
  - { id: listener, on: tool-complete, command: ./hooks/fails }
`;

const check = [
  "console.error('(node:41) [DEP0040] DeprecationWarning: The punycode module is deprecated.');",
  "console.error('npm warn deprecated inflight@1.0.6: This module leaks memory.');",
].join('\n');

/** The real server, the real SDK, real git; only the model follows a script. */
describe('what agents find and do', () => {
  let database: TestDatabase;
  let root: string;
  let forge: GitHttpServer;
  let server: ServerProcess;
  let api: Api;
  let repository: string;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-findings-'));
    database = await createDatabase('sqlite');
    const { home } = database;
    mkdirSync(join(home, 'hooks'));
    writeFileSync(join(home, 'nightshift.yaml'), settings);
    writeFileSync(join(home, 'hooks', 'guard.mjs'), guard);
    writeFileSync(join(home, 'hooks', 'fails'), '#!/bin/sh\nexit 1\n');
    chmodSync(join(home, 'hooks', 'fails'), 0o755);
    writeFileSync(join(root, 'script.json'), JSON.stringify(script));
    const bare = join(root, 'forge', 'shop.git');
    const work = join(root, 'work');
    mkdirSync(bare, { recursive: true });
    mkdirSync(work);
    git(bare, 'init', '--quiet', '--bare', '--initial-branch=main');
    git(bare, 'config', 'http.receivepack', 'true');
    git(work, 'init', '--quiet', '--initial-branch=main');
    write(work, { 'package.json': JSON.stringify({ scripts: { check: 'node check.cjs' } }), 'check.cjs': check });
    git(work, 'add', '--all');
    git(work, 'commit', '--quiet', '-m', 'first');
    git(work, 'push', '--quiet', bare, 'main');
    cpSync(bare, join(root, 'forge', 'other.git'), { recursive: true });
    forge = await serveGit(join(root, 'forge'));
    repository = `${forge.origin}/shop.git`;
    await begin();
  });

  async function begin(): Promise<void> {
    server = spawnServer(database.home, {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
      MAX_CONCURRENT_RUNS: '1',
    });
    api = new Api(await server.address, testToken);
  }

  afterAll(async () => {
    server?.child.kill('SIGTERM');
    await server?.exited;
    await forge?.stop();
    await database?.remove();
    rmSync(root, { recursive: true, force: true });
  });

  async function ended(title: string): Promise<{ task: ApiTask; events: readonly ApiEvent[] }> {
    const { id } = await api.submit({ title, repository, engine: 'claude' });
    const task = await api.becomes(id, 'succeeded', 'failed', 'delayed', 'escalated');
    const stream = await EventStream.open(api, `/api/runs/${task.runs.at(-1)?.id}/events`);
    await stream.over;
    return { task, events: stream.events };
  }
  const dataOf = (events: readonly ApiEvent[], type: string): readonly Readonly<Record<string, unknown>>[] =>
    events.filter((event) => event.type === type).map(({ data }) => data);
  const childrenOf = async (parent: string): Promise<readonly (ApiTask & { parentTaskId: string })[]> => {
    const { body } = await api.call<{ items: (ApiTask & { parentTaskId: string })[] }>('GET', '/api/tasks?source=agent&limit=100');
    return body.items.filter(({ parentTaskId }) => parentTaskId === parent);
  };

  test('what a tool shows is told, and becomes work that waits for a person; a review proposes more', async () => {
    const { task, events } = await ended('finds');
    expect(task).toMatchObject({ status: 'succeeded' });
    expect(dataOf(events, 'run.finding').map(({ category, code }) => `${category} ${code}`)).toEqual([
      'deprecation DEP0040',
      'deprecation npm inflight',
    ]);
    await until('the tasks that follow', async () => (await childrenOf(task.id)).length === 3);
    expect(
      (await childrenOf(task.id)).map(({ title, status, trust, priority }) => `${title}: ${status}, ${trust}, ${priority}`).toSorted(),
    ).toEqual([
      'Replace what is deprecated: The punycode module is deprecated.: awaiting-approval, owner, low',
      'Replace what is deprecated: inflight: This module leaks memory.: awaiting-approval, owner, low',
      'Test the change: awaiting-approval, untrusted, low',
    ]);
    const all = await EventStream.open(api, '/api/events');
    const again = await ended('finds it again');
    expect(dataOf(again.events, 'run.finding')).toHaveLength(2);
    const looked = await all.seen('it to be looked at', ({ type, taskId }) => type === 'task.follow-ups' && taskId === again.task.id);
    await all.leave();
    expect(looked.data).toMatchObject({ tasks: [], leftOut: { known: 3 } });
    expect(await childrenOf(again.task.id)).toEqual([]);
  });

  test('a server that is killed at any moment finds, proposes and tells each thing once', { timeout: 300_000 }, async () => {
    const { id } = await api.submit({ title: 'finds, while its server dies', repository: `${forge.origin}/other.git`, engine: 'claude' });
    const store = await database.open();
    try {
      const happened = async (type: string): Promise<boolean> =>
        (await readAfter(store, '0', 10_000, { taskId: id })).some((event) => event.type === type);
      for (const [moment, lateMs] of [
        ['run.tool-started', 0],
        ['run.finding', 0],
        ['run.finding', 40],
        ['run.finished', 0],
        ['task.status', 20],
      ] as const) {
        await until(`${moment} to have happened`, () => happened(moment));
        await new Promise((resolve) => setTimeout(resolve, lateMs)); // any moment will do
        server.child.kill('SIGKILL');
        await server.exited;
        await begin();
      }
      const task = await until('the task to end', async () => {
        const now = await api.task(id);
        return now.status === 'succeeded' && now;
      });
      await until('it to be looked at', async () => (await store.read.selectFrom('follow_ups').selectAll().execute()).length === 0);
      const events = await readAfter(store, '0', 10_000, { taskId: id });
      const found = events.filter(({ type }) => type === 'run.finding').map(({ runId, data }) => `${runId} ${data['signature']}`);
      expect(found.length).toBeGreaterThan(1);
      expect(new Set(found).size).toBe(found.length);
      expect(events.filter(({ type }) => type === 'task.follow-ups')).toHaveLength(1);
      expect(new Set((await childrenOf(task.id)).map(({ title }) => title)).size).toBe((await childrenOf(task.id)).length);
      expect(await childrenOf(task.id)).toHaveLength(3);
    } finally {
      await store.close();
    }
  });

  test('a guard keeps an agent from what it must not do, and the agent does something else', async () => {
    const { task, events } = await ended('forbidden');
    expect(task).toMatchObject({ status: 'succeeded' });
    expect(dataOf(events, 'run.denied')).toEqual([
      { call: expect.any(String), tool: 'Bash', by: 'hook guard', reason: 'The hook guard refused it: Nightshift pushes by itself' },
    ]);
    expect(git(join(root, 'forge', 'shop.git'), 'log', '--format=%s', 'main').trim()).toBe('first');
  });

  test('a guard changes what an agent does; a hook that fails beside it changes nothing', async () => {
    const { task, events } = await ended('rewritten');
    expect(task).toMatchObject({ status: 'succeeded' });
    expect(dataOf(events, 'run.rewritten')).toMatchObject([
      { tool: 'Bash', by: ['hook guard'], reason: 'plain is forbidden here', input: { command: 'echo better > change.txt' } },
    ]);
    expect(dataOf(events, 'run.hook').map(({ id, verdict }) => `${id} ${verdict}`)).toContain('listener failed');
    const run = await api.run(task.runs.at(-1)?.id ?? '');
    expect(git(join(root, 'forge', 'shop.git'), 'show', `${run.branch}:change.txt`)).toContain('better');
  });
});
