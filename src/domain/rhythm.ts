import { Cron } from 'croner';

export const catchUps = ['none', 'one', 'all'] as const;
/** What becomes of the times that passed while the server was down: nothing, only the last of them, or each. */
type CatchUp = (typeof catchUps)[number];

export interface Rhythm {
  readonly cron: string;
  /** An IANA name; without it, that of the machine. */
  readonly timezone?: string | undefined;
  readonly catchUp: CatchUp;
}

/** A time that is this late was not missed: the server was merely busy, or just started. */
const onTimeMs = 60_000;
/** However long the server was down, no more than so many come at once. */
export const mostAtOnce = 50;

/** What is wrong with a pattern or a time zone, or undefined. */
export function faultOf({ cron, timezone }: Pick<Rhythm, 'cron' | 'timezone'>): string | undefined {
  try {
    return read({ cron, timezone }).nextRun() === null ? 'it never comes' : undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export interface Due {
  /** The times to act upon, oldest first. */
  readonly times: readonly number[];
  /** How many more have passed that are left out. */
  readonly missed: number;
}

/** The times after `since` that have come by now, as far as the policy wants them. */
export function dueTimes(rhythm: Rhythm, since: number, now: number): Due {
  const newest = read(rhythm)
    .previousRuns(mostAtOnce + 1, new Date(now + 1))
    .map((time) => time.getTime())
    .filter((time) => time > since && time <= now)
    .sort((a, b) => a - b);
  const times = wanted(rhythm.catchUp, newest, now);
  return { times, missed: newest.length - times.length };
}

/** When it is next due after `after`; null when never again. */
export const nextTime = (rhythm: Pick<Rhythm, 'cron' | 'timezone'>, after: number): number | null =>
  read(rhythm).nextRun(new Date(after))?.getTime() ?? null;

function wanted(catchUp: CatchUp, newest: readonly number[], now: number): readonly number[] {
  switch (catchUp) {
    case 'none':
      return newest.filter((time) => now - time <= onTimeMs).slice(-1);
    case 'one':
      return newest.slice(-1);
    case 'all':
      return newest.slice(-mostAtOnce);
  }
}

const read = ({ cron, timezone }: Pick<Rhythm, 'cron' | 'timezone'>): Cron =>
  new Cron(cron, { paused: true, mode: '5-part', ...(timezone === undefined ? {} : { timezone }) });
