import type { CheckpointKind, GateState, SessionPosition } from '../domain/checkpoint.ts';
import type { GateVerdict } from '../domain/gate.ts';
import { riskOf } from '../domain/risky-command.ts';
import type { Workspace, Workspaces } from '../workspace/workspaces.ts';
import type { ToolCall } from './engines/engine.ts';

export interface CheckpointingParts {
  readonly workspaces: Workspaces;
  readonly workspace: Workspace | undefined;
  /** A checkpoint after so many tool calls; 0 for none. */
  readonly everyCalls: number;
  /** Where the conversation can be gone on from just now. */
  readonly position: () => SessionPosition | null;
  /** The last thing that the agent said. */
  readonly lastWords: () => string;
  readonly tell: (notice: string) => void;
}

/** When a run makes its checkpoints. One that cannot be made is told of and stops nobody. */
export interface Checkpointing {
  beforeTool(call: ToolCall): Promise<void>;
  /** All gates are green, after so many rounds. */
  green(round: number, verdicts: readonly GateVerdict[]): Promise<void>;
  /** The run was cut short, and nobody is at work any more. */
  cut(why: string, signal: AbortSignal): Promise<void>;
}

const longestNote = 500;

export function createCheckpointing(parts: CheckpointingParts, signal: AbortSignal): Checkpointing {
  const { workspaces, workspace, everyCalls } = parts;
  let calls = 0;
  let gates: readonly GateState[] = [];
  const told = new Set<string>();

  const keep = async (kind: CheckpointKind, why: string, until = signal): Promise<void> => {
    if (!workspace || until.aborted) return;
    calls = 0;
    const words = parts.lastWords().replaceAll(/\s+/g, ' ').trim();
    const note = words === '' ? why : `${why} The agent: ${words}`;
    const wish = { kind, note: shortened(note), session: parts.position(), gates };
    const problem = await workspaces.checkpoints.keep(workspace, wish, until).then(
      (kept) => (kept.ok ? undefined : kept.failure.message),
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    if (problem === undefined || told.has(problem) || until.aborted) return;
    told.add(problem);
    parts.tell(`No checkpoint could be made: ${problem}`);
  };

  return {
    async beforeTool({ tool, input }) {
      calls += 1;
      const command = tool === 'Bash' ? commandIn(input) : undefined;
      const risk = command === undefined ? undefined : riskOf(command);
      if (risk !== undefined) await keep('risky', `Before ${risk}: ${shortened(command ?? '', 100)}`);
      else if (everyCalls > 0 && calls > everyCalls) await keep('calls', `After ${everyCalls} tool calls.`);
    },
    async green(round, verdicts) {
      gates = verdicts.map(({ gate, passed }) => ({ gate, passed }));
      await keep('green', `Gates green after round ${round}.`);
    },
    cut: (why, until) => keep('cut', why, until),
  };
}

function commandIn(input: unknown): string | undefined {
  const command = typeof input === 'object' && input !== null && 'command' in input ? input.command : undefined;
  return typeof command === 'string' ? command : undefined;
}

const shortened = (text: string, limit = longestNote): string =>
  text.length <= limit ? text.replaceAll('\0', '') : `${text.slice(0, limit - 1).replaceAll('\0', '')}…`;
