/** Parts of a bar stand on each other: each value with all that are before it, so that the last is the whole. */
export function stacked(parts: readonly (readonly (number | null)[])[]): readonly (readonly number[])[] {
  const sums: number[] = [];
  return parts.map((values) =>
    values.map((value, at) => {
      const sum = (sums[at] ?? 0) + (value ?? 0);
      sums[at] = sum;
      return sum;
    }),
  );
}

/** How it adds up, step by step. */
export function addedUp(values: readonly number[]): readonly number[] {
  let sum = 0;
  return values.map((value) => {
    sum += value;
    return sum;
  });
}

/** The Monday of a day's week. */
export function mondayOf(day: string): string {
  const at = Date.parse(day);
  return new Date(at - ((new Date(at).getUTCDay() + 6) % 7) * 86_400_000).toISOString().slice(0, 10);
}

/** Days in a row, or where those are too many to be told apart, their weeks: each number is added up. */
export function byWeekOf<T extends { readonly day: string }>(days: readonly T[]): readonly T[] {
  const weeks = new Map<string, T>();
  for (const each of days) {
    const day = mondayOf(each.day);
    const before = weeks.get(day);
    const sum = Object.fromEntries(
      Object.entries(each).map(([name, value]) => {
        const sofar: unknown = before?.[name as keyof T];
        return [name, typeof value === 'number' && typeof sofar === 'number' ? sofar + value : value];
      }),
    );
    weeks.set(day, { ...(sum as unknown as T), day });
  }
  return [...weeks.values()];
}

export const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** A day of the calendar as people say it. */
export const dayName = (day: string): string => new Date(day).toLocaleDateString([], { day: 'numeric', month: 'short', timeZone: 'UTC' });
