import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { backoffMs } from '../domain/backoff.ts';
import { inUsd } from '../domain/budget.ts';
import { type GateVerdict, notGreenIn } from '../domain/gate.ts';
import { failed, hostUnfit, isHostUnfit, isSetback, type Outcome } from '../domain/outcome.ts';
import { goesOnFrom } from '../domain/recovery.ts';
import type { Reminder } from '../domain/reminder.ts';
import { noResult, type RunResult, type TestReport } from '../domain/result.ts';
import { demoSource } from '../domain/task.ts';
import type { Ask } from '../gateway/ask.ts';
import type { Waiting } from '../gateway/routed-models.ts';
import { wait } from '../platform/clock.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import { isHostFault } from '../platform/subprocess.ts';
import type { Ran, StopCause } from '../queue/dispatcher.ts';
import type { Claim, Queue } from '../queue/queue.ts';
import { spentByRun } from '../store/ledger.ts';
import { saveResult } from '../store/results.ts';
import { canonicalAddress } from '../workspace/repository.ts';
import { artifactLimits, keepArtifacts } from './artifacts.ts';
import { type Checkpointing, type CheckpointingParts, createCheckpointing } from './checkpointing.ts';
import { sweepRun } from './clear-away.ts';
import { changesIn, type DeliveryParts, deliver, keepOnBranch } from './deliver.ts';
import type { ConversationRequest, Engine, EngineRequest } from './engines/engine.ts';
import { type Gating, type GatingParts, openGating } from './gating.ts';
import { type HookParts, type HooksOfRun, hooksOf } from './hooks/around-run.ts';
import { openPlace, type Place, type PlaceParts } from './place.ts';
import { openRecorder, patiently, type Recorder, type RecorderParts } from './recorder.ts';
import { readReview } from './review.ts';
import { circleLimits, type RoundsParts, type Worked, workInRounds } from './rounds.ts';
import { sandboxRefusals } from './sandbox-refusals.ts';
import { createStuckWatch, type Stuck, type StuckParts, type StuckWatch } from './stuck.ts';
import { createTally, type Tally } from './tally.ts';
import { startTimeLimit, type TimeLimit } from './time-limit.ts';

export interface RunnerParts extends PlaceParts, DeliveryParts, HookParts, RecorderParts {
  readonly queue: Queue;
  readonly engines: ReadonlyMap<string, Engine>;
  /** What the server itself wants to know of a model. */
  readonly ask: Ask;
  readonly newId: NewId;
  readonly timeoutMs: number;
  /** How often an agent is told what is still red, unless its repository says less. */
  readonly maxRounds: number;
  /** A checkpoint after so many tool calls; 0 for none. */
  readonly checkpointEvery: number;
  /** Told how long it took to bring a run's work to where it is wanted. */
  readonly onDelivered: (delivery: {
    readonly runId: string;
    readonly at: number;
    readonly durationMs: number;
    readonly ok: boolean;
  }) => void;
}

/** A run while it lasts: what it is, where it writes, and what has come of it so far. */
interface Attempt {
  readonly claim: Claim;
  readonly engine: Engine;
  readonly recorder: Recorder;
  readonly signal: AbortSignal;
  readonly hooks: HooksOfRun;
  /** The directory of what the run leaves for people. */
  readonly records: string;
  readonly limit: TimeLimit;
  readonly patchFile: string;
  readonly tally: Tally;
  /** The message after which its conversation can be gone on from. */
  position: string | null;
  result: RunResult;
}

/** One attempt, from a claim to its settlement: prepare, ask hooks, work until the gates are green, deliver, tell hooks, settle. Never throws. */
export async function runTask(parts: RunnerParts, claim: Claim, stop: AbortSignal): Promise<Ran> {
  const { task, run } = claim;
  const log = parts.log.child({ taskId: task.id, runId: run.id });
  log.info({ attempt: run.attempt, engine: run.engine }, 'run started');

  const hooks = hooksOf(parts, claim, stop, log);
  const outcome = await attempt(parts, claim, hooks, stop, log).catch((error: unknown) => brokenBy(error, log));
  await hooks.after(outcome); // of a run that did not come as far as to have a place
  await sweepRun(run.id).catch((error: unknown) => log.error({ err: error }, 'could not look for leftover processes'));

  const settlement = await settle(parts, claim, outcome, stop, log);
  log.info({ outcome: outcome.kind, settlement, ...('reason' in outcome ? { code: outcome.reason.code } : {}) }, 'run finished');
  return isHostUnfit(outcome) ? 'host-unfit' : 'ran';
}

async function attempt(parts: RunnerParts, claim: Claim, hooks: HooksOfRun, stop: AbortSignal, log: Log): Promise<Outcome> {
  const { run } = claim;
  if (!claim.profile) return { kind: 'needs-human', reason: noProfile(claim.task.profile) };
  const engine = run.engine === null ? undefined : parts.engines.get(run.engine);
  if (!engine) return { kind: 'needs-human', reason: noEngine(run.engine, [...parts.engines.keys()]) };
  const pays = engine.converses && claim.task.source !== demoSource;
  if (pays && parts.models.onlyDemo) return { kind: 'needs-human', reason: noModel };

  const broke = pays ? await parts.models.budgets.usedUp() : undefined;
  if (broke) return broke;

  // Whatever ends a run before its own end aborts with the outcome that this is.
  const cut = new AbortController();
  const timeoutMs = Math.min(parts.timeoutMs, (claim.profile.timeoutSeconds ?? Number.POSITIVE_INFINITY) * 1_000);
  const limit = startTimeLimit(parts.clock, timeoutMs, () => cut.abort(timedOut(timeoutMs)));
  const signal = AbortSignal.any([stop, cut.signal]);
  const records = join(parts.runsDirectory, run.id);
  await mkdir(records, { recursive: true, mode: 0o700 });
  const recorder = openRecorder(parts, join(records, 'output.log'), signal);
  const current: Attempt = {
    claim,
    engine,
    recorder,
    signal,
    hooks,
    records,
    limit,
    patchFile: join(records, 'diff.patch'),
    tally: createTally(),
    position: null,
    result: noResult,
  };
  const stopListening = parts.models.waits.listen(run.id, (waiting) => whileWaiting(parts, current, limit, waiting));
  try {
    const opened = await openPlace(
      parts,
      claim,
      { models: engine.converses },
      {
        exceeded: (outcome) => cut.abort(outcome),
        say: (notice) => say(parts, current, notice),
        onSession: (id) => keepSession(parts, current, id),
      },
      signal,
    );
    if (!opened.ok) return signal.aborted ? whyStopped(signal.reason) : opened.outcome;
    const { place } = opened;
    const checkpointing = createCheckpointing(checkpointingParts(parts, current, place), signal);
    const outcome = await work(parts, current, place, checkpointing)
      .catch((error: unknown) => (signal.aborted ? whyStopped(signal.reason) : brokenBy(error, log)))
      .finally(() => sweepRun(run.id));
    try {
      if (engine.converses && isSetback(outcome) && goesOnFrom(outcome)) await checkpointing.cut(outcome.reason.message, stop);
      await keepResult(parts, current, place, outcome);
      await hooks.after(outcome, place, current.result);
    } finally {
      // Also when that could not be stored: doors and sandboxes of a run that is over would stand open for nobody.
      await place.leave(keptAfter(outcome, signal));
    }
    return outcome;
  } catch (error) {
    if (signal.aborted) return whyStopped(signal.reason);
    throw error;
  } finally {
    stopListening();
    limit.cancel();
    await recorder.close();
  }
}

/** What was interrupted, or only wants money, goes on where it stopped. */
function keptAfter(outcome: Outcome, signal: AbortSignal): Parameters<Place['leave']>[0] {
  if (outcome.kind === 'succeeded') return 'completed';
  return outcome.kind === 'over-budget' || signal.reason === ('draining' satisfies StopCause) ? 'resumable' : 'error';
}

/** The story itself. What an engine calls done counts only when the gates are green and its work is where it belongs. */
async function work(parts: RunnerParts, current: Attempt, place: Place, checkpointing: Checkpointing): Promise<Outcome> {
  const { claim, signal } = current;
  if (place.notice !== undefined) await record(current, { type: 'run.notice', data: { text: place.notice } });
  if (place.model !== undefined) await record(current, { type: 'run.model', data: place.model });
  if (place.reminder && place.reminder.notes.length > 0) await record(current, { type: 'run.notes', data: told(place.reminder) });
  const refused = await current.hooks.before(place, signal);
  if (signal.aborted) return whyStopped(signal.reason);
  if (refused) return refused;

  const opened = await openGating(gatingParts(parts, current, place), signal);
  if (!opened.ok) return signal.aborted ? whyStopped(signal.reason) : opened.outcome;
  const { outcome, verdicts } = await workInRounds(roundsParts(parts, current, place, opened.gating, checkpointing), signal);
  current.result = { ...current.result, tests: testsIn(verdicts), notGreen: notGreenIn(verdicts) };
  if (signal.aborted) return whyStopped(signal.reason);
  if (outcome.kind !== 'succeeded') return outcome;
  if (claim.task.deliverable === 'review') return review(current, place, outcome);
  if (!place.workspace) return outcome;

  const began = parts.clock.monotonic();
  const delivered = await deliver(
    parts,
    claim,
    place.workspace,
    { patchFile: current.patchFile, notGreen: current.result.notGreen },
    signal,
  );
  parts.onDelivered({ runId: claim.run.id, at: parts.clock.now(), durationMs: parts.clock.monotonic() - began, ok: delivered.ok });
  // What was committed is there whatever comes of the run, and who looks for it has to find it.
  current.result = { ...current.result, ...delivered.result };
  if (signal.aborted) return whyStopped(signal.reason);
  return delivered.ok ? outcome : delivered.outcome;
}

function gatingParts(parts: RunnerParts, current: Attempt, place: Place): GatingParts {
  const { claim, engine } = current;
  return {
    ...parts,
    place,
    claim,
    runId: claim.run.id,
    byAgent: engine.converses,
    lastWords: () => current.tally.lastWords,
    patchFile: current.patchFile,
    record: (event) => record(current, event),
    tell: (verdict) => tellVerdict(current, verdict),
  };
}

function checkpointingParts(parts: RunnerParts, current: Attempt, place: Place): CheckpointingParts {
  return {
    workspaces: parts.workspaces,
    workspace: place.workspace,
    everyCalls: parts.checkpointEvery,
    position: () => (current.result.sessionId === null ? null : { sessionId: current.result.sessionId, messageId: current.position }),
    lastWords: () => current.tally.lastWords,
    tell: (notice) => say(parts, current, notice),
  };
}

function roundsParts(parts: RunnerParts, current: Attempt, place: Place, gating: Gating, checkpointing: Checkpointing): RoundsParts {
  const { claim, engine, limit, signal } = current;
  const stuckWatch = engine.converses ? createStuckWatch(stuckParts(parts, current, place)) : undefined;
  return {
    ...parts,
    gating,
    taskId: claim.task.id,
    runId: claim.run.id,
    repository: place.workspace ? (canonicalAddress(place.workspace.repository) ?? null) : null,
    byAgent: engine.converses,
    rounds: claim.task.maxRounds ?? Math.min(parts.maxRounds, gating.limits.rounds ?? parts.maxRounds),
    milliseconds: 0.9 * limit.ms,
    usedMs: () => limit.used(),
    session: () => current.result.sessionId,
    // One that goes back to a checkpoint begins to count anew.
    resumed: place.conversation?.resumeAt === undefined ? place.conversation?.resume : undefined,
    green: (round, verdicts) => checkpointing.green(round, verdicts),
    async work(prompt) {
      const worked = await execute(parts, current, place, requestFor(current, place, checkpointing, prompt), stuckWatch);
      const broke = place.overBudget();
      return broke ? { outcome: broke } : worked;
    },
    keep: () => keepForPerson(parts, current, place, signal),
  };
}

function stuckParts({ workspaces }: RunnerParts, { signal }: Attempt, { directory, workspace }: Place): StuckParts {
  return {
    directory,
    limits: circleLimits,
    async files() {
      const taken = workspace && (await workspaces.snapshot(workspace, signal, true).catch(() => undefined));
      return taken?.ok ? taken.value.tree : undefined;
    },
  };
}

/** `prompt` goes on with the session of this very run. */
function requestFor(current: Attempt, place: Place, { beforeTool }: Checkpointing, prompt: string | undefined): EngineRequest {
  const { claim, result, hooks, signal } = current;
  const { directory, env, enclosure, wrap } = place;
  const conversation = place.conversation && {
    ...goingOn(place.conversation, result.sessionId, prompt),
    ...(place.workspace ? { beforeTool } : {}),
    onPosition(messageId: string) {
      current.position = messageId;
    },
  };
  return {
    task: claim.task,
    runId: claim.run.id,
    directory,
    env,
    watch: hooks.during(place, signal),
    ...(conversation === undefined ? {} : { conversation }),
    ...(enclosure === undefined ? {} : { spawn: enclosure.spawn, wrap }),
  };
}

function goingOn(conversation: ConversationRequest, sessionId: string | null, prompt: string | undefined): ConversationRequest {
  const { resumeAt: _, ...rest } = conversation;
  const resume = sessionId ?? conversation.resume;
  return prompt === undefined || resume === undefined ? conversation : { ...rest, resume, prompt };
}

/** The engine at work, until it stops, or goes in a circle and is stopped. */
async function execute(
  parts: RunnerParts,
  current: Attempt,
  { enclosure, refusedHosts }: Place,
  request: EngineRequest,
  watch: StuckWatch | undefined,
): Promise<Worked> {
  const refusals = enclosure && sandboxRefusals({ writable: enclosure.writable, refusedHosts });
  const over = new AbortController();
  const watched = watch && request.watch ? { ...request, watch: watch.over(request.watch) } : request;
  let stuck: Stuck | undefined;
  for await (const event of current.engine.run(watched, AbortSignal.any([current.signal, over.signal]))) {
    if (event.type === 'outcome') return { outcome: event.outcome, ...(stuck ? { stuck } : {}) };
    current.tally.see(event);
    await record(current, event);
    const refusal = refusals?.see(event);
    if (refusal && !refusal.again) await record(current, refusal.denied);
    stuck ??= await watch?.see(event, refusal?.denied.data);
    if (!stuck || over.signal.aborted) continue;
    say(parts, current, `The agent goes in a circle and is stopped: ${stuck.what}.`);
    over.abort();
  }
  return { outcome: failed('no-outcome', `The ${current.engine.name} engine ended without saying how.`) };
}

/** A review is what was left as one; nothing of the workspace is looked at, committed or kept. */
async function review(current: Attempt, { directory, workspace }: Place, outcome: Outcome): Promise<Outcome> {
  const found = await readReview(directory);
  if (!found.ok) return failed('no-review', found.message, true);
  current.result = { ...current.result, review: found.review, baseCommit: workspace?.baseCommit ?? null };
  return outcome;
}

/** The check that a person wants to see the figures of: the task's own, else the repository's tests. */
function testsIn(verdicts: readonly GateVerdict[]): TestReport | null {
  const verdict = verdicts.find(({ kind }) => kind === 'task') ?? verdicts.find(({ kind }) => kind === 'tests');
  if (!verdict?.command) return null;
  const { command, exitCode, counts } = verdict;
  return { command, passed: exitCode === 0, exitCode, counts };
}

async function tellVerdict(current: Attempt, verdict: GateVerdict): Promise<void> {
  if (current.signal.aborted) return;
  const { gate, kind, passed, excuse, summary, findings, durationMs, cached } = verdict;
  await record(current, {
    type: 'run.gate',
    data: { gate, kind, passed, excuse, summary, findings: findings.length, durationMs, cached },
  });
  const tests = testsIn([verdict]);
  if (tests) await record(current, { type: 'run.verified', data: tests });
}

/** Not pushed: what is red is nobody's but of the person who takes it over. */
async function keepForPerson(parts: RunnerParts, current: Attempt, { workspace }: Place, signal: AbortSignal): Promise<string> {
  const { claim } = current;
  if (!workspace || claim.task.deliverable === 'review') return '';
  const kept = await keepOnBranch(parts, claim, workspace, signal);
  // Also where only the result is looked at, as by one who takes it over.
  if (!kept) return '';
  const { commit, delivery } = kept;
  current.result = { ...current.result, commits: [commit], delivery };
  return `What was done is on the branch ${delivery.branch}, which was not pushed: ${delivery.fetchCommand}`;
}

const told = ({ notes, tokens }: Reminder) => ({ notes: notes.map(({ id: note, kind }) => ({ note, kind })), tokens });

const record = ({ recorder, claim }: Attempt, event: Parameters<Recorder['record']>[0]): Promise<void> =>
  recorder.record({ ...event, taskId: claim.task.id, runId: claim.run.id });

/** For what happens beside the work and must not hold it up. */
function say({ log }: RunnerParts, current: Attempt, text: string): void {
  record(current, { type: 'run.notice', data: { text } }).catch((error: unknown) =>
    log.warn({ err: error, runId: current.claim.run.id, text }, 'a notice could not be stored'),
  );
}

/** A run that waits for a provider is not slow: the provider is. So that time is not counted against it. */
function whileWaiting({ log }: RunnerParts, current: Attempt, limit: TimeLimit, waiting: Waiting | null): void {
  if (!waiting) {
    limit.letGo();
    return;
  }
  limit.hold();
  record(current, { type: 'run.waiting', data: waiting }).catch((error: unknown) => {
    if (!current.signal.aborted) log.warn({ err: error, runId: current.claim.run.id }, 'could not record that the run waits');
  });
}

/** Stored before the first model call, so that a session that was begun can be found after a crash. */
async function keepSession({ store }: RunnerParts, current: Attempt, sessionId: string): Promise<void> {
  current.result = { ...current.result, sessionId };
  await store.write((tx) => saveResult(tx, current.claim.run.id, current.result));
}

/** Also of a run that failed: what it did is what a person or the next attempt begins with. */
async function keepResult(parts: RunnerParts, current: Attempt, { workspace, directory }: Place, outcome: Outcome): Promise<void> {
  const { tally, patchFile, claim } = current;
  await collectArtifacts(current, directory);
  if (workspace && outcome.kind !== 'succeeded') {
    const changes = await changesIn(parts, workspace, patchFile, new AbortController().signal);
    current.result = { ...current.result, ...changes };
  }
  current.result = { ...current.result, ...(await figuresOf(parts, current)), toolCalls: tally.toolCalls };
  // Its files are about to go, and nobody was paid; the engine reckons with list prices.
  if (claim.task.source === demoSource) current.result = { ...current.result, delivery: null, costUsd: 0 };
  if (workspace || current.engine.converses || current.result.tests) {
    await patiently(parts.clock, current.signal, () => parts.store.write((tx) => saveResult(tx, claim.run.id, current.result)));
  }
}

/** What nobody foresaw is the fault of this machine, or of this program. */
function brokenBy(error: unknown, log: Log): Outcome {
  log.error({ err: error }, 'the run broke');
  const message = error instanceof Error ? error.message : String(error);
  return isHostFault(error) ? hostUnfit(`This machine could not run it: ${message}.`) : failed('internal', message, true);
}

/** What its model calls came to, by the ledger; an engine that makes them elsewhere has only its own count. */
async function figuresOf({ models, store }: RunnerParts, { claim, tally }: Attempt): Promise<Pick<RunResult, 'tokens' | 'costUsd'>> {
  await models.budgets.settled(claim.run.id);
  const { calls, failedCalls, costMicroUsd, ...tokens } = await spentByRun(store.read, claim.run.id);
  return calls + failedCalls === 0 ? { tokens: tally.tokens, costUsd: tally.costUsd } : { tokens, costUsd: inUsd(costMicroUsd) };
}

/** What could not be kept is said, and is no reason to fail a run whose work is done. */
async function collectArtifacts(current: Attempt, directory: string): Promise<void> {
  const told = (text: string): Promise<void> => record(current, { type: 'run.notice', data: { text } });
  try {
    const { kept, leftOut } = await keepArtifacts(directory, join(current.records, 'artifacts'));
    if (leftOut.length === 0) return;
    const { files, bytes } = artifactLimits;
    await told(
      `${kept} artifacts were kept, ${leftOut.length} were not (plain files only, at most ${files} and ${bytes / 2 ** 20} MB together): ${leftOut.slice(0, 10).join(', ')}`,
    );
  } catch (error) {
    await told(`The artifacts could not be kept: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

const timedOut = (timeoutMs: number): Outcome =>
  failed('timeout', `The run took longer than ${Math.round(timeoutMs / 1_000)} seconds and was stopped.`, true);

function whyStopped(reason: StopCause | Outcome): Outcome {
  switch (reason) {
    case 'called-off':
      return { kind: 'cancelled' };
    case 'draining':
    case 'lease-lost':
      return {
        kind: 'released',
        reason: { code: reason, message: 'The server stopped before the run was finished; it goes back in line.' },
      };
    default:
      return reason;
  }
}

/**
 * What ran must be settled, so this waits for the store as long as it takes; the fence makes a repetition harmless.
 * Only a server that is told to stop gives up: its next start, or another node, takes the run for lost and does it again.
 */
async function settle({ queue, clock }: RunnerParts, { task, run }: Claim, outcome: Outcome, stop: AbortSignal, log: Log): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await queue.settle({ taskId: task.id, runId: run.id, outcome });
    } catch (error) {
      const stopping = stop.aborted && stop.reason !== ('called-off' satisfies StopCause);
      if (stopping) {
        log.error({ err: error, attempt }, 'could not store how the run ended; it will be done again');
        return 'given-up';
      }
      log.warn({ err: error, attempt }, 'could not store how the run ended; trying again');
      await wait(clock, backoffMs(attempt, 0.5, { baseMs: 200, capMs: 10_000 }), stop.aborted ? undefined : stop);
    }
  }
}

const noModel = {
  code: 'no-model',
  message: 'No model provider is set up. Set LLM_API_KEY, or LLM_PROVIDER=rehearsal to try without one, then retry.',
};

const noProfile = (name: string): { code: string; message: string } => ({
  code: 'no-such-profile',
  message: `Its profile ${name} is gone. Make one of that name (nightshift profiles set ${name}), then retry.`,
});

function noEngine(wanted: string | null, known: readonly string[]): { code: string; message: string } {
  return wanted === null
    ? {
        code: 'no-engine',
        message: `No engine is configured for tasks that do not name one. Set NIGHTSHIFT_ENGINE (known here: ${known.join(', ')}) or a model provider (LLM_PROVIDER), then retry.`,
      }
    : { code: 'no-engine', message: `This server has no engine named ${wanted} (known here: ${known.join(', ')}).` };
}
