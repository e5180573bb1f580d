import { dueTimes, nextTime, type Rhythm } from '../../domain/rhythm.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Queue, Wish } from '../../queue/queue.ts';
import { readSetting, writeSetting } from '../../store/settings.ts';
import type { Store, Tx } from '../../store/store.ts';

/** Work that is wanted at certain times. */
export interface Schedule extends Rhythm {
  readonly name: string;
  readonly task: Pick<Wish, 'title'> &
    Partial<Pick<Wish, 'body' | 'repository' | 'ref' | 'priority' | 'engine' | 'verify' | 'budgetUsd' | 'profile' | 'tier' | 'labels'>>;
}

export interface ScheduleParts {
  readonly store: Store;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly log: Log;
  readonly schedules: readonly Schedule[];
}

/** What has been seen to. Another pattern begins anew, from the moment it is first seen. */
interface Standing {
  readonly cron: string;
  readonly timezone: string | null;
  readonly until: number;
}

/** A wall clock that was set back does not bring times again; one that was a day ahead by mistake is not believed. */
const believableMs = 86_400_000;
const longestSleepMs = 60_000;

/**
 * Files tasks at their times. What has been seen to is stored together with the tasks, so a restart, a crash or a second
 * server neither loses nor repeats one. A schedule whose last task is still open does not get another, unless it is to catch
 * up with all.
 */
export class Scheduler {
  private readonly parts: ScheduleParts;
  private cancel: () => void = () => undefined;
  private working: Promise<void> | undefined;
  private stopped = false;

  constructor(parts: ScheduleParts) {
    this.parts = parts;
  }

  start(): void {
    this.working = this.lookOnce().finally(() => {
      if (!this.stopped) this.cancel = this.parts.clock.after(this.sleepMs(), () => this.start());
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancel();
    await this.working;
  }

  /** Sees to what is due now; public so that tests need not wait. */
  async lookOnce(): Promise<void> {
    const { store, schedules, log } = this.parts;
    if (schedules.length === 0) return;
    try {
      await store.write(async (tx) => {
        await tx.lock('schedules');
        for (const schedule of schedules) await this.seeTo(tx, schedule);
      });
    } catch (error) {
      log.warn({ err: error }, 'the schedules could not be looked after; trying again');
    }
  }

  private async seeTo(tx: Tx, schedule: Schedule): Promise<void> {
    const { clock, queue, log } = this.parts;
    const now = clock.now();
    const key = `schedule:${schedule.name}`;
    const until = seenUntil(await readSetting(tx.db, key), schedule, now);
    const { times, missed } = dueTimes(schedule, until, now);
    const submissions = await queue.enqueue(
      tx,
      times.map((time) => wishOf(schedule, time)),
    );
    for (const submission of submissions) {
      if (submission.kind === 'refused')
        log.warn({ schedule: schedule.name, refusal: submission.refusal }, 'the task of a schedule was refused');
    }
    if (missed > 0) log.warn({ schedule: schedule.name, missed, catchUp: schedule.catchUp }, 'times of a schedule passed without a task');
    const standing: Standing = { cron: schedule.cron, timezone: schedule.timezone ?? null, until: Math.max(until, now) };
    await writeSetting(tx, key, JSON.stringify(standing));
  }

  private sleepMs(): number {
    const now = this.parts.clock.now();
    const next = this.parts.schedules.map((schedule) => nextTime(schedule, now) ?? Number.POSITIVE_INFINITY);
    return Math.min(longestSleepMs, Math.max(0, Math.min(...next) - now));
  }
}

function seenUntil(stored: string | undefined, { cron, timezone }: Rhythm, now: number): number {
  if (stored === undefined) return now;
  const standing = JSON.parse(stored) as Standing;
  if (standing.cron !== cron || standing.timezone !== (timezone ?? null)) return now;
  return standing.until > now + believableMs ? now : standing.until;
}

function wishOf({ name, catchUp, task }: Schedule, time: number): Wish {
  const at = new Date(time).toISOString();
  return {
    priority: 'low',
    ...task,
    source: 'schedule',
    requestedBy: `schedule:${name}`,
    trust: 'owner',
    externalRef: `${name}@${at}`,
    dedupeKey: catchUp === 'all' ? `schedule:${name}:${at}` : `schedule:${name}`,
  };
}
