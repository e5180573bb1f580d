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
}

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
  let observed: Observed = { model: undefined, usage: undefined, complete: false, errorType: undefined };
  let pending = '';
  const take = (line: string): void => {
    // Deltas are by far the most, and nothing in them is needed.
    if (!line.startsWith('data:') || line.includes('"content_block_')) return;
    observed = afterEvent(observed, parse(line.slice(5)));
  };
  return {
    see(chunk) {
      pending += decoder.decode(chunk, { stream: true });
      const lines = pending.split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) take(line);
      if (pending.length > longestLine) pending = '';
    },
    end() {
      take(pending);
      return observed;
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
        model: text(message['model']),
        usage: message['usage'] === undefined ? undefined : merge(undefined, message['usage']),
        complete: message['type'] !== undefined,
        errorType: message['type'] === 'error' ? text(record(message['error'])['type']) : undefined,
      };
    },
  };
}

function afterEvent(before: Observed, event: Readonly<Record<string, unknown>>): Observed {
  switch (event['type']) {
    case 'message_start': {
      const message = record(event['message']);
      return { ...before, model: text(message['model']) ?? before.model, usage: merge(before.usage, message['usage']) };
    }
    case 'message_delta':
      return { ...before, usage: merge(before.usage, event['usage']) };
    case 'message_stop':
      return { ...before, complete: true };
    case 'error':
      return { ...before, errorType: text(record(event['error'])['type']) ?? 'api_error' };
    default:
      return before;
  }
}

/** Later figures of a stream are running totals, so they replace the earlier ones. */
function merge(before: TokenUsage = noUsage, reported: unknown): TokenUsage {
  const usage = record(reported);
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
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
