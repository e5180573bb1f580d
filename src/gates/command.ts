import { createHash } from 'node:crypto';
import type { GateExcuse, GateKind, TestCounts } from '../domain/gate.ts';
import { failed } from '../domain/outcome.ts';
import { blanked, signatureOf } from '../domain/signature.ts';
import { heldFiles, mayRunOtherTests } from './configuration.ts';
import { failuresIn } from './failures.ts';
import { type Change, type Checked, type CommandEnd, evidence, type Gate, type GateCommand, type Scene } from './gate.ts';
import { type GoesBy, goesBy } from './goes-by.ts';
import { countsIn } from './test-report.ts';
import { guardsTests } from './tests-kept.ts';
import { whyItCannotRun } from './toolchain.ts';
import { wayOut } from './way-out.ts';

export interface CommandGateWish extends GateCommand {
  readonly id: string;
  readonly kind: GateKind;
  /** Red counts even when it was red before the agent came. */
  readonly required: boolean;
  /** Green counts only if it is not because the change made the command ask for less. */
  readonly held?: boolean;
  /** Where the command comes from, when that has to be said. */
  readonly note?: string;
}

type Ended = Extract<CommandEnd, { kind: 'ended' }>;

/** Lines that are kept of what a red command printed. */
const keptCharacters = 6_000;

/**
 * A command that must exit with 0. A red one is asked again where chance may have a part in it, and is then held against
 * the same command among the files that the agent began with: what failed before and still does, and what could not run here
 * before either, is no fault of this run. It is said, and is no evidence that anything is good.
 */
export function commandGate(wish: CommandGateWish): Gate {
  const { id, kind, argv } = wish;
  const run = async (ask: Scene['run']): Promise<CommandEnd> => asEnded(await ask(wish));
  let before: Promise<CommandEnd | undefined> | undefined;
  let by: Promise<GoesBy> | undefined;
  const files = (change: Change): Promise<GoesBy> => (by ??= goesBy(argv, change.before));
  const hadBefore = ({ runBefore }: Scene): Promise<CommandEnd | undefined> =>
    (before ??= runBefore(wish).then((end) => end && asEnded(end)));
  /** Where a shell or a sandbox stands between, a program that is missing exits with 127: so it does without. */
  const asEnded = (end: CommandEnd): CommandEnd =>
    end.kind === 'not-started' && kind !== 'task' ? { kind: 'ended', exitCode: 127, timedOut: false, output: end.message } : end;

  const red = async (scene: Scene, ended: Ended): Promise<Checked> => {
    const counts = countsIn(ended.output);
    const facts = { command: argv, exitCode: ended.exitCode, counts, output: endOf(ended.output), signature: signatureFor(wish, ended) };
    const what = `${argv.join(' ')} ${howItEnded(wish, ended)}${counts ? `: ${counts.failed} of ${counts.failed + counts.passed} tests failed` : ''}`;
    if (kind === 'tests' && !scene.known(facts.signature)) {
      const again = await run(scene.run);
      if (again.kind === 'not-run') return { ok: false, outcome: again.outcome };
      if (again.kind === 'ended' && isGreen(again)) {
        const summary = `${what}, and was green when it was run again without a change.`;
        return evidence({ ...facts, signature: null, counts: countsIn(again.output), exitCode: 0, passed: true, excuse: 'flaky', summary });
      }
    }
    if (!wish.required) {
      const base = await hadBefore(scene);
      const excused = base?.kind === 'ended' && !isGreen(base) ? excuseFor(base, ended) : undefined;
      if (excused) return evidence({ ...facts, passed: true, excuse: excused.excuse, summary: `${what}, ${excused.why}.` });
    }
    return evidence({ ...facts, passed: false, summary: `${what}.` });
  };

  /**
   * Where what configures the tests is changed, their number says whether they are still chosen: there are more ways to leave
   * some out than anybody can recognise in the change.
   */
  const testsLost = async (scene: Scene, now: TestCounts | null): Promise<Checked | undefined> => {
    const { change } = scene;
    if ((kind !== 'tests' && kind !== 'task') || !change || !(guardsTests(change) || mayRunOtherTests(change, await files(change))))
      return undefined;
    const base = await hadBefore(scene);
    const was = base?.kind === 'ended' ? countsIn(base.output) : null;
    // One that no longer says how many there were may have run none.
    const is = now ? ran(now) : 0;
    // One that could not run before, as where another runner took its place, at least has to run something now.
    if (was === null && base?.kind === 'ended' && !isGreen(base) && now && is === 0) {
      return evidence({
        passed: false,
        summary: `${argv.join(' ')} ran no test. ${wayOut}`,
        command: argv,
        exitCode: 0,
        counts: now,
        signature: `${id}:no-test`,
      });
    }
    if (was === null || is >= ran(was)) return undefined;
    const summary = `${argv.join(' ')} ${now ? `ran ${is}` : 'tells of no'} tests; it was ${ran(was)} before, and what chooses them is changed. ${wayOut}`;
    return evidence({ passed: false, summary, command: argv, exitCode: 0, counts: now, signature: `${id}:fewer-tests` });
  };

  /**
   * Where the change touches what the command goes by, it has to be green by that as it was, too: a check has no number by which
   * one could tell that it looks at less. Where the old one finds no fault but no longer what it needs, nothing can be said.
   */
  const lessAsked = async (scene: Scene): Promise<Checked | undefined> => {
    const paths = scene.change && kind !== 'build' ? heldFiles(scene.change, await files(scene.change)) : [];
    const askOld = async (): Promise<CommandEnd | undefined> => scene.runWithOld(wish, paths).then((end) => end && asEnded(end));
    const once = paths.length === 0 ? undefined : await askOld();
    const old = kind === 'tests' && once?.kind === 'ended' && !isGreen(once) ? await askOld() : once;
    if (old?.kind === 'not-run') return { ok: false, outcome: old.outcome };
    if (old?.kind !== 'ended' || isGreen(old) || lacks(old)) return undefined;
    const base = wish.required ? undefined : await hadBefore(scene);
    if (base?.kind === 'ended' && !isGreen(base) && excuseFor(base, old)) return undefined;
    const named = paths.length > 3 ? `${paths.slice(0, 3).join(', ')} and ${paths.length - 3} more` : paths.join(', ');
    const summary = `${argv.join(' ')} is green only because ${named} ${paths.length === 1 ? 'is' : 'are'} changed: with the old it ${howItEnded(wish, old)}. ${wayOut}`;
    return evidence({
      passed: false,
      summary,
      findings: paths.slice(0, 20).map((path) => ({ path, line: null, text: `is what ${id} goes by; as it was, ${id} is red` })),
      command: argv,
      exitCode: 0,
      output: endOf(old.output),
      signature: `${id}:asks-for-less`,
    });
  };

  return {
    id,
    kind,
    definition: JSON.stringify([argv, wish.timeoutMs, wish.held === true]),
    async check(scene) {
      const ended = await run(scene.run);
      if (ended.kind === 'not-run') return { ok: false, outcome: ended.outcome };
      // No agent can install a program for the check that its task was given with.
      if (ended.kind === 'not-started') return { ok: false, outcome: failed('verify-not-started', ended.message) };
      if (!isGreen(ended)) return red(scene, ended);
      const counts = countsIn(ended.output);
      const weaker = wish.held ? ((await testsLost(scene, counts)) ?? (await lessAsked(scene))) : undefined;
      if (weaker) return weaker;
      const counted = counts ? `: ${counts.passed} tests passed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}` : '';
      return evidence({
        passed: true,
        summary: `${argv.join(' ')} exited with 0${counted}${wish.note ?? ''}.`,
        command: argv,
        exitCode: 0,
        counts,
      });
    },
  };
}

/** It stumbles over what is no longer where it was. */
const lacks = (end: Ended): boolean =>
  whyItCannotRun(end) !== undefined ||
  /cannot find (?:module|package)|could not find|no such file|ENOENT|ModuleNotFoundError|ImportError|can't open file|does not exist|no rule to make target|no files matching|no (?:test )?files? (?:were )?found|no tests? found|no inputs were found|(?:file or )?directory not found|missing script:/i.test(
    end.output,
  );

const ran = ({ passed, failed }: TestCounts): number => passed + failed;

const isGreen = ({ exitCode, timedOut }: Ended): boolean => exitCode === 0 && !timedOut;

const howItEnded = ({ timeoutMs }: GateCommand, { exitCode, timedOut }: Ended): string =>
  timedOut ? `took longer than ${timeoutMs / 1_000} seconds` : exitCode === null ? 'was killed' : `exited with ${exitCode}`;

const signatureFor = ({ id }: CommandGateWish, { exitCode, timedOut, output }: Ended): string =>
  signatureOf(
    { category: id, code: timedOut ? 'timeout' : String(exitCode), message: complaintsIn(output).slice(0, 50).join('\n') },
    (text) => createHash('sha256').update(text).digest('hex'),
  );

function excuseFor(before: Ended, now: Ended): { readonly excuse: GateExcuse; readonly why: string } | undefined {
  const [could, can] = [whyItCannotRun(before), whyItCannotRun(now)];
  if (could !== undefined && can !== undefined)
    return { excuse: 'cannot-run', why: `because it cannot be run here, and could not before the agent came (${can})` };
  if (could === undefined && can === undefined && isNoWorse(before, now))
    return { excuse: 'red-before', why: 'as it did before the agent came' };
  return undefined;
}

/**
 * Only what failed before fails: by the numbers, and by the names of the tests, or where those are not told by what it
 * complains of. What nobody has seen before counts, also of a suite that did not come as far as to count.
 */
function isNoWorse(before: Ended, now: Ended): boolean {
  if (now.timedOut && !before.timedOut) return false;
  const [was, is] = [countsIn(before.output), countsIn(now.output)];
  if ((was === null) !== (is === null) || (was && is && !isFewer(was, is))) return false;
  const [named, names] = [failuresIn(before.output), failuresIn(now.output)];
  if (named.size > 0 && names.size > 0) return [...names].every((name) => named.has(name));
  const known = new Set(complaintsIn(before.output).map(blanked));
  return complaintsIn(now.output).every((line) => known.has(blanked(line)));
}

const isFewer = (was: TestCounts, is: TestCounts): boolean => is.failed <= was.failed && is.passed >= was.passed;

/** The lines that say what is wrong; without any, the last ones. */
function complaintsIn(output: string): readonly string[] {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const complaints = lines.filter((line) => /error|fail|✖|not ok|panic|exception|traceback|cannot|undefined|warning|:\d+:\d+/i.test(line));
  return complaints.length > 0 ? complaints : lines.slice(-5);
}

function endOf(output: string): string {
  if (output.length <= keptCharacters) return output;
  const end = output.slice(-keptCharacters);
  return `…\n${end.slice(end.indexOf('\n') + 1)}`;
}
