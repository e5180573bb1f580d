/** In dollars per million tokens. */
export interface Price {
  readonly input: number;
  readonly output: number;
  /** Kept for five minutes. */
  readonly cacheWrite: number;
  readonly cacheWrite1h: number;
  readonly cacheRead: number;
  /** Instead, for a call that reads more than so many tokens. */
  readonly long?: { readonly above: number; readonly price: Omit<Price, 'long'> };
}

/**
 * List prices of Claude models, in dollars per million tokens, as of 2026-11-21: those that Claude Code 2.1.329 reckons
 * with, which agree with platform.claude.com/docs/en/about-claude/pricing where that names them. The setting `prices`
 * overrides and adds to them.
 */
export const priceTable: Readonly<Record<string, Price>> = {
  'claude-haiku-3': price(0.25, 1.25, { cacheWrite: 0.3, cacheRead: 0.03 }),
  'claude-haiku-3-5': price(0.8, 4),
  'claude-haiku-4-5': price(1, 5),
  'claude-haiku-5-5': { ...price(0.1, 0.5), long: { above: 100_000, price: price(0.5, 2.5) } },
  'claude-sonnet-3-5': price(3, 15),
  'claude-sonnet-3-7': price(3, 15),
  // With the long context of its beta.
  'claude-sonnet-4-0': { ...price(3, 15), long: { above: 200_000, price: price(6, 22.5) } },
  'claude-sonnet-4-5': { ...price(3, 15), long: { above: 200_000, price: price(6, 22.5) } },
  'claude-sonnet-4-6': price(3, 15),
  'claude-sonnet-5': price(2, 10),
  'claude-sonnet-5-5': price(2, 10, { cacheRead: 0.1 }),
  'claude-opus-3': price(15, 75),
  'claude-opus-4-0': price(15, 75),
  'claude-opus-4-1': price(15, 75),
  'claude-opus-4-5': price(5, 25),
  'claude-opus-4-6': price(5, 25),
  'claude-opus-4-7': price(5, 25),
  'claude-opus-4-8': price(5, 25),
  'claude-opus-5': price(5, 25),
  'claude-opus-5-5': price(4, 20, { cacheRead: 0.2 }),
  'claude-fable-5': price(10, 50),
  'claude-fable-5-1': price(10, 50, { cacheRead: 0.25 }),
  'claude-fable-5-2': price(8, 40, { cacheRead: 0.2 }),
  'claude-mythos-5': price(10, 50),
  'claude-mythos-5-1': price(10, 50, { cacheRead: 0.25 }),
  'claude-mythos-5-2': price(8, 40, { cacheRead: 0.2 }),
};

/** Caching costs a quarter more for five minutes, twice as much for an hour, and reading it a tenth, unless said otherwise. */
function price(input: number, output: number, other: Partial<Price> = {}): Price {
  return { input, output, cacheWrite: input * 1.25, cacheWrite1h: input * 2, cacheRead: input / 10, ...other };
}
