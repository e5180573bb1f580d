import { backoffMs } from '../domain/backoff.ts';
import { idPrefixes } from '../domain/id.ts';
import type { Message, MessageState, OutgoingMessage } from '../domain/mail.ts';
import type { Reason } from '../domain/outcome.ts';
import { type Clock, wait } from '../platform/clock.ts';
import { gatherUntil } from '../platform/gather.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import { Pump } from '../platform/pump.ts';
import { append } from '../store/journal.ts';
import { beat, holdNode } from '../store/nodes.ts';
import {
  discardMessage,
  findMessage,
  holdLines,
  markDead,
  markSent,
  nextMessage,
  postponeMessage,
  putMessages,
  releaseMessages,
  resendMessage,
  takeMessages,
} from '../store/outbox.ts';
import type { Store, Tx } from '../store/store.ts';
import type { Channel, Sending } from './channel.ts';

export interface OutboxParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Uniform in [0, 1): the jitter of retries. */
  readonly chance: () => number;
  readonly log: Log;
  readonly node: string;
  readonly channels: readonly Channel[];
}

interface Sent {
  readonly message: Message;
  readonly result: Sending;
}

export type Handled =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly status: 404 | 409; readonly code: string; readonly detail: string };

/**
 * One way for everything that leaves. What `put` was given goes out once, after the transaction that it was put in:
 * in order to each recipient, and again until it is through. A recipient that cannot be reached holds up nobody else.
 */
export interface Outbox {
  put(tx: Tx, messages: readonly OutgoingMessage[]): Promise<void>;
  /** Puts one that was given up back in line. */
  resend(id: string): Promise<Handled>;
  /** Makes sure that one is not sent; one that is being sent at this moment cannot be held back any more. */
  discard(id: string): Promise<Handled>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Of each channel. */
const senders = 8;
const sendLimitMs = 60_000;
/** With the backoff below: about a day. */
const maxAttempts = 100;
const retryBackoff = { baseMs: 1_000, capMs: 15 * 60_000 };

export function createOutbox(parts: OutboxParts): Outbox {
  const { store, clock, newId, log, node } = parts;
  const pumps = parts.channels.map((channel) => pumpOf(channel));

  /** Each channel has hands of its own: one that hangs keeps all of them, and none of the others'. */
  function pumpOf(channel: Channel): Pump<Message> {
    /** Until when, by the monotonic clock, the channel wants no more. */
    let restsUntil = 0;
    return new Pump<Message>({
      name: `outbox, ${channel.name}`,
      clock,
      log,
      capacity: senders,
      take: async (free, now) => {
        if (restsUntil > clock.monotonic()) return [];
        return store.write(async (tx) => {
          // Whoever holds something must be watched: a node that was struck off while it was frozen puts itself back first.
          if (!(await holdNode(tx, node, 'to keep it'))) await beat(tx, node, clock.now());
          return takeMessages(tx, node, channel.name, free, now);
        });
      },
      nextDue: (now) => nextMessage(store.read, channel.name, now),
      async work(message, signal) {
        const sending = await deliver(channel, message, signal);
        const { result } = sending;
        if (result.kind === 'retry' && result.wholeChannel) {
          const ms = result.afterMs ?? retryBackoff.capMs;
          restsUntil = clock.monotonic() + ms;
          log.warn({ channel: channel.name, seconds: Math.round(ms / 1_000) }, 'a channel wants no more for now');
        }
        await keep(sending, signal);
      },
    });
  }

  async function keep(sent: Sent, signal: AbortSignal): Promise<void> {
    // What became of it must be stored, or nobody could take it up again before the next start.
    for (let attempt = 1; ; attempt++) {
      try {
        return attempt === 1 ? await recordTogether(sent) : await recordAll(() => [sent]).then(() => undefined);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, message: sent.message.id }, 'could not store what became of a message; trying again');
        await wait(clock, backoffMs(attempt, parts.chance(), { baseMs: 200, capMs: 10_000 }), signal);
      }
    }
  }

  /** One attempt. If an earlier one may have arrived, it is looked for first, and then corrected rather than said again. */
  async function deliver(channel: Channel, message: Message, stop: AbortSignal): Promise<Sent> {
    const limit = new AbortController();
    const cancel = clock.after(sendLimitMs, () => limit.abort());
    const signal = AbortSignal.any([stop, limit.signal]);
    let known = message;
    try {
      if (message.doubtful && message.ref === null && channel.find) {
        const finding = await channel.find(message, signal);
        if (finding.kind === 'retry') return { message, result: { ...finding, doubtful: true } };
        if (finding.kind === 'found') known = { ...message, ref: finding.ref };
      }
      return { message: known, result: await channel.send(known, signal) };
    } catch (error) {
      log.error({ err: error, message: message.id, channel: message.channel }, 'a channel broke');
      const why = error instanceof Error ? error.message : String(error);
      return { message: known, result: { kind: 'retry', code: 'internal', message: why, doubtful: true } };
    } finally {
      cancel();
    }
  }

  const recordAll = (sendings: () => readonly Sent[]): Promise<readonly undefined[]> =>
    store.write(async (tx) => {
      const all = sendings();
      await holdLines(
        tx,
        all.map(({ message }) => message),
      );
      const sent = all.flatMap(({ message, result }) => (result.kind === 'sent' ? { message, ref: result.ref } : []));
      await markSent(tx, sent, node, clock.now());
      for (const { message, result } of all) if (result.kind !== 'sent') await recordFailure(tx, message, result);
      return all.map(() => undefined);
    });
  /** What ends while a commit is under way shares the next one. */
  const recordTogether = gatherUntil(recordAll);

  async function recordFailure(tx: Tx, message: Message, result: Exclude<Sending, { readonly kind: 'sent' }>): Promise<void> {
    const now = clock.now();
    const reason: Reason = { code: result.code, message: result.message };
    if (result.kind === 'refused' || message.attempts >= maxAttempts) {
      if (!(await markDead(tx, message, node, reason))) return;
      const { channel, recipient } = message;
      return append(tx, [{ type: 'outbox.dead', data: { message: message.id, channel, recipient, reason } }], now);
    }
    const waitMs = result.afterMs ?? backoffMs(message.attempts, parts.chance(), retryBackoff);
    const { doubtful } = result;
    return postponeMessage(tx, message.id, node, { reason, notBefore: now + waitMs, doubtful, ref: message.ref });
  }

  const wake = (): void => {
    for (const pump of pumps) pump.wake();
  };
  let unsubscribe = (): void => undefined;

  async function handle(id: string, what: string, act: (tx: Tx) => Promise<boolean>): Promise<Handled> {
    return store.write(async (tx): Promise<Handled> => {
      const done = await act(tx);
      const message = await findMessage(tx.db, id);
      if (!message) return { ok: false, status: 404, code: 'no-such-message', detail: `There is no message ${id}.` };
      if (done) return { ok: true, message };
      return { ok: false, status: 409, code: 'wrong-state', detail: `${id} is ${message.state} or being sent, so it cannot be ${what}.` };
    });
  }

  return {
    async put(tx, messages) {
      await putMessages(
        tx,
        messages.map((message) => ({ ...message, id: newId(idPrefixes.message) })),
        clock.now(),
      );
    },
    resend: (id) => handle(id, 'sent again', (tx) => resendMessage(tx, id, resendable, clock.now())),
    discard: (id) => handle(id, 'discarded', (tx) => discardMessage(tx, id, discardable)),
    async start() {
      await store.write((tx) => releaseMessages(tx, node));
      unsubscribe = store.onCommit((topic) => {
        if (topic === 'outbox') wake();
      });
      wake();
    },
    async stop() {
      unsubscribe();
      await Promise.all(pumps.map((pump) => pump.stop()));
    },
  };
}

const resendable: readonly MessageState[] = ['dead', 'discarded'];
const discardable: readonly MessageState[] = ['waiting', 'dead'];
