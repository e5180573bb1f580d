/** Gates that are commands, and gates that look at the change itself. */
export const commandKinds: readonly GateKind[] = ['task', 'build', 'types', 'lint', 'tests', 'command'];
export const gateKinds = [
  'task',
  'build',
  'types',
  'lint',
  'tests',
  'command',
  'changed',
  'size',
  'paths',
  'secrets',
  'security',
  'weakening',
  'complexity',
  'coverage',
  'review',
  'contract',
] as const;
export type GateKind = (typeof gateKinds)[number];

/**
 * Why a gate that said no does not count as red: it said yes when asked again, it had said the same before the agent came, or
 * what it needs is not on this machine and was not before.
 */
export const gateExcuses = ['flaky', 'red-before', 'cannot-run'] as const;
export type GateExcuse = (typeof gateExcuses)[number];

export interface Finding {
  readonly path: string | null;
  readonly line: number | null;
  readonly text: string;
}

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface LineCoverage {
  readonly covered: number;
  readonly measured: number;
}

/** What does not count as red and is not green either: whoever is told that a run is done is told of it too. */
export interface NotGreen {
  readonly gate: string;
  readonly excuse: GateExcuse;
  readonly summary: string;
}

/** What a gate found, as it is stored and shown. */
export interface GateVerdict {
  readonly gate: string;
  readonly kind: GateKind;
  readonly passed: boolean;
  /** With one of these `passed` is true although the gate itself said no. */
  readonly excuse: GateExcuse | null;
  /** One sentence. */
  readonly summary: string;
  /** Also of a gate that passed: what a reviewer should look at. */
  readonly findings: readonly Finding[];
  readonly command: readonly string[] | null;
  readonly exitCode: number | null;
  readonly counts: TestCounts | null;
  /** Of the lines that the change adds; only where a report of the tests has told. */
  readonly coverage?: LineCoverage;
  /** The end of what the command printed, when it said no. */
  readonly output: string | null;
  /** Equal for the same error; null for a gate that said yes. */
  readonly signature: string | null;
  readonly durationMs: number;
  /** Taken from an earlier round with the same files. */
  readonly cached: boolean;
}

export const notGreenIn = (verdicts: readonly GateVerdict[]): readonly NotGreen[] =>
  verdicts.flatMap(({ gate, excuse, summary }) => (excuse === null ? [] : [{ gate, excuse, summary }]));

/** Nobody could be asked whether the contract is kept: that is neither a yes nor a no, so there is no error to tell it by. */
export const notJudged = ({ kind, passed, signature }: Pick<GateVerdict, 'kind' | 'passed' | 'signature'>): boolean =>
  kind === 'contract' && !passed && signature === null;

/** A flaky test was green in the end; the others never were. */
export const neverGreen = ({ excuse }: { readonly excuse: GateExcuse | null }): boolean =>
  excuse === 'red-before' || excuse === 'cannot-run';

/**
 * Whether something was run that speaks for the change: a command that was green, or tests of which as many pass as before and
 * only those fail that did.
 */
export const isEvidence = ({ command, passed, excuse, counts }: GateVerdict): boolean =>
  command !== null && passed && (!neverGreen({ excuse }) || (excuse === 'red-before' && (counts?.passed ?? 0) > 0));
