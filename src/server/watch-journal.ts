import type { JournalEvent } from '../domain/event.ts';
import type { Log } from '../platform/log.ts';
import type { Feed } from './feed.ts';

/** Hands every event from now on to one reader inside the server, in order, each once. */
export function watchJournal(feed: Feed, read: (events: readonly JournalEvent[]) => Promise<void>, log: Log): { stop(): Promise<void> } {
  const stopping = new AbortController();
  let position = feed.end;
  const done = (async () => {
    while (!stopping.signal.aborted) {
      await feed.changed(position, 60_000, stopping.signal);
      try {
        const next = await feed.next(position, () => true);
        if (next.events.length > 0) await read(next.events);
        position = next.position;
      } catch (error) {
        log.warn({ err: error }, 'a reader of the journal failed; trying again');
        await feed.changed(feed.end, 1_000, stopping.signal);
      }
    }
    await readTheRest();
  })();

  /** What was stored before the end belongs to it: the runs that a stop ends, most of all. */
  async function readTheRest(): Promise<void> {
    try {
      for (;;) {
        const next = await feed.next(position, () => true);
        if (next.events.length === 0) return;
        await read(next.events);
        position = next.position;
      }
    } catch (error) {
      log.warn({ err: error }, 'the last events of the journal could not be read');
    }
  }
  return {
    async stop() {
      stopping.abort();
      await done;
    },
  };
}
