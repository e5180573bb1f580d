import type { Bench } from '../support/bench.ts';
import type { Section } from '../support/report.ts';

/** A subject that can be measured alone. Several names share a suite where measuring them together saves minutes. */
export interface Suite {
  readonly names: readonly string[];
  run(bench: Bench, wanted: ReadonlySet<string>): Promise<readonly Section[]>;
}
