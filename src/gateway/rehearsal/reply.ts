import type { TokenUsage } from '../../domain/usage.ts';

export type ReplyBlock =
  | { readonly type: 'thinking'; readonly thinking: string }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tool_use'; readonly id: string; readonly name: string; readonly input: Readonly<Record<string, unknown>> };

export interface Reply {
  readonly id: string;
  readonly model: string;
  readonly blocks: readonly ReplyBlock[];
  readonly stop: string;
  readonly usage: TokenUsage;
}

/** The whole answer, as the API gives it to a request that does not stream. */
export const wholeReply = ({ id, model, blocks, stop, usage }: Reply): Record<string, unknown> => ({
  id,
  type: 'message',
  role: 'assistant',
  model,
  content: blocks.map((block) => (block.type === 'thinking' ? { ...block, signature } : block)),
  stop_reason: stop,
  stop_sequence: null,
  usage: reported(usage),
});

/** The same answer as the events of a stream, one per item. */
export function* replyEvents({ id, model, blocks, stop, usage }: Reply): Generator<string> {
  yield event('message_start', {
    message: {
      id,
      type: 'message',
      role: 'assistant',
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { ...reported(usage), output_tokens: 1 },
    },
  });
  yield event('ping', {});
  for (const [index, block] of blocks.entries()) {
    yield event('content_block_start', { index, content_block: opened(block) });
    for (const delta of deltas(block)) yield event('content_block_delta', { index, delta });
    yield event('content_block_stop', { index });
  }
  yield event('message_delta', { delta: { stop_reason: stop, stop_sequence: null }, usage: reported(usage) });
  yield event('message_stop', {});
}

const signature = 'rehearsed';

const opened = (block: ReplyBlock): Record<string, unknown> => {
  switch (block.type) {
    case 'thinking':
      return { type: 'thinking', thinking: '', signature: '' };
    case 'text':
      return { type: 'text', text: '' };
    case 'tool_use':
      return { ...block, input: {} };
  }
};

function* deltas(block: ReplyBlock): Generator<Record<string, unknown>> {
  switch (block.type) {
    case 'thinking':
      for (const thinking of pieces(block.thinking)) yield { type: 'thinking_delta', thinking };
      yield { type: 'signature_delta', signature };
      return;
    case 'text':
      for (const text of pieces(block.text)) yield { type: 'text_delta', text };
      return;
    case 'tool_use':
      for (const partial_json of pieces(JSON.stringify(block.input))) yield { type: 'input_json_delta', partial_json };
  }
}

/** Pieces as a model sends them: some words each, and never half a character. */
function* pieces(text: string, length = 48): Generator<string> {
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + length);
    const code = text.charCodeAt(end - 1);
    if (code >= 0xd800 && code <= 0xdbff && end < text.length) end += 1;
    yield text.slice(at, end);
    at = end;
  }
}

const event = (type: string, data: Record<string, unknown>): string => `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;

const reported = (usage: TokenUsage): Record<string, number> => ({
  input_tokens: usage.inputTokens,
  cache_creation_input_tokens: usage.cacheWriteTokens,
  cache_read_input_tokens: usage.cacheReadTokens,
  output_tokens: usage.outputTokens,
});
