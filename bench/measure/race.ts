import type { EntryId } from '../peers/entries.ts';
import type { Peer, Work } from '../peers/peer.ts';
import type { Place } from '../support/bench.ts';
import { concurrently } from '../support/stats.ts';

export interface Race {
  readonly entry: EntryId;
  /** A fresh home, and a fresh database for those that stand on PostgreSQL. */
  readonly place: Place;
  readonly redisPort: number | undefined;
  readonly tasks: number;
}

/** Tasks per second. */
export interface RaceFigures {
  readonly submittedOneByOne: number;
  readonly submittedInBatches: number;
  readonly workedOff: number;
  readonly endToEnd: number;
}

export const concurrency = 16;
export const batchSize = 100;

/** One peer, from an empty queue: submit, submit in batches, work all of it off, then both sides at once. */
export async function measureRace({ entry, place, redisPort, tasks }: Race): Promise<RaceFigures> {
  const peer = await enter(entry, place, redisPort);
  await endToEnd(peer, Math.ceil(tasks / 5)); // code gets compiled, caches and connections get warm

  const oneByOne = await secondsOf(() => concurrently(tasks, concurrency, (n) => peer.submitOne(n)));
  const inBatches = await secondsOf(async () => {
    for (let from = 0; from < tasks; from += batchSize) await peer.submitBatch(from, Math.min(batchSize, tasks - from));
  });
  const workingOff = await workOff(peer, 2 * tasks);
  const both = await endToEnd(peer, tasks);
  await peer.close();
  return {
    submittedOneByOne: tasks / oneByOne,
    submittedInBatches: tasks / inBatches,
    workedOff: (2 * tasks) / workingOff,
    endToEnd: tasks / both,
  };
}

/** From the first task that runs to the last that is stored as done: how long a peer takes to start does not count. */
async function workOff(peer: Peer, tasks: number): Promise<number> {
  let began = 0;
  const { work, allRan } = await watched(peer, tasks, () => {
    began = performance.now();
  });
  await allRan;
  await work.settled();
  const seconds = (performance.now() - began) / 1_000;
  await work.stop();
  return seconds;
}

/** Submits one task per call while a worker that already runs takes them up. */
async function endToEnd(peer: Peer, tasks: number): Promise<number> {
  const { work, allRan } = await watched(peer, tasks);
  const seconds = await secondsOf(async () => {
    await concurrently(tasks, concurrency, (n) => peer.submitOne(n));
    await allRan;
    await work.settled();
  });
  await work.stop();
  return seconds;
}

async function watched(
  peer: Peer,
  tasks: number,
  onFirst: () => void = () => undefined,
): Promise<{ readonly work: Work; readonly allRan: Promise<void> }> {
  let ran = 0;
  let lastRan = (): void => undefined;
  const allRan = new Promise<void>((resolve) => {
    lastRan = resolve;
  });
  const work = await peer.work(() => {
    if (ran === 0) onFirst();
    ran += 1;
    if (ran === tasks) lastRan();
  });
  return { work, allRan };
}

async function secondsOf(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return (performance.now() - start) / 1_000;
}

/** Only the library that races is loaded. */
async function enter(entry: EntryId, place: Place, redisPort = 0): Promise<Peer> {
  const url = place.databaseUrl ?? '';
  switch (entry) {
    case 'sqlite':
    case 'postgres':
      return (await import('../peers/nightshift.ts')).nightshift(place, concurrency);
    case 'sqlite-runner':
      return (await import('../peers/nightshift.ts')).nightshiftWithRunner(place, concurrency);
    case 'graphile-plain':
      return (await import('../peers/graphile-worker.ts')).graphileWorker(url, concurrency, false);
    case 'graphile-batched':
      return (await import('../peers/graphile-worker.ts')).graphileWorker(url, concurrency, true);
    case 'pg-boss':
      return (await import('../peers/pg-boss.ts')).pgBoss(url, concurrency);
    case 'pg-boss-500':
      return (await import('../peers/pg-boss.ts')).pgBoss(url, 500);
    case 'bullmq-always':
    case 'bullmq-everysec':
      return (await import('../peers/bullmq.ts')).bullmq(redisPort, concurrency);
  }
}
