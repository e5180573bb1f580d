import type { GateKind, GateVerdict } from '../domain/gate.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { ChangedFile, ChangedLine } from '../workspace/diff.ts';
import type { Ignored } from '../workspace/snapshot.ts';

/**
 * A check that must pass before a run counts as done. It judges the files as they are, not what anybody says about them.
 * `check` must not throw for what it finds; an outcome instead of evidence means that this machine could not look.
 */
export interface Gate {
  readonly id: string;
  readonly kind: GateKind;
  /** What its verdict depends on besides the files of a workspace. Without it, each run asks for itself. */
  readonly definition?: string;
  check(scene: Scene, signal: AbortSignal): Promise<Checked>;
}

export type Evidence = Omit<GateVerdict, 'gate' | 'kind' | 'durationMs' | 'cached'>;
export type Checked = { readonly ok: true; readonly evidence: Evidence } | { readonly ok: false; readonly outcome: Outcome };

/** What there is to judge. */
export interface Scene {
  /** Undefined where there is no repository: then there are only commands. */
  readonly change: Change | undefined;
  /** Runs a command where the agent worked, as the agent could have. */
  run(command: GateCommand): Promise<CommandEnd>;
  /** The same among the files that the agent began with. Undefined when that is not possible. */
  runBefore(command: GateCommand): Promise<CommandEnd | undefined>;
  /** The same among the files as they are, but for these, which are as they were. Undefined when that is not possible. */
  runWithOld(command: GateCommand, paths: readonly string[]): Promise<CommandEnd | undefined>;
  /** Whether an earlier round ended with this error. */
  known(signature: string): boolean;
  /** What the commands of this round, and nobody else, have written to one of `coverageReports`; undefined if that is nothing. */
  leftBehind(path: string): Promise<LeftBehind | undefined>;
  readonly directory: string;
}

export interface Change {
  readonly files: readonly ChangedFile[];
  /** What was added and removed, up to a limit: for whoever has to hold the one against the other. */
  readonly lines: readonly ChangedLine[];
  readonly linesTruncated: boolean;
  /** What git does not take, and is on disk all the same. */
  readonly ignored: readonly Ignored[];
  /** Programs of installed packages that are not as they were installed. */
  readonly touchedPrograms: readonly string[];
  /** Every added line without a limit, in order; a very long one comes in pieces that overlap, under the same number. */
  eachAdded(look: (line: ChangedLine) => void): Promise<Read>;
  /** A file as it was before, or as it is now. */
  before(path: string): Promise<string | undefined>;
  now(path: string): Promise<string | undefined>;
}

export type LeftBehind =
  | { readonly kind: 'file'; readonly pieces: AsyncIterable<string> }
  /** Longer than the limit, in bytes. */
  | { readonly kind: 'too-long'; readonly limit: number };

type Read = { readonly ok: true } | { readonly ok: false; readonly outcome: Outcome };

export interface GateCommand {
  readonly argv: readonly string[];
  readonly timeoutMs: number;
}

export type CommandEnd =
  | {
      readonly kind: 'ended';
      /** Null when it did not end by itself. */
      readonly exitCode: number | null;
      readonly timedOut: boolean;
      /** The end of what it printed. */
      readonly output: string;
    }
  /** There is no such program. */
  | { readonly kind: 'not-started'; readonly message: string }
  /** The machine or the sandbox could not do it, which says nothing of the command. */
  | { readonly kind: 'not-run'; readonly outcome: Outcome };

export const evidence = (facts: Pick<Evidence, 'passed' | 'summary'> & Partial<Evidence>): Checked => ({
  ok: true,
  evidence: { excuse: null, findings: [], command: null, exitCode: null, counts: null, output: null, signature: null, ...facts },
});
