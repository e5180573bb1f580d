import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseTier, type TierChoice } from '../domain/choose-tier.ts';
import { failed, type Outcome } from '../domain/outcome.ts';
import { modelWish } from '../domain/profile.ts';
import { fillIn, taskPrompt, withContract } from '../domain/prompt.ts';
import { type Reminder, withReminder } from '../domain/reminder.ts';
import type { Tier } from '../domain/tier.ts';
import type { Budgets } from '../gateway/budgets.ts';
import type { Credentials } from '../gateway/credentials.ts';
import { tokensIn as tokensOfBytes } from '../gateway/estimate.ts';
import type { Gateway } from '../gateway/messages.ts';
import type { Waits } from '../gateway/waits.ts';
import type { Memory } from '../knowledge/memory/memory.ts';
import { remind } from '../knowledge/memory/remind.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Command } from '../platform/subprocess.ts';
import type { Claim } from '../queue/queue.ts';
import { type Egress, type Network, startEgress } from '../sandbox/egress.ts';
import { defaultLimits } from '../sandbox/profile.ts';
import type { Enclosure, Sandbox } from '../sandbox/sandbox.ts';
import { tasksWithCheckpoints } from '../store/checkpoints.ts';
import { runsOfTasks } from '../store/runs.ts';
import type { Store } from '../store/store.ts';
import { type Limits, watchQuota } from '../workspace/quota.ts';
import { removeTree } from '../workspace/removal.ts';
import { canonicalAddress } from '../workspace/repository.ts';
import type { Workspace, Workspaces } from '../workspace/workspaces.ts';
import { isEnclosed, refusesWork } from './admission.ts';
import { artifactsIn } from './artifacts.ts';
import { type Beginning, begin, conversationOf } from './beginning.ts';
import { runMarker } from './clear-away.ts';
import type { ConversationRequest } from './engines/engine.ts';
import { memoryTools } from './memory-tools.ts';
import { patiently } from './recorder.ts';
import type { RepositoryRules } from './repositories.ts';
import { reviewInstructions } from './review.ts';

export interface PlaceParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly workspaces: Workspaces;
  /** Found out about when it is first asked for. */
  readonly sandbox: () => Promise<Sandbox>;
  /** The door to models. */
  readonly models: {
    readonly gateway: Gateway;
    readonly credentials: Credentials;
    readonly budgets: Budgets;
    readonly waits: Waits;
    /** The model of each tier; undefined where the engine chooses. */
    readonly tiers: Readonly<Record<Tier, string | undefined>>;
    /** No provider is set up, so nobody answers but the script of the demo. */
    readonly onlyDemo: boolean;
  };
  readonly runsDirectory: string;
  readonly sessionsDirectory: string;
  /** Short, because a socket's path may have no more than 107 bytes. */
  readonly socketsDirectory: string;
  /** What a sandboxed program has to be able to read besides the system. */
  readonly readOnly: readonly string[];
  /** In the environment of everything a run starts, so that it can be found again. */
  readonly nodeMarker: Readonly<Record<string, string>>;
  readonly path: string;
  readonly quota: Limits;
  readonly log: Log;
  readonly repositories: RepositoryRules;
  readonly network: Network;
  readonly memory: Pick<Memory, 'remember'>;
  /** The most that what was noted may take of a prompt. */
  readonly noteTokens: number;
}

/** How long an agent that was refused a call may take to end by itself. */
const overBudgetGraceMs = 30_000;

/** How its workspace ends, or that the next run of the task shall go on in it. */
type Kept = 'completed' | 'error' | 'resumable';

/** Where a run works, with all that is around it. */
export interface Place {
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly workspace: Workspace | undefined;
  /** Undefined where commands are started as they are. */
  readonly enclosure: Enclosure | undefined;
  readonly conversation: ConversationRequest | undefined;
  /** Which model an agent works with, and why. */
  readonly model: (TierChoice & { readonly model: string | null }) | undefined;
  /** What the agent is reminded of, when its session begins. */
  readonly reminder: Reminder | undefined;
  /** What a person should know about how it was prepared. */
  readonly notice: string | undefined;
  /** Hosts that its way out has refused so far. */
  readonly refusedHosts: ReadonlySet<string>;
  /** As the sandbox, if there is one, wants it started. */
  wrap(command: Command): { readonly ok: true; readonly command: Command } | { readonly ok: false; readonly outcome: Outcome };
  /** How the run ends, whatever its engine says, because a model call of it was refused for money. */
  overBudget(): Outcome | undefined;
  /** Takes everything down; the workspace stays as long as its policy says. Never throws for the world's doing. */
  leave(kept: Kept): Promise<void>;
}

export type Opened = { readonly ok: true; readonly place: Place } | { readonly ok: false; readonly outcome: Outcome };

/** Who hears of what happens around a run while it lasts. */
export interface Listener {
  /** The run took more than its share, and ends like this. */
  exceeded(outcome: Outcome): void;
  /** What its reader should know. */
  say(notice: string): void;
  /** Its session has an id; awaited before the first model call. */
  onSession(sessionId: string): Promise<void>;
}

/**
 * Prepares the place: a checkout when the task names a repository, a scratch directory otherwise; a door to the models for
 * agents; a sandbox around agents and around whatever comes from a repository.
 */
export async function openPlace(
  parts: PlaceParts,
  claim: Claim,
  wants: { readonly models: boolean },
  listener: Listener,
  signal: AbortSignal,
): Promise<Opened> {
  const { task, run } = claim;
  const { exceeded, say, onSession } = listener;
  const work = { converses: wants.models, repository: task.repository, trust: task.trust };
  const refused = await refusesWork(parts.sandbox, work);
  if (refused) return { ok: false, outcome: { kind: 'needs-human', reason: refused } };
  const begun = await begin(parts, claim, say, signal);
  if (!begun.ok) return begun;
  const { workspace } = begun;
  const scratch = scratchOf(parts.runsDirectory, run.id);
  const directory = workspace?.tree ?? scratch;
  const undo: (() => unknown)[] = [];
  const remove = (path: string): Promise<boolean> => removeTree(path, parts, new AbortController().signal);
  const leave = async (kept: Kept): Promise<void> => {
    const steps = undo.splice(0).toReversed();
    if (workspace && kept !== 'resumable') {
      steps.push(() => patiently(parts.clock, signal, () => parts.workspaces.close(workspace.id, kept)));
    }
    if (kept !== 'resumable') steps.push(() => dropSession(parts, claim, kept, remove));
    // Nothing goes on in one: the next run of the task gets its own.
    steps.push(() => remove(scratch));
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        // The others are to be taken down all the same, and how the run ended stands. What is left, the sweep finds.
        parts.log.warn({ err: error, runId: run.id }, "a part of the run's place could not be taken down");
      }
    }
  };
  try {
    await mkdir(scratch, { recursive: true, mode: 0o700 });
    const money = followMoney(parts, run.id, exceeded);
    undo.push(money.stop);
    const model = wants.models ? await modelFor(parts, claim, begun.plan?.tier ?? null, parts.models.tiers) : undefined;
    const opened = model ? await openConversation(parts, claim, model.model, begun, onSession, undo) : undefined;
    const conversation = opened?.conversation;
    const { refusedHosts, onRefused } = followRefusals(say);
    const opening = isEnclosed(work) ? await enclose(parts, claim, directory, workspace, conversation, onRefused, undo) : undefined;
    if (opening && !opening.ok) {
      await leave('error');
      return { ok: false, outcome: { kind: 'needs-human', reason: opening.refusal } };
    }
    if (opening) undo.push(() => opening.close());
    const enclosure = opening?.sandboxed ? opening : undefined;
    if (enclosure) undo.push(enclosure.guard((reason) => exceeded({ kind: 'failed', reason, retryable: false })));
    for (const written of [directory, ...(workspace ? [scratch] : []), ...(conversation ? [conversation.sessionDirectory] : [])]) {
      const watch = watchQuota(written, parts.quota, parts.clock, ({ exceeded: what }) => exceeded(tooMuch(parts.quota, what)));
      undo.push(() => watch.stop());
    }
    return {
      ok: true,
      place: {
        directory,
        env: {
          PATH: parts.path,
          // Never the work tree: what programs leave in their home is not the agent's work. An enclosure has its own.
          HOME: scratch,
          LANG: 'C.UTF-8',
          NIGHTSHIFT_TASK_ID: task.id,
          NIGHTSHIFT_ARTIFACTS: artifactsIn(directory),
          [runMarker]: run.id,
          ...parts.nodeMarker,
        },
        workspace,
        enclosure,
        conversation,
        model,
        reminder: opened?.reminder,
        notice: begun.notice ?? noticeOf(begun, conversation),
        refusedHosts,
        wrap(command) {
          const wrapped = enclosure?.wrap(command) ?? { ok: true as const, command };
          return wrapped.ok ? wrapped : { ok: false, outcome: { kind: 'failed', reason: wrapped.refusal, retryable: false } };
        },
        overBudget: money.overBudget,
        leave,
      },
    };
  } catch (error) {
    await leave('error');
    throw error;
  }
}

/** The agent is told that its money is used up, and ends by itself; one that does not is ended. */
function followMoney(
  { models, clock }: PlaceParts,
  runId: string,
  exceeded: Listener['exceeded'],
): { overBudget(): Outcome | undefined; stop(): void } {
  let overBudget: Outcome | undefined;
  let cancelGrace = (): void => undefined;
  const unfollow = models.budgets.follow(runId, (outcome) => {
    if (overBudget) return;
    overBudget = outcome;
    cancelGrace = clock.after(overBudgetGraceMs, () => exceeded(outcome));
  });
  return {
    overBudget: () => overBudget,
    stop() {
      unfollow?.();
      cancelGrace();
    },
  };
}

/** The run's own way to the models, and the session to go on with if an interrupted run left one. */
async function openConversation(
  parts: PlaceParts,
  claim: Claim,
  name: string | null,
  begun: Beginning,
  onSession: (sessionId: string) => Promise<void>,
  undo: (() => unknown)[],
): Promise<{ readonly conversation: ConversationRequest; readonly reminder?: Reminder } | undefined> {
  const { models, socketsDirectory } = parts;
  const { task, run } = claim;
  const sessionDirectory = sessionDirectoryOf(parts, claim);
  await mkdir(sessionDirectory, { recursive: true, mode: 0o700 });
  await mkdir(socketsDirectory, { recursive: true, mode: 0o700 });
  const socket = join(socketsDirectory, `${run.id.slice(-10)}.sock`);
  const credential = models.credentials.issue({ runId: run.id, taskId: task.id, conversationId: null, kind: 'task' });
  undo.push(() => models.budgets.settled(run.id));
  undo.push(() => models.credentials.revoke(run.id));
  const door = await models.gateway.listen(socket, run.id);
  undo.push(() => door.close());
  const { background, ...goesOn } = await conversationOf(parts, task.id, begun, sessionDirectory);
  const about = begun.workspace === undefined ? null : (canonicalAddress(begun.workspace.repository) ?? null);
  // The run's id is younger than every note, so that none can have it in it.
  const mark = createHash('sha256').update(run.id).digest('hex').slice(0, 16);
  const options = {
    model: { baseUrl: 'http://localhost', socket, credential, ...(name === null ? {} : { name }), tiers: models.tiers },
    sessionDirectory,
    ...goesOn,
    ...profileOptions(claim),
    own: memoryTools(parts, task, run.id, about, mark),
    onSession,
  };
  // A session that goes on was told it before.
  if (goesOn.resume !== undefined) return { conversation: options };
  const reminder = await remind({ ...parts, now: parts.clock.now(), tokens: parts.noteTokens, tokensIn, mark }, task, about);
  const prompt = [promptFor(claim, begun.workspace), background].filter(Boolean).join('\n\n');
  return { conversation: { ...options, prompt: withReminder(prompt, reminder) }, reminder };
}

function promptFor({ task, profile }: Claim, workspace: Workspace | undefined): string {
  const filled = profile?.promptTemplate ? fillIn(profile.promptTemplate, { ...task, branch: workspace?.branch ?? null }) : '';
  return withContract(filled.trim() === '' ? taskPrompt(task) : filled, task.doneWhen);
}

const tokensIn = (text: string): number => tokensOfBytes(Buffer.byteLength(text));

const profileOptions = ({ task, profile }: Claim): Pick<ConversationRequest, 'instructions' | 'maxTurns' | 'tools'> => ({
  ...instructionsOf(profile?.instructions ?? '', task.deliverable === 'review' ? reviewInstructions : ''),
  ...(profile?.maxTurns ? { maxTurns: profile.maxTurns } : {}),
  ...(profile?.tools ? { tools: profile.tools } : {}),
});

function instructionsOf(...parts: readonly string[]): Pick<ConversationRequest, 'instructions'> {
  const instructions = parts.filter((part) => part !== '').join('\n\n');
  return instructions === '' ? {} : { instructions };
}

/** Chosen before the first call and kept for the run: a model that changes in the middle loses what was cached. */
async function modelFor(
  { store, repositories }: PlaceParts,
  { task, run, profile }: Claim,
  planned: Tier | null,
  models: Readonly<Record<Tier, string | undefined>>,
) {
  const before = (await runsOfTasks(store.read, [task.id])).get(task.id) ?? [];
  const failures = before.flatMap(({ id, status, reason }) => (id !== run.id && status === 'failed' ? [reason?.code ?? ''] : []));
  const { title, body, priority, labels, tier: asked } = task;
  const chosen = chooseTier({
    kind: 'task',
    title,
    body,
    priority,
    labels,
    failures,
    asked,
    profile: profile?.tier ?? null,
    repository: task.repository === null ? null : repositories.tierOf(task.repository),
  });
  const choice = planned
    ? { tier: planned, reason: 'An earlier attempt led nowhere with a smaller one, or this one was planned so.' }
    : chosen;
  const named = (profile && modelWish(task, profile).model) ?? null;
  return named === null
    ? { ...choice, model: models[choice.tier] ?? null }
    : { ...choice, model: named, reason: 'Its profile names the model.' };
}

async function enclose(
  parts: PlaceParts,
  claim: Claim,
  directory: string,
  workspace: Workspace | undefined,
  conversation: ConversationRequest | undefined,
  onRefused: OnRefused,
  undo: (() => unknown)[],
): Promise<Awaited<ReturnType<Sandbox['open']>>> {
  const sandbox = await parts.sandbox();
  const egress = workspace && sandbox.describe().active ? await openEgress(parts, claim, workspace, onRefused) : undefined;
  if (egress) undo.push(() => egress.stop());
  return sandbox.open(
    {
      workspace: directory,
      writable: conversation ? [conversation.sessionDirectory] : [],
      home: { kind: 'memory', bytes: 256 * 2 ** 20 },
      tmp: { kind: 'memory', bytes: 512 * 2 ** 20 },
      readOnly: [...(workspace ? [workspace.objects] : []), ...parts.readOnly],
      sockets: conversation?.model.socket === undefined ? [] : [conversation.model.socket],
      ...(egress === undefined ? {} : { egressSocket: egress.socket }),
      limits: defaultLimits,
    },
    claim.task.trust,
  );
}

/** The run's own way to what its repository is allowed. Never for work of people who are not trusted: it is a way to send data out. */
async function openEgress(
  { repositories, network, socketsDirectory, log }: PlaceParts,
  { task, run }: Claim,
  { repository }: Workspace,
  onRefused: OnRefused,
): Promise<Egress | undefined> {
  const rules = task.trust === 'untrusted' ? [] : repositories.egressOf(repository);
  if (rules.length === 0) return undefined;
  await mkdir(socketsDirectory, { recursive: true, mode: 0o700 });
  return startEgress({
    ...network,
    socket: join(socketsDirectory, `${run.id.slice(-10)}.net`),
    rules,
    log: log.child({ taskId: task.id, runId: run.id }),
    onRefused,
  });
}

type OnRefused = (refused: { readonly host: string; readonly port: number; readonly why: string }) => void;

/** More than this of them tell a reader nothing new; the server's log has all. */
const refusalsTold = 20;
const refusalsKept = 1_000;

function followRefusals(say: (notice: string) => void): { readonly refusedHosts: ReadonlySet<string>; readonly onRefused: OnRefused } {
  const refusedHosts = new Set<string>();
  const told = new Set<string>();
  return {
    refusedHosts,
    onRefused({ host, port, why }) {
      if (refusedHosts.size < refusalsKept) refusedHosts.add(host);
      const target = `${host}:${port}`;
      if (told.size >= refusalsTold || told.has(target)) return;
      told.add(target);
      say(`The network refused ${target}: ${why}.${told.size === refusalsTold ? ' Further refusals are only in the log.' : ''}`);
    },
  };
}

/** Where a run without a repository works. */
export const scratchOf = (runsDirectory: string, runId: string): string => join(runsDirectory, runId, 'work');

/** Per task, because the next run of an interrupted one goes on with the session in it. */
const sessionDirectoryOf = ({ sessionsDirectory }: PlaceParts, { task }: Claim): string => join(sessionsDirectory, task.id);

function noticeOf({ begins, from, workspace }: Beginning, conversation: ConversationRequest | undefined): string | undefined {
  if (from) {
    const session = conversation?.resume === undefined ? 'a new session' : 'its session up to there';
    return `Goes on from checkpoint ${from.number} of ${from.runId}, with ${session}.`;
  }
  switch (begins) {
    case 'fresh':
      return undefined;
    case 'resumed':
      return conversation?.resume === undefined
        ? 'Goes on in the workspace of the run that was interrupted, with a new session.'
        : 'Goes on with the session of the run that was interrupted, in its workspace.';
    case 'anew':
      return workspace?.tip === workspace?.baseCommit
        ? 'Starts over: the workspace of the run that was interrupted is gone, and it had committed nothing.'
        : 'Starts over from the last commit of the task: the workspace of the run that was interrupted is gone.';
  }
}

/** Of a run that failed it is kept for as long as there are checkpoints to go on from; `leftovers.ts` sees to the rest. */
async function dropSession(
  parts: PlaceParts,
  claim: Claim,
  kept: 'completed' | 'error',
  remove: (path: string) => Promise<unknown>,
): Promise<void> {
  if (kept === 'error' && (await tasksWithCheckpoints(parts.store.read, [claim.task.id])).has(claim.task.id)) return;
  await remove(sessionDirectoryOf(parts, claim));
}

const tooMuch = (quota: Limits, what: 'bytes' | 'files' | null): Outcome =>
  failed('quota-exceeded', `The run wrote more ${what ?? 'data'} than it may keep: ${quota.bytes} bytes, ${quota.files} files.`);
