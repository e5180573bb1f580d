import type { SDKAssistantMessage, SDKMessage, SDKResultMessage, SDKUserMessage } from '@anthropic-ai/claude-agent-sdk';
import type { Clock } from '../../../platform/clock.ts';
import { resultText, shownInput, trimmed } from '../../shown.ts';
import type { EngineEvent } from '../engine.ts';

type NarratedEvent = Exclude<EngineEvent, { type: 'outcome' }>;

export interface Narrator {
  /** What a message of the SDK means in our words; nothing for most. Calls and results are paired across messages. */
  tell(message: SDKMessage): readonly NarratedEvent[];
}

const outputLimit = 8_000;
const textLimit = 64_000;

/** `conceal` goes over everything that an agent or a tool wrote. */
export function createNarrator(clock: Clock, conceal: (text: string) => string): Narrator {
  const open = new Map<string, { readonly tool: string; readonly since: number }>();
  const clean = (text: string, limit: number): string => trimmed(conceal(text), limit);

  const fromAssistant = ({ message, error, parent_tool_use_id: parent }: SDKAssistantMessage): readonly NarratedEvent[] => {
    const within = parent === null ? {} : { parentCall: parent };
    return message.content.flatMap((block): readonly NarratedEvent[] => {
      switch (block.type) {
        case 'text':
          if (error !== undefined) return [{ type: 'run.error', data: { code: error, message: clean(block.text, 2_000) } }];
          return block.text.trim() === '' ? [] : [{ type: 'run.text', data: { text: clean(block.text, textLimit), ...within } }];
        case 'thinking':
          return block.thinking.trim() === ''
            ? []
            : [{ type: 'run.thinking', data: { text: clean(block.thinking, textLimit), ...within } }];
        case 'tool_use':
          open.set(block.id, { tool: block.name, since: clock.monotonic() });
          return [
            { type: 'run.tool-started', data: { call: block.id, tool: block.name, input: shownInput(block.input, clean), ...within } },
          ];
        default:
          return [];
      }
    });
  };

  const fromUser = ({ message, parent_tool_use_id: parent }: SDKUserMessage): readonly NarratedEvent[] => {
    if (typeof message.content === 'string') return [];
    return message.content.flatMap((block): readonly NarratedEvent[] => {
      if (block.type !== 'tool_result') return [];
      const call = open.get(block.tool_use_id);
      open.delete(block.tool_use_id);
      const output = resultText(block.content);
      const finished: NarratedEvent[] = [
        {
          type: 'run.tool-finished',
          data: {
            call: block.tool_use_id,
            tool: call?.tool ?? 'unknown',
            failed: block.is_error === true,
            output: clean(output, outputLimit),
            outputSize: output.length,
            durationMs: call ? Math.round(clock.monotonic() - call.since) : 0,
            ...(parent === null ? {} : { parentCall: parent }),
          },
        },
      ];
      // A tool that there is, and that this run does not have. One that an agent made up has been refused by nobody.
      const disabled = block.is_error === true && /^<tool_use_error>Error: No such tool available: (\S+)\. \1 is disabled\b/.test(output);
      return disabled ? [...finished, denied(block.tool_use_id, call?.tool ?? 'unknown', output)] : finished;
    });
  };
  const denied = (call: string, tool: string, why: string): NarratedEvent => ({
    type: 'run.denied',
    data: {
      call,
      tool,
      by: 'the agent engine',
      reason: clean(
        why
          .replaceAll(/<\/?tool_use_error>/g, ' ')
          .replaceAll(/\s+/g, ' ')
          .trim(),
        500,
      ),
    },
  });

  return {
    tell(message) {
      if (message.type === 'assistant') return fromAssistant(message);
      if (message.type === 'user') return fromUser(message);
      if (message.type === 'result') return usageIn(message);
      if (message.type !== 'system') return [];
      if (message.subtype === 'api_retry') {
        const { attempt, max_retries: of, retry_delay_ms: waitMs, error_status: status, error } = message;
        return [{ type: 'run.retry', data: { attempt, of, waitMs: Math.round(waitMs), status, error } }];
      }
      if (message.subtype === 'permission_denied') return [denied(message.tool_use_id, message.tool_name, message.message)];
      const notice = noticeIn(message);
      return notice === undefined ? [] : [{ type: 'run.notice', data: { text: clean(notice, 2_000) } }];
    },
  };
}

function noticeIn(message: Extract<SDKMessage, { type: 'system' }>): string | undefined {
  switch (message.subtype) {
    case 'compact_boundary':
      return 'The conversation was compacted.';
    case 'informational':
      return message.content;
    case 'session_writes_lost':
      return 'Part of the session could not be written down; it may not be possible to go on with it later.';
    default:
      return undefined;
  }
}

const usageIn = ({ modelUsage, num_turns: turns }: SDKResultMessage): readonly NarratedEvent[] =>
  Object.entries(modelUsage ?? {}).map(([model, used]) => ({
    type: 'run.usage',
    data: {
      model,
      inputTokens: used.inputTokens,
      outputTokens: used.outputTokens,
      cacheReadTokens: used.cacheReadInputTokens,
      cacheWriteTokens: used.cacheCreationInputTokens,
      costUsd: used.costUSD,
      turns,
    },
  }));
