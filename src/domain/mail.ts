import type { Reason } from './outcome.ts';

export const deliveryStates = ['received', 'done', 'ignored', 'failed'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** One thing that arrived from outside, as it arrived. `source` and `key` together name it for ever. */
export interface Delivery {
  readonly id: string;
  readonly source: string;
  /** The sender's own id of it, or what stands for one: a hash of the content, a cursor of a poll. */
  readonly key: string;
  /** What the sender calls this kind of thing. */
  readonly kind: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyHash: string;
  readonly bodySize: number;
  readonly state: DeliveryState;
  /** Why it was ignored, failed, or has to be tried again. */
  readonly reason: Reason | null;
  readonly attempts: number;
  readonly notBefore: number;
  readonly taskIds: readonly string[];
  readonly receivedAt: number;
  readonly settledAt: number | null;
}

export const messageStates = ['waiting', 'sent', 'dead', 'discarded'] as const;
export type MessageState = (typeof messageStates)[number];

/** What somebody outside is to be told. `channel` and `key` together name it; a later text under the same key replaces it. */
export interface OutgoingMessage {
  readonly channel: string;
  /** Messages to one recipient go out one after the other. */
  readonly recipient: string;
  readonly kind: string;
  readonly key: string;
  readonly body: unknown;
  /** At least so long after a text under the same key goes the next one; then it is the newest. */
  readonly pauseMs?: number;
  /** The task that it tells of, if it tells of one. */
  readonly taskId?: string;
}

export interface Message extends OutgoingMessage {
  readonly id: string;
  readonly state: MessageState;
  readonly reason: Reason | null;
  /** Counts its texts; the one that went out last is `sentRevision`. */
  readonly revision: number;
  readonly sentRevision: number | null;
  /** What the other side calls it, once it is known there. */
  readonly ref: string | null;
  readonly attempts: number;
  /** An attempt may have arrived although nobody heard so. */
  readonly doubtful: boolean;
  readonly notBefore: number;
  readonly createdAt: number;
  readonly sentAt: number | null;
}

/** Where a task came from, and so who is to be told of it. A task has several when several asked for the same work. */
export interface Origin {
  readonly taskId: string;
  readonly source: string;
  /** What set it off, named for ever: the same comment never makes two tasks. */
  readonly trigger: string;
  /** What the source needs to answer. */
  readonly address: unknown;
}
