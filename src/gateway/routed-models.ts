import { backoffMs } from '../domain/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import { type Breaker, type BreakerState, createBreaker } from './breaker.ts';
import type { Caller } from './caller.ts';
import type { Key, KeyState, Keys } from './keys.ts';
import { type Answered, type FailedTry, leftUnasked, type Models, type Served, type Tries } from './models.ts';
import { errorAnswer, isLost, type ModelRequest } from './providers/provider.ts';
import { retryAfterMs } from './retry-after.ts';
import { createWaitingRoom, type Turn } from './waiting-room.ts';

/** One provider in the chain. */
export interface Upstream {
  readonly name: string;
  readonly keys: Keys;
  nameOf(model: string): string;
  /** Whether its list of models is in the form of the API. */
  readonly listsModels: boolean;
}

export interface Waiting {
  readonly reason: 'rate-limited' | 'unavailable' | 'in-line';
  readonly provider: string;
  /** On the wall's clock; null when it depends on how others fare. */
  readonly until: number | null;
}

export interface RoutingParts {
  /** The first that can answer does; those after it are for when it cannot. */
  readonly chain: readonly Upstream[];
  /** For when the model that was asked for is refused, or has been out of order for some time. */
  readonly fallbackModel: string | undefined;
  /** What the agents may ask for, for a list of models. */
  readonly models: readonly string[];
  /** As long as this, a call waits for a provider to come back. */
  readonly patienceMs: number;
  readonly clock: Clock;
  readonly chance: () => number;
  /** Somebody's call waits for longer than a moment; null when it goes on, or is over. */
  onWaiting(caller: Caller, waiting: Waiting | null): void;
}

interface RoutingState {
  readonly providers: readonly { readonly name: string; readonly keys: readonly KeyState[] }[];
  readonly breakers: readonly ({ readonly id: string; readonly provider: string; readonly model: string } & BreakerState)[];
  readonly waiting: readonly { readonly runId: string; readonly calls: number }[];
}

export interface RoutedModels extends Models {
  describe(): RoutingState;
  /** Closes a breaker, and lets the keys of its provider be used again, at once. False when there is none of that id. */
  reset(id: string): boolean;
  /** Whoever waits is sent away. */
  close(): void;
}

/** One model of one provider. */
interface Way {
  readonly upstream: Upstream;
  readonly model: string | null;
  readonly breaker: Breaker;
  readonly fallback: boolean;
}

/** What one request has been through. */
interface Journey {
  request: ModelRequest;
  readonly tries: Tries;
  readonly ways: readonly Way[];
  readonly began: number;
  readonly deadline: number;
  readonly tried: Set<Key>;
  /** Ways that will not answer this request. */
  readonly closed: Set<Way>;
  readonly failures: Map<Way, { readonly times: number; readonly notBefore: number }>;
  /** The last failure, reported when it turns out not to be the answer. */
  last: (Answered & { readonly failed: FailedTry }) | undefined;
  /** The first refusal that is final says more than a later one of a provider that only stands in. */
  refusal: Answered | undefined;
}

type Step =
  | { readonly kind: 'try'; readonly way: Way; readonly key: Key }
  /** There is somebody to ask, but the last try has taken the money. */
  | { readonly kind: 'pay' }
  | { readonly kind: 'closed' | 'late' | 'stop' | 'left' };

/** Counting tokens is a courtesy: nobody waits for it long. */
const shortPatienceMs = 10_000;
/** Waits shorter than this are nobody's news. */
const noticeableMs = 5_000;
const betweenTries = { baseMs: 500, capMs: 30_000 };
/** A request that fails so often while others get through is itself the reason. */
const ownFault = 5;

/**
 * Gets an answer from whichever provider, key and model it takes. All of that happens before the first byte of an answer:
 * what breaks off later is for the agent to ask for again. What will not change is an answer at once; for everything
 * else the call waits, in turn with those of other runs, until its patience ends.
 */
export function createRoutedModels(parts: RoutingParts): RoutedModels {
  const { chain, clock } = parts;
  const room = createWaitingRoom(clock);
  const breakers = new Map<string, { readonly provider: string; readonly model: string; readonly breaker: Breaker }>();
  /** Runs whose patience has ended: until something works again, nobody waits for them any more. */
  const impatient = new Set<string>();
  let stopped = false;

  function breakerOf(provider: string, model: string): Breaker {
    const id = `${provider}:${model}`;
    let found = breakers.get(id);
    found ??= { provider, model, breaker: createBreaker(clock) };
    // An agent may ask for any name: only so many are remembered, and those that are in use stay.
    breakers.delete(id);
    breakers.set(id, found);
    if (breakers.size > 200) breakers.delete(breakers.keys().next().value as string);
    return found.breaker;
  }

  function waysFor({ endpoint, message: { model } }: ModelRequest): readonly Way[] {
    if (typeof model !== 'string')
      return chain.map((upstream) => ({ upstream, model: null, breaker: breakerOf(upstream.name, ''), fallback: false }));
    const fallback = endpoint === 'messages' && parts.fallbackModel !== model ? parts.fallbackModel : undefined;
    const to = (asked: string, stand: boolean): Way[] =>
      chain.map((upstream) => {
        const name = upstream.nameOf(asked);
        return { upstream, model: name, breaker: breakerOf(upstream.name, name), fallback: stand };
      });
    return [...to(model, false), ...(fallback === undefined ? [] : to(fallback, true))];
  }

  function begin(request: ModelRequest, tries: Tries): Journey {
    const began = clock.monotonic();
    const patience = impatient.has(request.caller.runId) ? 0 : parts.patienceMs;
    return {
      request,
      tries,
      ways: waysFor(request),
      began,
      deadline: began + (request.endpoint === 'messages' ? patience : Math.min(shortPatienceMs, patience)),
      tried: new Set(),
      closed: new Set(),
      failures: new Map(),
      last: undefined,
      refusal: undefined,
    };
  }

  /** When a way can be gone, and with which key. Undefined when it is closed to this request. */
  function opening(journey: Journey, way: Way): { readonly at: number; readonly key: Key } | undefined {
    if (journey.closed.has(way)) return undefined;
    const next = way.upstream.keys.next(journey.tried);
    if (!next) return undefined;
    return { key: next.key, at: Math.max(next.at, way.breaker.opensAt, journey.failures.get(way)?.notBefore ?? 0) };
  }

  function nextStep(journey: Journey): Turn<Step> {
    if (stopped) return { go: { kind: 'stop' } };
    const now = clock.monotonic();
    let soonest = Number.POSITIVE_INFINITY;
    let any = false;
    let modelWorks = false;
    for (const way of journey.ways) {
      const open = opening(journey, way);
      if (!open) continue;
      if (way.fallback && modelWorks) continue;
      if (!way.fallback && way.breaker.describe().state === 'closed') modelWorks = true;
      any = true;
      if (open.at <= now) {
        if (journey.last?.lost) return { go: { kind: 'pay' } };
        way.breaker.enter();
        return { go: { kind: 'try', way, key: open.key } };
      }
      soonest = Math.min(soonest, open.at);
    }
    if (!any) return { go: { kind: 'closed' } };
    const pointless = soonest > journey.deadline && Number.isFinite(soonest);
    if (pointless || now >= journey.deadline) return { go: { kind: 'late' } };
    return { waitUntil: Math.min(soonest, journey.deadline) };
  }

  /** Its turn, after whatever wait. Tells whoever wants to know when that takes more than a moment. */
  async function turnOf(journey: Journey, signal: AbortSignal): Promise<Step> {
    const { caller } = journey.request;
    let told = false;
    const cancelTimer = clock.after(noticeableMs, () => {
      told = true;
      parts.onWaiting(caller, whatFor(journey));
    });
    try {
      return await room.enter(caller.runId, () => nextStep(journey), signal);
    } catch (error) {
      if (signal.aborted) return { kind: 'left' };
      throw error;
    } finally {
      cancelTimer();
      if (told) parts.onWaiting(caller, null);
    }
  }

  function whatFor(journey: Journey): Waiting {
    const open = journey.ways.flatMap((way) => {
      const found = opening(journey, way);
      return found ? [{ way, ...found }] : [];
    });
    const first = open.toSorted((a, b) => a.at - b.at)[0];
    if (!first) return { reason: 'in-line', provider: chain[0]?.name ?? '', until: null };
    const provider = first.way.upstream.name;
    const limited = first.way.upstream.keys.list().some(({ state }) => state === 'limited');
    const aheadMs = first.at - clock.monotonic();
    const until = Number.isFinite(aheadMs) && aheadMs > 0 ? Math.round(clock.now() + aheadMs) : null;
    const troubled = first.way.breaker.describe().failures > 0 || journey.failures.has(first.way);
    return { reason: limited ? 'rate-limited' : troubled ? 'unavailable' : 'in-line', provider, until };
  }

  async function go({ request }: Journey, { model, upstream }: Way, key: Key, signal: AbortSignal): Promise<Answered> {
    const response = await key.provider.answer(asNamed(request, model), signal);
    return { response, served: { provider: upstream.name, model, keyId: key.id }, lost: isLost(response.status) };
  }

  /** The answer, if this was one; otherwise what went wrong is noted where it belongs, and another step can be taken. */
  async function attempt(journey: Journey, way: Way, key: Key, signal: AbortSignal): Promise<Answered | undefined> {
    const began = clock.monotonic();
    const { keys } = way.upstream;
    let ending: Parameters<Breaker['leave']>[0] = 'unknown';
    try {
      const answered = await go(journey, way, key, signal);
      const { response, served } = answered;
      if (response.ok) {
        keys.worked(key);
        impatient.clear();
        ending = 'worked';
        return answered;
      }
      const message = await messageIn(response);
      const failed = {
        caller: journey.request.caller,
        served,
        status: response.status,
        error: message,
        latencyMs: clock.monotonic() - began,
      };
      journey.last = { ...answered, failed };
      const forMs = retryAfterMs(response.headers, clock.now());
      switch (meaningOf(response, message)) {
        case 'final':
          return answered;
        case 'key-refused':
          keys.rejected(key);
          journey.tried.add(key);
          journey.refusal ??= answered;
          return undefined;
        case 'way-closed':
          journey.closed.add(way);
          journey.refusal ??= answered;
          return undefined;
        case 'limited':
          ending = 'limited';
          keys.limited(key, forMs);
          return undefined;
        case 'failed':
          ending = 'failed';
          if (forMs !== undefined && forMs > 0) way.breaker.hold(forMs);
          noteFailure(journey, way, answered);
          return undefined;
      }
    } finally {
      way.breaker.leave(ending);
      room.stir();
    }
  }

  /** The agent's program asks once more in another way when a stream has failed: that is not waited for as long again. */
  function becomeImpatient(runId: string): void {
    impatient.add(runId);
    if (impatient.size > 1_000) impatient.delete(impatient.values().next().value as string);
  }

  function noteFailure(journey: Journey, way: Way, answered: Answered): void {
    const times = (journey.failures.get(way)?.times ?? 0) + 1;
    journey.failures.set(way, { times, notBefore: clock.monotonic() + backoffMs(times, parts.chance(), betweenTries) });
    if (times < ownFault || way.breaker.workedAt < journey.began) return;
    journey.closed.add(way);
    journey.refusal ??= answered;
  }

  return {
    async answer(request, signal, tries) {
      if (request.endpoint === 'models') return listModels(parts, request, signal);
      const journey = begin(request, tries);
      try {
        for (;;) {
          const step = await turnOf(journey, signal);
          switch (step.kind) {
            case 'try': {
              report(journey);
              const answered = await attempt(journey, step.way, step.key, signal);
              if (answered) return answered;
              break;
            }
            case 'pay': {
              const refused = await payAgain(journey, signal);
              if (refused) return refused;
              break;
            }
            default:
              if (step.kind === 'late' && clock.monotonic() - journey.began >= noticeableMs) becomeImpatient(request.caller.runId);
              return theEnd(journey, step.kind);
          }
        }
      } catch (error) {
        report(journey);
        throw error;
      }
    },
    describe: () => ({
      providers: chain.map(({ name, keys }) => ({ name, keys: keys.list() })),
      breakers: [...breakers].map(([id, { provider, model, breaker }]) => ({ id, provider, model, ...breaker.describe() })),
      waiting: [...room.waiting].map(([runId, calls]) => ({ runId, calls })),
    }),
    reset(id) {
      const found = breakers.get(id);
      found?.breaker.reset();
      for (const { name, keys } of chain) if (name === found?.provider) keys.forgive();
      room.stir();
      return found !== undefined;
    },
    close() {
      stopped = true;
      room.stir();
      for (const { keys } of chain) keys.close();
    },
  };
}

/** A try that failed is told of once it is clear that it is not what the agent gets. */
function report(journey: Journey): void {
  if (journey.last) journey.tries.failed(journey.last.failed);
  journey.last = undefined;
}

/** Answers why there is no money for another try, if there is none. */
async function payAgain(journey: Journey, signal: AbortSignal): Promise<Answered | undefined> {
  const served = journey.last?.served ?? nobody;
  report(journey);
  const paid = await journey.tries.again(signal);
  if (paid instanceof Response) return { response: paid, served, lost: false };
  journey.request = paid;
  return undefined;
}

const nobody: Served = { provider: 'none', model: null, keyId: null };

/** Where nothing can be asked any more, the first refusal is the answer; where time ran out, the last thing that went wrong. */
function theEnd(journey: Journey, kind: 'closed' | 'late' | 'stop' | 'left'): Answered {
  const {
    last,
    refusal,
    ways: [first],
  } = journey;
  const told = kind === 'closed' ? (refusal ?? last) : kind === 'late' ? (last ?? refusal) : undefined;
  const isLast = told !== undefined && told.response === last?.response;
  // What the last try came to is in the call itself, unless it has to be paid for and the call tells of another.
  if (!told || (last?.lost && !isLast)) report(journey);
  if (told) {
    // It has been tried for as long as there was patience: an agent that goes on at once would wait as long again.
    told.response.headers.set('x-should-retry', 'false');
    return { response: told.response, served: told.served, lost: told.lost && isLast };
  }
  const response =
    kind === 'left'
      ? leftUnasked()
      : kind === 'stop'
        ? errorAnswer({ status: 503, message: 'Nightshift is stopping.' })
        : errorAnswer({ status: 503, message: 'No provider can answer for a long while.', headers: { 'x-should-retry': 'false' } });
  return { response, served: { ...nobody, ...(first && { provider: first.upstream.name, model: first.model }) }, lost: false };
}

type Meaning = 'final' | 'key-refused' | 'way-closed' | 'limited' | 'failed';

/** What a refusal says about the request, the key, the model, or merely about the moment. */
function meaningOf({ status, headers }: Response, message: string): Meaning {
  if (status === 401 || status === 402 || (status === 400 && /credit balance is too low/i.test(message))) return 'key-refused';
  if (status === 404 || (status === 400 && /not a valid model id/i.test(message))) return 'way-closed';
  const passing = status === 408 || status === 429 || status >= 500;
  if (!passing) return 'final';
  if (headers.get('x-should-retry') === 'false') return 'way-closed';
  return status === 429 ? 'limited' : 'failed';
}

/** Of a refusal only: those are short, and ours. */
async function messageIn(response: Response): Promise<string> {
  const { error } = (await response.clone().json()) as { error: { message: string } };
  return error.message;
}

/** The same request with the provider's own name of the model. As it came, if that is the name. */
function asNamed(request: ModelRequest, model: string | null): ModelRequest {
  if (model === null || model === request.message.model) return request;
  const message = { ...request.message, model };
  return { ...request, message, body: Buffer.from(JSON.stringify(message)) };
}

/** The provider's own list where it has one; otherwise the models of the settings. */
async function listModels({ chain, models }: RoutingParts, request: ModelRequest, signal: AbortSignal): Promise<Answered> {
  const [first] = chain;
  const key = first?.listsModels ? first.keys.next(new Set())?.key : undefined;
  const served: Served = { provider: first?.name ?? 'none', model: null, keyId: key?.id ?? null };
  const response = await key?.provider.answer(request, signal);
  if (response?.ok) return { response, served, lost: false };
  const data = models.map((id) => ({ type: 'model', id, display_name: id, created_at: '1970-01-01T00:00:00Z' }));
  return {
    served,
    lost: false,
    response: Response.json({ data, has_more: false, first_id: models[0] ?? null, last_id: models.at(-1) ?? null }),
  };
}
