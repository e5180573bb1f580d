import { utcDay } from './budget.ts';

/** Tasks that ended on a day in UTC. One that is taken up again has not ended, and counts when it ends anew. */
export interface Ends {
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Of all that came to something: those that succeeded or failed, or were called off once a person had had to help. */
  readonly finished: number;
  /** Of these, what succeeded without anybody's help: nobody approved it, answered for it, or had it tried again. */
  readonly alone: number;
}

export interface DayOfEnds extends Ends {
  readonly day: string;
}

/** A week begins on Monday. */
export interface WeekOfEnds extends Ends {
  readonly week: string;
}

export interface EndsOfSource extends Ends {
  readonly source: string;
  readonly weeks: readonly WeekOfEnds[];
}

/** So many tasks that ended alike on one day, or in the week that begins with it. */
export interface EndsAlike {
  readonly since: string;
  readonly status: string;
  readonly helped: boolean;
  readonly tasks: number;
}

/** Both days are part of it. The first and the last of a time may be cut short. */
export interface Week {
  readonly from: string;
  readonly to: string;
}

export const noEnds: Ends = { succeeded: 0, failed: 0, cancelled: 0, finished: 0, alone: 0 };

export const endsOf = (alike: readonly EndsAlike[]): Ends =>
  alike.reduce<Ends>((sum, { status, helped, tasks }) => {
    const of = (counts: boolean): number => (counts ? tasks : 0);
    return {
      succeeded: sum.succeeded + of(status === 'succeeded'),
      failed: sum.failed + of(status === 'failed'),
      cancelled: sum.cancelled + of(status === 'cancelled'),
      finished: sum.finished + of(status !== 'cancelled' || helped),
      alone: sum.alone + of(status === 'succeeded' && !helped),
    };
  }, noEnds);

/** Between 0 and 1; null where nothing was finished, for nothing can be said then. */
export const autonomyOf = ({ alone, finished }: Ends): number | null => (finished === 0 ? null : alone / finished);

export const successOf = ({ succeeded, failed }: Ends): number | null =>
  succeeded + failed === 0 ? null : succeeded / (succeeded + failed);

/** Every day from the first to the last, those on which nothing ended too. */
export function byDay(alike: readonly EndsAlike[], from: string, to: string): readonly DayOfEnds[] {
  const grouped = Map.groupBy(alike, ({ since }) => since);
  return daysBetween(from, to).map((day) => ({ day, ...endsOf(grouped.get(day) ?? []) }));
}

export function weeksBetween(from: string, to: string): readonly Week[] {
  const days = Map.groupBy(daysBetween(from, to), mondayOf);
  return [...days.values()].map((of) => ({ from: of[0] ?? from, to: of.at(-1) ?? to }));
}

/** What ended by day, or in these weeks already, added up by them. */
export function byWeek(alike: readonly EndsAlike[], weeks: readonly Week[]): readonly WeekOfEnds[] {
  const grouped = Map.groupBy(alike, ({ since }) => mondayOf(since));
  return weeks.map(({ from }) => ({ week: mondayOf(from), ...endsOf(grouped.get(mondayOf(from)) ?? []) }));
}

/** The source that finished most goes first. */
export function bySource(alike: readonly (EndsAlike & { readonly source: string })[], weeks: readonly Week[]): readonly EndsOfSource[] {
  const sources = [...Map.groupBy(alike, ({ source }) => source)].map(([source, of]) => ({
    source,
    weeks: byWeek(of, weeks),
    ...endsOf(of),
  }));
  const ended = ({ succeeded, failed, cancelled }: Ends): number => succeeded + failed + cancelled;
  return sources.sort((a, b) => ended(b) - ended(a) || (a.source < b.source ? -1 : 1));
}

const dayMs = 86_400_000;

function daysBetween(from: string, to: string): readonly string[] {
  const first = Date.parse(from);
  return Array.from({ length: Math.round((Date.parse(to) - first) / dayMs) + 1 }, (_, i) => utcDay(first + i * dayMs));
}

export function mondayOf(day: string): string {
  const at = Date.parse(day);
  return utcDay(at - ((new Date(at).getUTCDay() + 6) % 7) * dayMs);
}
