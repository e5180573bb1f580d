import { asksForGreen } from '../domain/asks-for-green.ts';
import type { GateKind } from '../domain/gate.ts';
import type { Clock } from '../platform/clock.ts';
import { changedGate, pathsGate, sizeGate } from './change.ts';
import { type CommandGateWish, commandGate } from './command.ts';
import { complexityGate } from './complexity/complexity.ts';
import { coverageGate } from './coverage.ts';
import { type DetectedGate, detectGates, isReal } from './detect.ts';
import { evidence, type Gate } from './gate.ts';
import { secretsGate } from './secrets.ts';
import { securityGate } from './security.ts';
import { type GateSetting, type GateSettings, gatesFile, parseGateSettings } from './settings.ts';
import { weakeningGate } from './weakening.ts';

interface Tree {
  read(path: string): Promise<string | undefined>;
}

export interface PlanWish {
  /** The files that the agent began with: what it writes cannot change which gates there are. Undefined without a repository. */
  readonly base: Tree | undefined;
  /** The task's own check; it stands in for the repository's tests. */
  readonly verify: readonly string[] | null;
  /** The task in its own words. */
  readonly asked: string;
  /** Made by an agent: it was asked to change something, and may be tempted. What an operator's own command does is meant. */
  readonly byAgent: boolean;
  readonly mayWeaken: boolean;
  readonly clock: Clock;
}

export interface Plan {
  readonly limits: GateSettings['limits'];
  /** In the order in which they are asked; `now` are the files as they are, for gates that the change itself brings. */
  gates(now: Tree | undefined): Promise<readonly Gate[]>;
}

export type Planned = { readonly ok: true; readonly plan: Plan } | { readonly ok: false; readonly message: string };

const timeoutMs = 15 * 60_000;
const order: readonly GateKind[] = ['build', 'types', 'lint', 'command', 'tests'];

/** Which gates a run has to pass. Refuses a file of gates that cannot be read: to leave it out would be to leave out its gates. */
export async function planGates({ base, verify, asked, byAgent, mayWeaken, clock }: PlanWish): Promise<Planned> {
  const parsed = parseGateSettings(await base?.read(gatesFile));
  if (!parsed.ok) return { ok: false, message: `${gatesFile} of the repository cannot be used: ${parsed.message}.` };
  const { settings } = parsed;
  const before = base ? await detectGates((path) => base.read(path)) : [];
  const known = new Map<string, Gate>();
  const held = byAgent && !mayWeaken;
  const task = verify ? [commandGate({ id: 'task', kind: 'task', argv: verify, timeoutMs: 24 * 3_600_000, required: true, held })] : [];
  // What a build does is the work of many changes.
  const judging = [
    ...commandsOf(before, settings.gates).flatMap((each) => ('argv' in each && each.kind !== 'build' ? [each] : [])),
    ...(verify ? [{ id: 'task', argv: verify }] : []),
  ];
  const isOn = (id: string): boolean => settings.gates[id]?.off !== true;
  const ofChange = [
    ...(byAgent ? [changedGate, sizeGate(settings.limits)] : []),
    pathsGate(settings.paths.forbidden),
    secretsGate,
    securityGate,
    ...(byAgent ? [weakeningGate(mayWeaken, judging), complexityGate(settings.limits.complexity, clock)] : []),
  ].filter(({ id }) => isOn(id));

  return {
    ok: true,
    plan: {
      limits: settings.limits,
      async gates(now) {
        if (!base || !now) return task;
        const brought = (await detectGates((path) => now.read(path))).filter(({ id }) => before.every((each) => each.id !== id));
        // The task's own check says what counts, so the repository's tests need not be asked as well.
        const detected = [...before, ...brought].filter(({ kind }) => verify === null || kind !== 'tests');
        const commands = commandsOf(detected, settings.gates).map((found) => {
          if ('says' in found) return toldGate(found);
          const wish = {
            ...found,
            required: found.required || !byAgent || asksForGreen(asked, found.kind),
            held,
          };
          // One gate for the whole run: it remembers how things were before.
          const gate = known.get(wish.id) ?? commandGate(wish);
          known.set(wish.id, gate);
          return gate;
        });
        const coverage = isOn('coverage') ? [coverageGate(settings.limits.coverage)] : [];
        return [...ofChange, ...commands, ...task, ...coverage];
      },
    },
  };
}

/** Names of gates that are no commands; what is set for them does not make them one. */
const builtIn = ['changed', 'size', 'paths', 'secrets', 'security', 'weakening', 'complexity', 'coverage', 'task'];

/** What people have put in the place of a check that was found is theirs, and nobody shall take it for that check. */
interface Told {
  readonly id: string;
  readonly kind: GateKind;
  readonly says: string;
}

const toldGate = ({ id, kind, says }: Told): Gate => ({ id, kind, check: async () => evidence({ passed: true, summary: says }) });

function commandsOf(detected: readonly DetectedGate[], set: GateSettings['gates']): readonly (CommandGateWish | Told)[] {
  const ids = [...new Set([...detected.map(({ id }) => id as string), ...Object.keys(set)])].filter((id) => !builtIn.includes(id));
  return ids
    .flatMap(
      (id) =>
        wishFor(
          id,
          detected.find((each) => each.id === id),
          set[id],
        ) ?? [],
    )
    .sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

function wishFor(id: string, detected: DetectedGate | undefined, set: GateSetting | undefined): CommandGateWish | Told | undefined {
  const kind = detected?.kind ?? kindOf(id);
  const found = detected ? ` in the place of ${detected.argv.join(' ')}` : '';
  if (set?.off) return detected && { id, kind, says: `${gatesFile} switches off ${detected.argv.join(' ')}: nothing was run.` };
  const argv = set?.run ?? detected?.argv;
  if (!argv) return undefined;
  if (set?.run && !isReal(argv.join(' '))) {
    return { id, kind, says: `${gatesFile} has ${argv.join(' ')}${found}, which checks nothing: nothing was run.` };
  }
  return {
    id,
    kind,
    argv,
    ...(set?.run && detected ? { note: `, set by ${gatesFile}${found}` } : {}),
    timeoutMs: set?.timeoutSeconds === undefined ? timeoutMs : set.timeoutSeconds * 1_000,
    required: set?.required === true,
  };
}

const kindOf = (id: string): GateKind => (id === 'build' || id === 'types' || id === 'lint' || id === 'tests' ? id : 'command');
