import { type Reached, reachAll } from './channels/alert-channel.ts';
import { alertChannels } from './channels/alert-channels.ts';
import type { Config } from './config/settings.ts';
import type { Task } from './domain/task.ts';
import { createGitHub, type GitHub } from './github/github.ts';
import type { Inbox } from './inbox/inbox.ts';
import type { Door, Source } from './inbox/source.ts';
import { type Announcer, createAnnouncer } from './outbox/announce.ts';
import type { Channel } from './outbox/channel.ts';
import { createOutbox, type Outbox } from './outbox/outbox.ts';
import type { Clock } from './platform/clock.ts';
import type { NewId } from './platform/ids.ts';
import type { Log } from './platform/log.ts';
import { createPush, type Push, tellBrowsers, tellOfEnds } from './push/push.ts';
import { pushKeyIn } from './push/vapid.ts';
import type { Queue } from './queue/queue.ts';
import type { Concern, Connector } from './sources/connector.ts';
import { connectorsOf } from './sources/connectors.ts';
import type { Store, Tx } from './store/store.ts';
import { repositoryPattern } from './workspace/repository-pattern.ts';

export interface OutsideParts {
  readonly config: Config;
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Uniform in [0, 1): the jitter of retries. */
  readonly chance: () => number;
  readonly log: Log;
  readonly node: string;
  readonly version: string;
  readonly ownerKey: () => string;
  /** What is sent through it is told to whoever keeps traces. */
  readonly traced?: ((channel: Channel) => Channel) | undefined;
}

/** Whoever is outside: where work comes from by itself, and how people are told what becomes of it. */
export interface Outside {
  readonly gitToken: GitHub['gitToken'];
  readonly sources: readonly Source[];
  /** What a person should know of those. */
  readonly concerns: () => readonly Concern[];
  /** By source: who may leave deliveries here. */
  readonly doors: ReadonlyMap<string, Door>;
  readonly outbox: Outbox;
  readonly announcer: Announcer;
  readonly push: Push;
  /** The channels that alerts go to. */
  readonly alertChannels: readonly string[];
  /** Tries those without telling anybody anything. */
  reachChannels(signal: AbortSignal): Promise<readonly Reached[]>;
  /** In the transaction in which tasks came to where they are: browsers are told of what waits for a person. */
  tellBrowsers(tx: Tx, tasks: readonly Task[]): Promise<void>;
  /** In the transaction of the change: those who keep our notes as well are told of it. */
  noted(tx: Tx, note: string, at: number): Promise<void>;
  /** From here on it is looked for work there, as far as nobody brings it, and browsers are told when they will be told no more. */
  lookOut(into: { readonly inbox: Inbox; readonly queue: Queue }): { stop(): Promise<void> };
}

export async function openOutside(parts: OutsideParts): Promise<Outside> {
  const { config, store, clock, newId, log, node, ownerKey } = parts;
  // A comment is never taken for a command, whatever engine is the default here.
  const github = createGitHub(config, { store, clock, log, engine: 'claude', version: parts.version });
  const connectors: readonly Connector[] = [
    ...(github.on ? [github.on] : []),
    ...(await connectorsOf(config, { store, clock, newId, log, node, repositoryPattern })),
  ];
  const alerts = alertChannels(config, { clock, node });
  const pushParts = {
    ...{ store, clock, key: pushKeyIn(config.home, config.pushKey), ownerKey, ownServices: config.pushServices },
    contact: config.alertEmail === undefined ? 'https://nightshift.example' : `mailto:${config.alertEmail}`,
  };
  const push = createPush(pushParts);
  const channels = [...connectors.flatMap(({ channel }) => channel ?? []), ...alerts, push.channel].map(
    parts.traced ?? ((channel) => channel),
  );
  const outbox = createOutbox({ store, clock, newId, chance: parts.chance, log, node, channels });
  const mirrors = connectors.flatMap(({ mirror }) => mirror ?? []);
  return {
    gitToken: github.gitToken,
    sources: connectors.flatMap(({ source }) => source ?? []),
    concerns: () => connectors.flatMap((connector) => connector.concern?.() ?? []),
    doors: new Map(connectors.flatMap(({ door }) => (door ? [[door.source, door]] : []))),
    outbox,
    announcer: createAnnouncer(
      outbox,
      connectors.flatMap(({ reporter }) => reporter ?? []),
    ),
    push,
    alertChannels: alerts.map(({ name }) => name),
    reachChannels: (signal) => reachAll(alerts, signal),
    tellBrowsers: tellBrowsers(pushParts, outbox),
    noted: (tx, note, at) =>
      outbox.put(
        tx,
        mirrors.map((mirror) => mirror(note, at)),
      ),
    lookOut(into) {
      const lookouts = [...connectors.flatMap((connector) => connector.start?.(into) ?? []), tellOfEnds({ ...pushParts, log }, outbox)];
      return {
        async stop() {
          await Promise.all(lookouts.map((lookout) => lookout.stop()));
        },
      };
    },
  };
}
