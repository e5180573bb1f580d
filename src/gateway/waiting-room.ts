import type { Cancel, Clock } from '../platform/clock.ts';

/** What a caller that asks whether it can go on is told. */
export type Turn<T> = { readonly go: T } | { readonly waitUntil: number };

export interface WaitingRoom {
  /**
   * Resolves when `turn` says go. It is asked whenever something may have changed, and when the time that it named (by the
   * monotonic clock) has come; of several that could go on, those of each run take turns. Rejects when the signal aborts.
   */
  enter<T>(who: string, turn: () => Turn<T>, signal: AbortSignal): Promise<T>;
  /** Something has changed: whoever can go on now does. */
  stir(): void;
  readonly waiting: ReadonlyMap<string, number>;
}

interface Guest {
  /** True when it is gone. */
  tryToGo(): boolean;
  waitUntil: number;
}

export function createWaitingRoom(clock: Clock): WaitingRoom {
  /** The runs in the order of their turns, each with its guests in the order of their coming. */
  const runs = new Map<string, Guest[]>();
  let cancelAlarm: Cancel | undefined;

  function stir(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const [who, guests] of [...runs]) {
        const at = guests.findIndex((guest) => guest.tryToGo());
        if (at < 0) continue;
        moved = true;
        guests.splice(at, 1);
        runs.delete(who);
        if (guests.length > 0) runs.set(who, guests);
      }
    }
    setAlarm();
  }

  function setAlarm(): void {
    cancelAlarm?.();
    const next = Math.min(...[...runs.values()].flat().map(({ waitUntil }) => waitUntil));
    cancelAlarm = Number.isFinite(next) ? clock.after(Math.max(0, next - clock.monotonic()), stir) : undefined;
  }

  function leave(who: string, guest: Guest): void {
    const others = (runs.get(who) ?? []).filter((each) => each !== guest);
    if (others.length > 0) runs.set(who, others);
    else runs.delete(who);
    setAlarm();
  }

  return {
    enter(who, turn, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const guest: Guest = {
          waitUntil: Number.POSITIVE_INFINITY,
          tryToGo() {
            const next = turn();
            if ('waitUntil' in next) {
              guest.waitUntil = next.waitUntil;
              return false;
            }
            signal.removeEventListener('abort', giveUp);
            resolve(next.go);
            return true;
          },
        };
        const giveUp = (): void => {
          leave(who, guest);
          reject(signal.reason);
        };
        // Whoever comes while others wait takes its place behind them.
        if (runs.size === 0 && guest.tryToGo()) return;
        signal.addEventListener('abort', giveUp, { once: true });
        runs.set(who, [...(runs.get(who) ?? []), guest]);
        stir();
      });
    },
    stir,
    get waiting() {
      return new Map([...runs].map(([who, guests]) => [who, guests.length]));
    },
  };
}
