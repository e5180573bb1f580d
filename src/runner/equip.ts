import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Limits } from '../domain/budget.ts';
import type { CheckpointPolicy } from '../domain/checkpoint.ts';
import { Unusable } from '../domain/errors.ts';
import type { LedgerEntry } from '../domain/spending.ts';
import { createAsk, noModelToAsk } from '../gateway/ask.ts';
import { createBudgets } from '../gateway/budgets.ts';
import { createCredentials } from '../gateway/credentials.ts';
import { withDemo } from '../gateway/demo.ts';
import { createGateway, type Gateway, type ModelCall } from '../gateway/messages.ts';
import { type ModelSettings, tierModels } from '../gateway/model-names.ts';
import { createPrices, type PriceSetting } from '../gateway/prices.ts';
import { createRoutedModels, type RoutedModels, type Upstream } from '../gateway/routed-models.ts';
import { createWaits } from '../gateway/waits.ts';
import type { Memory } from '../knowledge/memory/memory.ts';
import type { Clock } from '../platform/clock.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import { regularly } from '../platform/regularly.ts';
import type { Queue } from '../queue/queue.ts';
import type { Network } from '../sandbox/egress.ts';
import type { SandboxMode } from '../sandbox/profile.ts';
import { createSandbox, type Sandbox } from '../sandbox/sandbox.ts';
import type { Store } from '../store/store.ts';
import { openCheckouts } from '../workspace/checkout.ts';
import { type HostToken, openCredentials } from '../workspace/credentials.ts';
import { createGit } from '../workspace/git.ts';
import { openMirrors } from '../workspace/mirror.ts';
import { measure, type Limits as Quota } from '../workspace/quota.ts';
import { createWorkspaces } from '../workspace/workspaces.ts';
import { agentProgram } from './agent-program.ts';
import type { Engine } from './engines/engine.ts';
import { type ConfiguredHook, configuredHooks } from './hooks/configured.ts';
import { createHooks } from './hooks/registry.ts';
import { investigator } from './investigate/investigator.ts';
import { noteFindings } from './investigate/notes.ts';
import { findLeftovers } from './leftovers.ts';
import { type RepositorySetting, repositoryRules } from './repositories.ts';
import type { RunnerParts } from './run-task.ts';

export interface EquipmentSettings {
  readonly home: string;
  readonly owner: { readonly home: string; readonly path: string };
  readonly sandbox: SandboxMode;
  /** Model providers in the order in which they are asked; none when nothing is set up. */
  readonly providers: readonly Upstream[];
  readonly models: ModelSettings & { readonly fallback: string | undefined; readonly patienceMs: number };
  readonly gitToken: (repository: string) => Promise<HostToken | undefined>;
  readonly hooks: readonly ConfiguredHook[];
  readonly timeoutMs: number;
  readonly maxRounds: number;
  readonly noteTokens: number;
  readonly keepRunsMs: number | null;
  readonly checkpoints: CheckpointPolicy & { readonly everyCalls: number };
  readonly quota: Quota;
  readonly repositories: readonly RepositorySetting[];
  readonly network: Network;
  readonly limits: Limits;
  readonly prices: Readonly<Record<string, PriceSetting>>;
  /** Told of each model call once it is in the ledger. */
  readonly onBooked: (entry: LedgerEntry) => void;
  readonly onDelivered: RunnerParts['onDelivered'];
}

interface Base {
  readonly store: Store;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly nodeId: string;
  readonly nodeMarker: Readonly<Record<string, string>>;
  readonly engines: ReadonlyMap<string, Engine>;
  readonly happened: RunnerParts['happened'];
  readonly memory: Memory;
}

export interface Equipment {
  readonly runner: RunnerParts;
  /** Model calls under way that are paid for. */
  readonly pendingCalls: () => number;
  /** What workspaces take on the disk; null until it has been measured. */
  readonly workspaceBytes: () => number | null;
  /** Absent when no provider is set up. */
  readonly models: RoutedModels | undefined;
  readonly gateway: Gateway;
  stop(): Promise<void>;
}

const hour = 3_600_000;
/** A unix socket's path may have 107 bytes, and ours is this much longer than the home. */
const longestHome = 107 - '/sockets/0123456789.sock'.length;

/** Everything that runs need, laid out under the home. What takes time to find out is found out when it is first needed. */
export async function equip(base: Base, settings: EquipmentSettings): Promise<Equipment> {
  const { store, clock, newId, log, nodeId, nodeMarker } = base;
  const { home, providers } = settings;
  const { path } = settings.owner;
  if (providers.length > 0 && Buffer.byteLength(home) > longestHome) {
    throw new Unusable(
      'home-too-long',
      `The path of the home has more than ${longestHome} bytes, too many for the sockets in it. Choose a shorter NIGHTSHIFT_HOME.`,
    );
  }
  const repositories = repositoryRules(settings.repositories);
  const hooks = createHooks(clock);
  hooks.register(investigator({ store, clock, note: noteFindings(base.memory) }));
  const hookEnv = { PATH: path, HOME: settings.owner.home, LANG: 'C.UTF-8', ...nodeMarker };
  for (const hook of configuredHooks(settings.hooks, { clock, directory: home, env: hookEnv })) hooks.register(hook);
  const under = (...names: string[]): string => join(home, ...names);
  const git = createGit({ clock, path, env: nodeMarker });
  const gitCredentials = await openCredentials({
    directory: under('git-credentials'),
    tokens: async (repository) => [(await settings.gitToken(repository)) ?? []].flat(),
  });
  const mirrors = await openMirrors({ git, credentials: gitCredentials, clock, path, directory: under('mirrors'), home });
  const checkouts = await openCheckouts({ git, clock, log, path, directory: under('spares'), spares: 4 });
  const workspaces = createWorkspaces({
    store,
    git,
    mirrors,
    checkouts,
    clock,
    newId,
    log,
    nodeId,
    directory: under('workspaces'),
    path,
    keep: { completedMs: hour, errorMs: 72 * hour },
    checkpoints: settings.checkpoints,
  });
  const leftovers = await findLeftovers({
    store,
    clock,
    path,
    runsDirectory: under('runs'),
    sessionsDirectory: under('sessions'),
    keepRecordsMs: settings.keepRunsMs,
  });
  let workspaceBytes: number | null = null;
  const measuring = regularly(
    clock,
    hour / 12,
    async (signal) => {
      const { bytes } = await measure(
        under('workspaces'),
        { bytes: Number.POSITIVE_INFINITY, files: Number.POSITIVE_INFINITY },
        clock,
        signal,
      );
      if (!signal.aborted) workspaceBytes = bytes;
    },
    (error) => log.warn({ err: error }, 'what workspaces take on the disk could not be measured'),
  );
  const credentials = createCredentials(clock);
  const budgets = createBudgets({
    store,
    clock,
    newId,
    log,
    nodeId,
    prices: createPrices(settings.prices),
    defaults: settings.limits,
    standIns: (model) =>
      [model, settings.models.fallback ?? model].flatMap((asked) => [asked, ...providers.map(({ nameOf }) => nameOf(asked))]),
    emergency: (tx) => base.queue.pauseIn(tx, 'the daily ceiling'),
    onBooked: settings.onBooked,
  });
  const sweeping = regularly(
    clock,
    hour,
    async (signal) => {
      const swept = { ...(await workspaces.sweep(signal)), ...(await leftovers.clear(signal)), budgetCounters: await budgets.tidy() };
      if (Object.values(swept).some((count) => count > 0)) log.info(swept, 'swept');
    },
    (error) => log.warn({ err: error }, 'the sweep of what runs left behind failed; trying again in an hour'),
  );
  const waits = createWaits();
  const tiers = tierModels(settings.models, providers[0]?.name ?? '');
  const models =
    providers.length === 0
      ? undefined
      : createRoutedModels({
          chain: providers,
          fallbackModel: settings.models.fallback,
          models: [...new Set(Object.values(tiers).filter((name) => name !== undefined))],
          patienceMs: settings.models.patienceMs,
          clock,
          chance: Math.random,
          onWaiting: waits.tell,
        });
  const door = withDemo(base, { models, budgets });
  const calls = { ...door, clock, log, onUsage: (call: ModelCall) => log.debug({ ...call }, 'model call') };
  const gateway = createGateway({ ...calls, credentials });
  await mkdir(under('sessions'), { recursive: true, mode: 0o700 });
  // Doors that a killed server left open: each run has one of its own, so nobody would ever close them.
  await rm(under('sockets'), { recursive: true, force: true });

  return {
    runner: {
      onDelivered: settings.onDelivered,
      ...base,
      hooks,
      git,
      gitCredentials,
      workspaces,
      sandbox: once(() => openSandbox(settings, clock, log)),
      models: {
        gateway,
        credentials,
        budgets,
        waits,
        tiers,
        onlyDemo: models === undefined,
      },
      ask: models ? createAsk({ ...calls, newId, tiers }) : noModelToAsk,
      runsDirectory: under('runs'),
      sessionsDirectory: under('sessions'),
      socketsDirectory: under('sockets'),
      readOnly: agentProgram(),
      path,
      repositories,
      network: settings.network,
      quota: settings.quota,
      timeoutMs: settings.timeoutMs,
      maxRounds: settings.maxRounds,
      noteTokens: settings.noteTokens,
      checkpointEvery: settings.checkpoints.everyCalls,
    },
    pendingCalls: () => budgets.pending,
    workspaceBytes: () => workspaceBytes,
    models,
    gateway,
    async stop() {
      models?.close();
      await budgets.stop();
      await sweeping.stop();
      await measuring.stop();
      await checkouts.stop();
    },
  };
}

async function openSandbox({ sandbox: mode, home, owner }: EquipmentSettings, clock: Clock, log: Log): Promise<Sandbox> {
  const sandbox = await createSandbox({ mode, directory: join(home, 'sandbox'), protect: [home, owner.home], clock });
  const { active, summary, remedy } = sandbox.describe();
  log[active ? 'info' : 'warn']({ sandbox: mode, ...(remedy === undefined ? {} : { remedy }) }, summary);
  return sandbox;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
