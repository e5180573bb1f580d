import type { Change } from './gate.ts';

/** The first and the last of lines that follow one another. */
export type Range = readonly [first: number, last: number];

/** Which lines of these files the change adds, in order. As ranges: a new file costs nothing, however long it is. */
export async function addedLines(
  change: Change,
  paths: readonly string[],
): Promise<
  { readonly ok: true; readonly of: (path: string) => readonly Range[] } | Extract<Awaited<ReturnType<Change['eachAdded']>>, { ok: false }>
> {
  const ranges = new Map<string, [number, number][]>(paths.map((path) => [path, []]));
  const read = await change.eachAdded(({ path, line }) => {
    const known = ranges.get(path);
    const last = known?.at(-1);
    if (last && line <= last[1] + 1) last[1] = line;
    else known?.push([line, line]);
  });
  return read.ok ? { ok: true, of: (path) => ranges.get(path) ?? [] } : read;
}

export function holds(ranges: readonly Range[], line: number): boolean {
  let [from, to] = [0, ranges.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((ranges[middle] as Range)[1] < line) from = middle + 1;
    else to = middle;
  }
  return from < ranges.length && (ranges[from] as Range)[0] <= line;
}
