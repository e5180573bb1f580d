import { wholeMicroUsd } from '../domain/budget.ts';
import type { TokenUsage } from '../domain/usage.ts';
import { type Price, priceTable } from './price-table.ts';

type FlatPrice = Omit<Price, 'long'>;

/** As a setting: what is left out follows from the input's price, as it does with Claude. */
export interface PriceSetting {
  readonly input: number;
  readonly output: number;
  readonly cacheWrite?: number | undefined;
  readonly cacheWrite1h?: number | undefined;
  readonly cacheRead?: number | undefined;
}

export interface Prices {
  /** The price of a model by whatever name a provider gives it; undefined when it is not in the table. */
  find(model: string): Price | undefined;
  /** What a model that is not in the table is taken to cost: as much as the dearest that is. Never nothing. */
  readonly dearest: Price;
}

export interface Consumption extends TokenUsage {
  /** Of what was written to the cache. */
  readonly cacheWrite1hTokens: number;
  readonly webSearches: number;
}

export const webSearchMicroUsd = 10_000;

export function createPrices(overrides: Readonly<Record<string, PriceSetting>> = {}): Prices {
  const table = new Map(Object.entries(priceTable));
  for (const [name, price] of Object.entries(overrides)) table.set(pricedName(name), complete(price));
  const dearest = dearestOf([...table.values()].map((price) => price.long?.price ?? price));
  return { find: (model) => table.get(pricedName(model)), dearest };
}

/**
 * The name without what providers put around it: `anthropic/claude-sonnet-4.5`, `us.anthropic.claude-sonnet-4-5-20250929-v1:0`
 * and `claude-sonnet-4-5[1m]` are all `claude-sonnet-4-5`.
 */
export function pricedName(model: string): string {
  const bare = model
    .toLowerCase()
    .slice(0, 200)
    .replace(/^.*\//, '')
    .replace(/^(?:[a-z-]+\.)*anthropic\./, '')
    .replace(/\[[^\]]*\]$/, '')
    .replace(/:[a-z]+$/, '')
    .replace(/-v\d+(?::\d+)?$/, '')
    .replace(/[@-](?:\d{8}|latest)$/, '')
    .replaceAll('.', '-');
  const swapped = /^claude-(\d(?:-\d)?)-(opus|sonnet|haiku)$/.exec(bare);
  if (swapped) return `claude-${swapped[2]}-${swapped[1]}`;
  return /^claude-(?:opus|sonnet)-4$/.test(bare) ? `${bare}-0` : bare;
}

/** What a call cost. `surcharge` is for what the request asked beyond the ordinary. */
export function costOf(price: Price, used: Consumption, surcharge = 1): number {
  const read = used.inputTokens + used.cacheReadTokens + used.cacheWriteTokens;
  const { input, output, cacheRead, cacheWrite, cacheWrite1h } = priceAt(price, read);
  const long = Math.min(used.cacheWrite1hTokens, used.cacheWriteTokens);
  const tokens =
    used.inputTokens * input +
    used.outputTokens * output +
    used.cacheReadTokens * cacheRead +
    (used.cacheWriteTokens - long) * cacheWrite +
    long * cacheWrite1h;
  return wholeMicroUsd(tokens * surcharge) + used.webSearches * webSearchMicroUsd;
}

/** Of a call that reads so many tokens. */
export const priceAt = (price: Price, read: number): FlatPrice =>
  price.long !== undefined && read > price.long.above ? price.long.price : price;

/** At least as dear as each of them, whatever a call consists of. */
export const dearestOf = (prices: readonly FlatPrice[]): FlatPrice =>
  prices.reduce((most, price) => ({
    input: Math.max(most.input, price.input),
    output: Math.max(most.output, price.output),
    cacheWrite: Math.max(most.cacheWrite, price.cacheWrite),
    cacheWrite1h: Math.max(most.cacheWrite1h, price.cacheWrite1h),
    cacheRead: Math.max(most.cacheRead, price.cacheRead),
  }));

const complete = ({ input, output, cacheWrite, cacheWrite1h, cacheRead }: PriceSetting): Price => ({
  input,
  output,
  cacheWrite: cacheWrite ?? input * 1.25,
  cacheWrite1h: cacheWrite1h ?? input * 2,
  cacheRead: cacheRead ?? input * 0.1,
});
