import type { Trouble } from '../domain/alert.ts';
import type { Severity } from '../domain/notice.ts';

/** One thing that people are told of when it is wrong. */
export interface Condition {
  /** Stable: what it is silenced and configured by. */
  readonly name: string;
  readonly severity: Severity;
  /** Whether each node looks for itself, or one look is good for all. */
  readonly scope: 'node' | 'everybody';
  /** How long it has to be wrong before anybody is told. */
  readonly forMs: number;
  /** What is wrong now, or null. Undefined when it is too early to say, or a rejection: then what was known stands. */
  look(): Promise<Trouble | null | undefined>;
}
