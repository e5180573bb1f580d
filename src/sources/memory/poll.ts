import { createHash } from 'node:crypto';
import { idPrefixes } from '../../domain/id.ts';
import { isClosed } from '../../domain/task.ts';
import { type Clock, wait } from '../../platform/clock.ts';
import type { NewId } from '../../platform/ids.ts';
import type { Log } from '../../platform/log.ts';
import { type Arrival, insertArrivals } from '../../store/inbox.ts';
import { revisionsOf, saveRevisions } from '../../store/memory-items.ts';
import type { Store, Tx } from '../../store/store.ts';
import { findTask } from '../../store/tasks.ts';
import { toldAt, whatBecameOf } from '../../store/triggers.ts';
import type { MemoryLink } from './link.ts';
import type { MemoryFailure, MemoryItem } from './list.ts';
import { longestPauseMs } from './wire.ts';

export const memorySource = 'memory';

/** What is delivered for an item, or for an entry that makes no sense, as it came. */
export type Listed = { readonly list: string } & ({ readonly item: MemoryItem } | { readonly odd: unknown });

export interface PollParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly link: MemoryLink;
  /** Tells one list from another. */
  readonly list: string;
  readonly everyMs: number;
}

/** Another list has other items, even under the same ids. */
const triggerOf = (list: string, item: string, revision: number): string => `${hashOf(list).slice(0, 8)}/${item}@${revision}`;
/** The same entry is shown once, however often it is listed. */
const oddKey = (list: string, entry: unknown): string => `${hashOf(list).slice(0, 8)}?${hashOf(JSON.stringify(entry))}`;
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
export const statusKey = (trigger: string): string => `${trigger}:status`;

/** After so many failures in a row the next look comes so much later, but for one in five minutes. */
const backoff = [1, 2, 4, 10];

/** Looks at the list again and again, less often while it cannot be reached. */
export function pollMemory(parts: PollParts): { stop(): Promise<void> } {
  const { clock, log, everyMs } = parts;
  const stopping = new AbortController();
  const { signal } = stopping;
  const going = (async () => {
    for (let failures = 0; !signal.aborted; ) {
      const failure = await pollOnce(parts, signal).catch((error: unknown): MemoryFailure => {
        return { kind: 'unavailable', message: error instanceof Error ? error.message : String(error) };
      });
      if (signal.aborted) return;
      if (failure) {
        if (failures === 0) log.warn({ list: parts.list, kind: failure.kind }, failure.message);
        failures += 1;
      } else {
        if (failures > 0) log.info({ list: parts.list }, 'the Memory-MCP list answers again');
        failures = 0;
      }
      const waitMs = failures === 0 ? everyMs : Math.max(everyMs, Math.min(longestPauseMs, everyMs * (backoff[failures - 1] ?? 10)));
      await wait(clock, Math.max(waitMs, failure?.kind === 'unavailable' ? (failure.afterMs ?? 0) : 0), signal);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await going;
    },
  };
}

/** Takes in what is pending now. What was taken in before is passed over, unless it has become pending again since. */
export async function pollOnce(parts: PollParts, signal: AbortSignal): Promise<MemoryFailure | undefined> {
  const askedAt = parts.clock.now();
  const read = await parts.link.use((list) => list.pending(signal), signal);
  if (!read.ok) return read.failure;
  const { items, odd, cut } = read.value;
  if (items.length + odd.length > 0) {
    await parts.store.write(async (tx) => {
      await tx.lock('memory');
      await takeIn(parts, tx, items, askedAt);
      await keepOdd(parts, tx, odd);
    });
  }
  return cut;
}

/** Into the inbox as well: there it is seen, and can be read again once we know better. */
async function keepOdd({ clock, newId, list }: PollParts, tx: Tx, odd: readonly unknown[]): Promise<void> {
  const arrivals = new Map(odd.map((entry) => [oddKey(list, entry), entry]));
  await insertArrivals(
    tx,
    [...arrivals].map(([key, entry]) => arrivalOf(newId(idPrefixes.delivery), key, { list, odd: entry })),
    clock.now(),
  );
}

const arrivalOf = (id: string, key: string, listed: Listed): Arrival => ({
  id,
  source: memorySource,
  key,
  kind: 'item',
  headers: {},
  body: Buffer.from(JSON.stringify(listed)),
});

async function takeIn({ clock, newId, list }: PollParts, tx: Tx, items: readonly MemoryItem[], askedAt: number): Promise<void> {
  const revisions = await revisionsOf(
    tx.db,
    list,
    items.map(({ id }) => id),
  );
  const wanted: { readonly item: MemoryItem; readonly revision: number }[] = [];
  for (const item of items) {
    const last = revisions.get(item.id) ?? 0;
    if (last === 0 || (await isWantedAgain(tx, triggerOf(list, item.id, last), askedAt))) wanted.push({ item, revision: last + 1 });
  }
  await saveRevisions(
    tx,
    list,
    wanted.map(({ item, revision }) => ({ item: item.id, revision })),
  );
  const arrivals = wanted.map(({ item, revision }) =>
    arrivalOf(newId(idPrefixes.delivery), triggerOf(list, item.id, revision), { list, item }),
  );
  await insertArrivals(tx, arrivals, clock.now());
}

/**
 * Somebody has made an item pending again whose task is over. Only what the list said after it had been told of the end
 * counts: before that, pending is merely what it has not heard.
 */
async function isWantedAgain(tx: Tx, trigger: string, askedAt: number): Promise<boolean> {
  const taskId = (await whatBecameOf(tx.db, memorySource, [trigger])).get(trigger)?.taskId;
  const task = taskId ? await findTask(tx.db, taskId) : undefined;
  if (!task || !isClosed(task.status)) return false;
  const told = await toldAt(tx.db, memorySource, statusKey(trigger));
  return told !== null && told < askedAt;
}
