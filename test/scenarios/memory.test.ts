import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import type { noteSchema } from '../../src/server/views/notes.ts';
import { EventStream } from '../support/event-stream.ts';
import { git, write } from '../support/git-world.ts';
import { missingSandbox } from '../support/sandbox.ts';
import { Api, type ApiEvent, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer } from '../support/server-process.ts';
import { temporaryHome } from '../support/stores.ts';

type Note = z.infer<typeof noteSchema>;

const remember = (title: string, text: string): object => ({ tool: 'mcp__nightshift__remember', input: { title, text } });
const writes = { tool: 'Write', input: { file_path: '{{cwd}}/result.txt', content: 'from the agent\n' } };
const begins = (prompt: string, call: object | readonly object[]): object => ({ when: { first: true, prompt }, say: 'I begin.', call });

const script = {
  name: 'memory',
  turns: [
    { when: { first: true, notes: 'Failed: break it' }, call: { tool: 'Bash', input: { command: 'echo I was told' } } },
    begins('break it', writes),
    begins('chatter', [
      ...Array.from({ length: 21 }, (_, i) => remember(`Fact ${i}`, `number ${i}`)),
      remember('Too long', 'x'.repeat(4_001)),
      writes,
    ]),
    begins('learn it', [remember('Cold cache', 'Run make warm before the cacheTests.'), writes]),
    {
      when: { prompt: 'learn it', tool: 'mcp__nightshift__remember' },
      call: { tool: 'mcp__nightshift__recall', input: { query: 'cache tests' } },
    },
    { say: 'That is all I could do.' },
  ],
};

/** The real server, the real agent engine in its sandbox. Only the model follows a script. */
describe.skipIf(missingSandbox)('what agents remember', () => {
  let root: string;
  let home: string;
  let repository: string;
  let server: ServerProcess;
  let api: Api;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-memory-'));
    home = temporaryHome();
    repository = join(root, 'repository');
    git(root, 'init', '--quiet', '--initial-branch=main', 'repository');
    write(repository, { 'README.md': '# Sample\n' });
    git(repository, 'add', '--all');
    git(repository, 'commit', '--quiet', '-m', 'first');
    writeFileSync(join(root, 'script.json'), JSON.stringify(script));
    server = spawnServer(home, {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
      NIGHTSHIFT_SANDBOX: 'require',
      NIGHTSHIFT_MAX_ROUNDS: '1',
    });
    api = new Api(await server.address, testToken);
  });
  afterAll(async () => {
    server.child.kill('SIGTERM');
    const { code } = await server.exited;
    for (const directory of [root, home]) rmSync(directory, { recursive: true, force: true });
    expect(code, server.output()).toBe(0);
  });

  const ended = async (id: string, index = 0): Promise<readonly ApiEvent[]> => {
    const task = await api.becomes(id, 'succeeded', 'failed', 'delayed', 'escalated');
    const stream = await EventStream.open(api, `/api/runs/${task.runs[index]?.id}/events`);
    await stream.over;
    return stream.events;
  };
  const submit = async (title: string, more: object = {}): Promise<string> =>
    (await api.submit({ title, body: undefined, repository, verify: ['true'], ...more })).id;
  const notes = async (query = ''): Promise<readonly Note[]> =>
    (await api.call<{ items: Note[] }>('GET', `/api/notes?limit=200&${query}`)).body.items;
  const outputsOf = (events: readonly ApiEvent[], tool: string): readonly string[] =>
    events.flatMap(({ type, data }) =>
      type === 'run.tool-finished' && data['tool'] === `mcp__nightshift__${tool}` ? [String(data['output'])] : [],
    );

  test('can be kept and looked up by an agent in its sandbox', async () => {
    const events = await ended(await submit('learn it'));
    const [note] = await notes('q=cache');
    expect(note).toMatchObject({ kind: 'learning', repository, title: 'Cold cache', trust: 'trusted', origin: { kind: 'run' } });
    expect(outputsOf(events, 'remember')).toEqual([`Kept as ${note?.id}.`]);
    expect(outputsOf(events, 'recall')[0]).toContain('[learning] Cold cache\nRun make warm before the cacheTests.');
  });

  test('is kept within bounds, and what is refused is said to be', async () => {
    const events = await ended(await submit('chatter', { repository: undefined }));
    expect(await notes('global=true')).toHaveLength(20);
    const refused = outputsOf(events, 'remember').filter((said) => !said.startsWith('Kept'));
    expect(refused.toSorted()).toEqual([
      expect.stringMatching(/^Not kept: the text has 4001 characters/),
      expect.stringMatching(/^Not kept: this run has kept 20 notes/),
    ]);
  });

  test('a run that ends badly leaves why, and the next attempt is told', async () => {
    const id = await submit('break it', { verify: ['false'], maxAttempts: 1 });
    await ended(id);
    const [failure, ...others] = await notes('kind=failure');
    expect(others).toEqual([]);
    expect(failure).toMatchObject({ title: 'Failed: break it', repository, trust: 'trusted', tags: ['round-limit'] });
    expect(failure?.text).toMatch(/^Why: .+\nRed: task: /);
    expect(failure?.text).toContain('Tried by changing: result.txt');
    expect(failure?.text).toContain("The agent's last words: That is all I could do.");

    await api.call('POST', `/api/tasks/${id}/retry`);
    const events = await ended(id, 1);
    const reminded = events.find(({ type }) => type === 'run.notes');
    expect(reminded?.data).toMatchObject({ notes: [{ note: failure?.id, kind: 'failure' }] });
    expect(events.map(({ data }) => data['output'])).toContain('I was told');
  });
});
