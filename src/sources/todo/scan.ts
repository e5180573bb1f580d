import { createHash } from 'node:crypto';
import { idPrefixes } from '../../domain/id.ts';
import { isWaiting, type Priority, type Task } from '../../domain/task.ts';
import { type Clock, wait } from '../../platform/clock.ts';
import type { NewId } from '../../platform/ids.ts';
import type { Log } from '../../platform/log.ts';
import type { Queue } from '../../queue/queue.ts';
import { type Arrival, insertArrivals, originsOf } from '../../store/inbox.ts';
import { readSetting, writeSetting } from '../../store/settings.ts';
import type { Store, Tx } from '../../store/store.ts';
import { findTask } from '../../store/tasks.ts';
import { addOverdue, findItems, itemsOfFile, keepOverdue, overdueOf, saveItems, type TodoRow } from '../../store/todo.ts';
import { whatBecameOf } from '../../store/triggers.ts';
import { readTodo } from './files.ts';
import { matchItems } from './identity.ts';
import { orderOf } from './order.ts';
import { parseTodos, type TodoItem } from './parse.ts';

export const todoSource = 'todo';

export interface ScanParts {
  readonly store: Store;
  readonly queue: Pick<Queue, 'cancel'>;
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

export const triggerOf = ({ key, revision }: Pick<TodoRow, 'key' | 'revision'>): string => `${key}@${revision}`;

/**
 * Takes in what a file says now: new items are delivered to the inbox, and what was ticked, removed or reworded is called
 * off if its task has not begun. All of it is one transaction, so that a crash in between changes nothing; what is left to
 * call off is stored as well. A file that is gone says nothing about its items: editors and git take files away for a moment.
 */
export async function scanFile(parts: ScanParts, file: string): Promise<void> {
  const read = await readTodo(file);
  if (read.ok) {
    const { store } = parts;
    const hash = createHash('sha256').update(read.text).digest('base64url');
    // A file is looked at again every few minutes; a long one that says what it said costs next to nothing then.
    if ((await readSetting(store.read, takenIn(file))) !== hash) {
      const items = parseTodos(read.text);
      await store.write(async (tx) => {
        await tx.lock('todo');
        await takeIn(parts, tx, file, items);
        await writeSetting(tx, takenIn(file), hash);
      });
    }
  } else {
    parts.log[read.gone ? 'info' : 'warn']({ file, why: read.why }, 'a TODO file was not read');
  }
  for (let look = 0; look < looks && (await callOff(parts, file)); look++) await wait(parts.clock, 100);
}

const takenIn = (file: string): string => `todo:${file}`;

/** So often a delivery that is being read at this moment is waited for; after that the next scan sees to it. */
const looks = 20;

async function takeIn({ clock, newId }: ScanParts, tx: Tx, file: string, items: readonly TodoItem[]): Promise<void> {
  const known = await itemsOfFile(tx.db, file);
  const { keys, gone } = matchItems(
    known.map((row) => ({ ...row, at: row.place ?? 0 })),
    items,
  );
  const before = new Map(known.map((row) => [row.key, row]));
  const order = orderOf(items);
  const itemKeys = keys.map((key) => key ?? newId(idPrefixes.todo));
  const rows: TodoRow[] = [];
  const wanted: number[] = [];
  const overdue: TodoRow[] = [];
  const replaced = new Set<number>();
  for (const place of order.places) {
    const item = items[place] as TodoItem;
    const { title, headings, checked } = item;
    const key = itemKeys[place] as string;
    const old = before.get(key);
    const others = order.before(place);
    const digest = digestOf(
      item,
      others.map((other) => itemKeys[other] as string),
    );
    const reworded = old !== undefined && (old.digest !== digest || others.some((other) => replaced.has(other)));
    const change = changeOf(old, checked, reworded && !(await isBegun(tx, old)));
    const revision = (old?.revision ?? 0) + (change === 'wanted' ? 1 : 0);
    rows[place] = { key, file, place, title, headings, digest, checked, revision };
    if (change === 'wanted') wanted.push(place);
    if (!old || old.revision === 0 || change === 'none') continue;
    overdue.push(old);
    if (change === 'wanted') replaced.add(place);
  }
  const removed = gone.flatMap((key) => before.get(key) ?? []);
  overdue.push(...removed.filter(({ checked, revision }) => !checked && revision > 0));

  await saveItems(tx, changed(before, [...rows, ...removed.map((row) => ({ ...row, place: null }))]));
  for (const row of overdue) await addOverdue(tx, row.key, [triggerOf(row)]);
  const arrivals = wanted.map((place): Arrival => {
    const wish = wishOf(items[place] as TodoItem, rows[place] as TodoRow, {
      after: order.before(place).map((other) => itemKeys[other] as string),
      unique: order.isUnique(place),
    });
    const body = Buffer.from(JSON.stringify(wish));
    return { id: newId(idPrefixes.delivery), source: todoSource, key: triggerOf(wish), kind: 'item', headers: {}, body };
  });
  await insertArrivals(tx, arrivals, clock.now());
}

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
  const became = await whatBecameOf(
    store.read,
    todoSource,
    overdue.flatMap(({ triggers }) => triggers),
  );
  const taskIds = [...new Set([...became.values()].flatMap(({ taskId }) => taskId ?? []))];
  for (const id of taskIds.toSorted().toReversed()) {
    const task = await findTask(store.read, id);
    if (task && isWaiting(task.status) && !(await isWantedElsewhere(store, task))) await queue.cancel(id, todoSource);
  }
  let left = false;
  for (const { key, triggers } of overdue) {
    const open = triggers.filter((trigger) => became.get(trigger)?.delivery === 'received');
    left ||= open.length > 0;
    await store.write((tx) => keepOverdue(tx, key, open));
  }
  return left;
}

/** One task may be the wish of several: of other sources, of whoever filed it, or of another item, here or in another file. */
async function isWantedElsewhere({ read }: Pick<Store, 'read'>, { id, source }: Task): Promise<boolean> {
  if (source !== todoSource) return true;
  const origins = await originsOf(read, [id]);
  if (origins.some((origin) => origin.source !== todoSource)) return true;
  const items = await findItems(
    read,
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
  rows.filter((row) => JSON.stringify(row) !== JSON.stringify(before.get(row.key)));
