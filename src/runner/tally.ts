import { addUsage, noUsage, type TokenUsage } from '../domain/usage.ts';
import type { EngineEvent } from './engines/engine.ts';

/** Counts what an engine does while it does it. */
export interface Tally {
  see(event: EngineEvent): void;
  /** What one model call of this very run used, as the gateway saw it. */
  used(tokens: TokenUsage): void;
  readonly toolCalls: number;
  readonly tokens: TokenUsage;
  readonly costUsd: number;
}

export function createTally(): Tally {
  /** The engine counts over the whole session, per model; the newest count replaces the one before. */
  const models = new Map<string, TokenUsage & { readonly costUsd: number }>();
  let own: TokenUsage | undefined;
  let toolCalls = 0;
  const ofSession = (): TokenUsage => [...models.values()].reduce(addUsage, noUsage);
  return {
    see(event) {
      if (event.type === 'run.tool-started') toolCalls += 1;
      if (event.type === 'run.usage') models.set(event.data.model, event.data);
    },
    used(tokens) {
      own = addUsage(own ?? noUsage, tokens);
    },
    get toolCalls() {
      return toolCalls;
    },
    get tokens() {
      return own ?? ofSession();
    },
    /** The engine's estimate is for the session, earlier runs of it included; of that, this run's share. */
    get costUsd() {
      const cost = [...models.values()].reduce((sum, { costUsd }) => sum + costUsd, 0);
      const all = weight(ofSession());
      return own === undefined || all === 0 ? cost : (cost * weight(own)) / all;
    },
  };
}

/** What tokens of each kind cost in relation to each other: the same for every model of the provider's list. */
const weight = ({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens }: TokenUsage): number =>
  inputTokens + 5 * outputTokens + 0.1 * cacheReadTokens + 1.25 * cacheWriteTokens;
