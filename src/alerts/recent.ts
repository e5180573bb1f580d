import type { JournalEvent } from '../domain/event.ts';
import { isClosed, type TaskStatus } from '../domain/task.ts';
import type { Clock } from '../platform/clock.ts';

/** How often something happened lately, minute by minute, for an hour. It forgets with the process. */
export interface Recent<Kind extends string> {
  saw(kind: Kind): void;
  within(minutes: number, kind: Kind): number;
  /** How long it has been counting. */
  readonly sinceMs: number;
}

const kept = 60;

export function createRecent<Kind extends string>(clock: Pick<Clock, 'monotonic'>): Recent<Kind> {
  const begun = clock.monotonic();
  const minutes = new Map<number, Map<Kind, number>>();
  const minuteNow = (): number => Math.floor((clock.monotonic() - begun) / 60_000);
  return {
    saw(kind) {
      const minute = minuteNow();
      const counts = minutes.get(minute) ?? new Map<Kind, number>();
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      minutes.set(minute, counts);
      for (const old of minutes.keys()) if (old <= minute - kept) minutes.delete(old);
    },
    within(many, kind) {
      const from = minuteNow() - many;
      return [...minutes].reduce((sum, [minute, counts]) => sum + (minute > from ? (counts.get(kind) ?? 0) : 0), 0);
    },
    get sinceMs() {
      return clock.monotonic() - begun;
    },
  };
}

export type TaskEnd = 'succeeded' | 'failed' | 'other';

/** How tasks ended, among what the journal tells. */
export const endsAmong = (events: readonly JournalEvent[]): readonly TaskEnd[] =>
  events.flatMap(({ type, data }) => {
    if (type !== 'task.status' || !isClosed(data['to'] as TaskStatus)) return [];
    return [data['to'] === 'succeeded' || data['to'] === 'failed' ? data['to'] : 'other'];
  });
