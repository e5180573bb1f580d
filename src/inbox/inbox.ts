import { backoffMs } from '../domain/backoff.ts';
import { StoreUnavailable } from '../domain/errors.ts';
import { idPrefixes } from '../domain/id.ts';
import type { Delivery, Origin } from '../domain/mail.ts';
import type { Reason } from '../domain/outcome.ts';
import { isClosed, type Task } from '../domain/task.ts';
import { type Clock, wait } from '../platform/clock.ts';
import { gather, gatherUntil } from '../platform/gather.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import { Pump } from '../platform/pump.ts';
import type { Queue, Refusal, Submission } from '../queue/queue.ts';
import {
  type Arrival,
  deliveryBodies,
  deliveryBody,
  findDelivery,
  holdDelivery,
  type Insertion,
  ignoreDeliveries,
  insertArrivals,
  insertOrigins,
  knownTriggers,
  type LargeRoom,
  nextDelivery,
  postponeDelivery,
  releaseDeliveries,
  reopenDelivery,
  settleDelivery,
  takeDeliveries,
} from '../store/inbox.ts';
import { append } from '../store/journal.ts';
import { beat, holdNode } from '../store/nodes.ts';
import type { Store, Tx } from '../store/store.ts';
import { lockTasks } from '../store/tasks.ts';
import type { Reading, Source, Wanted } from './source.ts';

export interface InboxParts {
  readonly store: Store;
  readonly queue: Pick<Queue, 'enqueue'>;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Uniform in [0, 1): the jitter of retries. */
  readonly chance: () => number;
  readonly log: Log;
  readonly node: string;
  readonly sources: readonly Source[];
  /** Told of each task that somebody has asked for, in the transaction that makes it. */
  readonly taken: (tx: Tx, asked: readonly { readonly task: Task; readonly origin: Origin }[]) => Promise<void>;
}

/** `replayed`: it was here before under another key, which its sender does not vouch for. */
type Receipt = { readonly kind: 'stored'; readonly id: string } | { readonly kind: 'duplicate' | 'replayed' };
type Replay = { readonly ok: true; readonly delivery: Delivery } | { readonly ok: false; readonly refusal: Refusal };

/**
 * One way for everything that arrives. What `receive` has answered for is on disk, and becomes tasks exactly once, however
 * often the server dies in between: the tasks, their origins and the end of the delivery are one transaction.
 */
export interface Inbox {
  receive(arrival: Omit<Arrival, 'id'>): Promise<Receipt>;
  replay(id: string): Promise<Replay>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Most deliveries ask for nothing and are settled at once: the more are taken together, the fewer commits there are. */
const workers = 32;
const maxAttempts = 40;
const storeTries = 5;
const retryBackoff = { baseMs: 1_000, capMs: 10 * 60_000 };
/** Bodies of this size are stored each on its own, so that a group of them never fills the memory. */
const largeBody = 256 * 1024;
/** So much of them is read at the same time; small ones pass by. */
const largeBodiesAtOnce = 64 * 1024 * 1024;

export function createInbox(parts: InboxParts): Inbox {
  const { store, queue, clock, newId, log, node } = parts;
  const sources = new Map(parts.sources.map((source) => [source.name, source]));

  const storeAll = (arrivals: () => readonly Arrival[]): Promise<readonly Receipt[]> =>
    store.write(async (tx) => {
      const inserted = await insertArrivals(tx, arrivals(), clock.now());
      return arrivals().map(({ id }, index): Receipt => receiptOf(inserted[index] as Insertion, id));
    });
  const storeTogether = gatherUntil(storeAll);

  async function receive(arrival: Omit<Arrival, 'id'>): Promise<Receipt> {
    const whole = { ...arrival, id: newId(idPrefixes.delivery) };
    return arrival.body.length < largeBody ? storeTogether(whole) : ((await storeAll(() => [whole]))[0] as Receipt);
  }

  let largeInHand = 0;
  const room = (): LargeRoom => ({ large: largeBody, bytes: largeBodiesAtOnce - largeInHand });
  const largeOf = ({ bodySize }: Delivery): number => (bodySize < largeBody ? 0 : bodySize);

  const pump = new Pump<Delivery>({
    name: 'inbox',
    clock,
    log,
    capacity: workers,
    async take(free, now) {
      const taken = await store.write(async (tx) => {
        // Whoever holds something must be watched: a node that was struck off while it was frozen puts itself back first.
        if (!(await holdNode(tx, node, 'to keep it'))) await beat(tx, node, clock.now());
        return takeDeliveries(tx, node, free, now, room());
      });
      for (const delivery of taken) largeInHand += largeOf(delivery);
      return taken;
    },
    nextDue: (now) => nextDelivery(store.read, now, room()),
    work: (delivery, signal) =>
      work(delivery, signal).finally(() => {
        largeInHand -= largeOf(delivery);
      }),
  });

  async function work(delivery: Delivery, signal: AbortSignal): Promise<void> {
    let reading = await read(delivery, signal);
    // Until the end is stored nobody else may take it, so this waits for the store as long as it takes.
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        return await conclude(delivery, reading);
      } catch (error) {
        log.warn({ err: error, delivery: delivery.id }, 'could not store what came of a delivery; trying again');
        // A store that is there and does not take it will not take it later either: then that is what is stored.
        if (!(error instanceof StoreUnavailable) && attempt >= storeTries) reading = unreadable('not-storable', notStorable(error));
        await wait(clock, backoffMs(attempt, parts.chance(), { baseMs: 200, capMs: 10_000 }), signal);
      }
    }
  }

  /** Those of one moment come with one query; no more than there are workers. */
  const smallBody = gather(async (ids: readonly string[]) => {
    const bodies = await deliveryBodies(store.read, ids);
    return ids.map((id) => bodies.get(id));
  });

  async function read(delivery: Delivery, signal: AbortSignal): Promise<Reading> {
    const source = sources.get(delivery.source);
    if (!source) return unreadable('source-off', `The source ${delivery.source} is not switched on. Switch it on and replay this.`);
    try {
      const body = delivery.bodySize < largeBody ? await smallBody(delivery.id) : await deliveryBody(store.read, delivery.id);
      if (!body) return unreadable('body-dropped', 'Its content was dropped when it had become old.');
      return await source.read(delivery, body, signal);
    } catch (error) {
      log.error({ err: error, delivery: delivery.id, source: delivery.source }, 'a delivery could not be read');
      return unreadable('internal', error instanceof Error ? error.message : String(error));
    }
  }

  /** Most deliveries ask for nothing: those of one moment are settled by one statement. */
  const ignoreTogether = gatherUntil(async (ignored: () => readonly { readonly id: string; readonly reason: Reason }[]) => {
    await store.write((tx) => ignoreDeliveries(tx, node, ignored(), clock.now()));
    return ignored().map(() => undefined);
  });

  const conclude = (delivery: Delivery, reading: Reading): Promise<void> =>
    reading.kind === 'ignored'
      ? ignoreTogether({ id: delivery.id, reason: reading.reason })
      : store.write((tx) => settle(tx, delivery, reading));

  async function settle(tx: Tx, delivery: Delivery, reading: Exclude<Reading, { kind: 'ignored' }>): Promise<void> {
    if (!(await holdDelivery(tx, delivery.id, node))) return;
    const now = clock.now();
    switch (reading.kind) {
      case 'work':
        return accept(tx, delivery, reading.wanted, now);
      case 'failed':
        return fail(tx, delivery, reading.reason, now);
      case 'later': {
        if (delivery.attempts >= maxAttempts) return fail(tx, delivery, reading.reason, now);
        const waitMs = Math.max(reading.afterMs ?? 0, backoffMs(delivery.attempts, parts.chance(), retryBackoff));
        return postponeDelivery(tx, delivery.id, reading.reason, now + waitMs);
      }
    }
  }

  async function accept(tx: Tx, delivery: Delivery, wanted: readonly Wanted[], now: number): Promise<void> {
    // Of two deliveries of one trigger at the same moment the later one fails on its origin, and is run again.
    const namesOf = ({ trigger, aliases = [] }: Wanted): readonly string[] => [trigger, ...aliases];
    // That one name is as good as another is not seen to by any index.
    if (wanted.some(({ aliases = [] }) => aliases.length > 0)) await tx.lock('origins');
    const known = await knownTriggers(tx.db, delivery.source, wanted.flatMap(namesOf));
    const fresh = wanted.filter((each) => !namesOf(each).some((name) => known.has(name)));
    if (fresh.length === 0) return settleDelivery(tx, delivery.id, { state: 'ignored', reason: takenUp, taskIds: [] }, now);

    const submissions = await queue.enqueue(
      tx,
      fresh.map(({ wish }) => wish),
    );
    const refused = submissions.find((submission) => submission.kind === 'refused');
    if (refused) return fail(tx, delivery, { code: refused.refusal.code, message: refused.refusal.message }, now);
    const twins = await holdTwins(tx, submissions);
    const asked = submissions.flatMap((submission, index) => {
      if (submission.kind === 'refused') return [];
      const task = twins.get(submission.task.id) ?? submission.task;
      const { trigger, address } = fresh[index] as Wanted;
      return [{ task, origin: { taskId: task.id, source: delivery.source, trigger, address } }];
    });
    await insertOrigins(
      tx,
      asked.map(({ origin }) => origin),
    );
    await parts.taken(tx, asked);
    await settleDelivery(tx, delivery.id, { state: 'done', reason: null, taskIds: [...new Set(asked.map(({ task }) => task.id))] }, now);
  }

  async function fail(tx: Tx, { id, source, kind }: Delivery, reason: Reason, now: number): Promise<void> {
    await settleDelivery(tx, id, { state: 'failed', reason, taskIds: [] }, now);
    await append(tx, [{ type: 'inbox.failed', data: { delivery: id, source, kind, reason } }], now);
  }

  const replay = (id: string): Promise<Replay> =>
    store.write(async (tx): Promise<Replay> => {
      const delivery = await findDelivery(tx.db, id);
      if (!delivery) return { ok: false, refusal: noSuchDelivery(id) };
      const refusal = notReplayable(delivery, (await deliveryBody(tx.db, id)) !== null);
      if (refusal) return { ok: false, refusal };
      await reopenDelivery(tx, id, clock.now());
      return { ok: true, delivery: (await findDelivery(tx.db, id)) as Delivery };
    });

  let unsubscribe = (): void => undefined;

  return {
    receive,
    replay,
    async start() {
      await store.write((tx) => releaseDeliveries(tx, node));
      unsubscribe = store.onCommit((topic) => {
        if (topic === 'inbox') pump.wake();
      });
      pump.wake();
    },
    async stop() {
      unsubscribe();
      await pump.stop();
    },
  };
}

function receiptOf(insertion: Insertion, id: string): Receipt {
  switch (insertion) {
    case 'stored':
      return { kind: 'stored', id };
    case 'known-key':
      return { kind: 'duplicate' };
    case 'known-content':
      return { kind: 'replayed' };
  }
}

/** Tasks that were there already, held: one that ended now, unseen, would end without an answer to this new origin. */
async function holdTwins(tx: Tx, submissions: readonly Submission[]): Promise<ReadonlyMap<string, Task>> {
  const held = await lockTasks(
    tx,
    submissions.flatMap((submission) => (submission.kind === 'duplicate' ? submission.task.id : [])),
  );
  // It was open a moment ago, so this wish is new work after all: undo, and the store runs us again.
  if ([...held.values()].some(({ status }) => isClosed(status)))
    throw Object.assign(new Error('the open twin ended meanwhile'), { code: '40001' });
  return held;
}

const takenUp: Reason = { code: 'already-taken-up', message: 'What it asks for was taken up before.' };

const notStorable = (error: unknown): string =>
  `The store does not take what it asks for (${error instanceof Error ? error.message : String(error)}). Mend its source and replay it.`;

const unreadable = (code: string, message: string): Reading => ({ kind: 'failed', reason: { code, message } });

const noSuchDelivery = (id: string): Refusal => ({ status: 404, code: 'no-such-delivery', message: `There is no delivery ${id}.` });

function notReplayable({ id, state }: Delivery, hasBody: boolean): Refusal | undefined {
  if (state !== 'failed' && state !== 'ignored') {
    const why = state === 'done' ? 'has made its tasks' : 'is on its way';
    return { status: 409, code: 'not-replayable', message: `${id} ${why}; only one that failed or was ignored can be replayed.` };
  }
  return hasBody ? undefined : { status: 409, code: 'body-dropped', message: `The content of ${id} was dropped when it had become old.` };
}
