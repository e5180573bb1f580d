import type { TokenUsage } from '../domain/usage.ts';
import type { Caller } from './caller.ts';
import type { Served } from './models.ts';
import type { Observed } from './usage.ts';

/** One call of a model, reported when it is over, however it ended. */
export interface ModelCall {
  readonly caller: Caller;
  /** Null when the agent left before anybody was asked. */
  readonly served: Served | null;
  /** As the answer names it, else as it was asked for. */
  readonly model: string | null;
  /** What was reported; null when nothing was. Of a call that broke off it is too small. */
  readonly usage: TokenUsage | null;
  /** All that was seen of the answer; null when there was none. */
  readonly observed: Observed | null;
  /** `refused` by status or by an error in the stream; `cut` by the provider; `abandoned` by the agent. */
  readonly end: 'complete' | 'refused' | 'cut' | 'abandoned';
  /** It was sent, and no answer came. */
  readonly lost: boolean;
  /** Null when the agent left before there was an answer. */
  readonly status: number | null;
  readonly firstByteMs: number | null;
  readonly latencyMs: number;
}
