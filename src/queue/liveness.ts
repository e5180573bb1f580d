import { type Clock, wait } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { listNodes, type NodeReport } from '../store/nodes.ts';
import type { Store } from '../store/store.ts';
import type { Queue } from './queue.ts';

export interface LivenessParts {
  readonly queue: Queue;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly node: string;
  /** How long a node's heart may stand still before its work is taken over. */
  readonly leaseMs: number;
  /** How this node stands. Where that cannot be told, or not at once, the heart beats without. */
  readonly report: () => Promise<NodeReport>;
  /** Makes the beat and compares its answer with what runs here; returns what is held and does not run. */
  readonly reconcile: (heartbeat: () => Promise<readonly string[]>) => Promise<readonly string[]>;
}

interface Sighting {
  readonly beat: number;
  readonly at: number;
}

/**
 * The heartbeat of this node and the watch over the others. A node is dead when its counter has not moved for the
 * lease, by the watcher's own monotonic clock: no two machines' clocks are ever compared, and a jump of the wall clock
 * kills nobody. Time in which the store could not be read does not count either, since nobody could beat then.
 */
export class Liveness {
  private sightings = new Map<string, Sighting>();
  private stopped = false;
  private cancel: () => void = () => undefined;
  private beating: Promise<void> | undefined;
  private asking: Promise<NodeReport | undefined> | undefined;

  private readonly parts: LivenessParts;

  constructor(parts: LivenessParts) {
    this.parts = parts;
  }

  start(): void {
    this.beating = this.beatOnce().finally(() => {
      if (!this.stopped) this.cancel = this.parts.clock.after(this.parts.leaseMs / 6, () => this.start());
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancel();
    await this.beating;
  }

  /** One beat and one look around; public so that tests need not wait. */
  async beatOnce(): Promise<void> {
    const { queue, log, node, reconcile } = this.parts;
    const report = await this.reported();
    try {
      const strays = await reconcile(() => queue.heartbeat(node, report));
      if (strays.length > 0) await queue.takeOver(node, strays);
      await this.buryTheDead();
    } catch (error) {
      this.sightings = new Map();
      log.warn({ err: error }, 'no heartbeat: the store does not answer');
    }
  }

  /** A disk that does not answer holds up one who asks it, and no beat. */
  private async reported(): Promise<NodeReport | undefined> {
    const { clock, log, leaseMs, report } = this.parts;
    this.asking ??= report()
      .catch((error: unknown) => {
        log.warn({ err: error }, 'how this node stands could not be told');
        return undefined;
      })
      .finally(() => {
        this.asking = undefined;
      });
    const told = new AbortController();
    const late = wait(clock, leaseMs / 12, told.signal).then(() => undefined);
    return Promise.race([this.asking, late]).finally(() => told.abort());
  }

  private async buryTheDead(): Promise<void> {
    const { queue, store, clock, log, node, leaseMs } = this.parts;
    const seen = new Map<string, Sighting>();
    for (const { id, beat } of await listNodes(store.read)) {
      if (id === node) continue;
      const last = this.sightings.get(id);
      const sighting = last?.beat === beat ? last : { beat, at: clock.monotonic() };
      if (clock.monotonic() - sighting.at < leaseMs) {
        seen.set(id, sighting);
        continue;
      }
      const runs = await queue.bury(id);
      log.warn({ deadNode: id, runs }, 'a node stopped beating; its work is back in line');
    }
    this.sightings = seen;
  }
}
