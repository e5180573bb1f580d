import { readdir, readFile } from 'node:fs/promises';
import type { Reason } from '../domain/outcome.ts';
import type { Clock } from '../platform/clock.ts';
import type { Group } from './cgroups.ts';

export interface Usage {
  readonly memoryBytes: number;
  readonly processes: number;
}

interface Watched {
  /** Where bubblewrap writes which process is a sandbox's first. */
  readonly statuses: () => readonly string[];
  readonly group: Group;
}

const intervalMs = 1_000;
const pageBytes = 4_096;

/** Looks once a second; ends the sandbox and says why when it uses more memory than it may. Returns how to stop. */
export function watchUsage(watched: Watched, memoryBytes: number, clock: Clock, onExceeded: (reason: Reason) => void): () => void {
  let stopped = false;
  let cancel = (): void => undefined;
  const look = async (): Promise<void> => {
    const found = await measure(watched);
    if (stopped) return;
    if (found === undefined || found.usage.memoryBytes <= memoryBytes) {
      cancel = clock.after(intervalMs, () => void look());
      return;
    }
    stopped = true;
    for (const first of found.firsts) kill(first);
    const message = `The run used ${mebibytes(found.usage.memoryBytes)} MiB of memory in ${found.usage.processes} processes and was ended; it may use ${mebibytes(memoryBytes)} MiB.`;
    onExceeded({ code: 'memory-exceeded', message });
  };
  cancel = clock.after(intervalMs, () => void look());
  return () => {
    stopped = true;
    cancel();
  };
}

export const usageOf = async (watched: Watched): Promise<Usage | undefined> => (await measure(watched))?.usage;

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

async function measure({ statuses, group }: Watched): Promise<{ readonly firsts: readonly number[]; readonly usage: Usage } | undefined> {
  const firsts = (await Promise.all(statuses().map(firstOf))).filter((pid) => pid !== undefined);
  const family = firsts.length === 0 ? [] : await familyOf(firsts);
  if (family.length === 0) return undefined;
  const own = await Promise.all(family.map(ownBytes));
  const memoryBytes = (await group.memoryBytes()) ?? own.reduce((sum, bytes) => sum + bytes, 0);
  return { firsts, usage: { memoryBytes, processes: family.length } };
}

async function firstOf(status: string): Promise<number | undefined> {
  const text = await readFile(status, 'utf8').catch(() => '');
  const pid = Number(/"child-pid":\s*(\d+)/.exec(text)?.[1] ?? 0);
  if (pid <= 1 || text.includes('"exit-code"')) return undefined;
  // One that was killed leaves no exit code, and its number may be another process's by now: ours is bubblewrap.
  const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
  return name.trim() === 'bwrap' ? pid : undefined;
}

/** Processes and all below them. Orphans inside come to the sandbox's first process, so none is missed. */
async function familyOf(firsts: readonly number[]): Promise<readonly number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const children = new Map<number, number[]>();
  await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
      // The name in brackets may hold anything, brackets too.
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (!parent) return;
      children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
    }),
  );
  const family = [...firsts];
  for (const pid of family) family.push(...(children.get(pid) ?? []));
  return family;
}

/** Without what it shares with others. */
async function ownBytes(pid: number): Promise<number> {
  const [, resident = 0, shared = 0] = (await readFile(`/proc/${pid}/statm`, 'latin1').catch(() => '')).split(' ').map(Number);
  return Math.max(0, resident - shared) * pageBytes;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}
