import type { JournalEvent, Position } from '../domain/event.ts';
import { type Clock, wait } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { beginning, comparePositions, latest, readAfter } from '../store/journal.ts';
import type { Store } from '../store/store.ts';

/** How many of the newest events are kept at hand. Watchers that are close behind cost no query. */
const recentLimit = 4_096;
/** And how much text they may hold: the output of runs comes in long events. */
const recentChars = 16 * 1024 * 1024;
const pageLimit = 500;
/** Looks again without having been told, in case the news was lost. */
const safetyMs = 1_000;

/**
 * The end of the journal, read once for all who watch it. Each watcher keeps its own position and pulls at its own
 * pace, so a slow one costs the others nothing and holds no queue of its own.
 */
export class Feed {
  private recent: JournalEvent[] = [];
  private chars = 0;
  /** Everything after this position that is readable is in `recent`. */
  private floor: Position = beginning;
  private tip: Position = beginning;
  private reading: Promise<void> | undefined;
  private readAgain = false;
  private readonly sleepers = new Set<() => void>();
  private readonly stopping = new AbortController();
  private unsubscribe: () => void = () => undefined;
  private ticking: Promise<void> | undefined;

  private readonly store: Store;
  private readonly clock: Clock;
  private readonly log: Log;

  constructor(store: Store, clock: Clock, log: Log) {
    this.store = store;
    this.clock = clock;
    this.log = log;
  }

  async start(): Promise<void> {
    this.floor = this.tip = await latest(this.store);
    this.unsubscribe = this.store.onCommit((topic) => {
      if (topic === 'journal') this.read();
    });
    this.ticking = this.tick();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.unsubscribe();
    this.wakeAll();
    await this.ticking;
    await this.reading;
  }

  get end(): Position {
    return this.tip;
  }

  get watchers(): number {
    return this.sleepers.size;
  }

  /** Whether everything after the position is at hand. */
  holds(after: Position): boolean {
    return comparePositions(after, this.floor) >= 0;
  }

  /** The next events after a position, oldest first; those that do not match are passed over, and `position` says how far. */
  async next(
    after: Position,
    matches: (event: JournalEvent) => boolean,
    limit = pageLimit,
  ): Promise<{ readonly events: readonly JournalEvent[]; readonly position: Position }> {
    if (!this.holds(after)) {
      const page = await readAfter(this.store, after, limit);
      return { events: page.filter(matches), position: page.at(-1)?.id ?? this.floor };
    }
    const events: JournalEvent[] = [];
    let position = after;
    for (let i = firstAfter(this.recent, after); i < this.recent.length && events.length < limit; i++) {
      const event = this.recent[i] as JournalEvent;
      position = event.id;
      if (matches(event)) events.push(event);
    }
    return { events, position };
  }

  /** Resolves when there is something after the position, when `ms` have passed, or when the signal aborts. */
  async changed(after: Position, ms: number, signal: AbortSignal): Promise<void> {
    if (comparePositions(this.tip, after) > 0 || signal.aborted || this.stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        cancel();
        this.sleepers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const cancel = this.clock.after(ms, wake);
      this.sleepers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  private async tick(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      await wait(this.clock, safetyMs, this.stopping.signal);
      this.read();
    }
  }

  private read(): void {
    this.readAgain = true;
    this.reading ??= this.readOn().finally(() => {
      this.reading = undefined;
    });
  }

  private async readOn(): Promise<void> {
    while (this.readAgain && !this.stopping.signal.aborted) {
      this.readAgain = false;
      try {
        const page = await readAfter(this.store, this.tip, pageLimit);
        if (page.length === 0) continue;
        this.recent.push(...page);
        this.tip = page.at(-1)?.id ?? this.tip;
        this.chars += weightOf(page);
        if (this.recent.length > 2 * recentLimit || this.chars > 2 * recentChars) this.forgetTheOldest();
        if (page.length === pageLimit) this.readAgain = true;
        this.wakeAll();
        // Let the watchers take their turn before the next page.
        await new Promise((resolve) => setImmediate(resolve));
      } catch (error) {
        this.log.warn({ err: error }, 'could not read the journal; trying again');
      }
    }
  }

  private forgetTheOldest(): void {
    let kept = this.recent.slice(-recentLimit);
    while (kept.length > 1 && weightOf(kept) > recentChars) kept = kept.slice(Math.ceil(kept.length / 2));
    this.floor = kept[0]?.id ?? this.floor;
    this.recent = kept;
    this.chars = weightOf(kept);
  }

  private wakeAll(): void {
    for (const wake of [...this.sleepers]) wake();
  }
}

/** Only output is long; the rest is the same few words each time. */
const weightOf = (events: readonly JournalEvent[]): number =>
  events.reduce((sum, { data }) => sum + 300 + (typeof data['text'] === 'string' ? data['text'].length : 0), 0);

/** Index of the first event later than the position. */
function firstAfter(events: readonly JournalEvent[], after: Position): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (comparePositions((events[middle] as JournalEvent).id, after) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}
