import type { Cancel, Clock } from '../platform/clock.ts';
import { createTurns } from './turns.ts';

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
  const guests = createTurns<Guest>();
  let cancelAlarm: Cancel | undefined;

  function stir(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const [who, ofRun] of [...guests.runs]) {
        const gone = ofRun.find((guest) => guest.tryToGo());
        if (!gone) continue;
        moved = true;
        guests.served(who, gone);
      }
    }
    setAlarm();
  }

  function setAlarm(): void {
    cancelAlarm?.();
    const next = Math.min(...guests.all().map(({ waitUntil }) => waitUntil));
    cancelAlarm = Number.isFinite(next) ? clock.after(Math.max(0, next - clock.monotonic()), stir) : undefined;
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
          guests.remove(who, guest);
          setAlarm();
          reject(signal.reason);
        };
        // Whoever comes while others wait takes its place behind them.
        if (guests.runs.size === 0 && guest.tryToGo()) return;
        signal.addEventListener('abort', giveUp, { once: true });
        guests.add(who, guest);
        stir();
      });
    },
    stir,
    get waiting() {
      return new Map([...guests.runs].map(([who, { length }]) => [who, length]));
    },
  };
}
