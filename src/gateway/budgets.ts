import { backoffMs } from '../domain/backoff.ts';
import { type CapScope, isUsedUp, nextUtcDay, overBudgetMessage, utcDay } from '../domain/budget.ts';
import { StoreUnavailable } from '../domain/errors.ts';
import type { NewEvent } from '../domain/event.ts';
import { idPrefixes } from '../domain/id.ts';
import type { Outcome } from '../domain/outcome.ts';
import { type CallEnd, isQuestion, type LedgerEntry } from '../domain/spending.ts';
import { wait } from '../platform/clock.ts';
import { gatherUntil } from '../platform/gather.ts';
import type { Log } from '../platform/log.ts';
import { findCounters, forgetCounters, limitsIn, noCounter, type Reservation } from '../store/budgets.ts';
import { append } from '../store/journal.ts';
import { type Booking, book } from '../store/ledger.ts';
import type { Tx } from '../store/store.ts';
import type { Caller } from './caller.ts';
import { surchargeOf, tokensIn, worstCase } from './estimate.ts';
import type { ModelCall } from './model-call.ts';
import type { FailedTry } from './models.ts';
import type { Price } from './price-table.ts';
import { type Consumption, costOf, type Prices, pricedName } from './prices.ts';
import { errorAnswer, isLost, type ModelRequest } from './providers/provider.ts';
import { type Answer, type Asked, createTill, type TillParts } from './till.ts';

export interface BudgetParts extends Omit<TillParts, 'patienceMs' | 'wanted'> {
  readonly log: Log;
  readonly prices: Prices;
  /** By what other names it may be answered, and by what other models: the dearest of all is reserved for. */
  readonly standIns: (model: string) => readonly string[];
  /** Told of each entry once it is in the ledger. */
  readonly onBooked: (entry: LedgerEntry) => void;
  /** How long a call waits for money that others hold. */
  readonly patienceMs?: number;
}

/** A call that is paid for, as long as its answer is kept within `outputTokens`. To be settled exactly once. */
export interface Paid {
  readonly outputTokens: number;
  /** A try has failed, and it is not what the call ends with. One that was lost takes what is reserved. */
  tried(tried: Tried): void;
  /** Reserves anew when a lost try has taken what was reserved, as nothing may be sent otherwise. The refusal, if it is refused. */
  payAgain(signal: AbortSignal): Promise<Response | undefined>;
  /** There was no money for another try. */
  readonly overBudget: boolean;
  settle(call: ModelCall): void;
}

type Tried = Pick<FailedTry, 'caller' | 'served' | 'status' | 'latencyMs'>;

type Opened = { readonly kind: 'open'; readonly paid: Paid } | Refused;

interface Refused {
  readonly kind: 'refused';
  /** The money is spent; or calls under way hold it, or the store does not answer, which is only for now. */
  readonly why: 'spent' | 'held' | 'store';
  readonly answer: Response;
}

/**
 * Who pays. Before a call its worst case is reserved under every budget that it counts for; after it, what it cost is
 * booked and the rest given back. Both are in the store before anything follows from them, so neither many calls at once
 * nor several nodes nor a crash can pass a limit. Without the store no call is let through.
 */
export interface Budgets {
  open(request: ModelRequest, signal: AbortSignal): Promise<Opened>;
  /** Tells when a call of the run is refused for its budget. Answers how to stop listening. */
  follow(runId: string, overBudget: (outcome: Outcome) => void): () => void;
  /** Why nothing can be begun now, if the day's money is used up. */
  usedUp(): Promise<Outcome | undefined>;
  /** Resolves when what the run's calls cost has been stored, or could not be at the first try. */
  settled(runId: string): Promise<void>;
  /** Removes what is counted of days and runs long past; answers how much. Throws when the store does not answer. */
  tidy(): Promise<number>;
  /** Calls of this node that are paid for and not settled yet. */
  readonly pending: number;
  /** Tries once more to store what is not stored, and stops. */
  stop(): Promise<void>;
}

/** All that is needed of a request once it is under way; it would otherwise live as long as its answer. */
interface Paying extends Asked {
  readonly surcharge: number;
  readonly streams: boolean;
}

/** A call that ended this long before a crash is booked at its worst by mistake. */
const lullMs = 20;
/** Longer than any run or call lasts. */
const keptMs = 30 * 86_400_000;
const maxUnknownModels = 100;
/** How long an end waits for a call that does not end. */
const settledWithinMs = 5_000;

interface Pending {
  readonly runId: string;
  /** Stored, or tried in vain once. */
  readonly tried: PromiseWithResolvers<void>;
  readonly stored: PromiseWithResolvers<void>;
}

const pendingOf = (runId: string): Pending => ({ runId, tried: Promise.withResolvers(), stored: Promise.withResolvers() });

export function createBudgets(parts: BudgetParts): Budgets {
  const { store, clock, newId, log, nodeId, prices, defaults } = parts;
  const followers = new Map<string, (outcome: Outcome) => void>();
  const stopping = new AbortController();
  const pending = new Map<string, Pending>();
  const unknown = new Set<string>();
  const till = createTill({ ...parts, patienceMs: parts.patienceMs ?? 60_000, wanted: () => bookNow() });
  /** When the calls that have ended are booked. */
  let due: { readonly promise: Promise<void>; now(): void } | undefined;

  const bookTogether = gatherUntil(async (bookings: () => readonly Booking[]) => {
    const entered = await store.write((tx) => bookIn(tx, bookings()));
    for (const entry of entered) parts.onBooked(entry);
    till.freed();
    return bookings().map(() => undefined);
  });

  /** A moment later: the calls of that moment share a commit, and none holds up the first byte of another call. */
  function lull(): Promise<void> {
    if (till.waiting || stopping.signal.aborted) return Promise.resolve();
    if (!due) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancelTimer = clock.after(lullMs, () => bookNow());
      due = {
        promise,
        now() {
          cancelTimer();
          resolve();
        },
      };
    }
    return due.promise;
  }

  /** Somebody waits for it: for the money, or to know what a run came to. */
  function bookNow(): void {
    due?.now();
    due = undefined;
  }

  async function bookIn(tx: Tx, bookings: readonly Booking[]): Promise<readonly LedgerEntry[]> {
    const { entered, before, after } = await book(tx, bookings);
    const talking = [...after].filter(([id]) => id.startsWith('conversation:'));
    if (talking.length > 0) {
      const { conversation: limit } = await limitsIn(tx.db, defaults);
      const crossed = talking.filter(([id, { spent }]) => limit !== null && spent >= limit && (before.get(id)?.spent ?? 0) < limit);
      const events = crossed.map(
        ([id, { spent }]): NewEvent => ({
          type: 'budget.conversation',
          data: { conversationId: id.slice('conversation:'.length), tokens: spent, limit: limit ?? 0 },
        }),
      );
      await append(tx, events, clock.now());
    }
    return entered;
  }

  async function reserve(
    paying: Paying,
    signal: AbortSignal,
  ): Promise<{ readonly kind: 'granted'; readonly reservation: Reservation } | Refused> {
    const { caller } = paying;
    try {
      const answer = await till.reserve(paying, signal);
      switch (answer.kind) {
        case 'wait':
          return forNow('held', 'The budget is held by other calls that are under way.', 5);
        case 'refused':
          return refusedFor(caller, answer);
        case 'granted':
          pending.set(answer.reservation.id, pendingOf(caller.runId));
          return answer;
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      log.warn({ err: error, runId: caller.runId }, 'a model call has to wait: the store does not answer, so it cannot be paid for');
      return forNow('store', 'Nightshift cannot reach its database, so the call cannot be paid for.', 2);
    }
  }

  function refusedFor({ kind, runId }: Caller, { scope, limit, spent }: Extract<Answer, { kind: 'refused' }>): Refused {
    const message = overBudgetMessage(scope, limit, spent);
    // A question of the server's own is answered to whoever asked, and does not end the run for whose sake it was asked.
    if (!isQuestion(kind)) followers.get(runId)?.(outcomeOf(scope, message));
    // 402 is what the API itself says about money. Nothing but an error will do: a made-up answer would be taken for the
    // model's own, and a summary of the conversation would then read that the budget is used up, and nothing else.
    const answer = errorAnswer({ status: 402, type: 'billing_error', message, headers: { 'x-should-retry': 'false' } });
    return { kind: 'refused', why: 'spent', answer };
  }

  /** What never left the house is in the ledger all the same. */
  function enterUnasked({ caller, model }: Paying, latencyMs: number, end: 'over-budget' | 'abandoned'): void {
    void enter({ reservation: undefined, entry: { ...nothingSpent(caller, latencyMs), model: knownModel(model), end } });
  }

  function paidWith(paying: Paying, first: Reservation): Paid {
    /** Undefined when a lost try has taken it. */
    let held: Reservation | undefined = first;
    let outputTokens = first.outputTokens;
    let taken: Pending | undefined;
    let overBudget = false;
    return {
      get outputTokens() {
        return outputTokens;
      },
      get overBudget() {
        return overBudget;
      },
      tried({ caller, served, status, latencyMs }) {
        if (held && isLost(status)) {
          const ended = {
            served,
            model: served.model,
            observed: null,
            end: 'try',
            lost: true,
            status,
            firstByteMs: null,
            latencyMs,
          } as const;
          taken = enter({ reservation: held, entry: entryOf(held, paying, ended) });
          held = undefined;
          return;
        }
        const entry = { ...nothingSpent(caller, latencyMs), provider: served.provider, keyId: served.keyId, status };
        enter({ reservation: undefined, entry: { ...entry, model: knownModel(served.model) } });
      },
      async payAgain(signal) {
        if (held) return undefined;
        bookNow();
        await taken?.tried.promise; // what was too much for it has been given back then
        const answer = await reserve(paying, signal);
        if (answer.kind === 'refused') {
          overBudget = answer.why === 'spent';
          return answer.answer;
        }
        held = answer.reservation;
        outputTokens = held.outputTokens;
        return undefined;
      },
      settle(call) {
        if (held) {
          enter({ reservation: held, entry: entryOf(held, paying, call) });
          return;
        }
        const { served, model, status, firstByteMs, end } = call;
        const entry = {
          ...nothingSpent(call.caller, call.latencyMs),
          provider: served?.provider ?? null,
          keyId: served?.keyId ?? null,
          status,
        };
        enter({
          reservation: undefined,
          entry: { ...entry, model: knownModel(model), firstByteMs: rounded(firstByteMs), end: overBudget ? 'over-budget' : end },
        });
      },
    };
  }

  async function open(request: ModelRequest, signal: AbortSignal): Promise<Opened> {
    const began = clock.monotonic();
    const { caller, message } = request;
    const paying: Paying = {
      caller,
      model: typeof message.model === 'string' ? nameOf(message.model) : null,
      worst: worstCase(request, pricesAsked(request)),
      surcharge: surchargeOf(message),
      streams: message.stream === true,
    };
    const answer = await reserve(paying, signal);
    if (answer.kind === 'refused') {
      // What the store does not take now would be told to it once for each time that an agent asks again.
      if (answer.why !== 'store') enterUnasked(paying, clock.monotonic() - began, signal.aborted ? 'abandoned' : 'over-budget');
      return answer;
    }
    return { kind: 'open', paid: paidWith(paying, answer.reservation) };
  }

  const outcomeOf = (scope: CapScope, message: string): Outcome => ({
    kind: 'over-budget',
    reason: { code: `${scope}-budget`, message },
    // What begins anew at midnight needs nobody: the task goes on by itself then.
    ...(scope === 'run' || scope === 'task' ? {} : { until: nextUtcDay(clock.now()) }),
  });

  function entryOf(reservation: Reservation, { surcharge, streams }: Paying, call: Ended): LedgerEntry {
    const { inputTokens, outputTokens, microUsd, ...from } = reservation;
    const { used, estimated } = consumptionOf(reservation, streams, call);
    // What was asked for says nothing about the price of what stood in for it.
    const price = priceOf(call.model, call.served?.model ?? reservation.model);
    const cost = costOf(price, used, surcharge);
    return {
      ...from,
      provider: call.served?.provider ?? null,
      model: call.model === null ? null : call.end === 'refused' ? knownModel(call.model) : nameOf(call.model),
      keyId: call.served?.keyId ?? null,
      inputTokens: used.inputTokens,
      outputTokens: used.outputTokens,
      cacheReadTokens: used.cacheReadTokens,
      cacheWriteTokens: used.cacheWriteTokens,
      costMicroUsd: estimated ? Math.min(cost, microUsd) : cost,
      firstByteMs: rounded(call.firstByteMs),
      latencyMs: Math.round(call.latencyMs),
      status: call.status,
      end: call.end,
      estimated,
    };
  }

  const nothingSpent = (caller: Caller, latencyMs: number): LedgerEntry => ({
    ...caller,
    id: newId(idPrefixes.call),
    at: clock.now(),
    nodeId,
    provider: null,
    model: null,
    keyId: null,
    inputTokens: 0,
    outputTokens: 0,
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    costMicroUsd: 0,
    firstByteMs: null,
    latencyMs: Math.round(latencyMs),
    status: null,
    end: 'try',
    estimated: false,
  });

  /** Tries until it is stored. What never is stays reserved, and is booked at its worst when this node starts again. */
  function enter(booking: Booking): Pending {
    const { id, runId } = booking.entry;
    const call = pending.get(id) ?? pendingOf(runId);
    pending.set(id, call);
    void keep(booking, call).finally(() => pending.delete(id));
    return call;
  }

  async function keep(booking: Booking, call: Pending): Promise<void> {
    const { id, runId } = booking.entry;
    await lull();
    for (let attempt = 1; ; attempt++) {
      try {
        await bookTogether(booking);
        break;
      } catch (error) {
        if (!(error instanceof StoreUnavailable) || stopping.signal.aborted) {
          log.error({ err: error, runId, call: id }, 'what a model call cost could not be stored');
          break;
        }
        call.tried.resolve();
        await wait(clock, backoffMs(attempt, 0.5, { baseMs: 200, capMs: 10_000 }), stopping.signal);
      }
    }
    call.tried.resolve();
    call.stored.resolve();
  }

  /** Of every model that may answer. */
  function pricesAsked({ message: { model } }: ModelRequest): readonly Price[] {
    if (typeof model !== 'string') return [prices.dearest];
    return [model, ...parts.standIns(model)].map((name) => priceOf(name));
  }

  /** That of the first name that is known. */
  function priceOf(...names: readonly (string | null | undefined)[]): Price {
    for (const name of names) {
      const price = name ? prices.find(name) : undefined;
      if (price) return price;
    }
    const name = names.find((each) => each);
    if (name) warnOf(name);
    return prices.dearest;
  }

  /** Names come from agents too, so that there may be any number of them. */
  function warnOf(model: string): void {
    const name = nameOf(pricedName(model));
    if (unknown.has(name) || unknown.size >= maxUnknownModels) return;
    unknown.add(name);
    const { input, output } = prices.dearest;
    log.warn({ model: name, input, output }, 'a model without a known price is reckoned as the dearest; set its price in `prices`');
    store
      .write((tx) => append(tx, [{ type: 'price.unknown', data: { model: name, inputUsd: input, outputUsd: output } }], clock.now()))
      .catch(() => unknown.delete(name)); // told again at the next call
  }

  const knownModel = (model: unknown): string | null => (typeof model === 'string' && prices.find(model) ? pricedName(model) : null);

  return {
    open,
    follow(runId, overBudgetOf) {
      followers.set(runId, overBudgetOf);
      return () => followers.delete(runId);
    },
    async usedUp() {
      const day = utcDay(clock.now());
      const [limits, counters] = [await limitsIn(store.read, defaults), await findCounters(store.read, [`day:${day}`])];
      const { spent, exhausted } = counters.get(`day:${day}`) ?? noCounter;
      const scope = limits.ceiling !== null && isUsedUp(limits.ceiling, spent) ? 'ceiling' : 'day';
      const limit = limits[scope];
      if (!exhausted || limit === null || !isUsedUp(limit, spent)) return undefined;
      return outcomeOf(scope, overBudgetMessage(scope, limit, spent));
    },
    async settled(runId) {
      const calls = [...pending.values()].filter((each) => each.runId === runId);
      if (calls.length === 0) return;
      bookNow();
      const enough = new AbortController();
      await Promise.race([Promise.all(calls.map(({ tried }) => tried.promise)), wait(clock, settledWithinMs, enough.signal)]);
      enough.abort();
    },
    tidy: () => store.write((tx) => forgetCounters(tx, clock.now() - keptMs)),
    get pending() {
      return pending.size;
    },
    async stop() {
      stopping.abort();
      await till.stop();
      bookNow();
      const enough = new AbortController();
      const calls = [...pending.values()].map(({ stored }) => stored.promise);
      if (calls.length > 0) await Promise.race([Promise.all(calls), wait(clock, settledWithinMs, enough.signal)]);
      enough.abort();
    },
  };
}

/** How a call ended, or a try of it that has to be paid for. */
type Ended = Pick<ModelCall, 'served' | 'model' | 'observed' | 'lost' | 'status' | 'firstByteMs' | 'latencyMs'> & { readonly end: CallEnd };

/** What a call consumed: as the provider says, else as far as can be told from what was sent and what came. */
function consumptionOf(
  reservation: Reservation,
  streams: boolean,
  { observed, end, lost, status }: Ended,
): { readonly used: Consumption; readonly estimated: boolean } {
  const extras = { cacheWrite1hTokens: observed?.cacheWrite1hTokens ?? 0, webSearches: observed?.webSearches ?? 0 };
  if (!lost && status !== null && status >= 400) return { used: { ...nothing, ...extras }, estimated: false };
  // What is not streamed is sent when all of it is written: how long it was, nobody saw who did not get all of it.
  const unseen = !streams && end !== 'complete';
  const seen = lost ? null : observed; // the error that tells of it is our own
  const said = unseen ? reservation.outputTokens : Math.min(reservation.outputTokens, tokensIn(seen?.outputBytes ?? 0));
  const reported = seen?.usage;
  // Some servers report noughts. Nothing is answered without anything being read.
  const read = reported && reported.inputTokens + reported.cacheReadTokens + reported.cacheWriteTokens > 0 ? reported : undefined;
  const written = reported && end === 'complete' && (reported.outputTokens > 0 || said === 0) ? reported.outputTokens : undefined;
  return {
    used: {
      ...(read ?? { ...nothing, inputTokens: reservation.inputTokens }),
      ...extras,
      outputTokens: written ?? Math.max(reported?.outputTokens ?? 0, said),
    },
    estimated: !read || written === undefined,
  };
}

const nothing: Consumption = {
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  cacheWrite1hTokens: 0,
  webSearches: 0,
};

/** Agents and providers may name a model as they like; a database and a terminal take only so much. */
const nameOf = (model: string): string => model.slice(0, 100).replaceAll(/\p{Cc}|\p{Cs}/gu, '?');

const rounded = (ms: number | null): number | null => (ms === null ? null : Math.round(ms));

const forNow = (why: 'held' | 'store', message: string, seconds: number): Refused => ({
  kind: 'refused',
  why,
  answer: errorAnswer({
    status: 529,
    type: 'overloaded_error',
    message: `${message} Try again.`,
    headers: { 'retry-after': String(seconds) },
  }),
});
