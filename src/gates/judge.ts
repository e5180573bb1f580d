import { commandKinds, type GateVerdict } from '../domain/gate.ts';
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
 * Asks all of the gates, even after a red one. Commands share the files that they build and the processes that they may leave
 * behind, so no two run at once, and what reads their reports comes after them; what only looks at the change is asked
 * meanwhile. When nothing has been changed the rest has nothing to judge. A verdict on the same files holds; only a command
 * that was not green is asked again, since what it needs may lie elsewhere.
 */
export async function judge(judging: Judging, signal: AbortSignal): Promise<Judged> {
  const { gates } = judging;
  const first = gates.filter(({ kind }) => kind === 'changed');
  const began = await inTurn(judging, first, signal);
  if (!began.ok || signal.aborted || began.verdicts.some(({ passed }) => !passed)) return began;

  const rest = gates.filter((gate) => !first.includes(gate));
  const lanes = [rest.filter(needsTheFiles), ...rest.filter((gate) => !needsTheFiles(gate)).map((gate) => [gate])];
  // Whatever breaks in one lane: until the others have ended, files may stand in for those that were judged.
  const settled = await Promise.allSettled(lanes.map((lane) => inTurn(judging, lane, signal)));
  const judged = settled.map((lane) => {
    if (lane.status === 'rejected') throw lane.reason;
    return lane.value;
  });
  const unable = judged.find((each) => !each.ok);
  if (unable) return unable;
  const verdicts = [began, ...judged].flatMap((each) => (each.ok ? each.verdicts : []));
  return { ok: true, verdicts: gates.flatMap(({ id }) => verdicts.find(({ gate }) => gate === id) ?? []) };
}

/** On disk, as they are while nothing else writes among them. */
const needsTheFiles = ({ kind }: Gate): boolean => commandKinds.includes(kind) || kind === 'coverage';

async function inTurn(judging: Judging, gates: readonly Gate[], signal: AbortSignal): Promise<Judged> {
  const verdicts: GateVerdict[] = [];
  for (const gate of gates) {
    if (signal.aborted) break;
    const verdict = await ask(judging, gate, signal);
    if (!verdict.ok) return verdict;
    verdicts.push(verdict.value);
    await judging.tell(verdict.value);
  }
  return { ok: true, verdicts };
}

async function ask(
  { scene, earlier, clock }: Judging,
  gate: Gate,
  signal: AbortSignal,
): Promise<{ readonly ok: true; readonly value: GateVerdict } | Extract<Judged, { ok: false }>> {
  const known = earlier.find((verdict) => verdict.gate === gate.id && holdsFor(verdict));
  if (known) return { ok: true, value: { ...known, durationMs: 0, cached: true } };
  const began = clock.monotonic();
  const checked = await gate.check(scene, signal);
  if (!checked.ok) return checked;
  const durationMs = Math.round(clock.monotonic() - began);
  return { ok: true, value: { ...checked.evidence, gate: gate.id, kind: gate.kind, durationMs, cached: false } };
}

/** What weakens a gate may lie where no tree shows it. */
const holdsFor = ({ kind, command, passed, excuse }: GateVerdict): boolean =>
  kind !== 'weakening' && (command === null || (passed && excuse === null));
