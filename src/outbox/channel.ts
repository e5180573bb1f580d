import type { Message } from '../domain/mail.ts';

/** A way out: one service that people are told something through. */
export interface Channel {
  readonly name: string;
  /**
   * Brings a message to its recipient, or corrects it when `message.ref` says that it is there. It must not throw: what goes
   * wrong is in the answer. It does not repeat anything by itself; the outbox does that.
   */
  send(message: Message, signal: AbortSignal): Promise<Sending>;
  /**
   * Looks for a message by its hidden marker. Asked only when an earlier attempt may have arrived unheard of. Channels where
   * the same message sent twice is the same as once do without.
   */
  find?(message: Message, signal: AbortSignal): Promise<Finding>;
}

export type Sending =
  | { readonly kind: 'sent'; readonly ref: string | null }
  | Postponed
  /** It never will be: a person has to look at it. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

export type Finding = { readonly kind: 'found'; readonly ref: string } | { readonly kind: 'absent' } | Postponed;

interface Postponed {
  readonly kind: 'retry';
  readonly code: string;
  readonly message: string;
  readonly afterMs?: number;
  /** It may have arrived, although nobody heard so. */
  readonly doubtful: boolean;
  /** Not this message alone: the service wants no more of anything for now. */
  readonly wholeChannel?: true;
}
