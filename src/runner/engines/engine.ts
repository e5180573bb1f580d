import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import type { z } from 'zod';
import type { Happening } from '../../domain/event.ts';
import type { Outcome } from '../../domain/outcome.ts';
import type { Task } from '../../domain/task.ts';
import type { Tier } from '../../domain/tier.ts';
import type { Command } from '../../platform/subprocess.ts';
import type { Watch } from '../hooks/hook.ts';

export interface EngineRequest {
  readonly task: Task;
  readonly runId: string;
  /** The directory to work in; it exists and belongs to this run. */
  readonly directory: string;
  /** The whole environment for whatever the engine starts. */
  readonly env: Readonly<Record<string, string>>;
  /** Who is asked before a tool is used, and told of what happens. A command is one use of a tool, named `command`. */
  readonly watch?: Watch;
  /** What engines with a conversation need besides; others ignore it. */
  readonly conversation?: ConversationRequest;
  /**
   * Starts the engine's program with three pipes; the sandbox puts itself around it here. A signal sent to the group of
   * the process must end everything in it. Without this, it is started as it is, in a process group of its own.
   */
  readonly spawn?: (command: Command) => ChildProcessWithoutNullStreams;
  /** The same for engines that start programs by themselves: what to start instead, or why it cannot be. */
  readonly wrap?: (
    command: Command,
  ) => { readonly ok: true; readonly command: Command } | { readonly ok: false; readonly outcome: Outcome };
}

export interface ToolCall {
  readonly tool: string;
  readonly input: unknown;
}

export interface ConversationRequest {
  /** Where models are reached, and the run's own credential: never a provider's key. */
  readonly model: {
    /** Without a trailing `/v1`. With a socket, the host in it is only a name. */
    readonly baseUrl: string;
    readonly socket?: string;
    readonly credential: string;
    readonly name?: string;
    /** What stands for a light, a standard and a deep model: the engine's helpers and subagents choose among these. */
    readonly tiers?: Readonly<Record<Tier, string | undefined>>;
  };
  /** Keeps the session from one run to the next; private, outside of the workspace, and writable by the engine. */
  readonly sessionDirectory: string;
  /** The session to go on with, in the directory that it was begun in. Without it a new one begins. */
  readonly resume?: string;
  /** Of the session to go on with, no more than what came up to this message; it goes on as a new session, and the old one stays. */
  readonly resumeAt?: string;
  /** What to say. Without it: the task, or when a session is resumed, that it was interrupted and shall go on. */
  readonly prompt?: string;
  /** Added to what the engine tells the model anyway. */
  readonly instructions?: string;
  readonly maxTurns?: number;
  /** The only tools there are; without it, all that make sense with nobody watching. */
  readonly tools?: readonly string[];
  /** Tools of the server itself; where `tools` names all there are, only those that it names as `mcp__nightshift__NAME`. */
  readonly own?: readonly AgentTool[];
  /** How often the engine itself asks again when a model call fails. */
  readonly modelRetries?: number;
  /** Awaited before the first model call, so that a session that was begun can always be found again. */
  onSession?(sessionId: string): Promise<void>;
  /** Told of each message after which the session can be gone on with, see `resumeAt`. */
  onPosition?(messageId: string): void;
  /** Awaited before a tool is used that no hook refused, with the input that it will get. Must not reject. */
  beforeTool?(call: ToolCall): Promise<void>;
}

/** Something of the server's that an agent may call while it works. `call` is given what fits `input`, and may reject. */
export interface AgentTool {
  readonly name: string;
  readonly description: string;
  readonly input: z.ZodRawShape;
  call(given: unknown): Promise<{ readonly failed: boolean; readonly text: string }>;
}

export type EngineEvent =
  | Extract<
      Happening,
      {
        type:
          | 'run.output'
          | 'run.notice'
          | 'run.session'
          | 'run.text'
          | 'run.thinking'
          | 'run.tool-started'
          | 'run.tool-finished'
          | 'run.denied'
          | 'run.usage'
          | 'run.retry'
          | 'run.error';
      }
    >
  | { readonly type: 'outcome'; readonly outcome: Outcome };

/**
 * Something that can attempt a task. The events end with exactly one outcome. `run` must not throw: failures are
 * outcomes. When the signal aborts, it stops everything it started and ends with an outcome soon; which one does not
 * matter, since the runner knows why it aborted.
 */
export interface Engine {
  readonly name: string;
  /** Talks with a model: it needs a door to one, and is expected to change something. */
  readonly converses: boolean;
  /** Why this task cannot be attempted by this engine, or undefined. Asked when a task is submitted. */
  refuses(wish: { readonly body: string | null }): string | undefined;
  run(request: EngineRequest, signal: AbortSignal): AsyncIterable<EngineEvent>;
}
