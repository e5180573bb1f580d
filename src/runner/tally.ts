import { addUsage, noUsage, type TokenUsage } from '../domain/usage.ts';
import type { EngineEvent } from './engines/engine.ts';

/** Counts what an engine does while it does it. What its model calls cost is told by the ledger where they pass our door. */
export interface Tally {
  see(event: EngineEvent): void;
  readonly toolCalls: number;
  /** What the agent said last. */
  readonly lastWords: string;
  /** The engine's own count, which is of the whole session. */
  readonly tokens: TokenUsage;
  readonly costUsd: number;
}

export function createTally(): Tally {
  /** Per model; the newest count replaces the one before. */
  const models = new Map<string, TokenUsage & { readonly costUsd: number }>();
  let toolCalls = 0;
  let lastWords = '';
  return {
    see(event) {
      if (event.type === 'run.tool-started') toolCalls += 1;
      if (event.type === 'run.text' && event.data.parentCall === undefined) lastWords = event.data.text;
      if (event.type === 'run.usage') models.set(event.data.model, event.data);
    },
    get toolCalls() {
      return toolCalls;
    },
    get lastWords() {
      return lastWords;
    },
    get tokens() {
      return [...models.values()].reduce(addUsage, noUsage);
    },
    get costUsd() {
      return [...models.values()].reduce((sum, { costUsd }) => sum + costUsd, 0);
    },
  };
}
