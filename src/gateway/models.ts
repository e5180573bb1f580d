import type { Caller } from './caller.ts';
import { errorAnswer, type ModelRequest } from './providers/provider.ts';

/** Who answered a request, and as what. */
export interface Served {
  readonly provider: string;
  /** By the provider's own name; null when the request named none. */
  readonly model: string | null;
  /** Which of the provider's keys, without telling it; null where there is no key. */
  readonly keyId: string | null;
}

/** A request that did not get an answer, and was followed by another try, or by nobody who would still wait for one. */
export interface FailedTry {
  readonly caller: Caller;
  readonly served: Served;
  readonly status: number;
  readonly error: string;
  readonly latencyMs: number;
}

export interface Answered {
  readonly response: Response;
  readonly served: Served;
  /** The last try was sent and lost, and is told of here for the first time: it may have to be paid for. */
  readonly lost: boolean;
}

/** Whoever pays for a request that is tried several times. */
export interface Tries {
  /** A try has failed, and it is not what the answer tells of. */
  failed(tried: FailedTry): void;
  /** Before the try after one that was lost: the request as it can be paid for once more, or why it cannot. */
  again(signal: AbortSignal): Promise<ModelRequest | Response>;
}

/**
 * All that is behind the door: whichever provider, key and model it takes to get an answer. It promises what a provider
 * does, but for one thing: when the signal aborts while nobody is being asked, that is an answer too, for nothing was spent.
 */
export interface Models {
  answer(request: ModelRequest, signal: AbortSignal, tries: Tries): Promise<Answered>;
}

/** For nobody to read: the client has closed the connection. */
const clientGone = 499;

export const leftUnasked = (): Response =>
  errorAnswer({ status: clientGone, message: 'The agent left before anybody was asked, or could be asked again.' });
