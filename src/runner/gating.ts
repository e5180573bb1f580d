import { join } from 'node:path';
import { type GateVerdict, notJudged } from '../domain/gate.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { Round } from '../domain/round.ts';
import { tooBigGate } from '../gates/change.ts';
import { coverageReports } from '../gates/coverage.ts';
import { type Change, type CommandEnd, evidence, type Gate, type GateCommand, type Scene } from '../gates/gate.ts';
import { type Judged, judge } from '../gates/judge.ts';
import { type Plan, planGates } from '../gates/plan.ts';
import { weakeningLabel } from '../gates/way-out.ts';
import type { Claim } from '../queue/queue.ts';
import { changedFiles, changedLines, diff, eachAddedLine } from '../workspace/diff.ts';
import type { Failure } from '../workspace/failure.ts';
import type { Git } from '../workspace/git.ts';
import { openTree, type Tree, treeWithOld } from '../workspace/tree.ts';
import type { Workspace, Workspaces } from '../workspace/workspaces.ts';
import { type Checking, runCheck } from './check.ts';
import { type ContractParts, contractGate, type Proof, shownPatch } from './contract.ts';
import { failureOutcome } from './failure-outcome.ts';
import { touchedPrograms } from './installed.ts';
import { type KeptVerdictsParts, keptVerdicts } from './kept-verdicts.ts';
import type { Place } from './place.ts';
import { reportsIn } from './reports.ts';
import { readReview } from './review.ts';

export interface GatingParts extends Checking, KeptVerdictsParts, Pick<ContractParts, 'ask' | 'newId'> {
  readonly git: Git;
  readonly workspaces: Workspaces;
  readonly place: Place;
  readonly claim: Claim;
  /** Whether an agent makes the change. */
  readonly byAgent: boolean;
  /** What the agent said last. */
  readonly lastWords: () => string;
  /** Where the whole patch is written when somebody has to read it. */
  readonly patchFile: string;
  /** Each verdict as it comes. */
  readonly tell: (verdict: GateVerdict) => Promise<void>;
}

/** The gates of one run. */
export interface Gating {
  readonly limits: Pick<Plan['limits'], 'rounds' | 'minutes'>;
  /** The files that the agent began with, as a tree. */
  readonly baseTree: string | null;
  /** Asks them about the files as they are now, and leaves those as they are. `earlier` are the rounds so far. */
  judge(earlier: readonly Round[]): Promise<Asked>;
}

type Asked =
  | { readonly ok: true; readonly tree: string | null; readonly verdicts: readonly GateVerdict[] }
  | { readonly ok: false; readonly outcome: Outcome };
export type Opened = { readonly ok: true; readonly gating: Gating } | { readonly ok: false; readonly outcome: Outcome };

const lineLimits = { maxLines: 100_000, maxBytes: 32 * 1024 * 1024 };

export async function openGating(parts: GatingParts, signal: AbortSignal): Promise<Opened> {
  const { git, place, claim, byAgent } = parts;
  const { workspace } = place;
  if (claim.task.deliverable === 'review') {
    return { ok: true, gating: { limits: {}, baseTree: null, judge: () => judgeWithout(parts, [reviewGate], [], signal) } };
  }
  const base = workspace && (await openTree(git, workspace.gitDir, workspace.baseCommit, signal));
  if (base && !base.ok) return unfit(base.failure);
  const planned = await planGates({
    clock: parts.clock,
    base: base?.value,
    verify: claim.task.verify,
    asked: [claim.task.title, claim.task.body, claim.task.doneWhen].filter(Boolean).join('\n'),
    byAgent,
    mayWeaken: claim.task.trust !== 'untrusted' && claim.task.labels.includes(weakeningLabel),
  });
  if (!planned.ok) return { ok: false, outcome: { kind: 'needs-human', reason: { code: 'bad-gates-file', message: planned.message } } };
  const { plan } = planned;
  const { limits } = plan;
  if (!workspace || !base)
    return { ok: true, gating: { limits, baseTree: null, judge: (earlier) => judgePlainly(parts, plan, earlier, signal) } };
  const named = await git.run({ gitDir: workspace.gitDir, args: ['rev-parse', '--verify', `${workspace.baseCommit}^{tree}`] }, signal);
  if (!named.ok) return unfit(named.failure);
  const began = { tree: named.value.stdout.trim(), files: base.value };
  const judgeIt: Gating['judge'] = (earlier) => judgeWorkspace(parts, plan, workspace, began, earlier, signal);
  return { ok: true, gating: { limits, baseTree: began.tree, judge: judgeIt } };
}

/** Without a repository there is nothing but the task's own check. */
async function judgePlainly(parts: GatingParts, plan: Plan, earlier: readonly Round[], signal: AbortSignal): Promise<Asked> {
  const judged = await judgeWithout(parts, await plan.gates(undefined), earlier, signal);
  return judged.ok ? judgeContract(parts, judged, async () => ({ ok: true, change: undefined }), earlier, signal) : judged;
}

/** Without a look at what was changed. */
async function judgeWithout(parts: GatingParts, gates: readonly Gate[], earlier: readonly Round[], signal: AbortSignal): Promise<Asked> {
  const scene = { ...commandsOf(parts, earlier, signal), change: undefined };
  const judged = await judge({ ...parts, scene, gates, earlier: [] }, signal);
  return judged.ok ? { ok: true, tree: null, verdicts: judged.verdicts } : judged;
}

/** Of a review there is nothing to run: it must only be there, and be one. */
const reviewGate: Gate = {
  id: 'review',
  kind: 'review',
  async check({ directory }) {
    const found = await readReview(directory);
    return found.ok
      ? evidence({ passed: true, summary: `The review has ${found.review.comments.length} comments on lines.` })
      : evidence({ passed: false, summary: found.message, signature: `review:${found.message}` });
  },
};

interface Base {
  readonly tree: string;
  readonly files: Tree;
}

async function judgeWorkspace(
  parts: GatingParts,
  plan: Plan,
  workspace: Workspace,
  base: Base,
  earlier: readonly Round[],
  signal: AbortSignal,
): Promise<Asked> {
  const { git, workspaces } = parts;
  const taken = await workspaces.snapshot(workspace, signal);
  if (!taken.ok) return unfit(taken.failure);
  const { tree, tooBig } = taken.value;
  // What cannot be taken is neither judged nor delivered: nothing else is worth asking before it is gone.
  if (tooBig.length > 0) {
    const judged = await judgeWithout(parts, [tooBigGate(tooBig)], earlier, signal);
    return judged.ok ? { ...judged, tree } : judged;
  }
  const files = await openTree(git, workspace.gitDir, tree, signal);
  if (!files.ok) return unfit(files.failure);
  const ignored = await workspaces.ignored(workspace, signal);
  if (!ignored.ok) return unfit(ignored.failure);
  const beside = { ignored: ignored.value, touchedPrograms: await touchedPrograms(workspace.tree) };
  const change = await changeBetween(git, workspace.gitDir, base, { tree, files: files.value }, beside, signal);
  if (!change.ok) return unfit(change.failure);

  const reports = reportsIn(workspace.tree, coverageReports, join(workspace.path, 'reports'));
  const runAmong = (other: string, command: GateCommand): Promise<CommandEnd | undefined> =>
    reports.without(async () => {
      const gone = await workspaces.swap(workspace, other, signal);
      const ended = gone.ok ? await runCheck(parts, command, signal) : undefined;
      const back = await workspaces.swap(workspace, tree, signal);
      return back.ok ? ended : { kind: 'not-run', outcome: failureOutcome(back.failure) };
    });
  const scene: Scene = {
    ...commandsOf(parts, earlier, signal),
    change: change.value,
    runBefore: (command) => runAmong(base.tree, command),
    async runWithOld(command, paths) {
      const mixed = await treeWithOld(git, workspace, { tree, old: base.tree, paths }, signal);
      return mixed.ok ? runAmong(mixed.value, command) : { kind: 'not-run', outcome: failureOutcome(mixed.failure) };
    },
    leftBehind: reports.read,
  };
  const gates = await plan.gates(files.value);
  const kept = await keptVerdicts(parts, workspace, tree, gates, signal);
  const known = [...(earlier.findLast((round) => round.tree === tree)?.verdicts ?? []), ...kept.known];
  const tell = async (verdict: GateVerdict): Promise<void> => {
    await parts.tell(verdict);
    await kept.keep(verdict);
  };
  // What the checks write is not what the agent made: it is neither judged nor delivered.
  const judgeAll = async (): Promise<Judged> => {
    await reports.clear();
    return judge({ ...parts, tell, scene, gates, earlier: known }, signal);
  };
  const judged = await workspaces.preserve(workspace, tree, judgeAll, signal);
  if (!judged.ok) return unfit(judged.failure);
  if (!judged.value.ok) return judged.value;
  const changeToShow = async (): Promise<ToShow> => {
    const range = { gitDir: workspace.gitDir, from: base.tree, to: tree };
    const found = await diff(git, { ...range, patchFile: parts.patchFile, previewBytes: shownPatch }, signal);
    return found.ok ? { ok: true, change: found.value } : unfit(found.failure);
  };
  return judgeContract(parts, { tree, verdicts: judged.value.verdicts }, changeToShow, earlier, signal);
}

type ToShow = { readonly ok: true; readonly change: Proof['change'] } | Extract<Judged, { ok: false }>;

/** When all else is green, a reviewer judges by the task's own words: once for the same files. */
async function judgeContract(
  parts: GatingParts,
  { tree, verdicts }: Pick<Round, 'tree' | 'verdicts'>,
  changeToShow: () => Promise<ToShow>,
  earlier: readonly Round[],
  signal: AbortSignal,
): Promise<Asked> {
  const { claim, place, lastWords } = parts;
  const { task, run } = claim;
  if (task.doneWhen === null || signal.aborted || verdicts.some(({ passed }) => !passed)) return { ok: true, tree, verdicts };
  const known = earlier
    .filter((round) => tree !== null && round.tree === tree)
    .flatMap((round) => round.verdicts.filter((verdict) => verdict.kind === 'contract' && !notJudged(verdict)));
  const shown: ToShow = known.length > 0 ? { ok: true, change: undefined } : await changeToShow();
  if (!shown.ok) return shown;
  const reviewer = { ...parts, task, runId: run.id, tier: place.model?.tier ?? null };
  const gate = contractGate(reviewer, task.doneWhen, { change: shown.change, verdicts, words: lastWords() });
  const scene = { ...commandsOf(parts, earlier, signal), change: undefined };
  const judged = await judge({ ...parts, scene, gates: [gate], earlier: known }, signal);
  return judged.ok ? { ok: true, tree, verdicts: [...verdicts, ...judged.verdicts] } : judged;
}

function commandsOf(parts: GatingParts, earlier: readonly Round[], signal: AbortSignal): Omit<Scene, 'change'> {
  return {
    directory: parts.place.directory,
    run: (command) => runCheck(parts, command, signal),
    runBefore: async () => undefined,
    runWithOld: async () => undefined,
    known: (signature) => earlier.some(({ verdicts }) => verdicts.some((verdict) => verdict.signature === signature)),
    leftBehind: async () => undefined,
  };
}

async function changeBetween(
  git: Git,
  gitDir: string,
  base: Base,
  now: Base,
  beside: Pick<Change, 'ignored' | 'touchedPrograms'>,
  signal: AbortSignal,
): Promise<{ readonly ok: true; readonly value: Change } | { readonly ok: false; readonly failure: Failure }> {
  const range = { gitDir, from: base.tree, to: now.tree };
  const files = await changedFiles(git, range, signal);
  if (!files.ok) return files;
  const found = await changedLines(git, { ...range, ...lineLimits }, signal);
  if (!found.ok) return found;
  return {
    ok: true,
    value: {
      files: files.value,
      lines: found.value.lines,
      linesTruncated: found.value.truncated,
      ...beside,
      async eachAdded(look) {
        const read = await eachAddedLine(git, range, look, signal);
        return read.ok ? { ok: true } : unfit(read.failure);
      },
      before: (path) => base.files.read(path),
      now: (path) => now.files.read(path),
    },
  };
}

const unfit = (failure: Failure): { readonly ok: false; readonly outcome: Outcome } => ({ ok: false, outcome: failureOutcome(failure) });
