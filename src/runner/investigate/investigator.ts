import { createHash } from 'node:crypto';
import type { NewEvent } from '../../domain/event.ts';
import type { KeptFinding } from '../../domain/finding.ts';
import { type ErrorFacts, signatureOf } from '../../domain/signature.ts';
import type { Clock } from '../../platform/clock.ts';
import { insertFindings, markGone } from '../../store/findings.ts';
import { append } from '../../store/journal.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { About, OnToolComplete } from '../hooks/hook.ts';
import { patiently } from '../recorder.ts';
import { examine, seenIn } from './examine.ts';
import { nothingYet, type Step, type Tracked, track } from './track.ts';

export interface InvestigatorParts {
  readonly store: Store;
  readonly clock: Clock;
  /** Keeps what a run found for later ones, in the transaction in which it is stored. */
  readonly note: (tx: Tx, about: About, finding: KeptFinding) => Promise<void>;
}

/** Of so many runs it is remembered what they have shown; more are never at work at the same time. */
const mostRuns = 1_000;
/** A run that has taken so many notes has nothing more to teach. */
const mostNotes = 20;

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
export const signatureOfFinding = (facts: ErrorFacts): string => signatureOf(facts, hash);

/**
 * Looks at what tools answered, after each use of one, beside the work. What it finds is stored once for each run and
 * signature, together with its event and its note.
 */
export function investigator({ store, clock, note }: InvestigatorParts): OnToolComplete {
  const runs = new Map<string, { tracked: Tracked; notes: number }>();

  function runOf(id: string): { tracked: Tracked; notes: number } {
    const known = runs.get(id) ?? { tracked: nothingYet, notes: 0 };
    runs.delete(id);
    runs.set(id, known);
    for (const oldest of runs.keys()) {
      if (runs.size <= mostRuns) break;
      runs.delete(oldest);
    }
    return known;
  }

  async function keep(about: About, step: Step, notes: number, signal: AbortSignal): Promise<number> {
    const of = { taskId: about.task.id, runId: about.run.id };
    return patiently(clock, signal, () =>
      store.write(async (tx) => {
        const fresh = await insertFindings(tx, of, step.added, clock.now());
        await markGone(tx, of.runId, step.gone, true);
        await markGone(tx, of.runId, step.back, false);
        const added = step.added.filter(({ signature }) => fresh.has(signature));
        await append(
          tx,
          added.map(({ gone: _, ...data }): NewEvent => ({ type: 'run.finding', data, ...of })),
          clock.now(),
        );
        const noted = added.slice(0, Math.max(0, mostNotes - notes));
        for (const finding of noted) await note(tx, about, finding);
        return noted.length;
      }),
    );
  }

  return {
    id: 'investigation',
    on: 'tool-complete',
    timeoutMs: 60_000,
    async run({ tool, ...about }, signal) {
      const seen = seenIn(tool, about.workspace?.directory);
      const run = runOf(about.run.id);
      const step = track(run.tracked, seen, examine(seen), signatureOfFinding);
      if (step.added.length + step.gone.length + step.back.length > 0) run.notes += await keep(about, step, run.notes, signal);
      run.tracked = step.next;
    },
  };
}
