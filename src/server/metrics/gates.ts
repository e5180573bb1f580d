import type { JournalEvent } from '../../domain/event.ts';
import { boundedLabel, type Instruments } from './family.ts';

/** Counts what gates said, and how often agents had to be told, in the runs of this node. */
export function countGates({ counter, histogram }: Instruments): (event: JournalEvent) => void {
  const results = counter({
    name: 'nightshift_gate_results_total',
    help: 'Verdicts of gates: green, red, or why a gate that said no was excused',
    labelNames: ['gate', 'verdict'],
  });
  const duration = histogram({
    name: 'nightshift_gate_duration_seconds',
    help: 'Time that gates took, without verdicts that were known from an earlier round',
    labelNames: ['gate'],
    buckets: [0.01, 0.1, 1, 5, 15, 60, 300, 900],
  });
  const rounds = histogram({
    name: 'nightshift_rounds_per_run',
    help: 'Rounds until a run was done or given up',
    labelNames: ['decision'],
    buckets: [1, 2, 3, 4, 5, 8, 13, 21],
  });
  // A repository may name a gate as it likes.
  const labelOf = boundedLabel();
  return ({ type, data }) => {
    if (type === 'run.gate') {
      const gate = labelOf(String(data['gate']));
      results.inc({ gate, verdict: typeof data['excuse'] === 'string' ? data['excuse'] : data['passed'] === true ? 'green' : 'red' });
      if (data['cached'] !== true) duration.observe({ gate }, Number(data['durationMs']) / 1_000);
    }
    if (type === 'run.round' && data['decision'] !== 'continue')
      rounds.observe({ decision: String(data['decision']) }, Number(data['number']));
  };
}
