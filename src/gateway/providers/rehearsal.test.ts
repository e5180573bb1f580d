import { describe, expect, test } from 'vitest';
import { callerOf } from '../../../test/support/callers.ts';
import { ManualClock } from '../../../test/support/clock.ts';
import { Unusable } from '../../domain/errors.ts';
import { demoScript } from '../rehearsal/demo.ts';
import { parseScript } from '../rehearsal/script.ts';
import { meterFor } from '../usage.ts';
import type { Provider } from './provider.ts';
import { rehearsalProvider } from './rehearsal.ts';

interface Block {
  readonly type: string;
  readonly text?: string;
  readonly name?: string;
  readonly id?: string;
  readonly input?: unknown;
}

interface Answered {
  readonly content: readonly Block[];
  readonly stop_reason: string;
  readonly usage: Readonly<Record<string, number>>;
}

type Message = { readonly role: string; readonly content: unknown };

const user = (content: unknown): Message => ({ role: 'user', content });
const prompt = (text: string): Message =>
  user([
    { type: 'text', text: '<system-reminder>Primary working directory: /w</system-reminder>' },
    { type: 'text', text },
  ]);
const result = (call: Block | undefined, content: string, is_error = false): Message =>
  user([{ type: 'tool_result', tool_use_id: call?.id, content, is_error }]);

function actor(script: object | string, clock = new ManualClock()) {
  const provider = rehearsalProvider(
    [parseScript(typeof script === 'string' ? script : JSON.stringify({ name: 'test', ...script }), 'test.yaml')],
    clock,
  );
  return {
    ask: (messages: readonly Message[], more: object = {}) => ask(provider, { tools: [{ name: 'Bash' }], messages, ...more }),
    async say(messages: readonly Message[], more: object = {}): Promise<Answered> {
      return (await (await ask(provider, { tools: [{ name: 'Bash' }], messages, ...more })).json()) as Answered;
    },
  };
}

function ask(provider: Provider, message: object, signal = new AbortController().signal): Promise<Response> {
  const body = Buffer.from(JSON.stringify(message));
  return provider.answer({ caller: callerOf('run_1'), endpoint: 'messages', query: '', headers: new Headers(), body, message }, signal);
}

const textOf = ({ content }: Answered): string | undefined => content.find(({ type }) => type === 'text')?.text;

describe('a script', () => {
  test('of turns without conditions is played in order, and has an end', async () => {
    const { say } = actor({
      turns: [{ call: { tool: 'Bash', input: { command: 'cd {{cwd}}' } } }, { think: 'Hm.', say: 'You said: {{prompt}}' }],
    });
    const history = [prompt('Hello')];
    const first = await say(history);
    expect(first).toMatchObject({ stop_reason: 'tool_use', content: [{ name: 'Bash', input: { command: 'cd /w' } }] });
    history.push({ role: 'assistant', content: first.content }, result(first.content[0], 'fine'));
    const second = await say(history);
    expect(second).toMatchObject({ stop_reason: 'end_turn', content: [{ type: 'thinking' }, { text: 'You said: Hello' }] });
    expect(second.usage['cache_read_input_tokens']).toBeGreaterThan(second.usage['input_tokens'] ?? 0);
    history.push({ role: 'assistant', content: second.content }, user('And now?'));
    expect(textOf(await say(history))).toBe('The rehearsal is over.');
  });

  test('finds its place in a history that was interrupted and mended', async () => {
    const { say } = actor({ turns: [{ call: { tool: 'Bash' } }, { call: { tool: 'Bash' } }, { say: 'third' }] });
    const call = { type: 'tool_use', id: 'toolu_r1x0xabc', name: 'Bash', input: {} };
    const mended = [
      prompt('Hello'),
      { role: 'assistant', content: [call] },
      result(call, 'interrupted', true),
      { role: 'assistant', content: 'No response requested.' },
      user('Go on.'),
    ];
    expect(textOf(await say(mended))).toBe('third');
  });

  test('answers by what the conversation shows', async () => {
    const { say } = actor({
      turns: [
        { when: { first: true, prompt: 'colour' }, say: 'blue' },
        { when: { tool: 'Bash', failed: true }, say: 'it failed' },
        { when: { tool: 'Bash', result: '/\\b3 passed/i' }, say: 'green' },
        { when: { said: 'bye' }, say: 'farewell' },
        { say: 'in order' },
      ],
    });
    const call = { type: 'tool_use', id: 'x', name: 'Bash', input: {} };
    const having = (content: string, failed = false): readonly Message[] => [
      prompt('Hello'),
      { role: 'assistant', content: [call] },
      result(call, content, failed),
    ];
    expect(textOf(await say([prompt('Which colour?')]))).toBe('blue');
    expect(textOf(await say([prompt('Hello')]))).toBe('in order');
    expect(textOf(await say(having('no', true)))).toBe('it failed');
    expect(textOf(await say(having('3 PASSED')))).toBe('green');
    expect(textOf(await say([...having('?'), { role: 'assistant', content: 'ok' }, user('bye')]))).toBe('farewell');
  });

  test('is not disturbed by the helpers of the SDK, unless it wants to be', async () => {
    const turns = [{ say: 'for the task' }];
    const title = [user('Write a title for this')];
    expect(textOf(await actor({ turns }).say(title, { tools: [] }))).toBe('{"title": "Rehearsal"}');
    expect(
      textOf(await actor({ turns: [...turns, { when: { helper: true, prompt: 'title' }, say: 'Mine' }] }).say(title, { tools: undefined })),
    ).toBe('Mine');
  });

  test('may be for some conversations only', async () => {
    const scripts = [
      { name: 'a', for: 'apples', turns: [{ say: 'A' }] },
      { name: 'b', turns: [{ say: 'B' }] },
    ].map((each) => parseScript(JSON.stringify(each), 'x'));
    const provider = rehearsalProvider(scripts, new ManualClock());
    const say = async (text: string) => textOf((await (await ask(provider, { tools: [{}], messages: [prompt(text)] })).json()) as Answered);
    expect([await say('pick apples'), await say('pick pears')]).toEqual(['A', 'B']);
  });

  test('may fail some times, and break off', async () => {
    const { ask } = actor({ turns: [{ say: 'x', fail: { status: 429, retryAfterSeconds: 3, times: 2 } }] });
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await ask([prompt('Hello')])).status);
    expect(statuses).toEqual([429, 429, 200]);
    const cut = await actor({ turns: [{ say: 'a longer sentence', fail: { cut: true } }] }).ask([prompt('Hello')], { stream: true });
    await expect(cut.text()).rejects.toThrow('cut off');
  });

  test('may take its time', async () => {
    const clock = new ManualClock();
    const { ask } = actor({ turns: [{ say: 'late', delayMs: 5_000 }] }, clock);
    let answered = false;
    const asked = ask([prompt('Hello')]).then((response) => {
      answered = true;
      return response.text();
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect([answered, clock.pending]).toEqual([false, 1]);
    clock.advance(5_000);
    expect(await asked).toContain('late');
  });
});

test('a streamed answer is the whole one in events', async () => {
  const script = {
    turns: [
      {
        think: 'Let me see 🤔.',
        say: '🌒'.repeat(200),
        call: { tool: 'Edit', input: { text: 'ü"\\\n'.repeat(50) } },
        usage: { input: 7, output: 70 },
      },
    ],
  };
  const whole = await actor(script).say([prompt('Hello')]);
  const response = await actor(script).ask([prompt('Hello')], { stream: true });
  const text = await response.text();
  const events = text
    .trimEnd()
    .split('\n\n')
    .map((block) => JSON.parse(block.split('\ndata: ')[1] ?? '') as { type: string; index?: number; delta?: Record<string, string> });
  expect(events.filter(({ type }) => type !== 'content_block_delta').map(({ type }) => type)).toEqual([
    'message_start',
    'ping',
    ...[0, 1, 2].flatMap(() => ['content_block_start', 'content_block_stop']),
    'message_delta',
    'message_stop',
  ]);
  const joined = (index: number, field: string): string =>
    events.map(({ index: at, delta }) => (at === index ? (delta?.[field] ?? '') : '')).join('');
  expect(joined(0, 'thinking')).toBe('Let me see 🤔.');
  expect(joined(1, 'text')).toBe(whole.content[1]?.text);
  expect(JSON.parse(joined(2, 'partial_json'))).toEqual(whole.content[2]?.input);
  const meter = meterFor('text/event-stream');
  for (const byte of Buffer.from(text)) meter.see(Uint8Array.of(byte)); // however it is cut up
  expect(meter.end()).toMatchObject({ complete: true, usage: { inputTokens: 7, outputTokens: 70 } });
});

test.each([
  ['turns: [', 'not valid YAML'],
  ['name: x', 'turns'],
  ['name: x\nturns: [{ sya: hello }]', 'sya'],
  ['name: x\nturns: [{ when: { first: true } }]', 'must think, say, call or fail'],
  ['name: x\nturns: [{ say: x, when: { prompt: "/(/" } }]', 'turns.0.when.prompt'],
])('a script that cannot be used is refused with what is wrong: %j', (text, wrong) => {
  expect(() => parseScript(text, 'mine.yaml')).toThrow(Unusable);
  expect(() => parseScript(text, 'mine.yaml')).toThrow(wrong);
  expect(() => parseScript(text, 'mine.yaml')).toThrow('mine.yaml');
});

test('the demo is a script', () => {
  expect(demoScript().name).toBe('demo');
});
