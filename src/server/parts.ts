import type { Limits } from '../domain/budget.ts';
import type { Rewinding } from '../domain/checkpoint.ts';
import type { Finding } from '../domain/examination.ts';
import type { Reason } from '../domain/outcome.ts';
import type { Trust } from '../domain/task.ts';
import type { Inbox } from '../inbox/inbox.ts';
import type { Door } from '../inbox/source.ts';
import type { Memory } from '../knowledge/memory/memory.ts';
import type { Outbox } from '../outbox/outbox.ts';
import type { Clock } from '../platform/clock.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import type { Queue } from '../queue/queue.ts';
import type { Store } from '../store/store.ts';
import type { Audit } from './access/audit.ts';
import type { AccessParts } from './access/auth.ts';
import type { Sessions } from './access/sessions.ts';
import type { OpenStreams } from './access/streams.ts';
import type { Feed } from './feed.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { Pages } from './pages/pages.ts';
import type { ProvidersState } from './providers-state.ts';
import type { TraceRequest } from './trace.ts';

export interface ServerParts {
  readonly store: Store;
  readonly queue: Queue;
  readonly inbox: Pick<Inbox, 'receive' | 'replay'>;
  readonly outbox: Pick<Outbox, 'put' | 'resend' | 'discard'>;
  readonly memory: Memory;
  /** One name for every way of writing a repository's address; undefined for what is none. */
  readonly addressOf: (repository: string) => string | undefined;
  /** By source: who may leave deliveries here. */
  readonly doors: ReadonlyMap<string, Door>;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly feed: Feed;
  readonly metrics: Metrics;
  readonly access: AccessParts;
  readonly traceRequest: TraceRequest | undefined;
  readonly sessions: Sessions;
  readonly streams: OpenStreams;
  readonly audit: Pick<Audit, 'record'>;
  /** Pages elsewhere that may call the API, with a key of their own. */
  readonly corsOrigins: readonly string[];
  readonly pages: Pages;
  /** Why a wish cannot be run here for want of a sandbox, or undefined. What engines refuse, the queue asks them itself. */
  readonly refusesWish: (wish: {
    readonly engine: string | undefined;
    readonly profile: string;
    readonly repository: string | undefined;
    readonly trust: Trust;
  }) => Promise<Reason | undefined>;
  readonly demos: { start(requestedBy: string): Promise<DemoStart> };
  /** Browsers that are told also when no page is open, by their session. */
  readonly push: {
    readonly publicKey: string;
    /** Why it cannot be, or undefined when it is. */
    subscribe(
      sessionId: string,
      given: { readonly endpoint: string; readonly p256dh: string; readonly auth: string },
    ): Promise<string | undefined>;
    unsubscribe(sessionId: string): Promise<void>;
    isSubscribed(sessionId: string): Promise<boolean>;
  };
  /** The names of the engines that there are. */
  readonly engines: readonly string[];
  /** Removes a workspace's files from this node's disk; its row stays. `busy` while its run is live, or when they cannot be removed. */
  readonly removeWorkspace: (id: string, signal: AbortSignal) => Promise<'removed' | 'not-found' | 'busy' | 'elsewhere'>;
  /** Puts the files of a run's workspace back to a checkpoint, and keeps what that replaces. */
  readonly rewind: (runId: string, checkpointId: string, by: string) => Promise<Rewinding>;
  /** Budgets as the settings have them, where the owner has set nothing else. */
  readonly limits: Limits;
  readonly health: { readonly last: Examination | null; examine(): Promise<Examination> };
  readonly backups: {
    make(): Promise<BackupFacts>;
    list(): Promise<readonly BackupFacts[]>;
    trouble(): Promise<string | null | undefined>;
  };
  /** The conditions that people are told of. */
  readonly alertNames: readonly string[];
  /** The channels that alerts go to. */
  readonly alertChannels: readonly string[];
  readonly node: string;
  readonly version: string;
  /** The directory of what a run of this node left for people. */
  readonly records: (runId: string) => string;
  readonly describe: () => Promise<ServerFacts>;
  readonly outputFile: (runId: string) => string;
  /** How model providers stand, and who waits for them. */
  readonly providers: () => ProvidersState;
  /** False when there is no breaker of that id. */
  readonly resetBreaker: (id: string) => boolean;
  /** True from the moment the server begins to stop. */
  readonly isStopping: () => boolean;
}

/** What this server has to work with, as far as a person in front of it wants to know. */
interface ServerFacts {
  readonly startedAt: number;
  readonly store: Store['dialect'];
  readonly capacity: number;
  readonly engines: readonly string[];
  readonly defaultEngine: string | null;
  readonly providers: readonly string[];
  readonly model: string | null;
  readonly sandbox: { readonly active: boolean; readonly summary: string; readonly remedy: string | null };
  readonly sources: readonly string[];
}

type DemoStart =
  | { readonly kind: 'started' | 'already'; readonly task: { readonly id: string } }
  | { readonly kind: 'refused'; readonly reason: Reason };

interface Examination {
  readonly at: number;
  readonly healthy: boolean;
  readonly findings: readonly Finding[];
}

interface BackupFacts {
  readonly file: string;
  readonly kind: 'scheduled' | 'by-hand';
  readonly bytes: number;
  readonly madeAt: number;
}
