import { readdirSync, readFileSync } from 'node:fs';

export interface PeakMemory {
  /** Ends the watch; the highest sum that was seen, in MiB. */
  stop(): number;
}

const everyMs = 250;

/** Watches a process with all below it. Shares of what is mapped by several count once (PSS), so sums can be compared. */
export function watchMemory(pid: number): PeakMemory {
  let peak = 0;
  const look = (): void => {
    peak = Math.max(
      peak,
      familyOf(pid).reduce((sum, each) => sum + pssOf(each), 0),
    );
  };
  look();
  const timer = setInterval(look, everyMs);
  return {
    stop() {
      clearInterval(timer);
      look();
      return peak / 1_024;
    },
  };
}

/** Those in a process namespace of their own too: their parents are known outside. */
function familyOf(pid: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(`/proc/${name}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const family = [pid];
  for (const each of family) family.push(...(children.get(each) ?? []));
  return family;
}

const pssOf = (pid: number): number => Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);

/** Empty for one that has ended meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
