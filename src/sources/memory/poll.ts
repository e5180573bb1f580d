import { idPrefixes } from '../../domain/id.ts';
import { isClosed, type Task } from '../../domain/task.ts';
import { type Clock, wait } from '../../platform/clock.ts';
import type { NewId } from '../../platform/ids.ts';
import type { Log } from '../../platform/log.ts';
import { type Arrival, insertArrivals } from '../../store/inbox.ts';
import { type MemoryStanding, nameOnLists, putBackClaims, saveStanding, standingOf } from '../../store/memory-items.ts';
import { putMessages } from '../../store/outbox.ts';
import type { Store, Tx } from '../../store/store.ts';
import { findTask, lockTasks } from '../../store/tasks.ts';
import { toldAt, whatBecameOf } from '../../store/triggers.ts';
import { holderIn, isFresh, leavesTime, markOf, settledAfterMs, tagsWith, verdictOn } from './claim.ts';
import type { MemoryLink } from './link.ts';
import type { Listing, MemoryAnswer, MemoryFailure, MemoryItem, MemoryList, Moment } from './list.ts';
import { reportOf } from './report.ts';
import { type Listed, lostKey, memorySource, oddKey, statusKey, triggerOf } from './source.ts';
import { longestPauseMs, momentOf } from './wire.ts';

export interface PollParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly link: MemoryLink;
  /** Tells one list from another. */
  readonly list: string;
  readonly everyMs: number;
  readonly node: string;
}

/** What a look at the list came to. */
interface Look {
  readonly failure: MemoryFailure | undefined;
  /** There are claims to look after, or more to claim. */
  readonly soon: boolean;
}

/** Of what others do on the list, as it was when it was last read whole. */
export interface Others {
  readonly name: string;
  /** Marks of others, and how many items each has in progress. */
  readonly holders: ReadonlyMap<string, number>;
  /** Items that are in progress, and neither we nor anybody with a name took them. */
  readonly nameless: number;
  readonly keepsTags: MemoryList['keepsTags'];
}

export interface MemoryWatch {
  look(signal: AbortSignal): Promise<Look>;
  others(): Others | undefined;
}

/** After so many failures in a row the next look comes so much later, but for one in five minutes. */
const backoff = [1, 2, 4, 10];
/** So many are claimed between two looks; one at a time, for servers want few requests. */
const claimsAtOnce = 50;

/** Looks at the list again and again, less often while it cannot be reached. */
export function pollMemory(parts: Pick<PollParts, 'clock' | 'log' | 'list' | 'everyMs'>, watch: MemoryWatch): { stop(): Promise<void> } {
  const { clock, log, everyMs } = parts;
  const stopping = new AbortController();
  const { signal } = stopping;
  const going = (async () => {
    for (let failures = 0; !signal.aborted; ) {
      const { failure, soon } = await watch.look(signal).catch((error: unknown): Look => {
        const message = error instanceof Error ? error.message : String(error);
        return { failure: { kind: 'unavailable', message }, soon: false };
      });
      if (signal.aborted) return;
      if (failure) {
        if (failures === 0) log.warn({ list: parts.list, kind: failure.kind }, failure.message);
        failures += 1;
      } else {
        if (failures > 0) log.info({ list: parts.list }, 'the Memory-MCP list answers again');
        failures = 0;
      }
      const usual = soon ? Math.min(everyMs, settledAfterMs) : everyMs;
      const waitMs = failures === 0 ? usual : Math.max(everyMs, Math.min(longestPauseMs, everyMs * (backoff[failures - 1] ?? 10)));
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

interface Seen {
  readonly held: Listing;
  readonly pending: Listing;
  readonly keepsTags: MemoryList['keepsTags'];
  /** Before anything was asked for. */
  readonly begunAt: Moment;
}

interface Settlement {
  /** What we write into an item that we claim. */
  readonly mark: string;
  /** What stands as claimed since `claimedAt`, and is to be written now; of the rest, the next look thinks again. */
  readonly claiming: readonly Wanted[];
  readonly claimedAt: number;
  readonly left: number;
  /** The items to which our claim is neither settled nor lost. */
  readonly open: ReadonlySet<string>;
  readonly others: Others;
}

/**
 * Each look brings what stands in our store in line with what the list shows: what we claimed and is ours becomes work, what
 * somebody else got is let go, what is ours but shows otherwise is said again, and what is free is claimed.
 */
export function watchMemory(parts: PollParts): MemoryWatch {
  const { store, clock, newId, log, link, list, everyMs, node } = parts;
  /** Claims of this process that were answered in time, and when, by the monotonic clock. */
  const written = new Map<string, number>();
  /** Whoever is written over by mistake says so at the next look, if they look as often as we do. */
  const staleAfterMs = 2 * everyMs + settledAfterMs;
  let others: Others | undefined;

  const readBoth = (signal: AbortSignal): Promise<MemoryAnswer<Seen>> =>
    link.use(async (asked) => {
      const begunAt = momentOf(clock);
      const held = await asked.listed('in_progress', signal);
      if (!held.ok) return held;
      const pending = await asked.listed('pending', signal);
      if (!pending.ok) return pending;
      return { ok: true, value: { held: held.value, pending: pending.value, keepsTags: asked.keepsTags, begunAt } };
    }, signal);

  async function look(signal: AbortSignal): Promise<Look> {
    const read = await readBoth(signal);
    if (!read.ok) return { failure: read.failure, soon: false };
    const seen = read.value;
    const settlement = await store.write((tx) => settle(tx, seen));
    others = settlement.others;
    for (const item of written.keys()) if (!settlement.open.has(item)) written.delete(item);
    const claimed = await claimAll(settlement, signal);
    return {
      failure: seen.held.cut ?? seen.pending.cut ?? claimed.failure,
      soon: written.size > 0 || settlement.left + claimed.untouched > 0,
    };
  }

  async function settle(tx: Tx, { held, pending, keepsTags, begunAt }: Seen): Promise<Settlement> {
    await tx.lock('memory');
    const name = await nameOnLists(tx, node);
    const mark = markOf(name);
    const now = clock.now();
    const standing = await standingOf(
      tx.db,
      list,
      [...held.items, ...pending.items].map(({ id }) => id),
    );
    const ours: MemoryItem[] = [];
    const lost: { readonly item: MemoryItem; readonly heldBy: string }[] = [];
    const astray: MemoryItem[] = [];
    const undecided: string[] = [];
    const wanted: Wanted[] = [];
    const want = (item: MemoryItem, { askedAt }: Listing): void => {
      const asked = askedAt.get(item.id);
      const { revision = 0, claimedAt = null } = standing.get(item.id) ?? {};
      if (asked) wanted.push({ item, askedAt: asked, revision, claimedBefore: claimedAt });
    };

    for (const item of held.items) {
      const { claimedAt = null, revision = 0 } = standing.get(item.id) ?? {};
      if (claimedAt === null) {
        const holder = holderIn(item);
        if (revision > 0 && holder !== undefined && holder !== mark) astray.push(item);
        continue;
      }
      const claim = { mark, writtenAt: written.get(item.id), ageMs: now - claimedAt, staleAfterMs, keepsTags };
      switch (verdictOn(item, claim, held.askedAt.get(item.id)?.monotonic ?? begunAt.monotonic)) {
        case 'ours':
          ours.push(item);
          break;
        case 'theirs':
          lost.push({ item, heldBy: holderIn(item) ?? '' });
          break;
        case 'again':
          want(item, held);
          break;
        case 'wait':
          undecided.push(item.id);
      }
    }
    for (const item of pending.items) {
      const { claimedAt = null, revision = 0 } = standing.get(item.id) ?? {};
      // Another server of ours may be about to claim it, or was killed while it was; one of this process shows otherwise.
      if (claimedAt !== null && !written.has(item.id) && now - claimedAt < staleAfterMs) continue;
      if (revision === 0) want(item, pending);
      else if (await isWantedAgain(tx, triggerOf(list, item.id, revision), begunAt.wall)) want(item, pending);
      else astray.push(item);
    }

    const claiming = inTime(wanted, momentOf(clock)).slice(0, claimsAtOnce);
    await saveStanding(tx, list, [
      ...ours.map(({ id }) => ({ item: id, revision: (standing.get(id)?.revision ?? 0) + 1, claimedAt: null })),
      ...lost.map(({ item }) => ({ item: item.id, revision: standing.get(item.id)?.revision ?? 0, claimedAt: null })),
      ...claiming.map(({ item, revision }) => ({ item: item.id, revision, claimedAt: now })),
    ]);
    await insertArrivals(tx, [...arrivalsOf(ours, lost, standing), ...oddOnes(pending)], now);
    await sayAgain(tx, astray, mark, standing);
    // What is on neither list any more is looked for no longer; it may come back, but then it is claimed anew.
    const cut = held.cut !== undefined || pending.cut !== undefined;
    const open = new Set(cut ? written.keys() : undecided);
    for (const { id } of ours) open.delete(id);
    for (const { item } of lost) open.delete(item.id);
    const left = wanted.length - claiming.length;
    return {
      mark,
      claiming,
      claimedAt: now,
      left,
      open,
      others: othersIn(held, (item) => standing.has(item.id), { name, mark, keepsTags }),
    };
  }

  const arrival = (key: string, listed: Listed): Arrival => ({
    id: newId(idPrefixes.delivery),
    source: memorySource,
    key,
    kind: 'item',
    headers: {},
    body: Buffer.from(JSON.stringify(listed)),
  });

  const arrivalsOf = (
    ours: readonly MemoryItem[],
    lost: readonly { readonly item: MemoryItem; readonly heldBy: string }[],
    standing: ReadonlyMap<string, MemoryStanding>,
  ): readonly Arrival[] => {
    const trigger = ({ id }: MemoryItem): string => triggerOf(list, id, (standing.get(id)?.revision ?? 0) + 1);
    return [
      ...ours.map((item) => arrival(trigger(item), { list, item })),
      ...lost.map(({ item, heldBy }) => arrival(lostKey(trigger(item), heldBy), { list, item, heldBy })),
    ];
  };

  /** Into the inbox as well: there it is seen, and can be read again once we know better. */
  const oddOnes = ({ odd }: Listing): readonly Arrival[] =>
    [...new Map(odd.map((entry) => [oddKey(list, entry), entry]))].map(([key, entry]) => arrival(key, { list, odd: entry }));

  /** Ours, and being worked on, but the list does not show it: through the outbox, so that it is not said after the end. */
  async function sayAgain(
    tx: Tx,
    astray: readonly MemoryItem[],
    mark: string,
    standing: ReadonlyMap<string, MemoryStanding>,
  ): Promise<void> {
    const triggers = new Map(astray.map((item) => [triggerOf(list, item.id, standing.get(item.id)?.revision ?? 0), item]));
    const became = await whatBecameOf(tx.db, memorySource, [...triggers.keys()]);
    const tasks = await lockTasks(
      tx,
      [...became.values()].flatMap(({ taskId }) => taskId ?? []),
    );
    const isOpen = (task: Task | undefined): task is Task => task !== undefined && !isClosed(task.status);
    const messages = [...triggers].flatMap(([trigger, item]) => {
      const task = tasks.get(became.get(trigger)?.taskId ?? '');
      const said = { list, item: item.id, status: 'in_progress' as const, tags: tagsWith(mark, item.tags), seenAt: clock.now() };
      return isOpen(task) ? [{ ...reportOf(task, trigger, said), id: newId(idPrefixes.message) }] : [];
    });
    await putMessages(tx, messages, clock.now());
  }

  /** One after the other, for as long as what was read may be written upon. */
  async function claimAll(
    { claiming, mark, claimedAt }: Settlement,
    signal: AbortSignal,
  ): Promise<{ readonly failure: MemoryFailure | undefined; readonly untouched: number }> {
    let failure: MemoryFailure | undefined;
    let done = 0;
    for (const { item, askedAt } of claiming) {
      if (!isFresh(askedAt, momentOf(clock))) break;
      done += 1;
      written.delete(item.id);
      const answered = await link.use((asked) => asked.claim(item.id, tagsWith(mark, item.tags), signal), signal);
      if (answered.ok && isFresh(askedAt, momentOf(clock))) written.set(item.id, clock.monotonic());
      if (answered.ok || answered.failure.kind === 'no-such-item') continue;
      failure = answered.failure;
      // One that is not understood says nothing of the others; who wants no more says it of all.
      if (failure.kind !== 'not-understood') break;
    }
    const untouched = claiming.slice(done).map(({ item, claimedBefore }) => ({ item: item.id, claimedAt: claimedBefore }));
    if (untouched.length > 0) await store.write((tx) => putBackClaims(tx, list, untouched, claimedAt));
    if (failure) log.warn({ list, kind: failure.kind }, 'an item could not be claimed');
    return { failure, untouched: untouched.length };
  }

  return { look, others: () => others };
}

interface Wanted {
  readonly item: MemoryItem;
  readonly revision: number;
  /** When it was last claimed, if that never came to an end. */
  readonly claimedBefore: number | null;
  readonly askedAt: Moment;
}

/** In the order of the list; where reading it has taken so long that there is no time for that, what was read last goes first. */
function inTime(wanted: readonly Wanted[], now: Moment): readonly Wanted[] {
  const [first] = wanted;
  if (first === undefined || leavesTime(first.askedAt, now)) return wanted;
  return wanted.filter(({ askedAt }) => isFresh(askedAt, now)).sort((a, b) => b.askedAt.monotonic - a.askedAt.monotonic);
}

function othersIn(
  { items }: Listing,
  known: (item: MemoryItem) => boolean,
  { name, mark, keepsTags }: { readonly name: string; readonly mark: string; readonly keepsTags: MemoryList['keepsTags'] },
): Others {
  const holders = new Map<string, number>();
  let nameless = 0;
  for (const item of items) {
    const holder = holderIn(item);
    if (holder === undefined) nameless += known(item) ? 0 : 1;
    else if (holder !== mark) holders.set(holder, (holders.get(holder) ?? 0) + 1);
  }
  return { name, holders, nameless, keepsTags };
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
