import { noUsage, type TokenUsage } from '../domain/usage.ts';

/** An answer without line ends beyond this is not looked at any more; it is still passed on. */
const longestLine = 16 * 1024 * 1024;

export interface Observed {
  readonly model: string | undefined;
  /** What was reported so far; of an answer that broke off, the output is too small. */
  readonly usage: TokenUsage | undefined;
  /** The answer came to its own end. */
  readonly complete: boolean;
  /** The error that a stream ended with, when it did. */
  readonly errorType: string | undefined;
  /** Of what was written to the cache, what is kept for an hour: it costs more. */
  readonly cacheWrite1hTokens: number;
  /** Made by the provider itself while it answered. */
  readonly webSearches: number;
  /** Roughly, of what the model said so far: to reckon with where no usage was reported. */
  readonly outputBytes: number;
}

const nothingSeen: Observed = {
  model: undefined,
  usage: undefined,
  complete: false,
  errorType: undefined,
  cacheWrite1hTokens: 0,
  webSearches: 0,
  outputBytes: 0,
};

/** What an event of a delta takes besides the text in it. */
const deltaFrame = 112;

export interface Meter {
  see(chunk: Uint8Array): void;
  end(): Observed;
}

/** Reads usage and model from an answer that passes by, streamed or whole. Whatever it cannot read, it leaves out. */
export function meterFor(contentType: string): Meter {
  return contentType.includes('event-stream') ? streamMeter() : wholeMeter();
}

function streamMeter(): Meter {
  const decoder = new TextDecoder();
  let observed = nothingSeen;
  let pending = '';
  let bytes = 0;
  let deltas = 0;
  const take = (line: string): void => {
    if (!line.startsWith('data:')) return;
    // Deltas are by far the most, and nothing in them is needed but how many there are.
    if (line.includes('"content_block_')) {
      deltas += 1;
      return;
    }
    observed = afterEvent(observed, parse(line.slice(5)));
  };
  return {
    see(chunk) {
      bytes += chunk.length;
      pending += decoder.decode(chunk, { stream: true });
      const lines = pending.split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) take(line);
      if (pending.length > longestLine) pending = '';
    },
    end() {
      take(pending);
      return { ...observed, outputBytes: deltas === 0 ? 0 : Math.max(deltas, bytes - deltas * deltaFrame) };
    },
  };
}

function wholeMeter(): Meter {
  const chunks: Uint8Array[] = [];
  let size = 0;
  return {
    see(chunk) {
      size += chunk.length;
      if (size <= longestLine) chunks.push(chunk);
      else chunks.length = 0;
    },
    end() {
      const message = parse(Buffer.concat(chunks).toString('utf8'));
      return {
        ...withUsage(nothingSeen, message['usage']),
        model: text(message['model']),
        complete: message['type'] !== undefined,
        errorType: message['type'] === 'error' ? text(record(message['error'])['type']) : undefined,
        outputBytes: size,
      };
    },
  };
}

function afterEvent(before: Observed, event: Readonly<Record<string, unknown>>): Observed {
  switch (event['type']) {
    case 'message_start': {
      const message = record(event['message']);
      return { ...withUsage(before, message['usage']), model: text(message['model']) ?? before.model };
    }
    case 'message_delta':
      return withUsage(before, event['usage']);
    case 'message_stop':
      return { ...before, complete: true };
    case 'error':
      return { ...before, errorType: text(record(event['error'])['type']) ?? 'api_error' };
    default:
      return before;
  }
}

function withUsage(before: Observed, reported: unknown): Observed {
  if (reported === undefined) return before;
  const usage = record(reported);
  return {
    ...before,
    usage: merge(before.usage, usage),
    cacheWrite1hTokens: count(record(usage['cache_creation'])['ephemeral_1h_input_tokens']) ?? before.cacheWrite1hTokens,
    webSearches: count(record(usage['server_tool_use'])['web_search_requests']) ?? before.webSearches,
  };
}

/** Later figures of a stream are running totals, so they replace the earlier ones. */
function merge(before: TokenUsage = noUsage, usage: Readonly<Record<string, unknown>>): TokenUsage {
  return {
    inputTokens: count(usage['input_tokens']) ?? before.inputTokens,
    outputTokens: count(usage['output_tokens']) ?? before.outputTokens,
    cacheReadTokens: count(usage['cache_read_input_tokens']) ?? before.cacheReadTokens,
    cacheWriteTokens: count(usage['cache_creation_input_tokens']) ?? before.cacheWriteTokens,
  };
}

function parse(json: string): Readonly<Record<string, unknown>> {
  try {
    return record(JSON.parse(json));
  } catch {
    return {}; // garbage is for the agent to complain about
  }
}

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? Math.min(value, mostTokens) : undefined;

/** More than any model reads or writes; a figure beyond is nonsense, and would not add up exactly. */
const mostTokens = 100_000_000;
