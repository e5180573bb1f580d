import { backoffMs } from '../domain/backoff.ts';
import {
  admit,
  type Cap,
  type CapScope,
  inUsd,
  isUsedUp,
  type Limits,
  nextUtcDay,
  overBudgetMessage,
  utcDay,
  type WorstCase,
} from '../domain/budget.ts';
import { StoreUnavailable } from '../domain/errors.ts';
import type { NewEvent } from '../domain/event.ts';
import { idPrefixes } from '../domain/id.ts';
import type { Outcome } from '../domain/outcome.ts';
import { isQuestion, type LedgerEntry } from '../domain/spending.ts';
import { type Clock, wait } from '../platform/clock.ts';
import { gather } from '../platform/gather.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import {
  type Counter,
  findCounters,
  holdCounters,
  insertReservations,
  limitsIn,
  noCounter,
  type Reservation,
  saveCounters,
  taskBudgets,
} from '../store/budgets.ts';
import { append } from '../store/journal.ts';
import { type Booking, book, chargesOf, isProactive } from '../store/ledger.ts';
import type { Store, Tx } from '../store/store.ts';
import type { Caller } from './caller.ts';
import { surchargeOf, tokensIn, worstCase } from './estimate.ts';
import type { ModelCall } from './model-call.ts';
import type { Served } from './models.ts';
import type { Price } from './price-table.ts';
import { type Consumption, canonicalName, costOf, type Prices } from './prices.ts';
import { errorAnswer, type ModelRequest } from './providers/provider.ts';

export interface BudgetParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly nodeId: string;
  readonly prices: Prices;
  /** Where the owner has set nothing else. */
  readonly defaults: Limits;
  /** By what other names it may be answered, and by what other models: the dearest of all is reserved for. */
  readonly standIns: (model: string) => readonly string[];
  /** The day's ceiling is reached: nothing more is to be started until the owner says so. */
  readonly emergency: () => Promise<void>;
  /** Told of each entry once it is in the ledger. */
  readonly onBooked: (entry: LedgerEntry) => void;
  /** How long a call waits for money that others hold. */
  readonly patienceMs?: number;
}

/** A try that failed and was followed by another; as whoever makes the tries tells of it. */
interface Tried {
  readonly caller: Caller;
  readonly served: Served;
  /** Null when there was no answer at all. */
  readonly status: number | null;
  readonly latencyMs: number;
}

/** A call that is paid for, as long as its answer is kept within so many tokens. To be settled exactly once. */
type Opened =
  | { readonly kind: 'open'; readonly outputTokens: number; settle(call: ModelCall): void }
  /** `overBudget`: not for now only, but because the money is spent. */
  | { readonly kind: 'refused'; readonly overBudget: boolean; readonly answer: Response };

/**
 * Who pays. Before a call its worst case is reserved under every budget that it counts for; after it, what it cost is
 * booked and the rest given back. Both are in the store before anything follows from them, so neither many calls at once
 * nor several nodes nor a crash can pass a limit. Without the store no call is let through.
 */
export interface Budgets {
  open(request: ModelRequest, signal: AbortSignal): Promise<Opened>;
  tried(tried: Tried): void;
  /** Tells when a call of the run is refused for its budget. Answers how to stop listening. */
  follow(runId: string, overBudget: (outcome: Outcome) => void): () => void;
  /** Why nothing can be begun now, if the day's money is used up. */
  usedUp(): Promise<Outcome | undefined>;
  /** Resolves when what the run's calls cost has been stored, or could not be at the first try. */
  settled(runId: string): Promise<void>;
  /** Calls of this node that are paid for and not settled yet. */
  readonly pending: number;
  /** Tries once more to store what is not stored, and stops. */
  stop(): Promise<void>;
}

interface Asked {
  readonly request: ModelRequest;
  readonly worst: WorstCase;
}

/** What a transaction of admissions knows and changes. */
interface Books {
  readonly limits: Limits;
  readonly ownBudgets: ReadonlyMap<string, number>;
  readonly at: number;
  readonly counters: ReadonlyMap<string, Counter>;
  readonly changed: Map<string, Counter>;
  readonly reservations: Reservation[];
  readonly events: NewEvent[];
}

type Answer =
  | { readonly kind: 'granted'; readonly reservation: Reservation }
  | { readonly kind: 'wait' }
  | { readonly kind: 'refused'; readonly scope: CapScope; readonly limit: number; readonly spent: number; readonly usedUp: boolean };

/** Other nodes give money back without telling. */
const lookAgainMs = 250;
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
  let freed = Promise.withResolvers<void>();

  const reserveTogether = gather((asked: readonly Asked[]) => store.write((tx) => reserveIn(tx, asked)));
  const bookTogether = gather(async (bookings: readonly Booking[]) => {
    const entered = await store.write((tx) => bookIn(tx, bookings));
    for (const entry of entered) parts.onBooked(entry);
    freed.resolve();
    freed = Promise.withResolvers<void>();
    return bookings.map(() => undefined);
  });

  async function reserveIn(tx: Tx, asked: readonly Asked[]): Promise<readonly Answer[]> {
    const at = clock.now();
    const charges = asked.map(({ request }) => chargesOf({ ...request.caller, at }));
    const counters = await holdCounters(
      tx,
      charges.flatMap(({ usd, tokens }) => [...usd, ...tokens]),
    );
    // Read after the counters are held: whoever changes a limit holds them too.
    const limits = await limitsIn(tx.db, defaults);
    const ownBudgets = await taskBudgets(
      tx.db,
      asked.flatMap(({ request }) => request.caller.taskId ?? []),
    );
    const books: Books = { limits, ownBudgets, at, counters, changed: new Map(), reservations: [], events: [] };
    const answers = asked.map((each) => admitOne(each, books));
    await saveCounters(tx, books.changed);
    await insertReservations(tx, books.reservations);
    await append(tx, books.events, at);
    return answers;
  }

  /** One after the other, each against what those before it have left. */
  function admitOne({ request: { caller, message }, worst }: Asked, books: Books): Answer {
    const { changed, at } = books;
    const counterOf = (id: string): Counter => changed.get(id) ?? books.counters.get(id) ?? noCounter;
    const caps = capsOf(caller, books).map((cap) => ({ ...counterOf(cap.counter), ...cap }));
    const admission = admit(caps, worst);
    if (admission.kind === 'wait') return admission;
    if (admission.kind === 'refused') {
      const { scope, limit, spent, exhausted, counter } = caps.find((cap) => cap.scope === admission.scope) as (typeof caps)[number];
      const usedUp = isShared(scope) && limit !== null && isUsedUp(limit, spent);
      if (usedUp && !exhausted) {
        changed.set(counter, { ...counterOf(counter), exhausted: true });
        books.events.push({ type: 'budget.exhausted', data: { scope, ...shownAmounts(scope, limit, spent) } });
      }
      return { kind: 'refused', scope, limit: limit ?? 0, spent, usedUp };
    }
    const reservation: Reservation = {
      ...caller,
      id: newId(idPrefixes.call),
      at,
      nodeId,
      model: typeof message.model === 'string' ? nameOf(message.model) : null,
      inputTokens: worst.inputTokens,
      outputTokens: admission.outputTokens,
      microUsd: admission.microUsd,
    };
    const { usd, tokens } = chargesOf(reservation);
    const hold = (id: string, amount: number): void => {
      const counter = counterOf(id);
      changed.set(id, { ...counter, reserved: counter.reserved + amount });
    };
    for (const id of usd) hold(id, admission.microUsd);
    for (const id of tokens) if (isProactive(id)) hold(id, admission.tokens);
    books.reservations.push(reservation);
    return { kind: 'granted', reservation };
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

  /** Waits while money is only held by calls under way, as long as that is sensible. */
  async function reserve(asked: Asked, signal: AbortSignal): Promise<Answer> {
    const until = clock.monotonic() + (parts.patienceMs ?? 60_000);
    for (;;) {
      const change = freed.promise;
      const answer = await reserveTogether(asked);
      if (answer.kind !== 'wait' || signal.aborted || clock.monotonic() >= until) return answer;
      const looked = new AbortController();
      await Promise.race([change, wait(clock, lookAgainMs, AbortSignal.any([signal, looked.signal]))]);
      looked.abort();
    }
  }

  async function open(request: ModelRequest, signal: AbortSignal): Promise<Opened> {
    const began = clock.monotonic();
    let answer: Answer;
    try {
      answer = await reserve({ request, worst: worstCase(request, pricesAsked(request)) }, signal);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      log.warn(
        { err: error, runId: request.caller.runId },
        'a model call has to wait: the store does not answer, so it cannot be paid for',
      );
      return forNow('Nightshift cannot reach its database, so the call cannot be paid for.', 2);
    }
    switch (answer.kind) {
      case 'wait':
        enterUnasked(request, clock.monotonic() - began, signal.aborted ? 'abandoned' : 'over-budget');
        return forNow('The budget is held by other calls that are under way.', 5);
      case 'refused':
        return { kind: 'refused', overBudget: true, answer: overBudget(request, answer, clock.monotonic() - began) };
      case 'granted': {
        const { reservation } = answer;
        pending.set(reservation.id, pendingOf(reservation.runId));
        return { kind: 'open', outputTokens: reservation.outputTokens, settle: settlementOf(reservation, surchargeOf(request.message)) };
      }
    }
  }

  /** Made apart from the request, which would otherwise live as long as the answer. */
  const settlementOf =
    (reservation: Reservation, surcharge: number) =>
    (call: ModelCall): void =>
      void enter({ reservation, entry: entryOf(reservation, surcharge, call) });

  function overBudget(request: ModelRequest, refusal: Extract<Answer, { kind: 'refused' }>, latencyMs: number): Response {
    const { caller } = request;
    const message = overBudgetMessage(refusal.scope, refusal.limit, refusal.spent);
    enterUnasked(request, latencyMs, 'over-budget');
    if (refusal.scope === 'ceiling' && refusal.usedUp) {
      parts.emergency().catch((error: unknown) => log.error({ err: error }, 'the queue could not be paused; the next call tries again'));
    }
    // A question of the server's own is answered to whoever asked, and does not end the run for whose sake it was asked.
    if (!isQuestion(caller.kind)) followers.get(caller.runId)?.(outcomeOf(refusal.scope, message));
    // 402 is what the API itself says about money. Nothing but an error will do: a made-up answer would be taken for the
    // model's own, and a summary of the conversation would then read that the budget is used up, and nothing else.
    return errorAnswer({ status: 402, type: 'billing_error', message, headers: { 'x-should-retry': 'false' } });
  }

  /** What never left the house is in the ledger all the same. */
  function enterUnasked({ caller, message }: ModelRequest, latencyMs: number, end: 'over-budget' | 'abandoned'): void {
    void enter({ reservation: undefined, entry: { ...nothingSpent(caller, latencyMs), model: knownModel(message.model), end } });
  }

  const outcomeOf = (scope: CapScope, message: string): Outcome => ({
    kind: 'over-budget',
    reason: { code: `${scope}-budget`, message },
    // What begins anew at midnight needs nobody: the task goes on by itself then.
    ...(scope === 'run' || scope === 'task' ? {} : { until: nextUtcDay(clock.now()) }),
  });

  function entryOf(reservation: Reservation, surcharge: number, call: ModelCall): LedgerEntry {
    const { inputTokens, outputTokens, microUsd, ...from } = reservation;
    const { used, estimated } = consumptionOf(reservation, call);
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
      firstByteMs: call.firstByteMs === null ? null : Math.round(call.firstByteMs),
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
  async function enter(booking: Booking): Promise<void> {
    const { id, runId } = booking.entry;
    const call = pending.get(id) ?? pendingOf(runId);
    pending.set(id, call);
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
    pending.delete(id);
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
    const name = nameOf(canonicalName(model));
    if (unknown.has(name) || unknown.size >= maxUnknownModels) return;
    unknown.add(name);
    const { input, output } = prices.dearest;
    log.warn({ model: name, input, output }, 'a model without a known price is reckoned as the dearest; set its price in `prices`');
    store
      .write((tx) => append(tx, [{ type: 'price.unknown', data: { model: name, inputUsd: input, outputUsd: output } }], clock.now()))
      .catch(() => unknown.delete(name)); // told again at the next call
  }

  const knownModel = (model: unknown): string | null => (typeof model === 'string' && prices.find(model) ? canonicalName(model) : null);

  return {
    open,
    tried({ caller, served, status, latencyMs }) {
      const entry = { ...nothingSpent(caller, latencyMs), provider: served.provider, keyId: served.keyId, status };
      void enter({ reservation: undefined, entry: { ...entry, model: knownModel(served.model) } });
    },
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
      const enough = new AbortController();
      await Promise.race([Promise.all(calls.map(({ tried }) => tried.promise)), wait(clock, settledWithinMs, enough.signal)]);
      enough.abort();
    },
    get pending() {
      return pending.size;
    },
    async stop() {
      stopping.abort();
      const enough = new AbortController();
      const calls = [...pending.values()].map(({ stored }) => stored.promise);
      if (calls.length > 0) await Promise.race([Promise.all(calls), wait(clock, settledWithinMs, enough.signal)]);
      enough.abort();
    },
  };
}

/** Every limit that a call counts for, with the counter that it is held against. */
function capsOf(
  { runId, taskId, kind }: Caller,
  { limits, ownBudgets, at }: Books,
): readonly (Pick<Cap, 'scope' | 'limit'> & { readonly counter: string })[] {
  const day = utcDay(at);
  const own = taskId === null ? undefined : ownBudgets.get(taskId);
  return [
    // A budget that somebody gave the task counts instead of the one that everything gets.
    own === undefined
      ? { scope: 'run', limit: limits.run, counter: `run:${runId}` }
      : { scope: 'task', limit: own, counter: `task:${taskId}` },
    ...(kind === 'proactive' ? [{ scope: 'proactive', limit: limits.proactive, counter: `proactive:${day}` } as const] : []),
    // Where both are the same, what counts is that nothing is to be started.
    { scope: 'ceiling', limit: limits.ceiling, counter: `day:${day}` },
    { scope: 'day', limit: limits.day, counter: `day:${day}` },
  ];
}

/** What a call consumed: as the provider says, else as far as can be told from what was sent and what came. */
function consumptionOf(
  reservation: Reservation,
  { observed, end, status }: ModelCall,
): { readonly used: Consumption; readonly estimated: boolean } {
  const extras = { cacheWrite1hTokens: observed?.cacheWrite1hTokens ?? 0, webSearches: observed?.webSearches ?? 0 };
  if (status !== null && status >= 400) return { used: { ...nothing, ...extras }, estimated: false };
  const said = Math.min(reservation.outputTokens, tokensIn(observed?.outputBytes ?? 0));
  const reported = observed?.usage;
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

/** Of everybody: when one of these is used up, that is news for the owner. */
const isShared = (scope: CapScope): boolean => scope === 'day' || scope === 'ceiling' || scope === 'proactive';

const shownAmounts = (scope: CapScope, limit: number, spent: number): { limit: number; spent: number } =>
  scope === 'proactive' ? { limit, spent } : { limit: inUsd(limit), spent: inUsd(spent) };

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

const forNow = (message: string, seconds: number): Opened => ({
  kind: 'refused',
  overBudget: false,
  answer: errorAnswer({
    status: 529,
    type: 'overloaded_error',
    message: `${message} Try again.`,
    headers: { 'retry-after': String(seconds) },
  }),
});
