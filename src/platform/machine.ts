import { statfs } from 'node:fs/promises';
import { availableParallelism, loadavg, totalmem } from 'node:os';

/** What a node has to work with, and how much of it is left. */
export interface Machine {
  /** Resident memory of the server; what runs need comes on top. */
  readonly serverMemoryBytes: number;
  /** As much as a container may have, if that is less than there is. */
  readonly memoryBytes: number;
  readonly memoryFreeBytes: number;
  readonly cpus: number;
  /** How many processes wanted a CPU at once, on average over the last minute. */
  readonly load: number;
  /** Of the disk that the server's home is on. */
  readonly diskBytes: number;
  readonly diskFreeBytes: number;
}

export async function readMachine(home: string): Promise<Machine> {
  const { bavail, blocks, bsize } = await statfs(home);
  const memoryBytes = Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem());
  return {
    serverMemoryBytes: process.memoryUsage.rss(),
    memoryBytes,
    memoryFreeBytes: Math.min(process.availableMemory(), memoryBytes),
    cpus: availableParallelism(),
    load: loadavg()[0] ?? 0,
    diskBytes: blocks * bsize,
    diskFreeBytes: bavail * bsize,
  };
}
