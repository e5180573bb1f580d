import type { Cancel, Clock } from './clock.ts';
import type { Log } from './log.ts';

export interface PumpParts<Item> {
  /** For the log. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** How many items are worked on at the same time. */
  readonly capacity: number;
  /** The next items that are due at `now`, at most so many; from now on they are this pump's. */
  readonly take: (free: number, now: number) => Promise<readonly Item[]>;
  /** When the next of those becomes due that were not at `now`, by the wall clock. */
  readonly nextDue: (now: number) => Promise<number | null>;
  /** Does one item to its end, or gives it up when the signal aborts. */
  readonly work: (item: Item, signal: AbortSignal) => Promise<void>;
}

/** Looks again without having been woken, in case the news was lost or the wall clock jumped. */
const safetyMs = 2_000;

/** Takes what is there as long as there are hands free, and looks again when it is woken, when something becomes due, and now and then. */
export class Pump<Item> {
  private readonly stopping = new AbortController();
  private readonly working = new Set<Promise<void>>();
  private looking: Promise<void> | undefined;
  private again = false;
  private cancel: Cancel = () => undefined;

  private readonly parts: PumpParts<Item>;

  constructor(parts: PumpParts<Item>) {
    this.parts = parts;
  }

  wake(): void {
    if (this.stopping.signal.aborted) return;
    this.again = true;
    this.looking ??= this.look().finally(() => {
      this.looking = undefined;
      if (this.again) this.wake();
    });
  }

  /** Takes nothing more, and waits for what is under way to end or to be given up. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.cancel();
    await this.looking;
    await Promise.all(this.working);
  }

  private async look(): Promise<void> {
    const { name, clock, log, capacity, take, nextDue } = this.parts;
    this.cancel();
    let waitMs = safetyMs;
    // What becomes due between taking and asking when the next is due was in time for neither, so both go by one time.
    let now = clock.now();
    try {
      while (this.again && !this.stopping.signal.aborted) {
        // Items that end together end one after the other in this turn of the loop: take all their places at once.
        await new Promise((resolve) => setImmediate(resolve));
        this.again = false;
        const free = capacity - this.working.size;
        now = clock.now();
        const items = free > 0 ? await take(free, now) : [];
        for (const item of items) this.begin(item);
      }
      // With all hands full, the next end of one looks again.
      const due = this.working.size < capacity ? await nextDue(now) : null;
      if (due !== null) waitMs = Math.min(waitMs, Math.max(1, due - clock.now()));
    } catch (error) {
      log.warn({ err: error }, `${name}: cannot look for work; trying again`);
    }
    if (!this.stopping.signal.aborted) this.cancel = clock.after(waitMs, () => this.wake());
  }

  private begin(item: Item): void {
    const { name, log, work } = this.parts;
    const done = work(item, this.stopping.signal)
      .catch((error: unknown) => log.error({ err: error }, `${name}: broke`))
      .finally(() => {
        this.working.delete(done);
        this.wake();
      });
    this.working.add(done);
  }
}
