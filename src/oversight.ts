import { join } from 'node:path';
import { type AlertParts, watchOver } from './alerts/alerts.ts';
import { conditionsOf } from './alerts/conditions.ts';
import { createRecent, endsAmong, type TaskEnd } from './alerts/recent.ts';
import type { BackupParts } from './backup/backup.ts';
import { type Backups, openBackups } from './backup/backups.ts';
import type { Config } from './config/settings.ts';
import { withoutSecrets } from './config/without-secrets.ts';
import type { Limits } from './domain/budget.ts';
import { isProvidersFailure, type LedgerEntry } from './domain/spending.ts';
import { reachAll } from './gateway/reach.ts';
import type { Upstream } from './gateway/routed-models.ts';
import { checksOf } from './health/checks.ts';
import { type Health, watchHealth } from './health/health.ts';
import type { Clock } from './platform/clock.ts';
import type { Log } from './platform/log.ts';
import type { Feed } from './server/feed.ts';
import { createMetrics, type Metrics } from './server/metrics/metrics.ts';
import type { ProvidersState } from './server/providers-state.ts';
import { watchJournal } from './server/watch-journal.ts';
import { findDamage } from './store/damage.ts';
import { migrations } from './store/migrate.ts';
import type { Store } from './store/store.ts';

export interface OversightParts {
  readonly config: Config;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly node: string;
  readonly version: string;
  readonly limits: Limits;
  /** Where programs are looked for. */
  readonly path: string;
  /** The environment by which what this server started is found when it is killed. */
  readonly marker: Readonly<Record<string, string>>;
  readonly feed: Feed;
  readonly outbox: AlertParts['outbox'];
  readonly providers: readonly Upstream[];
  readonly providersNow: () => ProvidersState;
  readonly sandbox: () => Promise<{ readonly active: boolean; readonly summary: string; readonly remedy?: string }>;
  readonly isPaused: () => Promise<boolean>;
  /** Where work comes from by itself, and where alerts go. */
  readonly sources: readonly string[];
  readonly sourceConcerns: () => readonly { readonly found: string; readonly remedy: string }[];
  readonly channels: readonly string[];
  readonly reachChannels: (signal: AbortSignal) => Promise<readonly { readonly name: string; readonly trouble: string | undefined }[]>;
  readonly runs: () => number;
  readonly pendingCalls: () => number;
  readonly workspaceBytes: () => number | null;
}

/** Whoever looks after the server itself: what is counted, examined, copied away, and told when it is not well. */
export interface Oversight {
  readonly metrics: Metrics;
  readonly health: Health;
  readonly backups: Backups;
  /** The conditions that people are told of. */
  readonly alertNames: readonly string[];
  /** Told of each model call of this node once it is in the ledger. */
  booked(entry: LedgerEntry): void;
  /** From here on the server examines itself, and people are told. */
  start(): void;
  stop(): Promise<void>;
}

export function oversee(parts: OversightParts): Oversight {
  const { config, store, clock, log, node, limits, providersNow } = parts;
  const backups = openBackups({ ...backupParts(parts), log }, config.backupHours);
  const health = watchHealth({ clock, checks: checksOf(checkParts(parts, backups)) }, config.healthcheckInterval * 1_000);
  const metrics = createMetrics({
    store,
    node,
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    limits,
    pending: parts.pendingCalls,
    providers: providersNow,
    machine: {
      version: parts.version,
      home: config.home,
      runs: parts.runs,
      capacity: config.maxConcurrentRuns,
      watchers: () => parts.feed.watchers,
      workspaceBytes: parts.workspaceBytes,
      lastExamination: () => health.last,
      backupAgeMs: () => backups.ageMs(),
    },
  });
  const ends = createRecent<TaskEnd>(clock);
  const calls = createRecent<'failed'>(clock);
  const watching = watchJournal(
    parts.feed,
    async (events) => {
      for (const end of endsAmong(events)) ends.saw(end);
      await metrics.observe(events);
    },
    log,
  );
  const conditions = conditionsOf({
    ...{ store, clock, limits, ends, calls },
    home: config.home,
    isPaused: parts.isPaused,
    openBreakers: () => providersNow().breakers.flatMap(({ provider, model, state }) => (state === 'open' ? [`${provider}/${model}`] : [])),
    backupTrouble: () => backups.trouble(),
    failing: () => health.last?.findings.filter(({ verdict }) => verdict === 'failure') ?? [],
    settings: config.alerts,
  });
  let alerting: { stop(): Promise<void> } | undefined;
  return {
    metrics,
    health,
    backups,
    alertNames: conditions.map(({ name }) => name),
    booked(entry) {
      metrics.booked(entry);
      if (isProvidersFailure(entry.end)) calls.saw('failed');
    },
    start() {
      health.start();
      alerting = watchOver({ store, clock, log, node, outbox: parts.outbox, channels: parts.channels, conditions });
    },
    async stop() {
      await alerting?.stop();
      await watching.stop();
      await health.stop();
      await backups.stop();
    },
  };
}

/** What is copied away by what the settings say, and how. */
const backupParts = ({ config, clock, node, version, path, marker: env }: OversightParts): BackupParts => ({
  ...{ clock, node, version, path, env, withoutSecrets },
  home: config.home,
  directory: config.backupDirectory ?? join(config.home, 'backups'),
  databaseUrl: config.databaseUrl,
  schema: migrations.length,
  passphrase: config.backupPassphrase,
  keep: config.keepBackups,
});

function checkParts(parts: OversightParts, backups: Backups): Parameters<typeof checksOf>[0] {
  const { config, store, clock, node, path, providers, sandbox, sources, sourceConcerns, reachChannels } = parts;
  return {
    ...{ store, clock, node, path, sandbox, sources, sourceConcerns, reachChannels, backups },
    home: config.home,
    sandboxRequired: config.sandbox === 'require',
    findDamage: (signal) => findDamage(join(config.home, 'nightshift.db'), clock, signal),
    reachProviders: (signal) => reachAll(providers, signal),
    backupsWanted: config.backupHours > 0,
  };
}
