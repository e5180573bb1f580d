import { errorAnswer, type ModelRequest } from './providers/provider.ts';

/** Who answered a request, and as what. */
export interface Served {
  readonly provider: string;
  /** By the provider's own name; null when the request named none. */
  readonly model: string | null;
  /** Which of the provider's keys, without telling it; null where there is no key. */
  readonly keyId: string | null;
}

interface Answered {
  readonly response: Response;
  readonly served: Served;
}

/**
 * All that is behind the door: whichever provider, key and model it takes to get an answer. It promises what a provider
 * does, but for one thing: when the signal aborts while nobody is being asked, that is an answer too, for nothing was spent.
 */
export interface Models {
  answer(request: ModelRequest, signal: AbortSignal): Promise<Answered>;
}

/** For nobody to read: the client has closed the connection. */
const clientGone = 499;

export const leftUnasked = (): Response =>
  errorAnswer({ status: clientGone, message: 'The agent left before anybody was asked, or could be asked again.' });
