import type { Finding, FindingCategory, KeptFinding } from '../../domain/finding.ts';
import { blanked, type ErrorFacts } from '../../domain/signature.ts';
import { headOf } from './examine.ts';
import { found, type Seen } from './seen.ts';

/** What a run has shown so far. */
export interface Tracked {
  readonly known: ReadonlyMap<string, Known>;
  /** How often a command failed in one way since it passed. */
  readonly failures: ReadonlyMap<string, number>;
}

interface Known {
  readonly category: FindingCategory;
  /** What showed it last; null when nothing was run. */
  readonly command: string | null;
  readonly gone: boolean;
}

export interface Step {
  readonly next: Tracked;
  readonly added: readonly KeptFinding[];
  readonly gone: readonly string[];
  readonly back: readonly string[];
}

export const nothingYet: Tracked = { known: new Map(), failures: new Map() };

/** A run that finds more than this has told what it has to tell. */
export const mostFindings = 100;
const repetitions = 3;
/** What a command that passes shows to be mended. */
const mended: readonly FindingCategory[] = ['test-failure', 'compile-error', 'type-error', 'crash'];

const errorsIn = (findings: readonly Finding[]): readonly Finding[] => findings.filter(({ category }) => mended.includes(category));

/** Whether it went wrong: a pipe hides the exit code of what is in front of it. */
export const wentWrong = ({ failed }: Pick<Seen, 'failed'>, findings: readonly Finding[]): boolean =>
  failed || errorsIn(findings).length > 0;

/** The same for two that failed alike. What is named stays: whoever lacks one package after another gets on. */
export function howItFailed({ lines }: Pick<Seen, 'lines'>, findings: readonly Finding[]): string {
  const errors = errorsIn(findings);
  const said = errors.length > 0 ? errors.map(({ category, code, message }) => `${category} ${code} ${message}`) : lines.slice(-20);
  return blanked(said.join('\n').replaceAll(/["'`]/g, ' '));
}

/** What is new, gone or back after one more use of a tool. Pure. */
export function track(before: Tracked, seen: Seen, findings: readonly Finding[], signatureOf: (facts: ErrorFacts) => string): Step {
  const { failures, repeated } = countFailure(before.failures, seen, findings);
  const current = new Map([...findings, ...repeated].map((finding) => [signatureOf(finding), finding]));
  const known = new Map(before.known);
  const added: KeptFinding[] = [];
  const back: string[] = [];
  for (const [signature, finding] of current) {
    const old = known.get(signature);
    if (!old && known.size >= mostFindings) continue;
    if (!old) added.push({ ...finding, signature, gone: false });
    else if (old.gone) back.push(signature);
    known.set(signature, { category: finding.category, command: seen.command, gone: false });
  }
  const gone = [...known].flatMap(([signature, old]) => (!old.gone && !current.has(signature) && isGone(old, seen) ? signature : []));
  for (const signature of gone) known.set(signature, { ...(known.get(signature) as Known), gone: true });
  return { next: { known, failures }, added, gone, back };
}

/** The same command does not show it any more, or one like it passed. */
function isGone({ category, command }: Known, seen: Seen): boolean {
  if (command === null || seen.command === null || category === 'repetition') return false;
  if (command === seen.command) return true;
  return !seen.failed && mended.includes(category) && headOf(command) === headOf(seen.command);
}

function countFailure(
  before: Tracked['failures'],
  { command, failed, lines }: Seen,
  findings: readonly Finding[],
): { readonly failures: Tracked['failures']; readonly repeated: readonly Finding[] } {
  if (command === null) return { failures: before, repeated: [] };
  const failures = new Map([...before].filter(([key]) => failed || !key.startsWith(`${command}\n`)));
  if (!failed) return { failures, repeated: [] };
  const key = `${command}\n${howItFailed({ lines }, findings)}`;
  const times = (failures.get(key) ?? 0) + 1;
  failures.delete(key);
  failures.set(key, times);
  for (const oldest of [...failures.keys()].slice(0, -20)) failures.delete(oldest);
  const repeated =
    times === repetitions ? [found('repetition', headOf(command), `It failed ${times} times in the same way: ${command}`, 2)] : [];
  return { failures, repeated };
}
