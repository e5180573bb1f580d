import { type KeptFinding, type Worth, worthATask } from './finding.ts';
import type { GateVerdict } from './gate.ts';
import type { Reason } from './outcome.ts';

/** Whether what is found becomes a task at all, and whether that begins by itself. */
export const findingTasks = ['approve', 'run', 'off'] as const;
export type FindingTasks = (typeof findingTasks)[number];

export interface FollowUpLimits {
  readonly perRun: number;
  readonly perDay: number;
  /** How many tasks a chain may have below the one that a person, or another source, wished for. */
  readonly depth: number;
}

/** Something that could become a task. */
export interface Candidate {
  /** The same for the same work on the same repository, for ever. */
  readonly key: string;
  readonly title: string;
  readonly body: string;
  readonly worth: Worth;
  readonly from: 'finding' | 'review';
}

/** What came of looking at a run that succeeded. */
export interface FollowedUp {
  readonly runId: string;
  readonly tasks: readonly { readonly id: string; readonly title: string; readonly from: Candidate['from'] }[];
  readonly leftOut: LeftOut;
  /** Null when the change was reviewed, or when nobody wants that. */
  readonly reviewSkipped: Reason | null;
}

/** Why candidates became no tasks: they had been one before, or there would have been too many. */
export interface LeftOut {
  readonly known: number;
  readonly perRun: number;
  readonly perDay: number;
  readonly tooDeep: number;
}

export interface Before {
  /** Keys of what was a task before, whatever became of that one. */
  readonly known: ReadonlySet<string>;
  /** Tasks that were made like this since midnight. */
  readonly today: number;
  /** How many tasks stand above the parent. */
  readonly depth: number;
}

/** Which of them become tasks. Pure; the worthiest go first. */
export function chooseOffspring(
  candidates: readonly Candidate[],
  { known, today, depth }: Before,
  limits: FollowUpLimits,
): { readonly chosen: readonly Candidate[]; readonly leftOut: LeftOut } {
  const worthy = candidates.filter(({ worth }) => worth >= worthATask).sort((a, b) => b.worth - a.worth);
  const fresh = [...new Map(worthy.toReversed().map((each) => [each.key, each])).values()]
    .toReversed()
    .filter(({ key }) => !known.has(key));
  const none = { known: worthy.length - fresh.length, perRun: 0, perDay: 0, tooDeep: 0 };
  if (depth >= limits.depth) return { chosen: [], leftOut: { ...none, tooDeep: fresh.length } };
  const ofRun = fresh.slice(0, limits.perRun);
  const chosen = ofRun.slice(0, Math.max(0, limits.perDay - today));
  return { chosen, leftOut: { ...none, perRun: fresh.length - ofRun.length, perDay: ofRun.length - chosen.length } };
}

/** How the run ended, as far as its findings are concerned. */
export interface EndOfRun {
  /** Of the last round. */
  readonly verdicts: readonly GateVerdict[];
  readonly filesChanged: readonly string[];
}

/**
 * The findings of a run that succeeded which are work of their own: not what it mended, not what its gates found green
 * at the end, and not what was only there in between.
 */
export function worthyFindings(findings: readonly KeptFinding[], end: EndOfRun): readonly KeptFinding[] {
  return findings.filter((finding) => finding.worth >= worthATask && !finding.gone && isStillThere(finding, end));
}

function isStillThere({ category, file }: KeptFinding, { verdicts, filesChanged }: EndOfRun): boolean {
  switch (category) {
    case 'test-failure': {
      if (file !== null && filesChanged.includes(withoutDot(file))) return false; // its own business
      const gates = verdicts.filter(({ kind }) => kind === 'tests' || kind === 'task');
      return gates.length === 0 ? file !== null : gates.some(({ excuse }) => excuse === 'red-before');
    }
    case 'deprecation':
    case 'security':
      return true;
    // Which of them were delivered stands in the change itself, whatever wrote them.
    case 'todo':
      return false;
    // What the gates accepted did compile; the others are for people to know.
    case 'compile-error':
    case 'type-error':
    case 'crash':
    case 'repetition':
    case 'slow-command':
    case 'improvement':
      return false;
  }
}

const withoutDot = (path: string): string => path.replace(/^\.\//, '');
