import type { HookPoint, RunPoint, WorkPoint } from '../../domain/hook.ts';
import type { Outcome, Reason } from '../../domain/outcome.ts';
import type { RunResult } from '../../domain/result.ts';
import type { Run } from '../../domain/run.ts';
import type { Task } from '../../domain/task.ts';

/** A say of the operator's in what runs do; what Nightshift itself has to say there is one of these as well. */
export interface Hook<P extends HookPoint = HookPoint> {
  readonly id: string;
  readonly on: P;
  readonly timeoutMs: number;
  /** Of `pre-tool` and `tool-complete`: the only tools that it is asked or told about. */
  readonly tools?: readonly string[];
  /** Of `pre-tool`: one that fails or takes too long has refused. Without it, the call goes on as if the hook were not there. */
  readonly required?: boolean;
  /** Of the other moments of an engine's work: the engine goes on when the hook has been told, not meanwhile. */
  readonly wait?: boolean;
  /**
   * May throw. Must stop everything it started when the signal aborts, which is also what a time-out does. After a crash it
   * is called again for the same attempt at the task, though in another run.
   */
  run(facts: FactsAt<P>, signal: AbortSignal): HookAnswer | Promise<HookAnswer>;
}

/** The agent has been told something and begins to think. */
export type OnThinkingStart = Hook<'thinking-start'>;
/** A tool is about to be used: the hook may refuse that, or put another input in place of the one that was asked for. */
export type BeforeTool = Hook<'pre-tool'>;
/** A tool was used, whatever came of it. */
export type OnToolComplete = Hook<'tool-complete'>;
/** The run ended in any other way than by success. */
export type OnError = Hook<'error'>;
/** The run succeeded: its gates are green and its work is delivered. */
export type OnTaskComplete = Hook<'post-run'>;

/** Thrown by a hook that could not be asked, because this machine was short of something: that says nothing about the run. */
export class Unasked extends Error {}

/** Nothing and `true` go on. `input` counts before a tool, and is what the tool gets instead. */
export type HookAnswer =
  // biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement is a hook that has no objection
  void | boolean | { readonly allow: boolean; readonly reason?: string; readonly input?: Readonly<Record<string, unknown>> };

/** What a hook is told: plain JSON, and never a secret. */
export type HookFacts = FactsAt<HookPoint>;
export type FactsAt<P extends HookPoint> = P extends RunPoint
  ? About & RunEnd & { readonly point: P }
  : P extends WorkPoint
    ? About & MomentAt<P>
    : never;

/** Whose moment it is. */
export interface About {
  readonly task: Pick<
    Task,
    'id' | 'source' | 'externalRef' | 'title' | 'body' | 'repository' | 'ref' | 'priority' | 'requestedBy' | 'trust'
  >;
  readonly run: Pick<Run, 'id' | 'attempt' | 'engine'>;
  /** Null when the run ended before it had a place. */
  readonly workspace: { readonly directory: string; readonly branch: string | null; readonly baseCommit: string | null } | null;
}

interface RunEnd {
  /** Null before the run. */
  readonly outcome: Outcome | null;
  /** Null before the run. The patch is in `diffFile`. */
  readonly result: Omit<RunResult, 'diff' | 'sessionId'> | null;
}

/** What an engine is doing, in the same words whichever engine it is. */
export type Moment =
  /** `prompt` is what the agent was told, cut short. */
  | { readonly point: 'thinking-start'; readonly prompt: string }
  | { readonly point: 'pre-tool'; readonly tool: ToolCall }
  | { readonly point: 'tool-complete'; readonly tool: ToolEnd }
  /** The conversation has become too long and is about to be summed up. */
  | { readonly point: 'compacting'; readonly trigger: 'auto' | 'manual' }
  /** The agent has stopped, of itself or because its model could not go on. `said` is the end of what it said. */
  | { readonly point: 'turn-end'; readonly said: string | null; readonly error: Reason | null };
export type MomentAt<P extends WorkPoint> = Extract<Moment, { readonly point: P }>;

export interface ToolCall {
  /** Pairs the moments of one call, with each other and with the events of the run. */
  readonly call: string;
  readonly name: string;
  /** Whole before the tool; afterwards long parts are cut short. */
  readonly input: unknown;
  readonly bySubagent: boolean;
}

export interface ToolEnd extends ToolCall {
  readonly failed: boolean;
  /** The beginning and the end of it, if it is long; `outputSize` is how long it was, in characters. */
  readonly output: string;
  readonly outputSize: number;
  readonly durationMs: number | null;
}

/** Whom an engine asks and tells about its work. Neither rejects, nor takes longer than the hooks' time limits allow. */
export interface Watch {
  /** Whether anybody wants to hear of it: what nobody does need not be told. */
  wants(point: WorkPoint): boolean;
  /** Before each use of a tool; the engine does as it is answered, and shows the model the reason. */
  ask(moment: MomentAt<'pre-tool'>): Promise<ToolVerdict>;
  /** Resolves at once, unless a hook of that moment is one to wait for. */
  tell(moment: Exclude<Moment, { readonly point: 'pre-tool' }>): Promise<void>;
}

export type ToolVerdict =
  | { readonly allow: true; readonly input?: Readonly<Record<string, unknown>>; readonly reason?: string }
  | { readonly allow: false; readonly reason: string };
