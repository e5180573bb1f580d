import type { HookCallback, HookInput, Options, SyncHookJSONOutput } from '@anthropic-ai/claude-agent-sdk';
import type { WorkPoint } from '../../../domain/hook.ts';
import type { ToolCall, ToolEnd, ToolVerdict, Watch } from '../../hooks/hook.ts';
import { resultText, shownInput, trimmed } from '../../shown.ts';

/** What a hook is shown of a tool's output, and of each long field of its input. */
const outputLimit = 64_000;
const inputLimit = 32_000;
const promptLimit = 16_000;
/** Our own limits come first: a hook that the SDK gave up would be one that nobody noted. */
const sdkTimeoutSeconds = 3_600;

type Input<E extends HookInput['hook_event_name']> = Extract<HookInput, { hook_event_name: E }>;

export interface Listening {
  readonly watch: Watch | undefined;
  /** Awaited before a tool that nobody refused is used, with the input that it will get. Must not reject. */
  readonly beforeUse: ((tool: ToolCall) => Promise<void>) | undefined;
}

/**
 * The SDK's hook events in our words. Only those are asked for that somebody wants: each costs the agent's program a
 * question and an answer. `conceal` goes over everything that an agent or a tool wrote.
 */
export function sdkHooks({ watch, beforeUse }: Listening, conceal: (text: string) => string): NonNullable<Options['hooks']> {
  const shown = (text: string, limit: number): string => trimmed(conceal(text), limit);
  const end = (input: Input<'PostToolUse'> | Input<'PostToolUseFailure'>, failed: boolean, output: string): ToolEnd => ({
    ...callOf(input, shownInput(input.tool_input, shown, inputLimit, inputLimit / 2)),
    failed,
    output: shown(output, outputLimit),
    outputSize: output.length,
    durationMs: input.duration_ms === undefined ? null : Math.round(input.duration_ms),
  });
  const tell = async (moment: Parameters<Watch['tell']>[0]): Promise<SyncHookJSONOutput> => {
    await watch?.tell(moment);
    return {};
  };
  const all: readonly (readonly [WorkPoint, NonNullable<Options['hooks']>])[] = [
    ['thinking-start', on('UserPromptSubmit', ({ prompt }) => tell({ point: 'thinking-start', prompt: shown(prompt, promptLimit) }))],
    // One answer for both: the SDK asks all of its hooks at once, and each about the input that the model gave.
    ['pre-tool', on('PreToolUse', (input) => asked({ watch, beforeUse }, callOf(input, withoutSecret(input.tool_input, conceal))))],
    [
      'tool-complete',
      {
        ...on('PostToolUse', (input) => tell({ point: 'tool-complete', tool: end(input, false, outputOf(input.tool_response)) })),
        ...on('PostToolUseFailure', (input) => tell({ point: 'tool-complete', tool: end(input, true, input.error) })),
      },
    ],
    ['compacting', on('PreCompact', ({ trigger }) => tell({ point: 'compacting', trigger }))],
    [
      'turn-end',
      {
        ...on('Stop', ({ last_assistant_message: said }) =>
          tell({ point: 'turn-end', said: said === undefined ? null : shown(said, promptLimit), error: null }),
        ),
        ...on('StopFailure', ({ last_assistant_message: said, error, error_details: details }) =>
          tell({
            point: 'turn-end',
            said: said === undefined ? null : shown(said, promptLimit),
            error: { code: error, message: shown(details ?? error, 2_000) },
          }),
        ),
      },
    ],
  ];
  const wants = (point: WorkPoint): boolean => watch?.wants(point) === true || (point === 'pre-tool' && beforeUse !== undefined);
  return Object.assign({}, ...all.flatMap(([point, hooks]) => (wants(point) ? hooks : [])));
}

function on<E extends HookInput['hook_event_name']>(
  event: E,
  answer: (input: Input<E>) => Promise<SyncHookJSONOutput>,
): NonNullable<Options['hooks']> {
  const callback: HookCallback = async (input) => (input.hook_event_name === event ? answer(input as Input<E>) : {});
  return { [event]: [{ hooks: [callback], timeout: sdkTimeoutSeconds }] };
}

async function asked({ watch, beforeUse }: Listening, tool: ToolCall): Promise<SyncHookJSONOutput> {
  const verdict: ToolVerdict = watch?.wants('pre-tool') ? await watch.ask({ point: 'pre-tool', tool }) : { allow: true };
  if (!verdict.allow) {
    return {
      hookSpecificOutput: { hookEventName: 'PreToolUse', permissionDecision: 'deny', permissionDecisionReason: verdict.reason },
    };
  }
  await beforeUse?.(verdict.input ? { ...tool, input: verdict.input } : tool);
  if (!verdict.input) return {};
  const said = verdict.reason === undefined ? '' : ` ${verdict.reason}`;
  return {
    hookSpecificOutput: {
      hookEventName: 'PreToolUse',
      permissionDecision: 'allow',
      updatedInput: { ...verdict.input },
      additionalContext: `The input of this ${tool.name} call was changed before it was used.${said}`,
    },
  };
}

const callOf = (
  { tool_use_id: call, tool_name: name, agent_id: agent }: Input<'PreToolUse'> | Input<'PostToolUse'> | Input<'PostToolUseFailure'>,
  input: unknown,
): ToolCall => ({ call, name, input, bySubagent: agent !== undefined });

/** Whole, because who shall judge it must see all of it. */
function withoutSecret(input: unknown, conceal: (text: string) => string): unknown {
  const whole = JSON.stringify(input) ?? 'null';
  const concealed = conceal(whole);
  return concealed === whole ? input : JSON.parse(concealed);
}

/** What the tools of the SDK answer has a form for each of them; commands have two outputs, most others a content. */
function outputOf(response: unknown): string {
  if (typeof response === 'string') return response;
  if (typeof response !== 'object' || response === null) return '';
  const { stdout, stderr, content } = response as Record<string, unknown>;
  if (typeof stdout === 'string' || typeof stderr === 'string') {
    return [stdout, stderr].filter((text) => typeof text === 'string' && text !== '').join('\n');
  }
  return content === undefined || !Array.isArray(content) ? (JSON.stringify(response) ?? '') : resultText(content);
}
