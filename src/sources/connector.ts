import type { Inbox } from '../inbox/inbox.ts';
import type { Door, Source } from '../inbox/source.ts';
import type { Reporter } from '../outbox/announce.ts';
import type { Channel } from '../outbox/channel.ts';
import type { Queue } from '../queue/queue.ts';

/** One service outside, with as much of it as there is: work that comes in, words that go out, and a look out for both. */
export interface Connector {
  readonly source?: Source;
  readonly door?: Door;
  readonly channel?: Channel;
  readonly reporter?: Reporter;
  /** Looks for work by itself until it is stopped. Whoever has only a door waits to be told. */
  start?(into: Into): { stop(): Promise<void> };
}

interface Into {
  readonly inbox: Pick<Inbox, 'receive'>;
  readonly queue: Pick<Queue, 'cancel'>;
}
