import type { Limits } from '../../src/domain/budget.ts';
import { createBudgets } from '../../src/gateway/budgets.ts';
import { createPrices } from '../../src/gateway/prices.ts';
import type { ModelRequest } from '../../src/gateway/providers/provider.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { silentLog as log } from '../../src/platform/log.ts';
import { openStore } from '../../src/store/open.ts';
import type { Place } from '../support/bench.ts';
import { model } from '../support/model.ts';
import { concurrently, type Summary, summary, timed } from '../support/stats.ts';

/** All of them count, none is ever reached. */
export const generous: Limits = { day: 1e15, ceiling: 1e15, proactive: 1e15, run: 1e15, conversation: 1e15 };

export interface ReservationFigures {
  readonly reserved: Summary;
  readonly booked: Summary;
  /** Calls that were reserved and booked. */
  readonly perSecond: number;
}

/** Money for calls that nobody makes: reserved, and booked as if each had cost something. `width` at a time, each of another run. */
export async function measureReservations(input: {
  readonly place: Place;
  readonly calls: number;
  readonly width: number;
}): Promise<ReservationFigures> {
  const { place, calls, width } = input;
  const store = await openStore(place);
  const budgets = createBudgets({
    store,
    clock,
    newId: createIds(clock),
    log,
    nodeId: 'nod_bench',
    prices: createPrices(),
    defaults: generous,
    standIns: () => [],
    emergency: async () => undefined,
    onBooked: () => undefined,
  });
  const reserved: number[] = [];
  const booked: number[] = [];
  const call = async (index: number): Promise<void> => {
    const request = requestOf(`run_${index % width}`);
    const start = performance.now();
    const opened = await budgets.open(request, never);
    reserved.push(performance.now() - start);
    if (opened.kind !== 'open') throw new Error('a call of the bench was refused');
    booked.push(
      await timed(() => {
        opened.paid.settle({ ...answered, caller: request.caller });
        return budgets.settled(request.caller.runId);
      }),
    );
  };
  await concurrently(calls, width, call);
  reserved.length = 0;
  booked.length = 0;
  const start = performance.now();
  await concurrently(calls, width, call);
  const seconds = (performance.now() - start) / 1_000;
  await budgets.stop();
  await store.close();
  return { reserved: summary(reserved), booked: summary(booked), perSecond: calls / seconds };
}

const never = new AbortController().signal;

function requestOf(runId: string): ModelRequest {
  const message = { model, max_tokens: 8_192, stream: true, messages: [{ role: 'user', content: 'x'.repeat(2_000) }] };
  const caller = { runId, taskId: `tsk_${runId}`, conversationId: null, kind: 'task' as const };
  return { caller, endpoint: 'messages', query: '', headers: new Headers(), body: Buffer.from(JSON.stringify(message)), message };
}

const usage = { inputTokens: 1_000, outputTokens: 200, cacheReadTokens: 500, cacheWriteTokens: 0 };
const answered = {
  served: { provider: 'claude', model, keyId: null },
  model,
  usage,
  observed: { model, usage, complete: true, errorType: undefined, cacheWrite1hTokens: 0, webSearches: 0, outputBytes: 800 },
  lost: false,
  end: 'complete',
  status: 200,
  firstByteMs: 500,
  latencyMs: 3_000,
} as const;
