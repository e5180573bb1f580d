import { createHash } from 'node:crypto';
import { commandKinds, type GateVerdict } from '../domain/gate.ts';
import type { Gate } from '../gates/gate.ts';
import type { Clock } from '../platform/clock.ts';
import { keepVerdict, verdictsKept } from '../store/kept-verdicts.ts';
import type { Store } from '../store/store.ts';
import type { Workspace } from '../workspace/workspace.ts';
import type { Place } from './place.ts';
import { patiently } from './recorder.ts';

export interface KeptVerdictsParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly place: Pick<Place, 'env' | 'enclosure'>;
}

/** What gates said of the files of a workspace, beyond the run that asked. */
export interface KeptVerdicts {
  readonly known: readonly GateVerdict[];
  /** Stores what holds for other runs too. */
  keep(verdict: GateVerdict): Promise<void>;
}

/**
 * Verdicts about these very files that hold for this run as well: of the same workspace, the same definition of the gate, and
 * the same tools as far as we know them. Why not of other workspaces: docs/decisions/0020.
 */
export async function keptVerdicts(
  { store, clock, place }: KeptVerdictsParts,
  { id: workspaceId }: Workspace,
  tree: string,
  gates: readonly Gate[],
  signal: AbortSignal,
): Promise<KeptVerdicts> {
  const around = [process.version, place.env['PATH'], place.enclosure !== undefined];
  const definitions = new Map(
    gates.flatMap(({ id, definition }) =>
      definition === undefined
        ? []
        : [
            [
              id,
              createHash('sha256')
                .update(JSON.stringify([definition, around]))
                .digest('hex'),
            ],
          ],
    ),
  );
  const kept = await patiently(clock, signal, () => verdictsKept(store.read, { workspaceId, tree }));
  const known = kept.filter(({ definition, verdict }) => definition === definitions.get(verdict.gate)).map(({ verdict }) => verdict);
  const isMeasured = !definitions.has('coverage') || known.some(({ gate }) => gate === 'coverage');
  return {
    // A report of coverage is one of the tests' run: where it was not judged then, they have to be run again.
    known: known.filter(({ kind }) => isMeasured || !(kind === 'tests' || kind === 'task' || kind === 'command')),
    async keep(verdict) {
      const definition = definitions.get(verdict.gate);
      if (definition === undefined || !holds(verdict)) return;
      await patiently(clock, signal, () => store.write((tx) => keepVerdict(tx, { workspaceId, tree, definition, verdict }, clock.now())));
    },
  };
}

/** A red command may do better another time, and a flaky one was red. What was measured stays. */
const holds = ({ kind, passed, excuse, cached }: GateVerdict): boolean =>
  !cached && (commandKinds.includes(kind) ? passed && excuse === null : true);
