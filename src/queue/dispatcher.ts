import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Store } from '../store/store.ts';
import type { Claim, Queue } from './queue.ts';

export interface DispatcherParts {
  readonly queue: Queue;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly node: string;
  readonly capacity: number;
  /** Runs one claim to its settlement. Must not throw. */
  readonly run: (claim: Claim, signal: AbortSignal) => Promise<Ran>;
}

/** `host-unfit`: this machine could not run it (full disk, no more processes), which says nothing about the task. */
export type Ran = 'ran' | 'host-unfit';

/** Why a run is told to stop, as `signal.reason`. */
export type StopCause = 'called-off' | 'lease-lost' | 'draining';

interface Running {
  readonly taskId: string;
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

/** Looks again without having been told, in case the news was lost or the wall clock jumped. */
const safetyMs = 1_000;
const restMs = 10_000;

/**
 * Keeps this node's slots filled. Whatever puts a task in line or frees a slot starts a claim at once;
 * claims that would overlap become one.
 */
export class Dispatcher {
  private readonly running = new Map<string, Running>();
  private readonly unsubscribe: () => void;
  /** Held in the store and not running here at the last beat: perhaps a claim whose answer got lost. */
  private strays = new Set<string>();
  private resting = 0;
  private stopping = false;
  private claiming: Promise<void> | undefined;
  private claimAgain = false;
  private promoting: Promise<void> | undefined;
  private promoteAgain = false;
  private cancelDue: () => void = () => undefined;
  private cancelSafety: () => void = () => undefined;

  private readonly parts: DispatcherParts;

  constructor(parts: DispatcherParts) {
    this.parts = parts;
    this.unsubscribe = parts.store.onCommit((topic) => {
      if (topic === 'line' && !this.stopping) {
        this.promote();
        this.fill();
      }
      if (topic === 'control') void this.stopCalledOff();
    });
  }

  get active(): number {
    return this.running.size;
  }

  start(): void {
    this.look();
  }

  /**
   * Compares what runs here with what the store says this node holds. A run that is not held any more has been taken over
   * and is stopped. One that is held and does not run, beat after beat, was claimed in a transaction whose answer got lost;
   * its id is returned, to be put back in line.
   */
  async reconcile(heartbeat: () => Promise<readonly string[]>): Promise<readonly string[]> {
    // What is launched while the heartbeat is under way may be missing from its answer.
    const before = new Map(this.running);
    const held = new Set(await heartbeat());
    for (const [id, { controller }] of before) if (!held.has(id)) controller.abort('lease-lost' satisfies StopCause);
    const absent = [...held].filter((id) => !before.has(id) && !this.running.has(id));
    const lost = absent.filter((id) => this.strays.has(id));
    this.strays = new Set(absent);
    return lost;
  }

  /** Claims nothing more, lets the runs end, and after `patienceMs` gives what is left back to the queue. */
  async drain(patienceMs: number, hurry?: AbortSignal): Promise<void> {
    this.stopping = true;
    this.cancelDue();
    await Promise.all([this.claiming, this.promoting]);
    const giveBack = (): void => {
      for (const { controller } of this.running.values()) controller.abort('draining' satisfies StopCause);
    };
    const cancelLimit = this.parts.clock.after(patienceMs, giveBack);
    if (hurry?.aborted) giveBack();
    hurry?.addEventListener('abort', giveBack, { once: true });
    await Promise.all([...this.running.values()].map(({ done }) => done));
    cancelLimit();
    this.cancelSafety();
    this.unsubscribe();
  }

  private look(): void {
    if (!this.stopping) {
      this.promote();
      this.fill();
    }
    void this.stopCalledOff();
    this.cancelSafety = this.parts.clock.after(safetyMs, () => this.look());
  }

  private fill(): void {
    this.claimAgain = true;
    this.claiming ??= this.claim().finally(() => {
      this.claiming = undefined;
      if (this.claimAgain && !this.stopping) this.fill();
    });
  }

  private async claim(): Promise<void> {
    while (this.claimAgain && !this.stopping) {
      // Runs that were settled together end one after the other in this turn of the loop: take all their slots at once.
      await new Promise((resolve) => setImmediate(resolve));
      this.claimAgain = false;
      const free = this.parts.capacity - this.running.size;
      if (free < 1 || this.resting > this.parts.clock.monotonic()) return;
      try {
        const claims = await this.parts.queue.claim(this.parts.node, free);
        for (const claim of claims) this.launch(claim);
      } catch (error) {
        this.parts.log.warn({ err: error }, 'could not claim work; trying again');
        return;
      }
    }
  }

  private launch(claim: Claim): void {
    const controller = new AbortController();
    const done = this.ended(claim.task.id).then(async () => {
      const ran = await this.parts.run(claim, controller.signal);
      this.running.delete(claim.run.id);
      if (ran === 'host-unfit') this.rest();
      if (!this.stopping) this.fill();
    });
    this.running.set(claim.run.id, { taskId: claim.task.id, controller, done });
    if (this.stopping) controller.abort('draining' satisfies StopCause);
  }

  /** A task that came back has lost the run that may still be at work for it here: the two would meet in its workspace. */
  private async ended(taskId: string): Promise<void> {
    const earlier = [...this.running.values()].filter((running) => running.taskId === taskId);
    for (const { controller } of earlier) controller.abort('lease-lost' satisfies StopCause);
    await Promise.all(earlier.map(({ done }) => done));
  }

  /** What this machine cannot run now, another may, or this one later: the safety look tries again when the rest is over. */
  private rest(): void {
    this.resting = this.parts.clock.monotonic() + restMs;
    this.parts.log.error({ seconds: restMs / 1_000 }, 'this machine could not run a task; claiming nothing for a while');
  }

  private promote(): void {
    this.promoteAgain = true;
    this.promoting ??= this.promoteDue().finally(() => {
      this.promoting = undefined;
    });
  }

  private async promoteDue(): Promise<void> {
    while (this.promoteAgain && !this.stopping) {
      this.promoteAgain = false;
      try {
        const next = await this.parts.queue.promoteDue();
        this.cancelDue();
        if (next !== null && !this.stopping) this.cancelDue = this.parts.clock.after(next - this.parts.clock.now(), () => this.promote());
      } catch (error) {
        this.parts.log.warn({ err: error }, 'could not look for due tasks; trying again');
        return;
      }
    }
  }

  private async stopCalledOff(): Promise<void> {
    if (this.running.size === 0) return;
    try {
      for (const id of await this.parts.queue.calledOff(this.parts.node))
        this.running.get(id)?.controller.abort('called-off' satisfies StopCause);
    } catch (error) {
      this.parts.log.warn({ err: error }, 'could not look for cancelled tasks; trying again');
    }
  }
}
