import type { GateVerdict } from '../domain/gate.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { Clock } from '../platform/clock.ts';
import type { Gate, Scene } from './gate.ts';

export interface Judging {
  readonly scene: Scene;
  readonly gates: readonly Gate[];
  /** What earlier rounds found for these very files. */
  readonly earlier: readonly GateVerdict[];
  readonly clock: Clock;
  readonly tell: (verdict: GateVerdict) => Promise<void>;
}

export type Judged = { readonly ok: true; readonly verdicts: readonly GateVerdict[] } | { readonly ok: false; readonly outcome: Outcome };

/**
 * Asks the gates one after the other, all of them even after a red one. Commands share the files that they build and the
 * processes that they may leave behind, so no two run at once. When nothing has been changed the rest has nothing to judge.
 * A verdict on the same files holds; only a command that was not green is asked again, since what it needs may lie elsewhere.
 */
export async function judge({ scene, gates, earlier, clock, tell }: Judging, signal: AbortSignal): Promise<Judged> {
  const verdicts: GateVerdict[] = [];
  for (const gate of gates) {
    const known = earlier.find((verdict) => verdict.gate === gate.id && holdsFor(verdict));
    const began = clock.monotonic();
    const checked = known ? { ok: true as const, evidence: known } : await gate.check(scene, signal);
    if (!checked.ok) return checked;
    const durationMs = known ? 0 : Math.round(clock.monotonic() - began);
    const verdict: GateVerdict = { ...checked.evidence, gate: gate.id, kind: gate.kind, durationMs, cached: known !== undefined };
    verdicts.push(verdict);
    await tell(verdict);
    if (signal.aborted || (gate.kind === 'changed' && !verdict.passed)) break;
  }
  return { ok: true, verdicts };
}

const holdsFor = ({ command, passed, excuse }: GateVerdict): boolean => command === null || (passed && excuse === null);
