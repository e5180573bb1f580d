import type { Cancel, Clock } from '../../src/platform/clock.ts';

/** Time that moves only when told. Wall and monotonic time can be moved apart, as on a machine whose clock is set. */
export class ManualClock implements Clock {
  private wall: number;
  private elapsed = 0;
  private readonly timers = new Set<{ readonly at: number; readonly callback: () => void }>();

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.wall = start;
  }

  now(): number {
    return this.wall;
  }

  monotonic(): number {
    return this.elapsed;
  }

  after(ms: number, callback: () => void): Cancel {
    const timer = { at: this.elapsed + Math.max(0, ms), callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  advance(ms: number): void {
    const end = this.elapsed + ms;
    for (;;) {
      const due = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.timers.delete(due);
      this.wall += due.at - this.elapsed;
      this.elapsed = due.at;
      due.callback();
    }
    this.wall += end - this.elapsed;
    this.elapsed = end;
  }

  /** Somebody sets the clock. */
  jump(ms: number): void {
    this.wall += ms;
  }

  get pending(): number {
    return this.timers.size;
  }
}
