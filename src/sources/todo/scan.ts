import { createHash } from 'node:crypto';
import { idPrefixes } from '../../domain/id.ts';
import { isWaiting, type Priority, type Task } from '../../domain/task.ts';
import { type Clock, wait } from '../../platform/clock.ts';
import type { NewId } from '../../platform/ids.ts';
import type { Log } from '../../platform/log.ts';
import type { Queue } from '../../queue/queue.ts';
import { type Arrival, insertArrivals, originsOf } from '../../store/inbox.ts';
import { putMessages } from '../../store/outbox.ts';
import { chunks } from '../../store/rows.ts';
import { readSetting, writeSetting } from '../../store/settings.ts';
import type { Store, Tx } from '../../store/store.ts';
import { findTask, lockTasks } from '../../store/tasks.ts';
import { addOverdue, findItems, itemsOfFile, keepOverdue, overdueOf, saveItems, type TodoRow } from '../../store/todo.ts';
import { lastToldAt, whatBecameOf } from '../../store/triggers.ts';
import { tickKey, tickMessage, todoSource, triggerOf } from './address.ts';
import { batchesOf, itemsAtOnce } from './batches.ts';
import { readTodo } from './files.ts';
import { matchItems } from './identity.ts';
import { type Order, orderOf } from './order.ts';
import { parseTodos, type TodoItem } from './parse.ts';

export interface ScanParts {
  readonly store: Store;
  readonly queue: Pick<Queue, 'cancelIn'>;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
}

/** What is delivered for an item. */
export interface TodoWish {
  readonly key: string;
  readonly revision: number;
  readonly file: string;
  readonly title: string;
  readonly body: string;
  readonly headings: readonly string[];
  readonly priority: Priority | null;
  readonly labels: readonly string[];
  readonly repository: string | null;
  /** Keys of the items that come before. */
  readonly after: readonly string[];
  /** Nothing else in the file has the same words. */
  readonly unique: boolean;
}

/** `doubted`: it lost so much at once that it is believed only when it says the same a while later. */
export type Scanned = { readonly kind: 'taken' } | { readonly kind: 'doubted'; readonly hash: string };

/**
 * Takes in what a file says now: new items are delivered to the inbox, and what was ticked, removed or reworded is called
 * off if its task has not begun. That is one transaction, so that a crash in between changes nothing; what is left to call
 * off is stored as well. Of very many new items each few hundred are a transaction of their own, with time for others in
 * between: what was taken in stays so, and after a crash the next scan goes on from there. A file that is gone or empty says
 * nothing about its items: editors and git take files away for a moment. Of one that has lost most of them nothing is taken
 * in, unless it is what was doubted before.
 */
export async function scanFile(parts: ScanParts, file: string, doubtedBefore?: string): Promise<Scanned> {
  const { store, clock, log } = parts;
  const read = await readTodo(file);
  if (read.ok) {
    const hash = hashOf(read.text);
    // A file is looked at again every few minutes; a long one that says what it said costs next to nothing then.
    if ((await readSetting(store.read, takenIn(file)))?.split(' ')[0] !== hash) {
      const taken = await takeInAll(parts, file, read.text, { hash, believed: doubtedBefore === hash });
      if (!taken) {
        log.warn({ file }, 'a TODO file has lost most of its open items; they are called off only if it stays so');
        return { kind: 'doubted', hash };
      }
    }
  } else {
    log[read.gone ? 'info' : 'warn']({ file, why: read.why }, 'a TODO file was not read; its tasks stay as they are');
  }
  for (let look = 0; look < looks && (await callOff(parts, file)); look++) await wait(clock, 100);
  return { kind: 'taken' };
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

const withoutTicks = (text: string): string => text.replaceAll(/^(\s*(?:[-*+]|\d{1,9}[.)])\s+)\[[xX]\]/gm, '$1[ ]');

const takenIn = (file: string): string => `todo:${file}`;

/** So often a delivery that is being read at this moment is waited for; after that the next scan sees to it. */
const looks = 20;

/** An editor with the text from before our tick, saved within this time, takes the tick away without meaning to. */
const staleBufferMs = 10 * 60_000;
/** Fewer open items than this may go at once and be believed. */
const fewLost = 5;

interface Look {
  /** More than ticks has changed since the last look. */
  readonly edited: boolean;
  /** However much is gone. */
  readonly believed: boolean;
}

const giveWay = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface List {
  readonly file: string;
  readonly items: readonly TodoItem[];
  readonly order: Order;
}

/** `keys`: per item the one that it has from now on. `left`: the steps that are still to be taken. */
interface Begun {
  readonly keys: readonly string[];
  readonly left: readonly (readonly number[])[];
}

/** False, and nothing is changed, if it has lost too much at once to be believed. */
async function takeInAll(
  parts: ScanParts,
  file: string,
  text: string,
  { hash, believed }: { readonly hash: string; readonly believed: boolean },
): Promise<boolean> {
  const { store } = parts;
  const items = parseTodos(text);
  await giveWay();
  const list: List = { file, items, order: orderOf(items) };
  const words = hashOf(withoutTicks(text));
  const scan = parts.newId(idPrefixes.todo);
  const note = (tx: Tx, before: string, left: number): Promise<void> =>
    writeSetting(tx, takenIn(file), left === 0 ? `${hash} ${words}` : ` ${before} ${hash} ${scan}`);

  const begun = await store.write(async (tx): Promise<Begun | undefined> => {
    const [, before = '', underWay] = await holdTaken(tx, file);
    const edited = before !== '' && before !== words;
    const first = underWay === hash ? await resume(parts, tx, list) : await takeIn(parts, tx, list, { edited, believed });
    if (first) await note(tx, before, first.left.length);
    return first;
  });
  if (!begun) return false;
  for (const [at, places] of begun.left.entries()) {
    await giveWay();
    const goesOn = await store.write(async (tx) => {
      const [, before = '', , holder] = await holdTaken(tx, file);
      if (holder !== scan) return false;
      await takeInNew(parts, tx, list, begun.keys, places);
      await note(tx, before, begun.left.length - 1 - at);
      return true;
    });
    // Another node has looked at it since, and goes on from what is stored.
    if (!goesOn) break;
  }
  return true;
}

/**
 * What was taken in of a file: the hash of its text and that of its words. While that is under way the first is empty, and a
 * third says of which text, a fourth by which scan.
 */
async function holdTaken(tx: Tx, file: string): Promise<readonly string[]> {
  await tx.lock('todo');
  return (await readSetting(tx.db, takenIn(file)))?.split(' ') ?? [];
}

/** The same text was begun before: what is stored of it stands at its place, and all else is new. */
async function resume({ newId }: ScanParts, tx: Tx, { file, items, order }: List): Promise<Begun> {
  const known = new Map((await itemsOfFile(tx.db, file)).map(({ place, key }) => [place, key]));
  return {
    keys: items.map((_, place) => known.get(place) ?? newId(idPrefixes.todo)),
    left: [
      ...chunks(
        order.places.filter((place) => !known.has(place)),
        itemsAtOnce,
      ),
    ],
  };
}

async function takeInNew(parts: ScanParts, tx: Tx, list: List, keys: readonly string[], places: readonly number[]): Promise<void> {
  const rows = places.map((place) => {
    const { checked } = list.items[place] as TodoItem;
    return rowOf(list, keys, place, { checked, revision: checked ? 0 : 1 });
  });
  await saveItems(tx, rows);
  await deliver(
    parts,
    tx,
    list,
    keys,
    rows.filter(({ checked }) => !checked),
  );
}

async function deliver(
  { newId, clock }: ScanParts,
  tx: Tx,
  { items, order }: List,
  keys: readonly string[],
  rows: readonly TodoRow[],
): Promise<void> {
  const arrivals = rows.map((row): Arrival => {
    const place = row.place as number;
    const wish = wishOf(items[place] as TodoItem, row, { after: keysBefore(order, keys, place), unique: order.isUnique(place) });
    const body = Buffer.from(JSON.stringify(wish));
    return { id: newId(idPrefixes.delivery), source: todoSource, key: triggerOf(wish), kind: 'item', headers: {}, body };
  });
  await insertArrivals(tx, arrivals, clock.now());
}

const keysBefore = (order: Order, keys: readonly string[], place: number): readonly string[] =>
  order.before(place).map((other) => keys[other] as string);

function rowOf({ file, items, order }: List, keys: readonly string[], place: number, now: Pick<TodoRow, 'checked' | 'revision'>): TodoRow {
  const item = items[place] as TodoItem;
  const { title, headings } = item;
  return { key: keys[place] as string, file, place, title, headings, digest: digestOf(item, keysBefore(order, keys, place)), ...now };
}

/** All that is known, and the first of what is new; nothing if it has lost too much at once to be believed. */
async function takeIn(parts: ScanParts, tx: Tx, list: List, { edited, believed }: Look): Promise<Begun | undefined> {
  const { clock, newId } = parts;
  const { file, items, order } = list;
  const known = await itemsOfFile(tx.db, file);
  const { keys, gone } = matchItems(
    known.map((row) => ({ ...row, at: row.place ?? 0 })),
    items,
  );
  const before = new Map(known.map((row) => [row.key, row]));
  const removed = gone.flatMap((key) => before.get(key) ?? []);
  const lost = removed.filter(isOpen).length;
  if (!believed && lost >= fewLost && lost * 2 > known.filter(isOpen).length) return undefined;
  const tickedAt = await lastToldAt(
    tx.db,
    todoSource,
    items.flatMap(({ checked }, place) => {
      const old = before.get(keys[place] ?? '');
      return !checked && old && old.revision > 0 ? tickKey(triggerOf(old)) : [];
    }),
  );
  const unticked: TodoRow[] = [];
  const itemKeys = keys.map((key) => key ?? newId(idPrefixes.todo));
  const [first = [], ...left] = batchesOf(items, order, (place) => keys[place] !== null);
  const rows: TodoRow[] = [];
  const wanted: TodoRow[] = [];
  const overdue: TodoRow[] = [];
  const replaced = new Set<number>();
  for (const place of first) {
    const { checked } = items[place] as TodoItem;
    const old = before.get(itemKeys[place] as string);
    const row = rowOf(list, itemKeys, place, { checked, revision: old?.revision ?? 0 });
    const tick = old && !checked ? tickedAt.get(tickKey(triggerOf(old))) : undefined;
    if (old && tick !== undefined && isLost(tick, old, edited && old.digest === row.digest, clock.now())) {
      rows.push({ ...row, checked: true });
      unticked.push(old);
      continue;
    }
    const reworded = old !== undefined && (old.digest !== row.digest || order.before(place).some((other) => replaced.has(other)));
    const change = changeOf(old, checked, reworded && !(await isBegun(tx, old)));
    const now = change === 'wanted' ? { ...row, revision: row.revision + 1 } : row;
    rows.push(now);
    if (change === 'wanted') wanted.push(now);
    if (!old || old.revision === 0 || change === 'none') continue;
    overdue.push(old);
    if (change === 'wanted') replaced.add(place);
  }
  overdue.push(...removed.filter(isOpen));

  await saveItems(tx, changed(before, [...rows, ...removed.map((row) => ({ ...row, place: null }))]));
  for (const row of overdue) await addOverdue(tx, row.key, [triggerOf(row)]);
  await deliver(parts, tx, list, itemKeys, wanted);
  await putMessages(
    tx,
    unticked.map((row) => ({ ...tickMessage(triggerOf(row), { file, key: row.key }, clock.now()), id: newId(idPrefixes.message) })),
    clock.now(),
  );
  return { keys: itemKeys, left };
}

const isOpen = ({ checked, revision }: TodoRow): boolean => !checked && revision > 0;

/**
 * Whether a tick of ours was written over by somebody who had not seen it, and does not ask for the work again: it was never
 * seen in the file, or it went soon after it came, together with an edit of something else. A person who wants it again takes the tick away
 * alone, or later.
 */
const isLost = (tickedAt: number, { checked }: TodoRow, editedElsewhere: boolean, now: number): boolean =>
  !checked || (editedElsewhere && now - tickedAt < staleBufferMs);

/** `wanted`: it needs a new task. `done`: a person has ticked it. */
function changeOf(old: TodoRow | undefined, checked: boolean, reworded: boolean): 'wanted' | 'done' | 'none' {
  if (checked) return old && !old.checked ? 'done' : 'none';
  return !old || old.checked || old.revision === 0 || reworded ? 'wanted' : 'none';
}

/** Its task is under way or has succeeded: new words come too late for it. */
async function isBegun(tx: Tx, row: TodoRow): Promise<boolean> {
  if (row.revision === 0) return false;
  const taskId = (await whatBecameOf(tx.db, todoSource, [triggerOf(row)])).get(triggerOf(row))?.taskId;
  const status = taskId ? (await findTask(tx.db, taskId))?.status : undefined;
  return status === 'running' || status === 'succeeded';
}

/**
 * Calls off the tasks of what is not wanted any more, those first that wait for others: they would fail with them. Answers
 * whether something is left, because its delivery is just being read.
 */
async function callOff({ store, queue }: ScanParts, file: string): Promise<boolean> {
  const overdue = await overdueOf(store.read, file);
  const became = await becameOf(store.read, overdue);
  const newest = ({ triggers }: Overdue): string =>
    triggers
      .map((trigger) => became.get(trigger)?.taskId ?? '')
      .toSorted()
      .at(-1) ?? '';
  const ordered = overdue.toSorted((a, b) => (newest(a) > newest(b) ? -1 : 1)).map(({ key }) => key);
  let left = false;
  for (const keys of chunks(ordered, callOffAtOnce)) left = (await store.write((tx) => callOffIn(tx, queue, file, keys))) || left;
  return left;
}

const callOffAtOnce = 100;

type Overdue = Awaited<ReturnType<typeof overdueOf>>[number];

const becameOf = (db: Tx['db'], overdue: readonly Overdue[]) =>
  whatBecameOf(
    db,
    todoSource,
    overdue.flatMap(({ triggers }) => triggers),
  );

/** That they are called off and that nothing is left to call off become true together. */
async function callOffIn(tx: Tx, queue: ScanParts['queue'], file: string, keys: readonly string[]): Promise<boolean> {
  await tx.lock('todo');
  const overdue = await overdueOf(tx.db, file, keys);
  const became = await becameOf(tx.db, overdue);
  // Held before it is asked who wants them: whoever joins a task holds it too.
  const held = await lockTasks(
    tx,
    [...became.values()].flatMap(({ taskId }) => taskId ?? []),
  );
  for (const id of [...held.keys()].toSorted().toReversed()) {
    const task = await findTask(tx.db, id);
    if (task && isWaiting(task.status) && !(await isWantedElsewhere(tx.db, task))) await queue.cancelIn(tx, id, todoSource);
  }
  let left = false;
  for (const { key, triggers } of overdue) {
    const open = triggers.filter((trigger) => became.get(trigger)?.delivery === 'received');
    left ||= open.length > 0;
    await keepOverdue(tx, key, open);
  }
  return left;
}

/** One task may be the wish of several: of other sources, of whoever filed it, or of another item, here or in another file. */
async function isWantedElsewhere(db: Tx['db'], { id, source }: Task): Promise<boolean> {
  if (source !== todoSource) return true;
  const origins = await originsOf(db, [id]);
  if (origins.some((origin) => origin.source !== todoSource)) return true;
  const items = await findItems(
    db,
    origins.map(({ trigger }) => trigger.slice(0, trigger.lastIndexOf('@'))),
  );
  const wanted = new Set([...items.values()].filter(({ place, checked }) => place !== null && !checked).map(triggerOf));
  return origins.some(({ trigger }) => wanted.has(trigger));
}

const wishOf = (
  { title, body, headings, priority, labels, repository }: TodoItem,
  { key, revision, file }: TodoRow,
  related: Pick<TodoWish, 'after' | 'unique'>,
): TodoWish => ({ key, revision, file, title, body, headings, priority, labels, repository, ...related });

const digestOf = ({ title, body, priority, labels, repository }: TodoItem, after: readonly string[]): string =>
  createHash('sha256')
    .update(JSON.stringify([title, body, priority, labels, repository, after]))
    .digest('base64url');

const changed = (before: ReadonlyMap<string, TodoRow>, rows: readonly TodoRow[]): readonly TodoRow[] =>
  rows.filter((row) => {
    const was = before.get(row.key);
    return was === undefined || row.headings.join('\n') !== was.headings.join('\n') || compared.some((field) => row[field] !== was[field]);
  });

/** All but the key, by which they are found, and the headings. */
const compared = ['file', 'place', 'title', 'digest', 'checked', 'revision'] as const satisfies readonly (keyof TodoRow)[];
