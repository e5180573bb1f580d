import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { callerOf } from '../../test/support/callers.ts';
import { ManualClock } from '../../test/support/clock.ts';
import { incoming } from '../../test/support/incoming.ts';
import {
  type Behaviour,
  cutsOff,
  hangs,
  type ModelUpstream,
  refuses,
  startUpstream,
  textEvents,
} from '../../test/support/model-upstream.ts';
import { onlyProvider } from '../../test/support/only-provider.ts';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import { type Limits, microUsd, utcDay } from '../domain/budget.ts';
import { StoreUnavailable } from '../domain/errors.ts';
import type { JournalEvent } from '../domain/event.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { LedgerEntry } from '../domain/spending.ts';
import { type Clock, systemClock } from '../platform/clock.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import { findCounters, saveLimit } from '../store/budgets.ts';
import { beginning, readAfter } from '../store/journal.ts';
import { bookLost } from '../store/ledger.ts';
import { readSetting, writeSetting } from '../store/settings.ts';
import type { Store, Tx } from '../store/store.ts';
import { type Budgets, createBudgets } from './budgets.ts';
import type { Caller } from './caller.ts';
import { createCredentials } from './credentials.ts';
import { createKeys } from './keys.ts';
import { createGateway } from './messages.ts';
import type { Models } from './models.ts';
import { createPrices } from './prices.ts';
import { anthropicProvider } from './providers/anthropic.ts';
import type { ModelRequest } from './providers/provider.ts';
import { createRoutedModels } from './routed-models.ts';
import { meterFor } from './usage.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const model = 'claude-sonnet-4-5';
const noLimits: Limits = { day: null, ceiling: null, proactive: null, run: null, conversation: null };

/** An answer that says it cost so many tokens. */
const costs =
  (input: number, output: number, named = model): Behaviour =>
  (response) => {
    const [start = '', ...others] = textEvents('Done.', named);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(start.replace(/"usage":\{[^}]*\}/, `"usage":{"input_tokens":${input},"output_tokens":1}`));
    response.end(others.join('').replace('"output_tokens":9', `"output_tokens":${output}`));
  };

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`a model call on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let upstream: ModelUpstream;
    let undo: (() => unknown)[];

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      upstream = await startUpstream(costs(100, 1_000));
      undo = [() => database.remove(), () => store.close(), () => upstream.close()];
    });

    afterEach(async () => {
      for (const step of undo.reverse()) await step();
    });

    /** A node: its budgets, and its gateway before the upstream. */
    function open({
      limits = {},
      clock = new ManualClock() as Clock,
      over = store,
      nodeId = 'nod_1',
      patienceMs = 60_000,
      prices = {},
      standIns = [],
      models,
      onAsked = () => undefined,
      emergency,
    }: {
      limits?: Partial<Limits>;
      clock?: Clock;
      over?: Store;
      nodeId?: string;
      patienceMs?: number;
      prices?: Parameters<typeof createPrices>[0];
      standIns?: readonly string[];
      models?: Models;
      onAsked?: (request: ModelRequest) => void;
      emergency?: (tx: Tx) => Promise<void>;
    } = {}) {
      const booked: LedgerEntry[] = [];
      const pauses: string[] = [];
      const credentials = createCredentials(clock);
      const provider = anthropicProvider({ baseUrl: upstream.url, apiKey: 'sk-key' }, clock);
      const budgets: Budgets = createBudgets({
        store: over,
        clock,
        newId: createIds(clock),
        log: silentLog,
        nodeId,
        prices: createPrices(prices),
        defaults: { ...noLimits, ...limits },
        standIns: () => standIns,
        emergency: emergency ?? (async () => void pauses.push('paused')),
        onBooked: (entry) => void booked.push(entry),
        patienceMs,
      });
      undo.push(
        () => provider.close(),
        () => budgets.stop(),
      );
      const gateway = createGateway({
        models:
          models ??
          onlyProvider({
            name: provider.name,
            answer(request, signal) {
              onAsked(request);
              return provider.answer(request, signal);
            },
          }),
        credentials,
        clock,
        log: silentLog,
        budgets,
        onUsage: () => undefined,
      });
      const known = new Map<string, string>();
      const ask = async (caller: Caller, body: object | string = {}, signal?: AbortSignal): Promise<Response> => {
        const credential = known.get(caller.runId) ?? credentials.issue(caller);
        known.set(caller.runId, credential);
        return gateway.fetch(
          incoming('http://localhost/v1/messages', {
            method: 'POST',
            headers: { 'x-api-key': credential },
            body: typeof body === 'string' ? body : JSON.stringify({ model, max_tokens: 2_000, stream: true, messages: [], ...body }),
            signal,
          }),
        );
      };
      /** Asks, reads the whole answer, and waits until it is in the ledger. */
      const call = async (caller: Caller, body?: object): Promise<number> => {
        const response = await ask(caller, body);
        await response.text().catch(() => undefined);
        await budgets.settled(caller.runId);
        return response.status;
      };
      return { budgets, credentials, booked, pauses, ask, call };
    }

    const ledger = () => store.read.selectFrom('token_ledger').selectAll().orderBy('id').execute();
    const counter = async (id: string) => (await findCounters(store.read, [id])).get(id);
    const reservations = () => store.read.selectFrom('budget_reservations').selectAll().execute();
    const events = async (type: JournalEvent['type']): Promise<readonly JournalEvent[]> =>
      (await readAfter(store, beginning, 1_000)).filter((event) => event.type === type);

    test('is in the ledger with what it cost, whose it was, and how long it took', async () => {
      const { call } = open();
      expect(await call(callerOf('run_1', { taskId: 'tsk_1', conversationId: 'chat', kind: 'reactive' }))).toBe(200);
      expect(await ledger()).toEqual([
        expect.objectContaining({
          id: expect.stringMatching(/^cal_/),
          at: Date.UTC(2026, 0, 1),
          node_id: 'nod_1',
          run_id: 'run_1',
          task_id: 'tsk_1',
          conversation_id: 'chat',
          kind: 'reactive',
          provider: 'claude',
          model,
          input_tokens: 100,
          output_tokens: 1_000,
          cost_micro_usd: 100 * 3 + 1_000 * 15,
          status: 200,
          ended: 'complete',
          estimated: 0,
          first_byte_ms: 0,
          latency_ms: 0,
        }),
      ]);
      for (const id of ['day:2026-01-01', 'run:run_1', 'task:tsk_1'])
        expect(await counter(id)).toEqual({ spent: 15_300, reserved: 0, exhausted: false });
      expect(await counter('conversation:chat')).toMatchObject({ spent: 1_100, reserved: 0 });
      expect(await reservations()).toEqual([]);
    });

    test('is held at its worst case while it lasts', async () => {
      const { ask, budgets, booked } = open();
      upstream.behaves(hangs);
      const gone = new AbortController();
      const answer = ask(callerOf('run_1'), {}, gone.signal);
      await until('the call to be under way', () => upstream.seen.length === 1);
      const [held] = await reservations();
      expect(held).toMatchObject({ node_id: 'nod_1', output_tokens: 2_000 });
      expect(held?.micro_usd).toBeGreaterThanOrEqual(30_000);
      expect(await counter('day:2026-01-01')).toMatchObject({ spent: 0, reserved: held?.micro_usd });
      gone.abort();
      await answer;
      await budgets.settled('run_1');
      // It may have been read before the agent left: what was sent is booked, and marked as reckoned.
      expect(booked).toMatchObject([{ end: 'abandoned', status: null, estimated: true, outputTokens: 0, inputTokens: held?.input_tokens }]);
      expect(await counter('day:2026-01-01')).toMatchObject({ reserved: 0 });
    });

    test('that nobody can write down again is settled all the same', async () => {
      const { ask, budgets } = open();
      const nested = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
      const answer = await ask(callerOf('run_1'), `{"model":"${model}","messages":${nested}}`);
      expect(answer.status).toBe(500);
      await budgets.settled('run_1');
      expect(await reservations()).toEqual([]);
      expect(budgets.pending).toBe(0);
    });

    test('does not keep its request in memory while its answer comes', async () => {
      const asked: WeakRef<object>[] = [];
      const { ask } = open({ onAsked: ({ message, body }) => void asked.push(new WeakRef(message), new WeakRef(body as object)) });
      const goOn = Promise.withResolvers<void>();
      upstream.behaves(async (response) => {
        const [start, ...others] = textEvents('Done.', model);
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(start);
        await goOn.promise;
        response.end(others.join(''));
      });
      const answer = await ask(callerOf('run_1'), { system: 'x'.repeat(100_000) });
      const reader = answer.body?.getReader();
      await reader?.read();
      try {
        await until('the request to be gone', () => {
          collectGarbage();
          return asked.every((each) => each.deref() === undefined);
        });
        expect(asked).toHaveLength(2);
      } finally {
        goOn.resolve();
        while (!(await reader?.read())?.done);
      }
    });

    test('that was refused costs nothing, and is in the ledger', async () => {
      const { call } = open();
      upstream.behaves(refuses(429, 'slow down'));
      expect(await call(callerOf('run_1'))).toBe(429);
      expect(await ledger()).toMatchObject([{ ended: 'refused', status: 429, cost_micro_usd: 0, input_tokens: 0, estimated: 0 }]);
      expect(await counter('day:2026-01-01')).toMatchObject({ spent: 0, reserved: 0 });
    });

    test('whose whole answer has come is complete, though nobody waits for the connection to end', async () => {
      const { ask, budgets } = open();
      upstream.behaves((response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(textEvents('Done.', model).join(''));
      });
      const reader = (await ask(callerOf('run_1'))).body?.getReader();
      await reader?.read();
      await reader?.cancel();
      await budgets.settled('run_1');
      expect(await ledger()).toMatchObject([{ ended: 'complete', estimated: 0, output_tokens: 9 }]);
    });

    test('that was given up while it waited for a provider costs nothing', async () => {
      const clock = new ManualClock();
      const models = createRoutedModels({
        chain: [
          {
            name: 'claude',
            keys: createKeys({
              provider: 'claude',
              secrets: () => ['sk-key'],
              connect: (apiKey) => anthropicProvider({ baseUrl: upstream.url, apiKey }, clock),
              clock,
              chance: () => 0.5,
            }),
            nameOf: (name) => name,
            listsModels: false,
          },
        ],
        fallbackModel: undefined,
        models: [],
        patienceMs: 60_000,
        clock,
        chance: () => 0.5,
        onWaiting: () => undefined,
      });
      undo.push(() => models.close());
      const { ask, budgets } = open({ clock, models });
      upstream.behaves(refuses(529, 'Overloaded'));
      const gone = new AbortController();
      const answer = ask(callerOf('run_1'), {}, gone.signal);
      await until('the call to wait', () => models.describe().waiting.length === 1);
      gone.abort();
      await answer;
      await budgets.settled('run_1');
      expect(await ledger()).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ ended: 'abandoned', status: 499, cost_micro_usd: 0, estimated: 0 }),
          expect.objectContaining({ ended: 'try', status: 529, cost_micro_usd: 0, estimated: 0 }),
        ]),
      );
      expect(await reservations()).toEqual([]);
    });

    test('that was cut off is booked with what was seen of it, and marked as reckoned', async () => {
      const { call } = open();
      upstream.behaves(cutsOff);
      await call(callerOf('run_1'));
      const [entry] = await ledger();
      expect(entry).toMatchObject({ ended: 'cut', status: 200, estimated: 1, input_tokens: 12, cache_read_tokens: 40 });
      expect(entry?.cost_micro_usd).toBeGreaterThan(0);
    });

    test('whose answer says nothing of its usage is reckoned from what was sent and what came', async () => {
      const { call } = open();
      const silent = textEvents('word '.repeat(400)).map((event) => event.replaceAll(/"usage":\{[^}]*\}/g, '"x":1'));
      upstream.behaves((response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(silent.join('')));
      await call(callerOf('run_1'), { messages: [{ role: 'user', content: 'x'.repeat(10_000) }] });
      const [entry] = await ledger();
      expect(entry).toMatchObject({ ended: 'complete', estimated: 1 });
      expect(entry?.input_tokens).toBeGreaterThan(5_000);
      expect(entry?.output_tokens).toBeGreaterThan(900);
    });

    test('whose answer claims to have cost nothing is reckoned as well', async () => {
      const { call } = open();
      upstream.behaves(costs(0, 0));
      await call(callerOf('run_1'), { system: 'x'.repeat(10_000) });
      const [entry] = await ledger();
      expect(entry).toMatchObject({ ended: 'complete', estimated: 1 });
      expect(entry?.input_tokens).toBeGreaterThan(1_000);
      expect(entry?.output_tokens).toBeGreaterThan(0);
    });

    test('of a model that nobody knows costs as much as the dearest, and that is said once', async () => {
      const { call } = open();
      upstream.behaves(costs(100, 1_000, 'mystery-1'));
      for (let i = 0; i < 3; i++) await call(callerOf('run_1'), { model: 'mystery-1' });
      expect((await ledger()).map((entry) => [entry.model, entry.cost_micro_usd])).toEqual(
        Array.from({ length: 3 }, () => ['mystery-1', 100 * 15 + 1_000 * 75]),
      );
      await until('the warning', async () => (await events('price.unknown')).length === 1);
      expect((await events('price.unknown'))[0]?.data).toEqual({ model: 'mystery-1', inputUsd: 15, outputUsd: 75 });
    });

    test('may name its model as it likes, and be told any usage: the ledger takes both, and no more than can be', async () => {
      const { call } = open();
      upstream.behaves(costs(Number.MAX_SAFE_INTEGER, 1, 'nul\u0000\u001b[31m'));
      await call(callerOf('run_1'), { model: `\0\u202e${'x'.repeat(5_000)}` });
      const [entry] = await ledger();
      expect(entry).toMatchObject({ model: 'nul??[31m', input_tokens: 100_000_000 });
      expect(Number.isSafeInteger(entry?.cost_micro_usd)).toBe(true);
      expect((await counter('run:run_1'))?.reserved).toBe(0);
    });

    test('is held at the dearest of all that may answer, for what is read and for what is written', async () => {
      const { ask } = open({ standIns: ['claude-opus-5-5'] });
      const answers = [await ask(callerOf('run_1'), { system: 'x'.repeat(500_000) }), await ask(callerOf('run_2'))];
      const held = new Map((await reservations()).map(({ run_id, micro_usd }) => [run_id, micro_usd]));
      // Of a long prompt, the model that was asked for is the dearer one; of a short one, it is the other.
      expect(held.get('run_1')).toBeGreaterThanOrEqual(250_000 * 6 + 2_000 * 22.5);
      expect(held.get('run_2')).toBeGreaterThanOrEqual(2_000 * 20);
      for (const answer of answers) await answer.text();
    });

    test('that another model answered has the price of that one, also when nobody knows it', async () => {
      const { budgets, booked } = open({ standIns: ['no-such-model'] });
      const message = { model, max_tokens: 2_000, messages: [] };
      const request: ModelRequest = {
        caller: callerOf('run_1'),
        endpoint: 'messages',
        query: '',
        headers: new Headers(),
        body: Buffer.from(JSON.stringify(message)),
        message,
      };
      const opened = await budgets.open(request, new AbortController().signal);
      if (opened.kind !== 'open') throw new Error('refused');
      const meter = meterFor('application/json');
      meter.see(
        Buffer.from(JSON.stringify({ type: 'message', model: 'no-such-model', usage: { input_tokens: 100, output_tokens: 1_000 } })),
      );
      opened.paid.settle({
        lost: false,
        caller: request.caller,
        served: { provider: 'openrouter', model: 'no-such-model', keyId: null },
        model: 'no-such-model',
        usage: null,
        observed: meter.end(),
        end: 'complete',
        status: 200,
        firstByteMs: 1,
        latencyMs: 2,
      });
      await budgets.settled('run_1');
      expect(booked).toMatchObject([{ model: 'no-such-model', costMicroUsd: 100 * 15 + 1_000 * 75 }]);
    });

    test('has the price that the settings give its model', async () => {
      const { call } = open({ prices: { 'mystery-1': { input: 1, output: 2 } } });
      upstream.behaves(costs(100, 1_000, 'mystery-1'));
      await call(callerOf('run_1'), { model: 'mystery-1' });
      expect(await ledger()).toMatchObject([{ cost_micro_usd: 2_100 }]);
    });

    test('over its budget is refused for good, told to the run, and in the ledger', async () => {
      const { ask, budgets, booked } = open({ limits: { run: 10_000 } });
      const told: Outcome[] = [];
      undo.push(budgets.follow('run_1', (outcome) => void told.push(outcome)));
      const refused = await ask(callerOf('run_1'));
      expect(refused.status).toBe(402);
      expect(refused.headers.get('x-should-retry')).toBe('false');
      expect(await refused.json()).toMatchObject({
        type: 'error',
        error: { type: 'billing_error', message: expect.stringContaining('budget of this run') },
      });
      expect(upstream.seen).toEqual([]);
      await budgets.settled('run_1');
      expect(booked).toMatchObject([{ runId: 'run_1', end: 'over-budget', costMicroUsd: 0, model }]);
      expect(told).toEqual([{ kind: 'over-budget', reason: { code: 'run-budget', message: expect.stringContaining('Retry') } }]);
    });

    test('has its answer kept shorter when only that much is left', async () => {
      const { call } = open({ limits: { run: 25_000 } });
      expect(await call(callerOf('run_1'))).toBe(200);
      const sent = JSON.parse(upstream.seen[0]?.body ?? '') as { max_tokens: number };
      expect(sent.max_tokens).toBeLessThan(1_700);
      expect(sent.max_tokens).toBeGreaterThan(1_600);
      expect(await call(callerOf('run_1'))).toBe(402);
    });

    test('that thinks keeps room for an answer when it is kept shorter', async () => {
      const { call } = open({ limits: { run: 50_000 } });
      await call(callerOf('run_1'), { max_tokens: 32_000, thinking: { type: 'enabled', budget_tokens: 16_000 } });
      const sent = JSON.parse(upstream.seen[0]?.body ?? '') as { max_tokens: number; thinking: { budget_tokens: number } };
      expect(sent.max_tokens).toBeLessThan(3_400);
      expect(sent.thinking.budget_tokens).toBe(sent.max_tokens - 1_024);
    });

    test('of a task with a budget of its own is held to that, over all its runs, and to a new one at once', async () => {
      const { call } = open({ limits: { run: 1_000 } });
      await insertTask('tsk_1', 0.03);
      const caller = callerOf('run_1', { taskId: 'tsk_1' });
      expect(await call(caller)).toBe(200);
      expect(await call(callerOf('run_2', { taskId: 'tsk_1' }))).toBe(402);
      await store.write(async (tx) => void (await tx.db.updateTable('tasks').set({ budget_usd: 0.1 }).where('id', '=', 'tsk_1').execute()));
      expect(await call(callerOf('run_3', { taskId: 'tsk_1' }))).toBe(200);
    });

    test('waits while others hold the money, and goes on when they are done', async () => {
      const { ask, call, booked } = open({ limits: { day: 40_000 } });
      const first = await ask(callerOf('run_1'));
      const second = call(callerOf('run_2'), { max_tokens: 1_500 });
      await until('the first to be under way', () => upstream.seen.length === 1);
      expect(booked).toEqual([]);
      await first.text();
      expect(await second).toBe(200);
      expect(await counter('day:2026-01-01')).toMatchObject({ spent: 30_600, reserved: 0 });
    });

    test('that waits too long is told to try again, and is in the ledger', async () => {
      const { ask, budgets } = open({ limits: { day: 40_000 }, patienceMs: 0 });
      const first = await ask(callerOf('run_1'));
      const second = await ask(callerOf('run_2'));
      expect(second.status).toBe(529);
      expect(second.headers.get('x-should-retry')).toBeNull();
      expect(second.headers.get('retry-after')).toBe('5');
      await budgets.settled('run_2');
      expect(await ledger()).toMatchObject([{ run_id: 'run_2', ended: 'over-budget', cost_micro_usd: 0 }]);
      await first.body?.cancel();
    });

    test('counts for the day on which it began, and each day begins anew at midnight UTC', async () => {
      const clock = new ManualClock(Date.UTC(2026, 5, 30, 23, 59, 59));
      const { ask, call, budgets } = open({ clock, limits: { day: 40_000 } });
      const before = await ask(callerOf('run_1'));
      clock.advance(2_000);
      await before.text();
      await budgets.settled('run_1');
      expect(await counter('day:2026-06-30')).toMatchObject({ spent: 15_300, reserved: 0 });
      expect(await counter('day:2026-07-01')).toBeUndefined();
      for (const status of [200, 200, 402]) expect(await call(callerOf('run_2'))).toBe(status);
      expect(await budgets.usedUp()).toBeUndefined(); // too small for that call, but far from used up
      clock.jump(86_400_000);
      expect(await call(callerOf('run_2'))).toBe(200);
    });

    test('ends the day for everybody when the money is gone, which is told once', async () => {
      const { call, budgets } = open({ limits: { day: 30_800 } });
      for (const status of [200, 200, 402, 402]) expect(await call(callerOf('run_1'), { max_tokens: 1_000 })).toBe(status);
      expect((await events('budget.exhausted')).map(({ data }) => data)).toEqual([{ scope: 'day', limit: 0.0308, spent: 0.0306 }]);
      expect(await budgets.usedUp()).toMatchObject({
        kind: 'over-budget',
        reason: { code: 'day-budget' },
        until: Date.UTC(2026, 0, 2),
      });
    });

    test('at the ceiling has the queue paused; one giant request does not', async () => {
      const { call, pauses } = open({ limits: { ceiling: 30_800 } });
      expect(await call(callerOf('run_1'), { messages: [{ role: 'user', content: 'x'.repeat(100_000) }] })).toBe(402);
      expect(pauses).toEqual([]);
      for (const status of [200, 200, 402]) expect(await call(callerOf('run_1'), { max_tokens: 1_000 })).toBe(status);
      expect(pauses).toEqual(['paused']);
    });

    test('at a ceiling that is the budget of the day as well has the queue paused', async () => {
      const { call, pauses } = open({ limits: { day: 30_800, ceiling: 30_800 } });
      for (const status of [200, 200, 402]) expect(await call(callerOf('run_1'), { max_tokens: 1_000 })).toBe(status);
      expect(pauses).toEqual(['paused']);
    });

    test('of proactive work is stopped by its tokens; talk is not', async () => {
      const { call } = open({ limits: { proactive: 2_300 } });
      const proactive = callerOf('run_1', { kind: 'proactive' });
      expect(await call(proactive)).toBe(200);
      expect(await counter('proactive:2026-01-01')).toMatchObject({ spent: 1_100, reserved: 0 });
      expect(await call(proactive)).toBe(200);
      expect(await call(proactive)).toBe(402);
      expect(await call(callerOf('run_2', { kind: 'reactive' }))).toBe(200);
    });

    test('that makes a conversation long is let through, and that is said once', async () => {
      const { call } = open({ limits: { conversation: 2_000 } });
      const caller = callerOf('run_1', { conversationId: 'chat', kind: 'reactive' });
      for (let i = 0; i < 4; i++) expect(await call(caller)).toBe(200);
      expect((await events('budget.conversation')).map(({ data }) => data)).toEqual([
        { conversationId: 'chat', tokens: 2_200, limit: 2_000 },
      ]);
    });

    test('is not let through while the store does not answer, and may be tried again', async () => {
      const broken: Store = {
        ...store,
        read: store.read,
        write: () => Promise.reject(new StoreUnavailable('store-locked', 'Another process holds the database.')),
      };
      const { ask } = open({ over: broken });
      const answer = await ask(callerOf('run_1'));
      expect(answer.status).toBe(529);
      expect(answer.headers.get('x-should-retry')).toBeNull();
      expect(upstream.seen).toEqual([]);
    });

    test('that gets its money at the very stop leaves nothing reserved', async () => {
      upstream.behaves(costs(10, 10));
      let written = 0;
      let passing = Number.POSITIVE_INFINITY;
      const gate = Promise.withResolvers<void>();
      const slow: Store = {
        ...store,
        read: store.read,
        async write(change) {
          if (passing-- <= 0) await gate.promise;
          return store.write(change).finally(() => {
            written += 1;
          });
        },
      };
      const { ask, budgets } = open({ limits: { day: 20_000 }, over: slow });
      const first = await ask(callerOf('run_1'), { max_tokens: 1_000 });
      const second = ask(callerOf('run_2'), { max_tokens: 1_000 });
      await until('the second to stand in line', () => written === 3);
      passing = 1; // the booking of the first; what it sets free is given to the second behind the gate
      await first.text();
      await until('the second to be served', () => passing < 0);
      const stopped = budgets.stop();
      gate.resolve();
      await (await second).text();
      await stopped;
      await until('what was begun to be stored', () => written >= 5);
      expect(await reservations()).toEqual([]);
    });

    test('that could not be stored at once is stored when the store answers again', async () => {
      let broken = false;
      const flaky: Store = {
        ...store,
        read: store.read,
        write: (change) => (broken ? Promise.reject(new StoreUnavailable('store-full', 'The disk is full.')) : store.write(change)),
      };
      const clock = new ManualClock();
      const { ask, budgets, booked } = open({ clock, over: flaky });
      const answer = await ask(callerOf('run_1'));
      broken = true;
      await answer.text();
      await budgets.settled('run_1');
      expect(booked).toEqual([]);
      expect(await reservations()).toHaveLength(1);
      broken = false;
      await until('the call to be stored', () => {
        clock.advance(500);
        return booked.length === 1;
      });
      expect(await reservations()).toEqual([]);
      expect(await counter('run:run_1')).toMatchObject({ spent: 15_300, reserved: 0 });
    });

    test('of a node that died is booked at its worst case, once, and what its node says later is too late', async () => {
      const { ask, call, budgets } = open();
      const other = open({ nodeId: 'nod_2' });
      await store.write(async (tx) => {
        for (const id of ['nod_1', 'nod_2'])
          await tx.db.insertInto('nodes').values({ id, beat: 1, started_at: 0, address: null }).execute();
      });
      const answer = await ask(callerOf('run_1', { taskId: 'tsk_1' }));
      const others = await other.ask(callerOf('run_2'));
      const held = (await reservations()).find(({ node_id }) => node_id === 'nod_1')?.micro_usd ?? 0;
      expect(await store.write((tx) => bookLost(tx, 'nod_1'))).toBe(1);
      expect(await store.write((tx) => bookLost(tx, 'nod_1'))).toBe(0);
      expect((await reservations()).map(({ node_id }) => node_id)).toEqual(['nod_2']);
      expect(await ledger()).toMatchObject([{ run_id: 'run_1', ended: 'lost', estimated: 1, cost_micro_usd: held, latency_ms: null }]);
      await answer.text();
      await budgets.settled('run_1');
      expect(await counter('run:run_1')).toMatchObject({ spent: held, reserved: 0 });
      expect(await counter('task:tsk_1')).toMatchObject({ spent: held, reserved: 0 });
      await others.text();
      await other.budgets.settled('run_2');
      await call(callerOf('run_1'));
      expect(await ledger()).toHaveLength(3);
    });

    test('with a credential that was replayed costs its run nothing', async () => {
      const { ask, credentials, call } = open();
      await call(callerOf('run_1'));
      credentials.revoke('run_1');
      expect((await ask(callerOf('run_1'))).status).toBe(401);
      expect(await ledger()).toHaveLength(1);
    });

    describe('that is tried several times', () => {
      /** A node whose calls are tried again, on two keys, until the clock has come to the end of their patience. */
      function openTrying(
        options: Omit<NonNullable<Parameters<typeof open>[0]>, 'models' | 'clock'> & {
          readonly clock?: Clock;
          readonly firstByteMs?: number;
        } = {},
      ) {
        const { clock = new ManualClock(), firstByteMs = 60_000 } = options;
        const connect = (apiKey: string) => anthropicProvider({ baseUrl: upstream.url, apiKey, firstByteMs }, clock);
        const models = createRoutedModels({
          chain: [
            {
              name: 'claude',
              keys: createKeys({ provider: 'claude', secrets: () => keys, connect, clock, chance: () => 0 }),
              nameOf: (name) => name,
              listsModels: false,
            },
          ],
          fallbackModel: undefined,
          models: [],
          patienceMs: 50_000, // less than a stream is silent before it begins with pings
          clock,
          chance: () => 0,
          onWaiting: () => undefined,
        });
        const opened = open({ ...options, clock, models });
        undo.push(() => models.close());
        /** Time passes for as long as the call waits for it. */
        const through = async <T>(asked: Promise<T>, stepMs = 1_000): Promise<T> => {
          let over = false;
          void asked.finally(() => {
            over = true;
          });
          await until('it to be over', () => {
            if (!over && models.describe().waiting.length > 0 && clock instanceof ManualClock) clock.advance(stepMs);
            return over;
          });
          return asked;
        };
        return { ...opened, clock, models, through };
      }
      const keys = ['sk-key'];
      const breaks: Behaviour = (response) => void response.socket?.resetAndDestroy();

      test('pays nothing for tries that were refused, and each is in the ledger', async () => {
        const { call, through } = openTrying();
        upstream.behaves(refuses(529, 'Overloaded'), refuses(429, 'Slow down'), costs(100, 1_000));
        expect(await through(call(callerOf('run_1')))).toBe(200);
        expect((await ledger()).map(({ status, ended, cost_micro_usd, estimated }) => [ended, status, cost_micro_usd, estimated])).toEqual(
          expect.arrayContaining([
            ['complete', 200, 15_300, 0],
            ['try', 529, 0, 0],
            ['try', 429, 0, 0],
          ]),
        );
        expect(await counter('run:run_1')).toMatchObject({ spent: 15_300, reserved: 0 });
      });

      test('pays for one that was lost after it was sent, as far as it can be told', async () => {
        const { call, through } = openTrying();
        upstream.behaves(breaks, costs(100, 1_000));
        expect(await through(call(callerOf('run_1'), { system: 'x'.repeat(10_000) }))).toBe(200);
        const [lost, answered] = await ledger();
        expect(lost).toMatchObject({ ended: 'try', status: 502, estimated: 1, provider: 'claude', model, output_tokens: 0 });
        expect(lost?.input_tokens).toBeGreaterThan(5_000);
        expect(lost?.cost_micro_usd).toBe((lost?.input_tokens ?? 0) * 3);
        expect(answered).toMatchObject({ ended: 'complete', cost_micro_usd: 15_300 });
        expect(await counter('run:run_1')).toMatchObject({ spent: 15_300 + (lost?.cost_micro_usd ?? 0), reserved: 0 });
        expect(await reservations()).toEqual([]);
      });

      test('pays for one that nobody answered in time, and for all of an answer that would have come at once', async () => {
        const { call, clock, through } = openTrying({ firstByteMs: 10_000 });
        upstream.behaves(hangs);
        const answered = call(callerOf('run_1'), { stream: false });
        await until('it to be asked', () => upstream.seen.length === 1);
        (clock as ManualClock).advance(10_000);
        upstream.behaves((response) => {
          const usage = { input_tokens: 10, output_tokens: 10 };
          response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ type: 'message', model, usage }));
        });
        expect(await through(answered)).toBe(200);
        expect((await ledger())[0]).toMatchObject({ ended: 'try', status: 504, estimated: 1, output_tokens: 2_000 });
      });

      test('pays nothing where nobody could be reached', async () => {
        const { call, through } = openTrying();
        await upstream.close();
        expect(await through(call(callerOf('run_1')), 10_000)).toBe(503);
        upstream = await startUpstream(); // to be closed once more
        const rows = await ledger();
        expect(rows.length).toBeGreaterThan(2);
        expect(rows.every(({ status, cost_micro_usd }) => status === 503 && cost_micro_usd === 0)).toBe(true);
      });

      test('pays for the last one too, when that is what it ends with', async () => {
        const { call, through } = openTrying();
        upstream.behaves(breaks);
        expect(await through(call(callerOf('run_1')))).toBe(502);
        const rows = await ledger();
        expect(rows).toHaveLength(upstream.seen.length);
        expect(rows.every(({ estimated, cost_micro_usd }) => estimated === 1 && cost_micro_usd > 0)).toBe(true);
        expect(rows.filter(({ ended }) => ended === 'refused')).toHaveLength(1);
        expect(await reservations()).toEqual([]);
      });

      test('is asked for a shorter answer when lost tries have left less, and ends when they have left nothing', async () => {
        const { ask, through, budgets } = openTrying({ limits: { run: 60_000 } });
        const told: Outcome[] = [];
        undo.push(budgets.follow('run_1', (outcome) => void told.push(outcome)));
        upstream.behaves(breaks);
        const refused = await through(ask(callerOf('run_1'), { system: 'x'.repeat(6_000), max_tokens: 2_000 }));
        expect(refused.status).toBe(402);
        expect(await refused.json()).toMatchObject({ error: { type: 'billing_error' } });
        expect(told).toMatchObject([{ kind: 'over-budget', reason: { code: 'run-budget' } }]);
        const asked = upstream.seen.map(({ body }) => (JSON.parse(body) as { max_tokens: number }).max_tokens);
        expect(asked[0]).toBe(2_000);
        expect(asked.at(-1)).toBeLessThan(2_000);
        await budgets.settled('run_1');
        const rows = await ledger();
        expect(rows.filter(({ ended }) => ended === 'try')).toHaveLength(upstream.seen.length);
        expect(rows.filter(({ ended }) => ended === 'over-budget')).toMatchObject([{ status: 402, cost_micro_usd: 0 }]);
        const spent = rows.reduce((sum, { cost_micro_usd }) => sum + cost_micro_usd, 0);
        expect(spent).toBeLessThanOrEqual(60_000);
        expect(await counter('run:run_1')).toMatchObject({ spent, reserved: 0 });
      });

      test('holds nothing and owes what was lost when its agent leaves between two tries', async () => {
        const { ask, models, budgets } = openTrying();
        upstream.behaves(breaks);
        const gone = new AbortController();
        const answer = ask(callerOf('run_1'), {}, gone.signal);
        await until('it to wait', () => models.describe().waiting.length === 1);
        gone.abort();
        await answer;
        await budgets.settled('run_1');
        expect(await ledger()).toMatchObject([
          { ended: 'try', estimated: 1 },
          { ended: 'abandoned', status: 499, cost_micro_usd: 0 },
        ]);
        expect(await reservations()).toEqual([]);
      });

      test('is booked at its worst if the server dies between two tries', async () => {
        const { ask, models, through, clock } = openTrying();
        upstream.behaves(breaks, hangs);
        const gone = new AbortController();
        const answer = ask(callerOf('run_1'), {}, gone.signal);
        await until('the second try to be under way', () => {
          if (models.describe().waiting.length > 0) (clock as ManualClock).advance(1_000);
          return upstream.seen.length === 2;
        });
        const [held] = await reservations();
        expect(await store.write((tx) => bookLost(tx, 'nod_1'))).toBe(1);
        expect((await ledger()).map(({ ended, cost_micro_usd }) => [ended, cost_micro_usd])).toEqual([
          ['try', expect.any(Number)],
          ['lost', held?.micro_usd],
        ]);
        gone.abort();
        await through(answer);
      });

      test('never passes a cap, with 200 runs and a provider that drops every other call', { timeout: 60_000 }, async () => {
        await store.write((tx) => saveLimit(tx, 'day', microUsd(1)));
        const { ask, budgets } = openTrying({ clock: systemClock });
        let billed = 0;
        let calls = 0;
        upstream.behaves((response, request) => {
          calls += 1;
          if (calls % 2 === 0) return breaks(response, request);
          billed += 15_300;
          return costs(100, 1_000)(response, request);
        });
        await Promise.all(
          Array.from({ length: 200 }, async (_, index) => {
            const response = await ask(callerOf(`run_${index}`), { system: 'x'.repeat(2_000) });
            await response.text().catch(() => undefined);
          }),
        );
        await budgets.stop();
        const rows = await ledger();
        const spent = rows.reduce((sum, { cost_micro_usd }) => sum + cost_micro_usd, 0);
        expect(spent).toBeLessThanOrEqual(microUsd(1));
        expect(spent).toBeGreaterThan(billed);
        expect(rows.filter(({ estimated, ended }) => estimated === 1 && ended !== 'complete')).toHaveLength(calls - billed / 15_300);
        expect(await counter(`day:${utcDay(systemClock.now())}`)).toMatchObject({ spent, reserved: 0 });
      });
    });

    test('is booked a moment after its end, with others of that moment, or at once when somebody asks', async () => {
      const clock = new ManualClock();
      const { ask, budgets, booked } = open({ clock });
      const end = async (runId: string): Promise<string> => (await ask(callerOf(runId))).text();
      await Promise.all(['run_1', 'run_2'].map(end));
      await until('both to have ended', () => clock.pending > 0);
      expect(booked).toEqual([]);
      clock.advance(20);
      await until('both to be booked', () => budgets.pending === 0);
      expect(booked).toHaveLength(2);
      await end('run_3');
      await budgets.settled('run_3');
      expect(booked).toHaveLength(3);
    });

    describe('that waits for money', () => {
      const big = 10_000;

      test('goes on in turn with those of other runs, in the order of their coming within its own', async () => {
        const { ask } = open({ limits: { day: 160_000 } });
        const order: string[] = [];
        upstream.behaves((response, { body }) => {
          order.push((JSON.parse(body) as { system: string }).system);
          return costs(1, 1)(response, { body } as never);
        });
        const hold = await ask(callerOf('run_0'), { max_tokens: big, system: 'first' });
        const asked = [
          ['run_1', 'a1'],
          ['run_1', 'a2'],
          ['run_1', 'a3'],
          ['run_2', 'b1'],
          ['run_2', 'b2'],
        ] as const;
        const waiting = asked.map(async ([run, name]) => (await ask(callerOf(run), { max_tokens: big, system: name })).text());
        await until('all of them to stand in line', async () => (await counter('run:run_2')) !== undefined);
        await hold.text();
        await Promise.all(waiting);
        expect(order).toEqual(['first', 'a1', 'b1', 'a2', 'b2', 'a3']);
      });

      test('is not overtaken by a smaller one that comes later', async () => {
        const { ask } = open({ limits: { day: 200_000 } });
        const hold = await ask(callerOf('run_1'), { max_tokens: big });
        const order: string[] = [];
        const large = ask(callerOf('run_2'), { max_tokens: big }).then(async (response) => {
          order.push('large');
          return response.text();
        });
        await until('the large one to stand in line', async () => (await counter('run:run_2')) !== undefined);
        const small = ask(callerOf('run_3'), { max_tokens: 2_000 }).then(async (response) => {
          order.push('small');
          return response.text();
        });
        await until('the small one to stand in line', async () => (await counter('run:run_3')) !== undefined);
        expect(order).toEqual([]);
        await hold.text();
        await Promise.all([large, small]);
        expect(order[0]).toBe('large');
      });

      test('leaves the line when its agent goes away', async () => {
        const { ask, budgets } = open({ limits: { day: 160_000 } });
        const hold = await ask(callerOf('run_1'), { max_tokens: big });
        const gone = new AbortController();
        const waiting = ask(callerOf('run_2'), { max_tokens: big }, gone.signal);
        await until('it to stand in line', async () => (await counter('run:run_2')) !== undefined);
        gone.abort();
        expect((await waiting).status).toBe(529);
        await hold.text();
        await budgets.stop();
        expect(await counter('day:2026-01-01')).toMatchObject({ reserved: 0 });
        expect(upstream.seen).toHaveLength(1);
      });
    });

    test('at the ceiling has the queue paused together with the news of it, or neither', async () => {
      let broken = true;
      const { call } = open({
        limits: { ceiling: 30_800 },
        emergency: async (tx) => {
          if (broken) throw new StoreUnavailable('store-full', 'The disk is full.');
          await writeSetting(tx, 'queue.paused', 'now');
        },
      });
      const paused = () => readSetting(store.read, 'queue.paused');
      for (const status of [200, 200, 529]) expect(await call(callerOf('run_1'), { max_tokens: 1_000 })).toBe(status);
      expect([await paused(), (await events('budget.exhausted')).length]).toEqual([undefined, 0]);
      broken = false;
      expect(await call(callerOf('run_1'), { max_tokens: 1_000 })).toBe(402);
      expect([await paused(), (await events('budget.exhausted')).length]).toEqual(['now', 1]);
    });

    test('leaves counters behind that go after a month, but for those of tasks and of calls under way', async () => {
      const clock = new ManualClock();
      const { call, ask, budgets } = open({ clock });
      await call(callerOf('run_1', { taskId: 'tsk_1', kind: 'proactive', conversationId: 'chat' }));
      const held = await ask(callerOf('run_2'));
      clock.jump(31 * 86_400_000);
      await call(callerOf('run_3'));
      expect(await budgets.tidy()).toBe(3);
      const left = await store.read.selectFrom('budget_counters').select('id').orderBy('id').execute();
      expect(left.map(({ id }) => id)).toEqual(['day:2026-01-01', 'day:2026-02-01', 'run:run_2', 'run:run_3', 'task:tsk_1']);
      await held.text();
      await budgets.settled('run_2');
      expect(await counter('day:2026-01-01')).toMatchObject({ reserved: 0 });
    });

    test('never passes a cap, with 200 runs on two nodes racing for the last dollar', { timeout: 60_000 }, async () => {
      const second = await database.open();
      undo.push(() => second.close());
      await store.write((tx) => saveLimit(tx, 'day', microUsd(1)));
      // Two connections to one database, as two nodes have; the embedded one belongs to one node alone.
      const clock = systemClock;
      const nodes = [open({ clock }), open({ clock, nodeId: 'nod_2', over: dialect === 'postgres' ? second : store })];
      const statuses = await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          const response = await (nodes[index % 2] as (typeof nodes)[0]).ask(callerOf(`run_${index}`));
          await response.text();
          return response.status;
        }),
      );
      for (const node of nodes) await node.budgets.stop();
      const rows = await ledger();
      const paid = rows.filter(({ ended }) => ended === 'complete');
      const spent = paid.reduce((sum, { cost_micro_usd }) => sum + cost_micro_usd, 0);
      expect(spent).toBeLessThanOrEqual(microUsd(1));
      expect(spent).toBeGreaterThan(microUsd(0.95));
      expect(await counter(`day:${utcDay(clock.now())}`)).toMatchObject({ spent, reserved: 0 });
      expect(upstream.seen).toHaveLength(paid.length);
      expect(statuses.filter((status) => status === 200)).toHaveLength(paid.length);
      expect(statuses.every((status) => status === 200 || status === 402)).toBe(true);
    });

    async function insertTask(id: string, budgetUsd: number): Promise<void> {
      await store.write(async (tx) => {
        await tx.db
          .insertInto('tasks')
          .values({
            id,
            source: 'test',
            title: 'x',
            priority: 'medium',
            status: 'running',
            budget_usd: budgetUsd,
            requested_by: 'test',
            trust: 'owner',
            attempts: 1,
            max_attempts: 3,
            losses: 0,
            waiting_for: 0,
            rank: 0,
            created_at: 0,
            updated_at: 0,
          } as never)
          .execute();
      });
    }
  });
}
