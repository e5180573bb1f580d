import { describe, expect, test } from 'vitest';
import { priceTable } from './price-table.ts';
import { costOf, createPrices, pricedName } from './prices.ts';

const used = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, cacheWrite1hTokens: 0, webSearches: 0 };

test.each([
  ['claude-sonnet-4-5', 'claude-sonnet-4-5'],
  ['claude-sonnet-4-5-20250929', 'claude-sonnet-4-5'],
  ['claude-sonnet-4-5[1m]', 'claude-sonnet-4-5'],
  ['anthropic/claude-sonnet-4.5', 'claude-sonnet-4-5'],
  ['anthropic/claude-haiku-4.5:beta', 'claude-haiku-4-5'],
  ['us.anthropic.claude-opus-4-5-20251101-v1:0', 'claude-opus-4-5'],
  ['claude-opus-4@20250514', 'claude-opus-4-0'],
  ['claude-sonnet-4-20250514', 'claude-sonnet-4-0'],
  ['anthropic/claude-3.5-haiku', 'claude-haiku-3-5'],
  ['claude-3-7-sonnet-latest', 'claude-sonnet-3-7'],
  ['claude-3-haiku-20240307', 'claude-haiku-3'],
  ['Claude-Opus-5-5', 'claude-opus-5-5'],
])('%s is known as %s', (name, canonical) => {
  expect(pricedName(name)).toBe(canonical);
  expect(createPrices().find(name)).toEqual(priceTable[canonical]);
});

describe('a price', () => {
  const prices = createPrices();

  test('is made of what was read, written and cached', () => {
    const sonnet = prices.find('claude-sonnet-4-6');
    if (!sonnet) throw new Error('unknown');
    expect(costOf(sonnet, { ...used, inputTokens: 1_000, outputTokens: 1_000 })).toBe(3_000 + 15_000);
    expect(costOf(sonnet, { ...used, cacheReadTokens: 1_000_000 })).toBe(300_000);
    expect(costOf(sonnet, { ...used, cacheWriteTokens: 1_000 })).toBe(3_750);
    expect(costOf(sonnet, { ...used, cacheWriteTokens: 1_000, cacheWrite1hTokens: 400 })).toBe(600 * 3.75 + 400 * 6);
    expect(costOf(sonnet, { ...used, webSearches: 2 })).toBe(20_000);
    expect(costOf(sonnet, { ...used, inputTokens: 1 }, 1.1)).toBe(4);
  });

  test('of long prompts is what the table says for them', () => {
    const haiku = prices.find('claude-haiku-5-5');
    if (!haiku) throw new Error('unknown');
    expect(costOf(haiku, { ...used, inputTokens: 100_000 })).toBe(10_000);
    expect(costOf(haiku, { ...used, inputTokens: 50_000, cacheReadTokens: 50_001 })).toBe(25_000 + 2_501);
  });

  test('can be set, and what is left out follows from the price of the input', () => {
    const own = createPrices({ 'anthropic/claude-sonnet-4.6': { input: 1, output: 2 }, 'my-model': { input: 4, output: 8, cacheRead: 0 } });
    expect(own.find('claude-sonnet-4-6')).toEqual({ input: 1, output: 2, cacheWrite: 1.25, cacheWrite1h: 2, cacheRead: 0.1 });
    expect(own.find('my-model')).toMatchObject({ cacheWrite: 5, cacheRead: 0 });
  });

  test('that is not known is the dearest there is', () => {
    expect(prices.find('somebody-elses-model')).toBeUndefined();
    expect(prices.dearest).toMatchObject({ input: 15, output: 75 });
    expect(createPrices({ 'my-model': { input: 100, output: 500 } }).dearest).toMatchObject({ input: 100, output: 500 });
  });
});
