import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { getRequestListener } from '@hono/node-server';
import type { BackupParts, Manifest } from './backup/backup.ts';
import { restore } from './backup/restore.ts';
import { alertChannels } from './channels/alert-channels.ts';
import type { Config } from './config/settings.ts';
import { tracesOf } from './config/traces.ts';
import { withoutSecrets } from './config/without-secrets.ts';
import { createDemos } from './demo/demos.ts';
import { type Limits, microUsd } from './domain/budget.ts';
import { Unusable } from './domain/errors.ts';
import { chooseProviders } from './gateway/choose-providers.ts';
import { tokensIn } from './gateway/estimate.ts';
import { tierModels } from './gateway/model-names.ts';
import { sampleRepository } from './gateway/rehearsal/demo.ts';
import { createGitHub } from './github/github.ts';
import { currentToken, takeHome } from './home.ts';
import { createInbox } from './inbox/inbox.ts';
import { condenseRegularly } from './knowledge/memory/condense.ts';
import { noteFailures } from './knowledge/memory/failures.ts';
import { createMemory } from './knowledge/memory/memory.ts';
import { createAnnouncer } from './outbox/announce.ts';
import { createOutbox } from './outbox/outbox.ts';
import { forgetOldMail } from './outbox/retention.ts';
import { oversee } from './oversight.ts';
import { type Clock, systemClock } from './platform/clock.ts';
import { createIds, type NewId } from './platform/ids.ts';
import type { Log } from './platform/log.ts';
import { startReaper } from './platform/reaper.ts';
import { sweep } from './platform/subprocess.ts';
import { createPush, tellBrowsers } from './push/push.ts';
import { pushKeyIn } from './push/vapid.ts';
import { Dispatcher } from './queue/dispatcher.ts';
import { createQueue } from './queue/durable-queue.ts';
import type { CannotRun } from './queue/enqueue.ts';
import { Liveness } from './queue/liveness.ts';
import type { Line } from './queue/queue.ts';
import { sqliteLine } from './queue/sqlite.ts';
import { refusesWork } from './runner/admission.ts';
import { claudeEngine } from './runner/engines/claude.ts';
import { commandEngine } from './runner/engines/command.ts';
import { equip } from './runner/equip.ts';
import { createFollowUps, followUpsOf } from './runner/follow-up/follow-ups.ts';
import type { Hooks } from './runner/hooks/registry.ts';
import { runTask } from './runner/run-task.ts';
import type { Network } from './sandbox/egress.ts';
import { addressReader } from './server/access/address.ts';
import { createAudit } from './server/access/audit.ts';
import { owner } from './server/access/caller.ts';
import { createGuesses } from './server/access/guesses.ts';
import { createIdentities } from './server/access/identities.ts';
import { rateLimit } from './server/access/limits.ts';
import { createSessions } from './server/access/sessions.ts';
import { openStreams } from './server/access/streams.ts';
import { createApp } from './server/app.ts';
import type { App } from './server/env.ts';
import { Feed } from './server/feed.ts';
import { metricsApp } from './server/metrics/own-port.ts';
import { openPages } from './server/pages/pages.ts';
import { watchJournal } from './server/watch-journal.ts';
import type { Connector } from './sources/connector.ts';
import { connectorsOf } from './sources/connectors.ts';
import { Scheduler } from './sources/schedule/schedule.ts';
import { append } from './store/journal.ts';
import { migrations } from './store/migrate.ts';
import { enrol } from './store/nodes.ts';
import { openStore } from './store/open.ts';
import { findProfile } from './store/profiles.ts';
import type { Store } from './store/store.ts';
import type { Tracing, TracingParts } from './tracing/tracing.ts';
import { canonicalAddress } from './workspace/repository.ts';
import { repositoryPattern } from './workspace/repository-pattern.ts';

export { makeSampleRepository } from './demo/sample.ts';
export { chooseProviders } from './gateway/choose-providers.ts';
export { tierModels } from './gateway/model-names.ts';
export { sampleRepository } from './gateway/rehearsal/demo.ts';
export { checkSandbox } from './sandbox/check.ts';
export { inspectStore } from './store/inspect.ts';

export const version = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version;

export interface RunningServer {
  readonly address: string;
  /** Where the figures for Prometheus have a port of their own; undefined where they have none. */
  readonly metricsAddress: string | undefined;
  /** Those of the settings are in it; a program that embeds the server may add its own. */
  readonly hooks: Hooks;
  /** A link that signs a browser in, once, within a quarter of an hour. */
  loginLink(): string;
  /** Has the dashboard built now, if it must be, rather than when it is first asked for. */
  preparePages(): void;
  /** Drains and stops. When `hurry` aborts, running work is given back at once. */
  stop(hurry?: AbortSignal): Promise<void>;
}

const nodeMarker = 'NIGHTSHIFT_NODE';
const installed = fileURLToPath(new URL('..', import.meta.url));

/** The composition root: everything is wired here, started in order, and stopped in the reverse. */
export async function startServer(config: Config, log: Log, clock: Clock = systemClock, network: Network = {}): Promise<RunningServer> {
  const newId: NewId = createIds(clock);
  const home = await takeHome(config.home, newId);
  const undo: (() => unknown)[] = [() => home.release()];
  try {
    const opened = await openStore(config);
    undo.push(() => opened.close());
    const addressOf = addressReader(config.trustedProxies);
    const audit = createAudit({ store: opened, clock, log, addressOf });
    undo.push(() => audit.stop());
    const { store } = audit;
    const line = store.dialect === 'sqlite' ? sqliteLine : await openPgBoss(store, log);
    undo.push(() => line.stop());

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
    const cannotRun: CannotRun = ({ engine, body }) => {
      const name = engine ?? defaultEngine;
      if (name === undefined) return undefined;
      const known = engines.get(name);
      return known ? known.refuses({ body }) : `there is no engine named ${JSON.stringify(name)}; known: ${[...engines.keys()].join(', ')}`;
    };
    // A comment is never taken for a command, whatever engine is the default here.
    const github = createGitHub(config, { store, clock, log, engine: 'claude', version });
    const mail = { store, clock, newId, chance: Math.random, log, node: home.nodeId };
    const connectors: readonly Connector[] = [
      ...(github.on ? [github.on] : []),
      ...(await connectorsOf(config, { store, clock, newId, log, repositoryPattern })),
    ];
    const alerts = alertChannels(config, { clock, node: home.nodeId });
    const token = currentToken(config.home, config.token);
    const pushParts = {
      ...{ store, clock, key: pushKeyIn(config.home, config.pushKey), ownerKey: token, ownServices: config.pushServices },
      contact: config.alertEmail === undefined ? 'https://nightshift.example' : `mailto:${config.alertEmail}`,
    };
    const push = createPush(pushParts);
    const channels = [...connectors.flatMap(({ channel }) => channel ?? []), ...alerts, push.channel];
    const outbox = createOutbox({ ...mail, channels });
    const tell = tellBrowsers(pushParts, outbox);
    const announcer = createAnnouncer(
      outbox,
      connectors.flatMap(({ reporter }) => reporter ?? []),
    );
    const mirrors = connectors.flatMap(({ mirror }) => mirror ?? []);
    const memory = createMemory({
      clock,
      newId,
      noted: (tx, note, at) =>
        outbox.put(
          tx,
          mirrors.map((mirror) => mirror(note, at)),
        ),
    });
    const failures = noteFailures({ memory, addressOf: canonicalAddress });
    const queue = createQueue({
      store,
      line,
      clock,
      newId,
      chance: Math.random,
      defaultEngine: defaultEngine ?? null,
      cannotRun,
      asked: tell,
      async changed(tx, tasks) {
        await announcer.changed(tx, tasks);
        await failures(tx, tasks);
        await tell(tx, tasks);
        if (config.findings.tasks !== 'off' && providers.length > 0) await followUpsOf(tx, tasks, clock.now());
      },
    });
    const sources = connectors.flatMap(({ source }) => source ?? []);
    const inbox = createInbox({ ...mail, queue, sources, taken: announcer.taken });

    // A marker of this very start: what an earlier one left behind is ended before its work begins again.
    const boot = `${home.nodeId}/${randomBytes(8).toString('hex')}`;
    const swept = await sweep((variable) => variable.startsWith(`${nodeMarker}=${home.nodeId}/`) && variable !== `${nodeMarker}=${boot}`);
    const reaper = startReaper({ name: nodeMarker, value: boot });
    undo.push(() => reaper.stop());

    const limits: Limits = {
      day: microUsd(config.dailyBudgetUsd),
      ceiling: microUsd(config.dailyCeilingUsd),
      proactive: config.proactiveDailyTokens,
      run: microUsd(config.runBudgetUsd),
      conversation: config.conversationWarnTokens,
    };
    const tracing = await openTracing(config, { store, clock, log, node: home.nodeId, version });
    const runsDirectory = join(config.home, 'runs');
    const equipment = await equip(
      {
        store,
        queue,
        clock,
        newId,
        log,
        nodeId: home.nodeId,
        nodeMarker: { [nodeMarker]: boot },
        engines,
        happened: announcer.happened,
        memory,
      },
      {
        home: config.home,
        owner: { home: homedir(), path: searchPath() },
        sandbox: config.sandbox,
        providers,
        models: { ...config, fallback: config.llmFallbackModel, patienceMs: config.llmPatienceSeconds * 1_000 },
        gitToken: github.gitToken,
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
        network,
        keepRunsMs: config.keepRunsDays === 0 ? null : config.keepRunsDays * 86_400_000,
        limits,
        prices: config.prices,
        onBooked(entry) {
          oversight.booked(entry);
          tracing?.booked(entry);
        },
        onDelivered: (delivery) => tracing?.delivered(delivery),
      },
    );
    undo.push(() => equipment.stop());
    const dispatcher = new Dispatcher({
      queue,
      store,
      clock,
      log,
      node: home.nodeId,
      capacity: config.maxConcurrentRuns,
      run: (claim, signal) => runTask(equipment.runner, claim, signal),
    });

    const { gateway, models } = equipment;
    const providersNow = () => models?.describe() ?? { providers: [], breakers: [], waiting: [] };
    const demos = createDemos({
      ...{ store, queue, clock, log, nodeId: home.nodeId, workspaces: equipment.runner.workspaces },
      ...{ sample: sampleRepository, path: searchPath() },
    });
    undo.push(() => demos.stop());
    const feed = new Feed(store, clock, log);
    await feed.start();
    undo.push(() => feed.stop());
    if (tracing) {
      const watching = watchJournal(feed, tracing.observe, log);
      undo.push(() => watching.stop().then(tracing.stop));
    }
    const oversight = oversee({
      ...{ config, store, clock, log, version, limits, feed, outbox, providers, providersNow },
      node: home.nodeId,
      backup: backupPartsOf(config, clock),
      sandbox: async () => (await equipment.runner.sandbox()).describe(),
      isPaused: () => queue.isPaused(),
      sources: sources.map(({ name }) => name),
      channels: alerts.map(({ name }) => name),
      runs: () => dispatcher.active,
      pendingCalls: equipment.pendingCalls,
      workspaceBytes: equipment.workspaceBytes,
    });
    undo.push(() => oversight.stop());

    const pages = openPages({
      root: installed,
      clock,
      log,
      env: { PATH: searchPath(), HOME: homedir(), [nodeMarker]: boot },
    });
    undo.push(() => pages.stop());
    const sessions = createSessions(token, { store, clock, newId });
    const identities = createIdentities({ store, clock, log, sessions, ownerKey: token });
    undo.push(() => identities.stop());
    const streams = openStreams({ store, clock, log, identities });
    undo.push(() => streams.stop());
    const startedAt = clock.now();

    let stopping = false;
    const app = createApp({
      store,
      queue,
      inbox,
      outbox,
      memory,
      addressOf: canonicalAddress,
      doors: new Map(connectors.flatMap(({ door }) => (door ? [[door.source, door]] : []))),
      clock,
      newId,
      log,
      feed,
      metrics: oversight.metrics,
      access: {
        identities,
        addressOf,
        guesses: createGuesses(clock),
        keyLimit: rateLimit(clock, config.keyRequestsPerMinute),
        addressLimit: rateLimit(clock, config.addressRequestsPerMinute),
      },
      traceRequest: tracing?.request,
      sessions,
      streams,
      audit,
      corsOrigins: config.corsOrigins,
      pages,
      async refusesWish({ engine, profile, repository, trust }) {
        // Looking at the sandbox takes a moment, and the owner's work is refused in this mode alone.
        if (trust === 'owner' && config.sandbox !== 'require') return undefined;
        const name = engine ?? (await findProfile(store.read, profile))?.engine ?? defaultEngine;
        if (name === undefined) return undefined;
        const converses = engines.get(name)?.converses ?? true;
        return refusesWork(equipment.runner.sandbox, { converses, repository: repository ?? null, trust });
      },
      demos,
      push,
      engines: [...engines.keys()],
      // Whoever asked may go away meanwhile; files that are half put back are of no use to anybody.
      rewind: (runId, checkpointId, by) =>
        equipment.runner.workspaces.checkpoints.rewind(runId, checkpointId, by, new AbortController().signal),
      removeWorkspace: (id, signal) => equipment.runner.workspaces.remove(id, signal),
      limits,
      backups: oversight.backups,
      health: oversight.health,
      alertNames: oversight.alertNames,
      alertChannels: alerts.map(({ name }) => name),
      node: home.nodeId,
      version,
      records: (runId) => join(runsDirectory, runId),
      async describe() {
        const { active, summary, remedy = null } = (await equipment.runner.sandbox()).describe();
        return {
          startedAt,
          store: store.dialect,
          capacity: config.maxConcurrentRuns,
          engines: [...engines.keys()],
          defaultEngine: defaultEngine ?? null,
          providers: providers.map(({ name }) => name),
          model: config.llmModel ?? null,
          sandbox: { active, summary, remedy },
          sources: [...sources.map(({ name }) => name), ...(config.schedules.length > 0 ? ['schedule'] : [])],
        };
      },
      outputFile: (runId) => join(runsDirectory, runId, 'output.log'),
      isStopping: () => stopping,
      providers: providersNow,
      resetBreaker: (id) => models?.reset(id) ?? false,
    });
    const api = getRequestListener(app.fetch, { hostname: config.host });
    // Before the owner's authentication: a run shows its own credential there, and has no other.
    const server = await listen(
      (incoming, outgoing) => {
        if (incoming.url?.startsWith('/v1/')) void gateway.handle(incoming, outgoing);
        else void api(incoming, outgoing);
      },
      config,
      'PORT or --port',
    );
    undo.push(() => close(server));
    const address = addressOfServer(server, config.host);
    const metricsServer = await listenForMetrics(config, (token) =>
      metricsApp({ metrics: oversight.metrics, token, guesses: createGuesses(clock), addressOf, newId, log }),
    );
    if (metricsServer) undo.push(() => close(metricsServer));
    const metricsAddress = metricsServer && addressOfServer(metricsServer, config.host);

    await store.write((tx) => enrol(tx, { id: home.nodeId, address }, clock.now()));
    const recovered = await queue.takeOver(home.nodeId);
    await store.write((tx) => append(tx, [{ type: 'node.started', data: { node: home.nodeId, recovered } }], clock.now()));
    const liveness = new Liveness({
      queue,
      store,
      clock,
      log,
      node: home.nodeId,
      leaseMs: config.leaseSeconds * 1_000,
      reconcile: (heartbeat) => dispatcher.reconcile(heartbeat),
    });
    liveness.start();
    dispatcher.start();
    const scheduler = new Scheduler({ store, queue, clock, log, schedules: config.schedules });
    scheduler.start();
    const { ask } = equipment.runner;
    const condensing = condenseRegularly({ store, clock, newId, log, memory, ask, tokensIn });
    const { tasks, ...limitsOfFollowUps } = config.findings;
    const followUps =
      tasks === 'off' || providers.length === 0
        ? undefined
        : createFollowUps({
            ...{ store, queue, clock, log, node: home.nodeId, ask, engine: 'claude' },
            newWord: () => randomBytes(9).toString('base64url'),
            settings: { tasks, ...limitsOfFollowUps },
          });
    undo.push(() => Promise.all([inbox.stop(), outbox.stop(), followUps?.stop()]));
    await outbox.start();
    await inbox.start();
    await followUps?.start();
    oversight.start();
    if (config.keepMailDays > 0) {
      const forgetting = forgetOldMail({ store, clock, log, keepMs: config.keepMailDays * 86_400_000 });
      undo.push(() => forgetting.stop());
    }
    const lookouts = connectors.flatMap((connector) => connector.start?.({ inbox, queue }) ?? []);
    home.announce({ pid: process.pid, address });
    log.info(
      {
        address,
        ...(metricsAddress === undefined ? {} : { metrics: `${metricsAddress}/metrics` }),
        home: config.home,
        store: store.dialect,
        recovered,
        swept,
        capacity: config.maxConcurrentRuns,
      },
      'nightshift is up',
    );

    return {
      address,
      metricsAddress,
      hooks: equipment.runner.hooks,
      loginLink: () => `${address}/#login=${sessions.issueCode(owner).code}`,
      preparePages: () => pages.prepare(),
      async stop(hurry) {
        stopping = true;
        log.info({ running: dispatcher.active }, 'stopping: nothing new is started');
        await Promise.all(lookouts.map((lookout) => lookout.stop()));
        await inbox.stop();
        await Promise.all([scheduler.stop(), condensing.stop()]);
        await dispatcher.drain(config.drainSeconds * 1_000, hurry);
        await followUps?.stop();
        await outbox.stop();
        await liveness.stop();
        // Whatever this node still holds, because its end could not be stored, goes back in line with the sign-off.
        await store
          .write((tx) => append(tx, [{ type: 'node.stopped', data: { node: home.nodeId } }], clock.now()))
          .then(() => queue.bury(home.nodeId))
          .catch((error: unknown) => log.warn({ err: error }, 'could not sign off'));
        await unwind(undo);
        log.info('stopped');
      },
    };
  } catch (error) {
    await unwind(undo);
    throw error;
  }
}

const searchPath = (): string => process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';

function backupPartsOf(config: Config, clock: Clock): BackupParts {
  return {
    home: config.home,
    directory: config.backupDirectory ?? join(config.home, 'backups'),
    databaseUrl: config.databaseUrl,
    schema: migrations.length,
    version,
    clock,
    path: searchPath(),
    withoutSecrets,
    passphrase: config.backupPassphrase,
    keep: config.keepBackups,
  };
}

/** Puts a backup into the home, which must be empty. */
export const restoreBackup = (config: Config, file: string, signal: AbortSignal): Promise<Manifest> =>
  restore({ ...backupPartsOf(config, systemClock), file, home: config.home, databaseUrl: config.databaseUrl }, signal);

/** Nothing of it is even loaded where nobody asked for it. */
async function openTracing(config: Config, parts: Omit<TracingParts, 'settings'>): Promise<Tracing | undefined> {
  const settings = tracesOf(config);
  if (settings === undefined) return undefined;
  const { startTracing } = await import('./tracing/tracing.ts');
  return startTracing({ ...parts, settings });
}

async function openPgBoss(store: Store, log: Log): Promise<Line> {
  const { pgBossLine } = await import('./queue/pg-boss.ts');
  return pgBossLine(store, (error) => log.warn({ err: error }, 'pg-boss'));
}

async function unwind(undo: readonly (() => unknown)[]): Promise<void> {
  for (const step of [...undo].reverse()) await step();
}

function addressOfServer(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

async function listenForMetrics({ host, metricsPort, metricsToken }: Config, appFor: (token: string) => App): Promise<Server | undefined> {
  if (metricsPort === undefined) return undefined;
  if (metricsToken === undefined) {
    throw new Unusable(
      'bad-setting',
      'metricsPort (METRICS_PORT) takes a token: set METRICS_TOKEN to one, such as `openssl rand -hex 32`.',
    );
  }
  const answer = getRequestListener(appFor(metricsToken).fetch, { hostname: host });
  return listen((incoming, outgoing) => void answer(incoming, outgoing), { host, port: metricsPort }, 'METRICS_PORT');
}

function listen(answer: RequestListener, { host, port }: Pick<Config, 'host' | 'port'>, chosenBy: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(answer);
    server.listen(port, host, () => resolve(server));
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? `port ${port} is in use; choose another with ${chosenBy}` : cause.message;
      reject(new Unusable('cannot-listen', `Cannot listen on ${host}:${port}: ${why}.`, cause));
    });
  });
}

/** Lets answers that are under way finish; connections that merely stay open are cut. */
async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // One that is busy now is idle when its last answer is out, and would then be kept for the next.
  const tidy = setInterval(() => server.closeIdleConnections(), 10);
  const force = setTimeout(() => server.closeAllConnections(), 1_000);
  await closed;
  clearInterval(tidy);
  clearTimeout(force);
}
