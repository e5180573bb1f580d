import { type WorstCase, wholeMicroUsd } from '../domain/budget.ts';
import type { Price } from './price-table.ts';
import { dearestOf, priceAt, webSearchMicroUsd } from './prices.ts';
import type { MessagesBody, ModelRequest } from './providers/provider.ts';

/** Code and prose take three to four bytes a token, dense data two; so this is on the safe side of what is usually sent. */
const bytesPerToken = 2;
/** No model reads more, and none writes more in one answer. */
const longestInput = 1_000_000;
const longestOutput = 128_000;
/** A picture costs by its size in pixels, up to somewhat less than this; its bytes say nothing. */
const tokensPerImage = 5_000;
/** Up to a hundred pages, of which each is read as text and as a picture. */
const tokensPerDocument = 300_000;
/** Of a document that comes along: its pages are packed, so that many tokens take few bytes. */
const tokensPerPackedByte = 1.5;
/** Where a request does not say how often the provider may search the web for it. */
const usualSearches = 10;
/** What one search or fetch of the provider's own adds to what is read. */
const tokensPerFind = 20_000;
/** An answer of fewer tokens than this does not even hold a tool call. */
const leastOutput = 1_024;

/** What the request asks beyond the ordinary, as a factor: fast answers at up to six times, a region at a tenth more. */
export function surchargeOf({ speed, inference_geo: region }: MessagesBody): number {
  return (speed === 'fast' ? 6 : 1) * (region === 'us' ? 1.1 : 1);
}

/** The most that a request can cost at any of these prices. Upward throughout: what turns out cheaper is given back. */
export function worstCase({ body, message }: Pick<ModelRequest, 'body' | 'message'>, prices: readonly Price[]): WorstCase {
  const inputTokens = inputTokensOf(body, message);
  const surcharge = surchargeOf(message);
  // All of it may be cached, which costs more than reading it.
  const { input, cacheWrite, cacheWrite1h, output } = dearestOf(prices.map((price) => priceAt(price, inputTokens)));
  const caches = body?.includes('cache_control') === true;
  const perInputToken = !caches ? input : body?.includes('"1h"') ? Math.max(input, cacheWrite1h) : Math.max(input, cacheWrite);
  return {
    inputTokens,
    inputMicroUsd: wholeMicroUsd(inputTokens * perInputToken * surcharge) + usesOf(message, 'web_search') * webSearchMicroUsd,
    outputTokens: outputTokensOf(message),
    outputMicroUsdPerToken: output * surcharge,
    leastOutputTokens: thinkingBudget(message) === undefined ? leastOutput : 2 * leastOutput,
  };
}

/** The same request, its answer kept within so many tokens. As it came when it is short enough already. */
export function keptShort<R extends Pick<ModelRequest, 'body' | 'message'>>(request: R, outputTokens: number): R {
  const { message } = request;
  if (message.max_tokens === outputTokens) return request;
  const budget = thinkingBudget(message);
  const shorter = {
    ...message,
    max_tokens: outputTokens,
    // Thinking has to leave room for an answer, or the API refuses the request.
    ...(budget !== undefined && budget >= outputTokens
      ? { thinking: { ...(message.thinking as object), budget_tokens: Math.max(leastOutput, outputTokens - leastOutput) } }
      : {}),
  };
  return { ...request, message: shorter, body: Buffer.from(JSON.stringify(shorter)) };
}

/** What a model said, by the bytes that came of it. */
export const tokensIn = (bytes: number): number => Math.ceil(bytes / bytesPerToken);

function inputTokensOf(body: Buffer | null, message: MessagesBody): number {
  const attached = attachments(message.messages, 0);
  const text = Math.max(0, (body?.length ?? 0) - attached.bytes);
  const found = (usesOf(message, 'web_search') + usesOf(message, 'web_fetch')) * tokensPerFind;
  return Math.min(longestInput, Math.ceil(tokensIn(text) + attached.tokens + found));
}

function outputTokensOf({ max_tokens: asked }: MessagesBody): number {
  return typeof asked === 'number' && Number.isSafeInteger(asked) && asked >= 0 ? Math.min(asked, longestOutput) : longestOutput;
}

function thinkingBudget({ thinking }: MessagesBody): number | undefined {
  if (typeof thinking !== 'object' || thinking === null || !('budget_tokens' in thinking)) return undefined;
  return typeof thinking.budget_tokens === 'number' ? thinking.budget_tokens : undefined;
}

/** How often the provider may use a tool of its own. */
function usesOf({ tools }: MessagesBody, name: string): number {
  if (!Array.isArray(tools)) return 0;
  return tools.reduce((sum: number, tool: unknown) => {
    const { type, max_uses: uses } = (tool ?? {}) as { type?: unknown; max_uses?: unknown };
    if (typeof type !== 'string' || !type.startsWith(name)) return sum;
    return sum + (typeof uses === 'number' && uses > 0 ? Math.min(uses, 1_000) : usualSearches);
  }, 0);
}

interface Attached {
  readonly bytes: number;
  readonly tokens: number;
}

/** Pictures and documents, wherever they stand in the messages: in turns, and in the results of tools. */
function attachments(value: unknown, depth: number): Attached {
  let [bytes, tokens] = [0, 0];
  for (const item of Array.isArray(value) ? value : []) {
    if (typeof item !== 'object' || item === null) continue;
    const { type, source, content } = item as { type?: unknown; source?: unknown; content?: unknown };
    const { type: kind, data } = (source ?? {}) as { type?: unknown; data?: unknown };
    if (type === 'image') {
      tokens += tokensPerImage;
      if (kind === 'base64' && typeof data === 'string') bytes += data.length;
    } else if (type === 'document' && (kind === 'url' || kind === 'file')) {
      tokens += tokensPerDocument;
    } else if (type === 'document' && kind === 'base64' && typeof data === 'string') {
      tokens += Math.min(tokensPerDocument, data.length * tokensPerPackedByte);
      bytes += data.length;
    }
    if (depth < 4 && Array.isArray(content)) {
      const inside = attachments(content, depth + 1);
      bytes += inside.bytes;
      tokens += inside.tokens;
    }
  }
  return { bytes, tokens };
}
