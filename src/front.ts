import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { getRequestListener } from '@hono/node-server';
import type { Agents } from './agents.ts';
import type { Config } from './config/settings.ts';
import { Unusable } from './domain/errors.ts';
import type { Outside } from './outside.ts';
import type { Oversight } from './oversight.ts';
import { refusesWork } from './runner/admission.ts';
import type { Equipment } from './runner/equip.ts';
import { owner } from './server/access/caller.ts';
import { createGuesses } from './server/access/guesses.ts';
import { createIdentities } from './server/access/identities.ts';
import { rateLimit } from './server/access/limits.ts';
import { createSessions } from './server/access/sessions.ts';
import { openStreams } from './server/access/streams.ts';
import { createApp } from './server/app.ts';
import { type Listening, listen } from './server/listen.ts';
import { metricsApp } from './server/metrics/own-port.ts';
import { openPages } from './server/pages/pages.ts';
import type { ServerParts } from './server/parts.ts';
import { findProfile } from './store/profiles.ts';

type PassedOn = 'store' | 'queue' | 'inbox' | 'memory' | 'clock' | 'newId' | 'log' | 'feed' | 'traceRequest' | 'audit' | 'demos';

export interface FrontParts extends Pick<ServerParts, PassedOn | 'addressOf' | 'limits' | 'node' | 'version' | 'providers' | 'isStopping'> {
  readonly config: Config;
  readonly outside: Outside;
  readonly agents: Agents;
  readonly equipment: Equipment;
  readonly oversight: Oversight;
  readonly callerAddress: ServerParts['access']['addressOf'];
  readonly ownerKey: () => string;
  /** Of the programs that build the pages. */
  readonly env: Readonly<Record<string, string>>;
}

/** What people and programs outside see of the server: the API, the pages, and who may come in. */
export interface Front {
  /** A link that signs a browser in, once, within a quarter of an hour. */
  loginLink(address: string): string;
  /** Has the dashboard built now, if it must be. */
  preparePages(): void;
  /** Where it is reached, and where the figures for Prometheus are if they have a port of their own. */
  listen(): Promise<{ readonly address: string; readonly metricsAddress: string | undefined }>;
  stop(): Promise<void>;
}

const installed = fileURLToPath(new URL('..', import.meta.url));

export function openFront(parts: FrontParts): Front {
  const { config, store, clock, newId, log, ownerKey, oversight, callerAddress } = parts;
  const { gateway } = parts.equipment;
  const pages = openPages({ root: installed, clock, log, env: parts.env });
  const sessions = createSessions(ownerKey, { store, clock, newId });
  const identities = createIdentities({ store, clock, log, sessions, ownerKey });
  const streams = openStreams({ store, clock, log, identities });
  const access = {
    identities,
    addressOf: callerAddress,
    guesses: createGuesses(clock),
    keyLimit: rateLimit(clock, config.keyRequestsPerMinute),
    addressLimit: rateLimit(clock, config.addressRequestsPerMinute),
  };
  const app = createApp({
    ...answersOf(parts),
    ...{ access, sessions, streams, pages },
  });
  const figures = (token: string) =>
    metricsApp({ metrics: oversight.metrics, token, guesses: createGuesses(clock), addressOf: callerAddress, newId, log });
  const listening: Listening[] = [];
  return {
    loginLink: (address) => `${address}/#login=${sessions.issueCode(owner).code}`,
    preparePages: () => pages.prepare(),
    async listen() {
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
      listening.push(server);
      const own = metricsPortIn(config);
      if (own === undefined) return { address: server.address, metricsAddress: undefined };
      const answer = getRequestListener(figures(own.token).fetch, { hostname: config.host });
      const metrics = await listen(
        (incoming, outgoing) => void answer(incoming, outgoing),
        { host: config.host, port: own.port },
        'METRICS_PORT',
      );
      listening.push(metrics);
      return { address: server.address, metricsAddress: metrics.address };
    },
    async stop() {
      for (const each of listening.toReversed()) await each.close();
      await streams.stop();
      await identities.stop();
      await pages.stop();
    },
  };
}

/** What the routes answer with: all that they are given but who is asking. */
function answersOf(parts: FrontParts): Omit<ServerParts, 'access' | 'sessions' | 'streams' | 'pages'> {
  const { config, outside, agents, equipment, oversight, ...passedOn } = parts;
  const { workspaces } = equipment.runner;
  const runsDirectory = join(config.home, 'runs');
  const startedAt = parts.clock.now();
  const engines = [...agents.engines.keys()];
  return {
    ...passedOn,
    outbox: outside.outbox,
    doors: outside.doors,
    push: outside.push,
    alertChannels: outside.alertChannels,
    metrics: oversight.metrics,
    backups: oversight.backups,
    health: oversight.health,
    alertNames: oversight.alertNames,
    corsOrigins: config.corsOrigins,
    engines,
    refusesWish: refusalsOf(parts),
    // Whoever asked may go away meanwhile; files that are half put back are of no use to anybody.
    rewind: (runId, checkpointId, by) => workspaces.checkpoints.rewind(runId, checkpointId, by, new AbortController().signal),
    removeWorkspace: (id, signal) => workspaces.remove(id, signal),
    records: (runId) => join(runsDirectory, runId),
    outputFile: (runId) => join(runsDirectory, runId, 'output.log'),
    async describe() {
      const { active, summary, remedy = null } = (await equipment.runner.sandbox()).describe();
      return {
        startedAt,
        store: parts.store.dialect,
        capacity: config.maxConcurrentRuns,
        engines,
        defaultEngine: agents.defaultEngine ?? null,
        providers: agents.providers.map(({ name }) => name),
        model: config.llmModel ?? null,
        sandbox: { active, summary, remedy },
        sources: [...outside.sources.map(({ name }) => name), ...(config.schedules.length > 0 ? ['schedule'] : [])],
      };
    },
    resetBreaker: (id) => equipment.models?.reset(id) ?? false,
  };
}

const refusalsOf =
  ({ config, store, agents, equipment }: FrontParts): ServerParts['refusesWish'] =>
  async ({ engine, profile, repository, trust }) => {
    // Looking at the sandbox takes a moment, and the owner's work is refused in this mode alone.
    if (trust === 'owner' && config.sandbox !== 'require') return undefined;
    const name = engine ?? (await findProfile(store.read, profile))?.engine ?? agents.defaultEngine;
    if (name === undefined) return undefined;
    const converses = agents.engines.get(name)?.converses ?? true;
    return refusesWork(equipment.runner.sandbox, { converses, repository: repository ?? null, trust });
  };

function metricsPortIn({ metricsPort: port, metricsToken: token }: Config): { readonly port: number; readonly token: string } | undefined {
  if (port === undefined) return undefined;
  if (token === undefined) {
    throw new Unusable(
      'bad-setting',
      'metricsPort (METRICS_PORT) takes a token: set METRICS_TOKEN to one, such as `openssl rand -hex 32`.',
    );
  }
  return { port, token };
}
