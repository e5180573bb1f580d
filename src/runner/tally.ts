import { noUsage, type TokenUsage } from '../domain/usage.ts';
import type { EngineEvent } from './engines/engine.ts';

/** Counts what an engine does while it does it. */
export interface Tally {
  see(event: EngineEvent): void;
  readonly toolCalls: number;
  readonly tokens: TokenUsage;
  readonly costUsd: number;
}

export function createTally(): Tally {
  /** The engine counts over the whole session, per model; the newest count replaces the one before. */
  const models = new Map<string, TokenUsage & { readonly costUsd: number }>();
  let toolCalls = 0;
  return {
    see(event) {
      if (event.type === 'run.tool-started') toolCalls += 1;
      if (event.type === 'run.usage') models.set(event.data.model, event.data);
    },
    get toolCalls() {
      return toolCalls;
    },
    get tokens() {
      return [...models.values()].reduce(plus, noUsage);
    },
    get costUsd() {
      return [...models.values()].reduce((sum, { costUsd }) => sum + costUsd, 0);
    },
  };
}

const plus = (a: TokenUsage, b: TokenUsage): TokenUsage => ({
  inputTokens: a.inputTokens + b.inputTokens,
  outputTokens: a.outputTokens + b.outputTokens,
  cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
  cacheWriteTokens: a.cacheWriteTokens + b.cacheWriteTokens,
});
