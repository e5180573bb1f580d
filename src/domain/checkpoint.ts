import type { Reason } from './outcome.ts';

/**
 * When one is made: the gates were green, so many tool calls have passed, a command may destroy something, the run was cut
 * short and another shall go on, a rewind replaces files.
 */
export const checkpointKinds = ['green', 'calls', 'risky', 'cut', 'rewind'] as const;
export type CheckpointKind = (typeof checkpointKinds)[number];

/** Where a conversation stood. Without a message it had only begun. */
export interface SessionPosition {
  readonly sessionId: string;
  readonly messageId: string | null;
}

export interface GateState {
  readonly gate: string;
  readonly passed: boolean;
}

/** A point that a run can be put back to, or gone on from: its files, its conversation, how its gates stood, and what for. */
export interface Checkpoint {
  readonly id: string;
  readonly taskId: string;
  readonly runId: string;
  /** Counts up within a run. */
  readonly number: number;
  readonly workspaceId: string;
  readonly kind: CheckpointKind;
  readonly note: string;
  /** git's name for the files that it shows, and for those that are ignored; null when there was too much of the latter. */
  readonly files: string;
  readonly ignored: string | null;
  /** Paths that were left out for their size; a rewind to here leaves them alone. Each byte of a name is one character. */
  readonly tooBig: readonly string[];
  /** The commit that the work stood on. */
  readonly tip: string;
  readonly session: SessionPosition | null;
  /** As they were asked last; none when they never were. */
  readonly gates: readonly GateState[];
  readonly at: number;
}

export type Rewinding =
  /** `before` holds what was replaced; null when nothing had to be. */
  | { readonly kind: 'rewound'; readonly checkpoint: Checkpoint; readonly before: Checkpoint | null }
  | { readonly kind: 'not-found' | 'busy' | 'elsewhere' }
  | { readonly kind: 'failed'; readonly reason: Reason };

export interface CheckpointPolicy {
  /** As many of one run, at most. */
  readonly perRun: number;
  readonly keepMs: number;
}

/**
 * Those that have had their time: the oldest beyond the number, and what is too old. The newest and the last green one of a
 * run stay as long as its workspace, because they are what a recovery goes back to.
 */
export function surplus(
  checkpoints: readonly Pick<Checkpoint, 'id' | 'number' | 'kind' | 'at'>[],
  { perRun, keepMs }: CheckpointPolicy,
  now: number,
): readonly string[] {
  const newestFirst = checkpoints.toSorted((one, other) => other.number - one.number);
  const stay = [newestFirst[0], newestFirst.find(({ kind }) => kind === 'green')];
  const kept = new Set(stay.flatMap((checkpoint) => checkpoint?.id ?? []));
  let room = perRun - kept.size;
  return newestFirst
    .filter(({ id, at }) => {
      if (kept.has(id)) return false;
      room -= 1;
      return room < 0 || at < now - keepMs;
    })
    .map(({ id }) => id);
}
