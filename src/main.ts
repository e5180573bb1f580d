import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { chooseAgents, equipmentIn } from './agents.ts';
import type { Manifest } from './backup/backup.ts';
import { refuseHalfRestored, restore } from './backup/restore.ts';
import { limitsOf } from './config/limits.ts';
import type { Config } from './config/settings.ts';
import { tracesOf } from './config/traces.ts';
import { createDemos } from './demo/demos.ts';
import { openFront } from './front.ts';
import { tokensIn } from './gateway/estimate.ts';
import { sampleRepository } from './gateway/rehearsal/demo.ts';
import { currentToken, takeHome } from './home.ts';
import { createInbox } from './inbox/inbox.ts';
import { condenseRegularly } from './knowledge/memory/condense.ts';
import { noteFailures } from './knowledge/memory/failures.ts';
import { createMemory } from './knowledge/memory/memory.ts';
import { forgetOldMail } from './outbox/retention.ts';
import { openOutside } from './outside.ts';
import { oversee } from './oversight.ts';
import { type Clock, systemClock } from './platform/clock.ts';
import { createIds, type NewId } from './platform/ids.ts';
import type { Log } from './platform/log.ts';
import { readMachine } from './platform/machine.ts';
import { startReaper } from './platform/reaper.ts';
import { sweep } from './platform/subprocess.ts';
import { Dispatcher } from './queue/dispatcher.ts';
import { createQueue } from './queue/durable-queue.ts';
import { Liveness } from './queue/liveness.ts';
import type { Line } from './queue/queue.ts';
import { sqliteLine } from './queue/sqlite.ts';
import { equip } from './runner/equip.ts';
import { createFollowUps, followUpsOf } from './runner/follow-up/follow-ups.ts';
import type { Hooks } from './runner/hooks/registry.ts';
import { runTask } from './runner/run-task.ts';
import type { Network } from './sandbox/egress.ts';
import { addressReader } from './server/access/address.ts';
import { createAudit } from './server/access/audit.ts';
import { Feed } from './server/feed.ts';
import { watchJournal } from './server/watch-journal.ts';
import { Scheduler } from './sources/schedule/schedule.ts';
import { append } from './store/journal.ts';
import { migrations } from './store/migrate.ts';
import { enrol } from './store/nodes.ts';
import { openStore } from './store/open.ts';
import type { Store } from './store/store.ts';
import type { Tracing, TracingParts } from './tracing/tracing.ts';
import { canonicalAddress } from './workspace/repository.ts';

export { makeSampleRepository } from './demo/sample.ts';
export { examineOutwards } from './examine.ts';
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

/** The composition root: everything is wired here, started in order, and stopped in the reverse. */
export async function startServer(config: Config, log: Log, clock: Clock = systemClock, network: Network = {}): Promise<RunningServer> {
  const newId: NewId = createIds(clock);
  await refuseHalfRestored(config.home);
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

    const agents = chooseAgents(config, clock, log);
    const { engines, providers } = agents;
    const ownerKey = currentToken(config.home, config.token);
    const around = { store, clock, newId, chance: Math.random, log, node: home.nodeId };
    const tracing = await openTracing(config, { store, clock, log, node: home.nodeId, version });
    const outside = await openOutside({ ...around, config, version, ownerKey, traced: tracing?.through });
    const { outbox, announcer, sources } = outside;
    const memory = createMemory({ clock, newId, noted: outside.noted });
    const failures = noteFailures({ memory, addressOf: canonicalAddress });
    const queue = createQueue({
      ...{ store, line, clock, newId, chance: Math.random },
      defaultEngine: agents.defaultEngine ?? null,
      cannotRun: agents.cannotRun,
      asked: outside.tellBrowsers,
      async changed(tx, tasks) {
        await announcer.changed(tx, tasks);
        await failures(tx, tasks);
        await outside.tellBrowsers(tx, tasks);
        if (config.findings.tasks !== 'off' && providers.length > 0) await followUpsOf(tx, tasks, clock.now());
      },
    });
    const inbox = createInbox({ ...around, queue, sources, taken: announcer.taken });

    // A marker of this very start: what an earlier one left behind is ended before its work begins again.
    const boot = `${home.nodeId}/${randomBytes(8).toString('hex')}`;
    const marker = { [nodeMarker]: boot };
    const swept = await sweep((variable) => variable.startsWith(`${nodeMarker}=${home.nodeId}/`) && variable !== `${nodeMarker}=${boot}`);
    const reaper = startReaper({ name: nodeMarker, value: boot });
    undo.push(() => reaper.stop());

    const limits = limitsOf(config);
    const equipment = await equip(
      {
        ...{ store, queue, clock, newId, log, engines, memory },
        nodeId: home.nodeId,
        nodeMarker: marker,
        happened: announcer.happened,
      },
      {
        ...equipmentIn(config, searchPath()),
        ...{ providers, gitToken: outside.gitToken, network, limits },
        onBooked(entry) {
          oversight.booked(entry);
          tracing?.booked(entry);
        },
        onDelivered: (delivery) => tracing?.delivered(delivery),
      },
    );
    undo.push(() => equipment.stop());
    const dispatcher = new Dispatcher({
      ...{ queue, store, clock, log, node: home.nodeId },
      capacity: config.maxConcurrentRuns,
      run: (claim, signal) => runTask(equipment.runner, claim, signal),
    });

    const providersNow = () => equipment.models?.describe() ?? { providers: [], breakers: [], waiting: [] };
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
      ...{ config, store, clock, log, version, limits, feed, outbox, providers, providersNow, marker },
      node: home.nodeId,
      path: searchPath(),
      sandbox: async () => (await equipment.runner.sandbox()).describe(),
      isPaused: () => queue.isPaused(),
      sources: sources.map(({ name }) => name),
      sourceConcerns: outside.concerns,
      channels: outside.alertChannels,
      reachChannels: outside.reachChannels,
      runs: () => dispatcher.active,
      pendingCalls: equipment.pendingCalls,
      workspaceBytes: equipment.workspaceBytes,
    });
    undo.push(() => oversight.stop());

    let stopping = false;
    const front = openFront({
      ...{ config, store, queue, inbox, memory, clock, newId, log, feed, audit, demos },
      ...{ outside, agents, equipment, oversight, ownerKey, limits, version },
      node: home.nodeId,
      addressOf: canonicalAddress,
      callerAddress: addressOf,
      traceRequest: tracing?.request,
      env: { PATH: searchPath(), HOME: homedir(), ...marker },
      providers: providersNow,
      isStopping: () => stopping,
    });
    undo.push(() => front.stop());
    const { address, metricsAddress } = await front.listen();

    await store.write((tx) => enrol(tx, { id: home.nodeId, address }, clock.now()));
    const recovered = await queue.takeOver(home.nodeId);
    await store.write((tx) => append(tx, [{ type: 'node.started', data: { node: home.nodeId, recovered } }], clock.now()));
    const liveness = new Liveness({
      ...{ queue, store, clock, log, node: home.nodeId },
      leaseMs: config.leaseSeconds * 1_000,
      reconcile: (heartbeat) => dispatcher.reconcile(heartbeat),
      report: async () => ({
        machine: await readMachine(config.home),
        breakers: providersNow().breakers.flatMap(({ id, state }) => (state === 'closed' ? [] : [{ id, state }])),
        alerts: oversight.alertNames,
      }),
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
    const lookout = outside.lookOut({ inbox, queue });
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
      loginLink: () => front.loginLink(address),
      preparePages: () => front.preparePages(),
      async stop(hurry) {
        stopping = true;
        log.info({ running: dispatcher.active }, 'stopping: nothing new is started');
        await lookout.stop();
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

/** Puts a backup into the home, which must be empty. What it starts ends with it, even when it is killed. */
export async function restoreBackup(config: Config, file: string, signal: AbortSignal): Promise<Manifest> {
  const marker = { name: 'NIGHTSHIFT_RESTORE', value: randomBytes(8).toString('hex') };
  const reaper = startReaper(marker);
  const { home, databaseUrl, backupPassphrase: passphrase } = config;
  const around = { schema: migrations.length, clock: systemClock, path: searchPath(), env: { [marker.name]: marker.value } };
  try {
    return await restore({ file, home, databaseUrl, passphrase, ...around }, signal);
  } finally {
    await reaper.stop();
  }
}

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
