import type { Delivery } from '../domain/mail.ts';
import type { Reason } from '../domain/outcome.ts';
import type { Wish } from '../queue/queue.ts';

/** Where work comes from. It says what a delivery means, long after that was stored and acknowledged. */
export interface Source {
  readonly name: string;
  /**
   * May be called again for the same delivery, after a crash or a replay, so it changes nothing anywhere. It may read
   * from the world. What goes wrong there is a value; what is thrown is a defect, and the delivery is kept as failed.
   */
  read(delivery: Delivery, body: Buffer, signal: AbortSignal): Promise<Reading>;
}

export type Reading =
  | { readonly kind: 'work'; readonly wanted: readonly Wanted[] }
  | { readonly kind: 'ignored'; readonly reason: Reason }
  /** It cannot be understood: it is kept until a person replays it. */
  | { readonly kind: 'failed'; readonly reason: Reason }
  /** Something that it needs is out of reach just now. */
  | { readonly kind: 'later'; readonly reason: Reason; readonly afterMs?: number };

export interface Wanted {
  readonly wish: Wish;
  /** What set it off, named for ever within the source: the same trigger never makes two tasks. */
  readonly trigger: string;
  /** Other names under which it may have been taken up. */
  readonly aliases?: readonly string[];
  /** What is needed to answer. */
  readonly address: unknown;
}

/** The way in for deliveries that are pushed to us: says whether one is genuine before anything of it is kept. */
export interface Door {
  readonly source: string;
  /** `body` is as it came, byte for byte. Never throws. */
  admit(header: (name: string) => string | undefined, body: Buffer): Admission;
}

export type Admission =
  | {
      readonly ok: true;
      readonly key: string;
      readonly kind: string;
      readonly headers: Readonly<Record<string, string>>;
      /** The signature does not cover the key, so the same content under another one is a replay. */
      readonly onceByContent?: boolean;
    }
  | { readonly ok: false; readonly status: 400 | 401 | 415; readonly code: string; readonly message: string };
