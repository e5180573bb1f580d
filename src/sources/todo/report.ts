import type { Stats } from 'node:fs';
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Reporter } from '../../outbox/announce.ts';
import type { Channel, Sending } from '../../outbox/channel.ts';
import type { Store } from '../../store/store.ts';
import { itemsOfFile } from '../../store/todo.ts';
import { type TodoAddress, tickMessage, todoSource } from './address.ts';
import { entryOf, readTodo, type TodoFiles } from './files.ts';
import { matchItems } from './identity.ts';
import { noteMark, parseTodos, type TodoItem } from './parse.ts';
import { lineAt, tickBox } from './tick.ts';

/** Ticks what is done; where it is wanted, leaves a note below what failed. */
export function todoReporter(entries: readonly TodoFiles[]): Reporter {
  return {
    source: todoSource,
    taken: async () => [],
    async changed(_, task, { address, trigger }) {
      const { file, key } = address as TodoAddress;
      if (task.status === 'succeeded') return [{ ...tickMessage(trigger, { file, key }), taskId: task.id }];
      const failed = task.status === 'failed' || task.status === 'escalated' || task.status === 'over-budget';
      if (!failed || !entryOf(entries, file)?.notes) return [];
      const note = `${task.status}: ${task.reason?.message ?? 'nobody knows why'}`;
      const body = { file, key, note };
      return [{ channel: todoSource, recipient: file, kind: 'note', key: `${trigger}:note:${task.attempts}`, body, taskId: task.id }];
    },
  };
}

/** The way back into the file. A tick twice is a tick, and a note that stands there already is not written again. */
export function todoChannel(store: Store): Channel {
  return {
    name: todoSource,
    async send({ kind, body }) {
      const { file, key, note } = body as TodoAddress & { readonly note?: string };
      try {
        const read = await readTodo(file);
        if (!read.ok) return later('unreadable', `The file cannot be read: ${read.why}.`, 60_000);
        const lines = read.text.split(/\r\n|\n|\r/);
        const item = await findItem(store, file, key, parseTodos(read.text));
        if (!item) return { kind: 'sent', ref: null }; // nobody wants to know any more
        const line = lines[item.line] ?? '';
        if (kind === 'note') return await writeNote(file, read.text, item, note ?? '');
        const ticked = await tickBox(file, item.line, line);
        return ticked.kind === 'moved' ? beingEdited : { kind: 'sent', ref: null };
      } catch (error) {
        return later('unwritable', `The file cannot be written (${(error as NodeJS.ErrnoException).code ?? String(error)}).`, 60_000);
      }
    },
  };
}

async function findItem(store: Store, file: string, key: string, items: readonly TodoItem[]): Promise<TodoItem | undefined> {
  const known = await itemsOfFile(store.read, file);
  const { keys } = matchItems(
    known.map((row) => ({ ...row, at: row.place ?? 0 })),
    items,
  );
  return items[keys.indexOf(key)];
}

/** A line of its own below the item, and every other byte as it was. The whole file is written anew, so only where it was asked for. */
async function writeNote(file: string, text: string, { line }: TodoItem, note: string): Promise<Sending> {
  const path = await realpath(file);
  const bytes = await readFile(path);
  const [own, below] = [lineAt(bytes, line), lineAt(bytes, line + 1)];
  if (!own || bytes.toString('utf8') !== text) return beingEdited;
  const textOf = (at: typeof own): string => bytes.subarray(at.start, at.end).toString('utf8');
  const indent = ' '.repeat(/^\s*(?:[-*+]|\d{1,9}[.)])\s+/.exec(textOf(own))?.[0].length ?? 2);
  const written = `${indent}${noteMark} ${note.replaceAll(/\s+/g, ' ').slice(0, 300)}`;
  if (below && textOf(below) === written) return { kind: 'sent', ref: null };
  const earlier = below && textOf(below).trimStart().startsWith(noteMark) ? below : undefined;
  const lineBreak = /\r\n|\n|\r/.exec(text)?.[0] ?? '\n';
  const noted = Buffer.concat([
    bytes.subarray(0, earlier?.start ?? own.end),
    Buffer.from(earlier ? written : `${lineBreak}${written}`),
    bytes.subarray(earlier?.end ?? own.end),
  ]);
  const beside = join(dirname(path), `.${basename(path)}.nightshift`);
  await rm(beside, { force: true });
  try {
    await writeLike(await stat(path), beside, noted);
    if (!(await readFile(path)).equals(bytes)) return beingEdited;
    await rename(beside, path);
    return { kind: 'sent', ref: null };
  } finally {
    // There is none after a rename; after a full disk it would be in everybody's way.
    await rm(beside, { force: true });
  }
}

/** A new file with the owner and the rights of another: taking its place must not take it away from whoever it belongs to. */
async function writeLike({ mode, uid, gid }: Stats, path: string, bytes: Buffer): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    const made = await file.stat();
    if (made.uid !== uid || made.gid !== gid) await file.chown(uid, gid);
    await file.chmod(mode & 0o777); // open has left out what the umask takes away
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

const later = (code: string, why: string, afterMs: number): Sending => ({ kind: 'retry', code, message: why, afterMs, doubtful: false });

const beingEdited = later('being-edited', 'Somebody is editing the file.', 1_000);
