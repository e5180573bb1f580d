import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ManualClock } from '../../test/support/clock.ts';
import { type Behaviour, calls, hangs, type ModelUpstream, refuses, saysWhole, startUpstream } from '../../test/support/model-upstream.ts';
import { until } from '../../test/support/server-process.ts';
import { createDatabase } from '../../test/support/stores.ts';
import type { Limits } from '../domain/budget.ts';
import type { Outcome } from '../domain/outcome.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import type { Store } from '../store/store.ts';
import { type Answered, answerTool, createAsk, noModelToAsk, type Question } from './ask.ts';
import { createBudgets } from './budgets.ts';
import { createKeys } from './keys.ts';
import { createPrices } from './prices.ts';
import { anthropicProvider } from './providers/anthropic.ts';
import type { Provider } from './providers/provider.ts';
import { rehearsalProvider } from './providers/rehearsal.ts';
import { parseScript } from './rehearsal/script.ts';
import { createRoutedModels } from './routed-models.ts';

const verdict = z.discriminatedUnion('verdict', [
  z.object({ verdict: z.literal('good') }),
  z.object({ verdict: z.literal('bad'), faults: z.array(z.string().min(1)).min(1) }),
]);
type Verdict = z.output<typeof verdict>;

const question: Question<Verdict> = {
  kind: 'review',
  tier: 'light',
  taskId: 'tsk_1',
  runId: 'run_1',
  system: 'You review.',
  text: 'Is this good?',
  answer: verdict,
  maxTokens: 1_000,
};

const gives = (answer: unknown): Behaviour => calls(answerTool, { answer });
const breaksOff: Behaviour = (response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1_000 });
  response.write('{"type":"message"', () => response.destroy());
};
const forever = new AbortController().signal;

let upstream: ModelUpstream;
let store: Store;
let undo: (() => unknown)[];

beforeEach(async () => {
  const database = await createDatabase('sqlite');
  store = await database.open();
  upstream = await startUpstream(gives({ verdict: 'good' }));
  undo = [() => database.remove(), () => store.close(), () => upstream.close()];
});

afterEach(async () => {
  for (const step of undo.reverse()) await step();
});

function open({ limits = {}, clock = new ManualClock(), script }: { limits?: Partial<Limits>; clock?: ManualClock; script?: object } = {}) {
  const newId = createIds(clock);
  const connect = (): Provider & { close?(): void } =>
    script
      ? rehearsalProvider([parseScript(JSON.stringify({ name: 'test', turns: [{ say: 'Hello.' }], ...script }), 'test')], clock)
      : anthropicProvider({ baseUrl: upstream.url, apiKey: 'sk-key' }, clock);
  const keys = createKeys({ provider: 'claude', secrets: () => secrets, connect, clock, chance: () => 0 });
  const budgets = createBudgets({
    store,
    clock,
    newId,
    log: silentLog,
    nodeId: 'nod_1',
    prices: createPrices({}),
    defaults: { day: null, ceiling: null, proactive: null, run: null, conversation: null, ...limits },
    standIns: () => [],
    emergency: async () => undefined,
    onBooked: () => undefined,
  });
  const models = createRoutedModels({
    chain: [{ name: 'claude', keys, nameOf: (name) => name, listsModels: false }],
    fallbackModel: undefined,
    models: [],
    patienceMs: 60_000,
    clock,
    chance: () => 0,
    onWaiting: () => undefined,
  });
  undo.push(
    () => budgets.stop(),
    () => models.close(),
  );
  const tiers = { light: 'claude-haiku-4-5', standard: undefined, deep: undefined };
  const ask = createAsk({ models, budgets, clock, log: silentLog, newId, tiers, onUsage: () => undefined });
  return { ask, budgets, models };
}

const secrets = ['sk-key'];
const ledger = () => store.read.selectFrom('token_ledger').selectAll().orderBy('id').execute();
const sent = (at: number): { messages: { content: { text: string }[] }[] } & Record<string, unknown> =>
  JSON.parse(upstream.seen[at]?.body ?? 'null');

describe('a question of the server', () => {
  test('is answered in the form that was asked for, by the model of its tier, and is in the ledger as what it is', async () => {
    const { ask, budgets } = open();
    expect(await ask(question, forever)).toEqual({ ok: true, value: { verdict: 'good' } });
    expect(sent(0)).toMatchObject({
      model: 'claude-haiku-4-5',
      system: 'You review.',
      max_tokens: 1_000,
      tool_choice: { type: 'tool', name: answerTool },
      tools: [{ name: answerTool, input_schema: { type: 'object', required: ['answer'] } }],
    });
    await budgets.settled('run_1');
    expect(await ledger()).toMatchObject([{ kind: 'review', task_id: 'tsk_1', run_id: 'run_1', ended: 'complete', status: 200 }]);
    expect(await store.read.selectFrom('budget_reservations').selectAll().execute()).toEqual([]);
  });

  test('of nobody in particular is paid for by the day alone', async () => {
    const { ask, budgets } = open();
    expect(await ask({ ...question, kind: 'summary', runId: null, taskId: null }, forever)).toMatchObject({ ok: true });
    await budgets.stop();
    expect(await ledger()).toMatchObject([{ kind: 'summary', task_id: null, run_id: expect.stringMatching(/^cal_/) }]);
  });

  test('that is answered in another form is asked once more, with what was wrong', async () => {
    const { ask, budgets } = open();
    upstream.behaves(gives({ verdict: 'bad', faults: [] }), gives({ verdict: 'bad', faults: ['too long'] }));
    expect(await ask(question, forever)).toEqual({ ok: true, value: { verdict: 'bad', faults: ['too long'] } });
    const [, again] = sent(1).messages[0]?.content ?? [];
    expect(again?.text).toContain('answer.faults');
    expect(again?.text).toContain('{"answer":{"verdict":"bad","faults":[]}}');
    await budgets.settled('run_1');
    expect(await ledger()).toHaveLength(2);
  });

  test.each<[string, Behaviour, string]>([
    ['the wrong form', gives({ verdict: 'so so' }), 'answer.verdict'],
    ['words instead of a call', saysWhole('It is good.'), answerTool],
  ])('that is answered twice with %s has no answer', async (_, behaviour, why) => {
    const { ask } = open();
    upstream.behaves(behaviour);
    expect(await ask(question, forever)).toEqual({ ok: false, code: 'unusable', message: expect.stringContaining(why) });
    expect(upstream.seen).toHaveLength(2);
  });

  test('is asked again when its answer breaks off', async () => {
    const { ask } = open();
    upstream.behaves(breaksOff, gives({ verdict: 'good' }));
    expect(await ask(question, forever)).toMatchObject({ ok: true });
    upstream.behaves(breaksOff);
    expect(await ask(question, forever)).toMatchObject({ ok: false, code: 'unavailable' });
  });

  test('is tried again like any other call while its provider has trouble', async () => {
    const clock = new ManualClock();
    const { ask, budgets, models } = open({ clock });
    upstream.behaves(refuses(529, 'Overloaded'), gives({ verdict: 'good' }));
    const answered = ask(question, forever);
    await until('it to wait', () => models.describe().waiting.length === 1);
    clock.advance(1_000);
    expect(await answered).toMatchObject({ ok: true });
    await budgets.settled('run_1');
    expect(await ledger()).toMatchObject([{ ended: 'complete' }, { ended: 'try', status: 529 }]);
  });

  test.each<[number, string]>([
    [400, 'refused'],
    [413, 'refused'],
    [401, 'unavailable'],
  ])('that the provider answers with %i is %s', async (status, code) => {
    const { ask } = open();
    upstream.behaves(refuses(status, 'Because.'));
    expect(await ask(question, forever)).toEqual({ ok: false, code, message: 'Because.' });
    expect(upstream.seen).toHaveLength(1);
  });

  test('that the model refuses is refused, and not asked again', async () => {
    const { ask } = open();
    upstream.behaves((response) => {
      const message = { type: 'message', content: [{ type: 'text', text: 'No.' }], stop_reason: 'refusal', usage: {} };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(message));
    });
    expect(await ask(question, forever)).toMatchObject({ code: 'refused', message: expect.stringContaining('No.') });
    expect(upstream.seen).toHaveLength(1);
  });

  test('for which there is no money is not asked, and the run goes on', async () => {
    const { ask, budgets } = open({ limits: { run: 10 } });
    const ended: Outcome[] = [];
    budgets.follow('run_1', (outcome) => void ended.push(outcome));
    expect(await ask(question, forever)).toMatchObject({ ok: false, code: 'over-budget', message: expect.stringContaining('budget') });
    expect(upstream.seen).toEqual([]);
    expect(ended).toEqual([]);
    await budgets.stop();
    expect(await ledger()).toMatchObject([{ ended: 'over-budget', kind: 'review', cost_micro_usd: 0 }]);
  });

  test('rejects when it is called off, and nothing stays reserved', async () => {
    const { ask, budgets } = open();
    upstream.behaves(hangs);
    const off = new AbortController();
    const answered = ask(question, off.signal);
    await until('it to be asked', () => upstream.seen.length === 1);
    off.abort(new Error('enough'));
    await expect(answered).rejects.toThrow('enough');
    await upstream.seen[0]?.gone;
    await budgets.settled('run_1');
    expect(await store.read.selectFrom('budget_reservations').selectAll().execute()).toEqual([]);
  });

  test('has no answer where no model is set up for it', async () => {
    const { ask } = open();
    expect(await ask({ ...question, tier: 'deep' }, forever)).toMatchObject({ ok: false, code: 'no-provider' });
    expect(await noModelToAsk(question, forever)).toMatchObject({ ok: false, code: 'no-provider' });
  });
});

describe('in a rehearsal, a question', () => {
  const good = { give: { verdict: 'good' } };
  const bad = { give: { verdict: 'bad', faults: ['{{prompt}}'] } };

  test('is answered by the script: in order for each task, and the last one from then on', async () => {
    const { ask } = open({ script: { answers: { review: [bad, good] } } });
    const verdictOf = (taskId: string): Promise<Answered<Verdict>> => ask({ ...question, taskId, runId: null }, forever);
    expect(await verdictOf('tsk_1')).toEqual({ ok: true, value: { verdict: 'bad', faults: ['Is this good?'] } });
    expect(await verdictOf('tsk_1')).toEqual({ ok: true, value: { verdict: 'good' } });
    expect(await verdictOf('tsk_1')).toEqual({ ok: true, value: { verdict: 'good' } });
    expect(await verdictOf('tsk_2')).toMatchObject({ value: { verdict: 'bad' } });
  });

  test('fails as scripted, and is then answered', async () => {
    const clock = new ManualClock();
    const { ask, budgets, models } = open({ script: { answers: { review: [{ fail: { status: 529, times: 2 }, ...good }] } }, clock });
    const answered = ask(question, forever);
    for (const ms of [250, 500]) {
      await until('it to wait', () => models.describe().waiting.length === 1);
      clock.advance(ms);
    }
    expect(await answered).toMatchObject({ ok: true, value: { verdict: 'good' } });
    await budgets.settled('run_1');
    expect((await ledger()).filter(({ status }) => status === 529)).toHaveLength(2);
  });

  test('that the script says nothing about has no answer, at once', async () => {
    const { ask } = open({ script: { answers: { summary: [{ give: 'short' }] } } });
    expect(await ask(question, forever)).toEqual({ ok: false, code: 'unavailable', message: expect.stringContaining('answers.review') });
  });
});
