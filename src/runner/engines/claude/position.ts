import type { SDKMessage } from '@anthropic-ai/claude-agent-sdk';
import { type Clock, wait } from '../../../platform/clock.ts';

export interface Positions {
  /** The message after which the conversation can be gone on with, if this one is such a message. */
  see(message: SDKMessage): string | undefined;
  /** Resolves when the reader has come as far as this call: a hook is asked ahead of what is still being read. */
  reached(call: string, signal: AbortSignal): Promise<void>;
}

/** A reader that is held up does not hold the agent up for longer. */
const patienceMs = 2_000;

/**
 * Where a conversation can be cut: after an answer, or after the last result of the calls that one made; between a call and
 * its result it cannot. What subagents say is no part of it.
 */
export function createPositions(clock: Clock): Positions {
  const open = new Set<string>();
  const seen = new Set<string>();
  const waiting = new Map<string, () => void>();
  return {
    see(message) {
      if (message.type !== 'assistant' && message.type !== 'user') return undefined;
      const { content } = message.message;
      const blocks = typeof content === 'string' ? [] : content;
      for (const block of blocks) {
        if (block.type !== 'tool_use') continue;
        seen.add(block.id);
        waiting.get(block.id)?.();
      }
      if (message.parent_tool_use_id !== null) return undefined;
      for (const block of blocks) {
        if (block.type === 'tool_use') open.add(block.id);
        if (block.type === 'tool_result') open.delete(block.tool_use_id);
      }
      return open.size === 0 ? message.uuid : undefined;
    },
    async reached(call, signal) {
      if (seen.has(call)) return;
      const given = new AbortController();
      const told = new Promise<void>((resolve) => waiting.set(call, resolve));
      await Promise.race([told, wait(clock, patienceMs, AbortSignal.any([signal, given.signal]))]);
      given.abort();
      waiting.delete(call);
    },
  };
}
