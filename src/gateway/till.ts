import { admit, type Cap, type CapScope, inUsd, isUsedUp, type Limits, utcDay, type WorstCase } from '../domain/budget.ts';
import type { NewEvent } from '../domain/event.ts';
import { idPrefixes } from '../domain/id.ts';
import type { Cancel, Clock } from '../platform/clock.ts';
import { gather } from '../platform/gather.ts';
import type { NewId } from '../platform/ids.ts';
import {
  type Counter,
  holdCounters,
  insertReservations,
  limitsIn,
  noCounter,
  type Reservation,
  saveCounters,
  taskBudgets,
} from '../store/budgets.ts';
import { append } from '../store/journal.ts';
import { chargesOf, isProactive } from '../store/ledger.ts';
import type { Store, Tx } from '../store/store.ts';
import type { Caller } from './caller.ts';
import { createTurns } from './turns.ts';

export interface TillParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly nodeId: string;
  /** Where the owner has set nothing else. */
  readonly defaults: Limits;
  /** The day's ceiling is reached: nothing more is to be started until the owner says so. True with its cause or not at all. */
  readonly emergency: (tx: Tx) => Promise<void>;
  /** How long a call waits for money that others hold. */
  readonly patienceMs: number;
  /** Somebody begins to wait: what can be given back is to be given back now. */
  wanted(): void;
}

export interface Asked {
  readonly caller: Caller;
  readonly model: string | null;
  readonly worst: WorstCase;
}

export type Answer =
  | { readonly kind: 'granted'; readonly reservation: Reservation }
  /** Others hold the money, and have held it for as long as there was patience. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'refused'; readonly scope: CapScope; readonly limit: number; readonly spent: number };

/**
 * Where money is reserved. What is asked at the same time shares a transaction. Whoever has to wait stands in line: the
 * runs get their turns one after the other, and nobody who comes later takes what those before are waiting for.
 */
export interface Till {
  /** Rejects with `StoreUnavailable` when nothing can be reserved. */
  reserve(asked: Asked, signal: AbortSignal): Promise<Answer>;
  /** Money was given back. */
  freed(): void;
  /** Whether anybody stands in line. */
  readonly waiting: boolean;
  /** Whoever waits is sent away, but for those who are being served at this moment. */
  stop(): Promise<void>;
}

interface Waiter {
  readonly asked: Asked;
  readonly answer: PromiseWithResolvers<Answer>;
  /** It does not wait any longer. */
  over: boolean;
}

/** Other nodes give money back without telling. */
const lookAgainMs = 250;
const wait: Answer = { kind: 'wait' };

export function createTill(parts: TillParts): Till {
  const { store, clock, patienceMs } = parts;
  const line = createTurns<Waiter>();
  let cancelAlarm: Cancel | undefined;

  /** For whoever comes now, and before that for those who stand in line; undefined comes for these alone. */
  const serve = gather(async (coming: readonly (Asked | undefined)[]): Promise<readonly Answer[]> => {
    for (const waiter of line.all()) if (waiter.over) sendAway(waiter, wait);
    const waiting = line.all();
    const now = coming.filter((each) => each !== undefined);
    const answers = await reserveAll([...waiting.map(({ asked }) => asked), ...now]).catch((error: unknown) => {
      for (const waiter of waiting) {
        line.remove(waiter.asked.caller.runId, waiter);
        waiter.answer.reject(error);
      }
      throw error;
    });
    waiting.forEach((waiter, at) => {
      const answer = answers[at] ?? wait;
      if (answer.kind !== 'wait') sendAway(waiter, answer);
    });
    lookAgain();
    const rest = answers.slice(waiting.length).values();
    return coming.map((each) => (each && rest.next().value) ?? wait);
  });

  async function reserveAll(asked: readonly Asked[]): Promise<readonly Answer[]> {
    return asked.length === 0 ? [] : store.write((tx) => reserveIn(parts, tx, asked));
  }

  function sendAway(waiter: Waiter, answer: Answer): void {
    const { runId } = waiter.asked.caller;
    if (answer.kind === 'granted') line.served(runId, waiter);
    else line.remove(runId, waiter);
    waiter.answer.resolve(answer);
  }

  /** Whoever waits hears of it, also when it fails. */
  const look = (): void => void serve(undefined).catch(() => undefined);

  function lookAgain(): void {
    cancelAlarm?.();
    cancelAlarm = line.runs.size === 0 ? undefined : clock.after(lookAgainMs, look);
  }

  async function waitInLine(asked: Asked, signal: AbortSignal): Promise<Answer> {
    const waiter: Waiter = { asked, answer: Promise.withResolvers(), over: false };
    const giveUp = (): void => {
      waiter.over = true;
      look();
    };
    line.add(asked.caller.runId, waiter);
    signal.addEventListener('abort', giveUp, { once: true });
    const cancelTimer = clock.after(patienceMs, giveUp);
    parts.wanted();
    look(); // what was given back meanwhile was not told to this one
    try {
      return await waiter.answer.promise;
    } finally {
      cancelTimer();
      signal.removeEventListener('abort', giveUp);
    }
  }

  return {
    async reserve(asked, signal) {
      const answer = await serve(asked);
      return answer.kind !== 'wait' || signal.aborted || patienceMs <= 0 ? answer : waitInLine(asked, signal);
    },
    get waiting() {
      return line.runs.size > 0;
    },
    freed() {
      if (line.runs.size > 0) look();
    },
    async stop() {
      for (const waiter of line.all()) waiter.over = true;
      await serve(undefined).catch(() => undefined); // whoever waits hears of it
      cancelAlarm?.();
    },
  };
}

/** What a transaction of admissions knows and changes. */
interface Books {
  readonly limits: Limits;
  readonly ownBudgets: ReadonlyMap<string, number>;
  readonly at: number;
  readonly counters: ReadonlyMap<string, Counter>;
  readonly changed: Map<string, Counter>;
  /** What those in front are waiting for. */
  readonly spokenFor: Map<string, number>;
  readonly reservations: Reservation[];
  readonly events: NewEvent[];
  emergency: boolean;
}

async function reserveIn(parts: TillParts, tx: Tx, asked: readonly Asked[]): Promise<readonly Answer[]> {
  const at = parts.clock.now();
  const charges = asked.map(({ caller }) => chargesOf({ ...caller, at }));
  const counters = await holdCounters(
    tx,
    charges.flatMap(({ usd, tokens }) => [...usd, ...tokens]),
  );
  const books: Books = {
    // Read after the counters are held: whoever changes a limit holds them too.
    limits: await limitsIn(tx.db, parts.defaults),
    ownBudgets: await taskBudgets(
      tx.db,
      asked.flatMap(({ caller }) => caller.taskId ?? []),
    ),
    at,
    counters,
    changed: new Map(),
    spokenFor: new Map(),
    reservations: [],
    events: [],
    emergency: false,
  };
  const answers = asked.map((each) => admitOne(parts, each, books));
  await saveCounters(tx, books.changed, at);
  await insertReservations(tx, books.reservations);
  await append(tx, books.events, at);
  if (books.emergency) await parts.emergency(tx);
  return answers;
}

/** One after the other, each against what those before it have left. */
function admitOne({ newId, nodeId }: TillParts, { caller, model, worst }: Asked, books: Books): Answer {
  const { changed, spokenFor, at } = books;
  const counterOf = (id: string): Counter => changed.get(id) ?? books.counters.get(id) ?? noCounter;
  const caps = capsOf(caller, books).map((cap) => {
    const { spent, reserved, exhausted } = counterOf(cap.counter);
    return { ...cap, spent, reserved: reserved + (spokenFor.get(cap.counter) ?? 0), exhausted };
  });
  const admission = admit(caps, worst);
  if (admission.kind === 'refused') {
    const { scope, limit, spent, exhausted, counter } = caps.find((cap) => cap.scope === admission.scope) as (typeof caps)[number];
    const usedUp = isShared(scope) && limit !== null && isUsedUp(limit, spent);
    if (usedUp && !exhausted) {
      changed.set(counter, { ...counterOf(counter), exhausted: true });
      books.events.push({ type: 'budget.exhausted', data: { scope, ...shownAmounts(scope, limit, spent) } });
    }
    books.emergency ||= usedUp && scope === 'ceiling';
    return { kind: 'refused', scope, limit: limit ?? 0, spent };
  }
  const { usd, tokens } = chargesOf({ ...caller, at });
  const amounts = [
    ...usd.map((id) => [id, admission.microUsd] as const),
    ...tokens.flatMap((id) => (isProactive(id) ? [[id, admission.tokens] as const] : [])),
  ];
  if (admission.kind === 'wait') {
    for (const [id, amount] of amounts) spokenFor.set(id, (spokenFor.get(id) ?? 0) + amount);
    return wait;
  }
  for (const [id, amount] of amounts) {
    const counter = counterOf(id);
    changed.set(id, { ...counter, reserved: counter.reserved + amount });
  }
  const { inputTokens } = worst;
  const { outputTokens, microUsd } = admission;
  const reservation: Reservation = { ...caller, id: newId(idPrefixes.call), at, nodeId, model, inputTokens, outputTokens, microUsd };
  books.reservations.push(reservation);
  return { kind: 'granted', reservation };
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

/** Of everybody: when one of these is used up, that is news for the owner. */
const isShared = (scope: CapScope): boolean => scope === 'day' || scope === 'ceiling' || scope === 'proactive';

const shownAmounts = (scope: CapScope, limit: number, spent: number): { limit: number; spent: number } =>
  scope === 'proactive' ? { limit, spent } : { limit: inUsd(limit), spent: inUsd(spent) };
