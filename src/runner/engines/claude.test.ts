import { execFileSync } from 'node:child_process';
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { garbles, type ModelUpstream, refuses, startUpstream } from '../../../test/support/model-upstream.ts';
import { until } from '../../../test/support/server-process.ts';
import { perform, processesOf, rehearse } from '../../../test/support/stage.ts';
import { anthropicProvider } from '../../gateway/providers/anthropic.ts';
import { rehearsalProvider } from '../../gateway/providers/rehearsal.ts';
import { demoScript, sampleRepository } from '../../gateway/rehearsal/demo.ts';
import { systemClock } from '../../platform/clock.ts';
import { claudeEngine, hasSession } from './claude.ts';
import type { AgentTool } from './engine.ts';

const engine = claudeEngine({ clock: systemClock, asRoot: process.getuid?.() === 0 });
/** A slow command that cannot be mistaken for another. */
const slowly = `${process.execPath} -e 'setTimeout(() => 0, 60000)'`;
let undo: (() => unknown)[];

beforeEach(() => {
  undo = [];
});

afterEach(async () => {
  for (const step of undo.reverse()) await step();
});

test('works with real tools on real files, and tells it in our words', async () => {
  const sessions: string[] = [];
  const stage = await rehearse(undo, rehearsalProvider([demoScript()], systemClock), {
    async onSession(id) {
      expect(stage.asked).toEqual([]); // stored before the first call
      sessions.push(id);
    },
  });
  cpSync(sampleRepository, stage.request.directory, { recursive: true });
  const { events, outcome } = await perform(engine, stage.request);
  expect(outcome).toMatchObject({ kind: 'succeeded', summary: expect.stringContaining('Fixed') });
  expect(readFileSync(join(stage.request.directory, 'src/rota.js'), 'utf8')).toContain('over midnight');

  const shown = events.filter(({ type }) => type !== 'run.text' && type !== 'run.thinking');
  expect(
    shown.map((event) =>
      event.type.startsWith('run.tool') && 'data' in event && 'tool' in event.data ? `${event.type} ${event.data.tool}` : event.type,
    ),
  ).toEqual([
    'run.session',
    ...['Read', 'Bash', 'Edit', 'Bash'].flatMap((tool) => [`run.tool-started ${tool}`, `run.tool-finished ${tool}`]),
    'run.usage',
    'outcome',
  ]);
  expect(events[0]).toEqual({ type: 'run.session', data: { sessionId: sessions[0], resumed: false } });
  const results = events.flatMap((event) => (event.type === 'run.tool-finished' ? [event.data] : []));
  expect(results.map(({ failed }) => failed)).toEqual([false, true, false, false]);
  expect(results.at(-1)?.output).toContain('pass 3');
  // The engine's count and the endpoint's are the same.
  const counted = stage.calls.reduce((sum, { usage }) => sum + (usage?.outputTokens ?? 0), 0);
  expect(events.find(({ type }) => type === 'run.usage')).toMatchObject({ data: { outputTokens: counted } });
  expect(JSON.stringify(events)).not.toContain(stage.request.conversation?.model.credential);
  expect(processesOf(stage.runId)).toEqual([]);
});

test('a tool that prints the environment does not put the credential into the journal', async () => {
  const stage = await rehearse(undo, { turns: [{ call: { tool: 'Bash', input: { command: 'env' } } }, { say: 'Seen.' }] });
  const { events } = await perform(engine, stage.request);
  expect(JSON.stringify(events)).not.toContain(stage.request.conversation?.model.credential);
});

test('what the SDK itself refuses is told as refused, and a tool that nobody has heard of is not', async () => {
  const stage = await rehearse(
    undo,
    {
      turns: [
        { call: { tool: 'Bash', input: { command: 'rmdir --help /' } } },
        { call: { tool: 'WebSearch', input: { query: 'weather' } } },
        { call: { tool: 'NoSuchTool', input: {} } },
        { say: 'Done.' },
      ],
    },
    { tools: ['Bash'] },
  );
  const { events } = await perform(engine, stage.request);
  expect(events.flatMap((event) => (event.type === 'run.denied' ? [event.data] : []))).toMatchObject([
    { tool: 'Bash', by: 'the agent engine', reason: expect.stringMatching(/^Dangerous rmdir operation detected: '\/' This command/) },
    { tool: 'WebSearch', by: 'the agent engine', reason: expect.stringMatching(/^Error: No such tool available: WebSearch\./) },
  ]);
});

test('goes on with the same session after its program was killed in the middle of a tool', async () => {
  const stage = await rehearse(undo, {
    turns: [
      { say: 'A slow one.', call: { tool: 'Bash', input: { command: slowly } } },
      { call: { tool: 'Write', input: { file_path: '{{cwd}}/after.txt', content: 'resumed' } } },
      { say: 'Done after all.' },
    ],
  });
  const { sessionDirectory = '' } = stage.request.conversation ?? {};
  let sessionId = '';
  const first = await perform(engine, stage.request, undefined, (event) => {
    if (event.type === 'run.session') sessionId = event.data.sessionId;
    if (event.type !== 'run.tool-started') return;
    // The program writes its session down a moment later; killed before that, there is none to go on with.
    void until('the call to be on disk', () => writtenDown(sessionDirectory, sessionId).includes('toolu_r0')).then(() =>
      stage.child()?.kill('SIGKILL'),
    );
  });
  expect(first.outcome).toMatchObject({ kind: 'failed', retryable: true, reason: { code: 'engine-killed' } });
  expect(processesOf(stage.runId)).toEqual([]);
  expect(await hasSession(sessionDirectory, sessionId)).toBe(true);

  const { conversation } = stage.request;
  const again = { ...stage.request, ...(conversation ? { conversation: { ...conversation, resume: sessionId } } : {}) };
  const asked = stage.asked.length;
  const [second, third] = await Promise.all([perform(engine, again), perform(engine, again)]);
  expect(third.outcome).toMatchObject({ kind: 'failed', retryable: true, reason: { code: 'session-busy' } });
  expect(second.events[0]).toEqual({ type: 'run.session', data: { sessionId, resumed: true } });
  expect(second.outcome).toEqual({ kind: 'succeeded', summary: 'Done after all.' });
  expect(readFileSync(join(stage.request.directory, 'after.txt'), 'utf8')).toBe('resumed');
  const history = JSON.stringify(stage.asked[asked]?.message.messages);
  expect(history).toContain('Do what the script says');
  expect(history).toContain('A slow one.');
});

test('stands still before each tool, and can be gone on from any result in a session of its own', async () => {
  const write = (name: string) => ({ call: { tool: 'Write', input: { file_path: `{{cwd}}/${name}`, content: name } } });
  const stage = await rehearse(undo, { turns: [write('one.txt'), write('two.txt'), write('three.txt'), { say: 'Done.' }] });
  const { conversation } = stage.request;
  if (!conversation) throw new Error('no conversation');
  const held: { readonly position: string | undefined; readonly there: readonly string[] }[] = [];
  let position: string | undefined;
  let sessionId = '';
  const first = await perform(
    engine,
    {
      ...stage.request,
      conversation: {
        ...conversation,
        onPosition: (id) => {
          position = id;
        },
        async beforeTool({ tool, input }) {
          expect([tool, typeof (input as { file_path: unknown }).file_path]).toEqual(['Write', 'string']);
          held.push({ position, there: globSync('*.txt', { cwd: stage.request.directory }).toSorted() });
        },
      },
    },
    undefined,
    (event) => {
      if (event.type === 'run.session') sessionId = event.data.sessionId;
    },
  );
  expect(first.outcome).toMatchObject({ kind: 'succeeded' });
  expect(held.map(({ there }) => there)).toEqual([[], ['one.txt'], ['one.txt', 'two.txt']]);
  expect(new Set([...held.map((each) => each.position), position]).size).toBe(4);

  const before = stage.asked.length;
  const { sessionDirectory } = conversation;
  const whole = writtenDown(sessionDirectory, sessionId);
  const resumeAt = held[1]?.position;
  if (resumeAt === undefined) throw new Error('no position');
  const again = await perform(engine, {
    ...stage.request,
    conversation: { ...conversation, resume: sessionId, resumeAt, prompt: 'Take another way.' },
  });
  const [begun] = again.events;
  expect(begun).toMatchObject({ type: 'run.session', data: { resumed: true } });
  const next = begun?.type === 'run.session' ? begun.data.sessionId : '';
  expect(next).not.toBe(sessionId);
  const history = JSON.stringify(stage.asked[before]?.message.messages);
  for (const said of ['one.txt', 'Take another way.']) expect(history).toContain(said);
  for (const unsaid of ['two.txt', 'Done.', 'Not said.']) expect(history).not.toContain(unsaid);
  expect(await hasSession(sessionDirectory, next)).toBe(true);
  expect(writtenDown(sessionDirectory, sessionId)).toBe(whole);
});

const writtenDown = (sessionDirectory: string, sessionId: string): string =>
  globSync(join(sessionDirectory, 'projects', '*', `${sessionId}.jsonl`))
    .map((file) => readFileSync(file, 'utf8'))
    .join('');

test('is gone within three seconds when it is cancelled, with all that it started', async () => {
  const stage = await rehearse(undo, { turns: [{ call: { tool: 'Bash', input: { command: `setsid ${slowly} & ${slowly}` } } }] });
  const cancel = new AbortController();
  let cancelledAt = 0;
  const { outcome } = await perform(engine, stage.request, cancel.signal, (event) => {
    if (event.type !== 'run.tool-started') return;
    void until('the commands to run', () => processesOf(stage.runId).length >= 3).then(() => {
      cancelledAt = performance.now();
      cancel.abort();
    });
  });
  expect(outcome).toEqual({ kind: 'cancelled' });
  expect(performance.now() - cancelledAt).toBeLessThan(3_000);
  expect(processesOf(stage.runId)).toEqual([]);
});

test('is gone as well when its reader goes away', async () => {
  const stage = await rehearse(undo, { turns: [{ call: { tool: 'Bash', input: { command: slowly } } }] });
  for await (const { type } of engine.run(stage.request, new AbortController().signal)) if (type === 'run.tool-started') break;
  expect(processesOf(stage.runId)).toEqual([]);
});

describe('when the model', () => {
  test.each([
    ['refuses the credentials', { status: 401 }, { code: 'model-auth' }, false],
    ['does not know the name', { status: 404 }, { code: 'model-unknown' }, false],
    ['limits the rate', { status: 429, retryAfterSeconds: 1 }, { code: 'rate-limited' }, true],
    ['is overloaded', { status: 529 }, { code: 'overloaded' }, true],
    ['is broken', { status: 500 }, { code: 'model-unreachable' }, true],
    [
      'finds the prompt too long',
      { status: 400, message: 'prompt is too long: 300000 tokens > 200000 maximum' },
      { code: 'prompt-too-long' },
      false,
    ],
    ['refuses the request', { status: 400, message: 'no such parameter' }, { code: 'model-refused' }, false],
  ])('%s, the outcome says so', async (_, fail, reason, retryable) => {
    const stage = await rehearse(undo, { turns: [{ fail }] });
    const { outcome, events } = await perform(engine, stage.request);
    expect(outcome).toMatchObject({ kind: 'failed', reason, retryable });
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(['run.session', 'run.error']));
  });

  test('declines, the outcome says so', async () => {
    const stage = await rehearse(undo, { turns: [{ when: { helper: false }, say: 'I cannot help with that.', stop: 'refusal' }] });
    expect((await perform(engine, stage.request)).outcome).toMatchObject({ kind: 'failed', retryable: false, reason: { code: 'refused' } });
  });

  test('never comes to an end, the turns do', async () => {
    const turns = [{ when: { helper: false }, call: { tool: 'Bash', input: { command: 'true' } } }];
    const stage = await rehearse(undo, { turns }, { maxTurns: 2 });
    expect((await perform(engine, stage.request)).outcome).toMatchObject({
      kind: 'failed',
      retryable: false,
      reason: { code: 'max-turns' },
    });
  });

  test('is not there at all, the outcome says so', async () => {
    const stage = await rehearse(undo, { turns: [{ say: 'x' }] });
    const { conversation } = stage.request;
    const request = conversation && {
      ...stage.request,
      conversation: { ...conversation, model: { ...conversation.model, socket: join(stage.request.directory, 'nothing.sock') } },
    };
    const { outcome } = await perform(engine, request ?? stage.request);
    expect(outcome).toMatchObject({ kind: 'failed', retryable: true, reason: { code: 'model-unreachable' } });
  });

  test('breaks off in the middle or refuses for a moment, the run survives it', async () => {
    const stage = await rehearse(
      undo,
      {
        turns: [
          { say: 'Half a sentence that breaks off.', fail: { cut: true, times: 1 } },
          { say: 'y', fail: { status: 529, times: 1 } },
        ],
      },
      { modelRetries: 3 },
    );
    const { outcome, events } = await perform(engine, stage.request);
    expect(outcome).toMatchObject({ kind: 'succeeded' });
    expect(events.filter(({ type }) => type === 'run.retry').length).toBeGreaterThan(0);
    expect(stage.calls[0]).toMatchObject({ end: 'cut' });
  });

  test('hangs, the run can be cancelled', async () => {
    const stage = await rehearse(undo, { turns: [{ fail: { hang: true } }] });
    const cancel = new AbortController();
    const performed = perform(engine, stage.request, cancel.signal);
    await until('the model to be asked', () => stage.asked.length > 0);
    cancel.abort();
    expect((await performed).outcome).toEqual({ kind: 'cancelled' });
    expect(processesOf(stage.runId)).toEqual([]);
    await until('the call to end', () => stage.calls.length > 0);
    expect(stage.calls[0]?.end).toBe('abandoned');
  });

  test('answers with garbage, or refuses us in its own way, the outcome says so', async () => {
    const upstream: ModelUpstream = await startUpstream(garbles);
    const provider = anthropicProvider({ baseUrl: upstream.url, apiKey: 'sk-real' }, systemClock);
    undo.push(
      () => upstream.close(),
      () => provider.close(),
    );
    const stage = await rehearse(undo, provider);
    expect((await perform(engine, stage.request)).outcome).toMatchObject({ kind: 'failed', retryable: true });
    upstream.behaves(refuses(401, 'invalid x-api-key', {}, 'authentication_error'));
    const { outcome } = await perform(engine, stage.request);
    expect(outcome).toMatchObject({ kind: 'failed', retryable: false, reason: { code: 'model-auth' } });
    expect(JSON.stringify(outcome)).not.toContain('sk-real');
  });
});

test('what it cannot begin with is an outcome, too', async () => {
  const stage = await rehearse(undo, { turns: [{ say: 'x' }] });
  const { conversation, ...bare } = stage.request;
  const lost = conversation && { ...stage.request, conversation: { ...conversation, resume: '00000000-0000-4000-8000-000000000000' } };
  const missing = claudeEngine({ clock: systemClock, asRoot: true, program: join(stage.request.directory, 'no-such-program') });
  const outcomes = await Promise.all([perform(engine, bare), perform(engine, lost ?? bare), perform(missing, stage.request)]);
  expect(outcomes.map(({ outcome }) => outcome?.kind === 'failed' && outcome.reason.code)).toEqual([
    'no-model',
    'session-lost',
    'engine-missing',
  ]);
});

test('a machine out of descriptors survives the start of an agent, and is not fit for it', () => {
  const module = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const home = mkdtempSync(join(tmpdir(), 'nightshift-descriptors-'));
  undo.push(() => rmSync(home, { recursive: true, force: true }));
  const script = `
    import { openSync } from 'node:fs';
    import { systemClock } from ${module('../../platform/clock.ts')};
    import { claudeEngine } from ${module('./claude.ts')};
    const engine = claudeEngine({ clock: systemClock, asRoot: true, program: '/bin/true' });
    const model = { baseUrl: 'http://localhost', credential: 'none' };
    const conversation = { model, sessionDirectory: ${JSON.stringify(home)} };
    const request = { task: { title: 'x', body: null }, runId: 'run_x', directory: '/', env: {}, conversation };
    for await (const event of engine.run(request, AbortSignal.abort())); // loads what it needs while it can
    try { for (;;) openSync('/dev/null'); } catch {}
    for await (const { outcome } of engine.run(request, new AbortController().signal)) if (outcome) console.log(JSON.stringify(outcome));`;
  const argv = ['-c', 'ulimit -n 64; exec "$0" "$@"', process.execPath, '--input-type=module', '-e', script];
  expect(JSON.parse(execFileSync('sh', argv, { encoding: 'utf8' }))).toMatchObject({ kind: 'released', reason: { code: 'host-unfit' } });
});

test('offers tools of the server itself, where a profile has a list only those on it, and outlives one that breaks', async () => {
  const asked: unknown[] = [];
  const own: readonly AgentTool[] = [
    {
      name: 'remember',
      description: 'Keeps something.',
      input: { title: z.string() },
      async call(given) {
        asked.push(given);
        if (asked.length > 1) throw new Error('the store is closed');
        return { failed: false, text: 'Kept.' };
      },
    },
  ];
  const forbidden: AgentTool = { name: 'recall', description: 'Finds it.', input: {}, call: () => Promise.reject(new Error('no')) };
  const remember = (title: unknown): object => ({ call: { tool: 'mcp__nightshift__remember', input: { title } } });
  const stage = await rehearse(
    undo,
    { turns: [remember('one'), remember('two'), remember(3), { say: 'Done.' }] },
    { own: [...own, forbidden], tools: ['Read', 'mcp__nightshift__remember'] },
  );
  const { events, outcome } = await perform(engine, stage.request);
  expect(outcome).toMatchObject({ kind: 'succeeded' });
  expect(asked).toEqual([{ title: 'one' }, { title: 'two' }]);
  const results = events.flatMap((event) => (event.type === 'run.tool-finished' ? [event.data] : []));
  expect(results.map(({ tool, failed }) => [tool, failed])).toEqual([
    ['mcp__nightshift__remember', false],
    ['mcp__nightshift__remember', true],
    ['mcp__nightshift__remember', true],
  ]);
  expect(results.map(({ output }) => output).slice(0, 2)).toEqual(['Kept.', 'It did not work: the store is closed']);
  const [first] = stage.asked as readonly { readonly message: { readonly tools: readonly { name: string }[] } }[];
  const offered = first?.message.tools.map(({ name }) => name);
  expect(offered?.toSorted()).toEqual(['Read', 'mcp__nightshift__remember']);
});
