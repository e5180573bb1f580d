import { describe, expect, test } from 'vitest';
import { keptShort, worstCase } from './estimate.ts';
import { createPrices } from './prices.ts';
import type { MessagesBody } from './providers/provider.ts';

const { dearest } = createPrices();
const requestOf = (message: MessagesBody) => ({ message, body: Buffer.from(JSON.stringify(message)) });
const worstOf = (message: MessagesBody) => worstCase(requestOf({ max_tokens: 1_000, ...message }), [dearest]);
const asks = (...content: object[]): MessagesBody => ({ messages: [{ role: 'user', content }] });
const attached = (type: 'image' | 'document', media: string, bytes: number) => ({
  type,
  source: { type: 'base64', media_type: media, data: 'A'.repeat(bytes) },
});

describe('what a request may read', () => {
  test('is a token for two bytes of text', () => {
    expect(worstOf(asks({ type: 'text', text: 'x'.repeat(100_000) })).inputTokens).toBeGreaterThanOrEqual(50_000);
  });

  test('is not told by the bytes of a picture', () => {
    expect(worstOf(asks(attached('image', 'image/png', 1_000_000))).inputTokens).toBeLessThan(10_000);
  });

  test('is more than the bytes of a document, whose pages are packed, and no more than it can have', () => {
    expect(worstOf(asks(attached('document', 'application/pdf', 100_000))).inputTokens).toBeGreaterThanOrEqual(150_000);
    expect(worstOf(asks(attached('document', 'application/pdf', 5_000_000))).inputTokens).toBeLessThan(310_000);
  });

  test('grows with what the provider may look up', () => {
    const looksUp = (type: string, uses?: number) =>
      worstOf({ tools: [{ type, name: 'web', ...(uses === undefined ? {} : { max_uses: uses }) }] }).inputTokens;
    expect(looksUp('web_search_20250305', 2)).toBeGreaterThanOrEqual(40_000);
    expect(looksUp('web_fetch_20250910')).toBeGreaterThanOrEqual(200_000);
  });
});

describe('what a request may be answered', () => {
  test.each([
    ['as much as it asks for', 5_000, 5_000],
    ['nothing, when it only warms a cache', 0, 0],
    ['the longest answer there is, when it does not say', undefined, 128_000],
    ['the longest answer there is, when it asks for more', 1_000_000, 128_000],
    ['the longest answer there is, when it talks nonsense', 'lots', 128_000],
  ])('is %s', (_, asked, tokens) => {
    const request = requestOf({ max_tokens: asked });
    const { outputTokens } = worstCase(request, [dearest]);
    expect(outputTokens).toBe(tokens);
    expect(keptShort(request, outputTokens).message.max_tokens).toBe(tokens);
  });
});
