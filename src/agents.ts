import { homedir } from 'node:os';
import type { Config } from './config/settings.ts';
import { Unusable } from './domain/errors.ts';
import { chooseProviders } from './gateway/choose-providers.ts';
import { tierModels } from './gateway/model-names.ts';
import type { Upstream } from './gateway/routed-models.ts';
import type { Clock } from './platform/clock.ts';
import type { Log } from './platform/log.ts';
import type { CannotRun } from './queue/enqueue.ts';
import { claudeEngine } from './runner/engines/claude.ts';
import { commandEngine } from './runner/engines/command.ts';
import type { Engine } from './runner/engines/engine.ts';
import type { EquipmentSettings } from './runner/equip.ts';

/** Who does the work here: the engines that there are, and the models that they may ask. */
export interface Agents {
  readonly engines: ReadonlyMap<string, Engine>;
  /** The engine of whoever names none; undefined when everybody must. */
  readonly defaultEngine: string | undefined;
  /** In the order in which they are asked. */
  readonly providers: readonly Upstream[];
  /** What no engine here takes, so that it is refused rather than queued. */
  readonly cannotRun: CannotRun;
}

export function chooseAgents(config: Config, clock: Clock, log: Log): Agents {
  const providers = chooseProviders(config, { clock, chance: Math.random, warn: (message) => log.warn(message) });
  if (providers.length === 0)
    log.info('no model provider is set up: agents cannot work, commands can; set LLM_API_KEY, or see docs/models.md');
  else
    log.info({ providers: providers.map(({ name }) => name), models: tierModels(config, providers[0]?.name ?? '') }, 'agents ask models');
  const engines = new Map(
    [commandEngine(clock), claudeEngine({ clock, asRoot: process.getuid?.() === 0 })].map((engine) => [engine.name, engine]),
  );
  if (config.engine !== undefined && !engines.has(config.engine)) {
    throw new Unusable(
      'bad-setting',
      `engine (NIGHTSHIFT_ENGINE) cannot be "${config.engine}". Allowed: ${[...engines.keys()].join(', ')}.`,
    );
  }
  const defaultEngine = config.engine ?? (providers.length > 0 ? 'claude' : undefined);
  return {
    engines,
    defaultEngine,
    providers,
    cannotRun({ engine, body }) {
      const name = engine ?? defaultEngine;
      if (name === undefined) return undefined;
      const known = engines.get(name);
      return known ? known.refuses({ body }) : `there is no engine named ${JSON.stringify(name)}; known: ${[...engines.keys()].join(', ')}`;
    },
  };
}

/** What the settings say about what runs are given. */
export const equipmentIn = (
  config: Config,
  path: string,
): Omit<EquipmentSettings, 'providers' | 'gitToken' | 'network' | 'limits' | 'onBooked' | 'onDelivered'> => ({
  home: config.home,
  owner: { home: homedir(), path },
  sandbox: config.sandbox,
  models: { ...config, fallback: config.llmFallbackModel, patienceMs: config.llmPatienceSeconds * 1_000 },
  hooks: config.hooks,
  timeoutMs: config.runTimeoutSeconds * 1_000,
  quota: { bytes: config.workspaceMegabytes * 2 ** 20, files: config.workspaceFiles },
  maxRounds: config.maxRounds,
  noteTokens: config.noteTokens,
  checkpoints: {
    everyCalls: config.checkpointEvery,
    perRun: config.checkpointsPerRun,
    keepMs: config.keepCheckpointsHours * 3_600_000,
  },
  repositories: config.repositories,
  keepRunsMs: config.keepRunsDays === 0 ? null : config.keepRunsDays * 86_400_000,
  prices: config.prices,
});
