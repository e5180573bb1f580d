import type { OutgoingMessage } from '../domain/mail.ts';
import type { Inbox } from '../inbox/inbox.ts';
import type { Door, Source } from '../inbox/source.ts';
import type { Reporter } from '../outbox/announce.ts';
import type { Channel } from '../outbox/channel.ts';
import type { Clock } from '../platform/clock.ts';
import type { NewId } from '../platform/ids.ts';
import type { Log } from '../platform/log.ts';
import type { Queue } from '../queue/queue.ts';
import type { Store } from '../store/store.ts';

/** One service outside, with as much of it as there is: work that comes in, words that go out, and a look out for both. */
export interface Connector {
  readonly source?: Source;
  readonly door?: Door;
  readonly channel?: Channel;
  readonly reporter?: Reporter;
  readonly mirror?: Mirror;
  /** What a person should know of it, for the server's look at itself. */
  concern?(): Concern | undefined;
  /** Looks for work by itself until it is stopped. Whoever has only a door waits to be told. */
  start?(into: Into): { stop(): Promise<void> };
}

export interface Concern {
  readonly found: string;
  readonly remedy: string;
}

/** What somebody outside is to be told of a note that is new, changed or gone, at that time. */
export type Mirror = (note: string, at: number) => OutgoingMessage;

interface Into {
  readonly inbox: Pick<Inbox, 'receive'>;
  readonly queue: Pick<Queue, 'cancelIn'>;
}

export interface ConnectorParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly node: string;
}
