import type { NewEvent } from '../../domain/event.ts';
import { idPrefixes } from '../../domain/id.ts';
import { type NewNote, type Note, type NoteOrigin, noteLimits, usualImportance } from '../../domain/note.ts';
import type { Reason } from '../../domain/outcome.ts';
import { withoutSecrets } from '../../domain/secret-forms.ts';
import type { Clock } from '../../platform/clock.ts';
import type { NewId } from '../../platform/ids.ts';
import { append } from '../../store/journal.ts';
import { deleteNote, hashOf, lockNotes, replaceNote, saveNote } from '../../store/notes.ts';
import type { Tx } from '../../store/store.ts';

export interface MemoryParts {
  readonly clock: Clock;
  readonly newId: NewId;
  /** Told of each note that is new, changed or gone, in the transaction of that change. */
  readonly noted?: (tx: Tx, note: string, at: number) => Promise<void>;
}

type Remembered = { readonly ok: true; readonly note: Note; readonly isNew: boolean } | { readonly ok: false; readonly refusal: Reason };
type Edited = { readonly ok: true; readonly note: Note } | { readonly ok: false; readonly refusal: Reason };

/** What a person may change about a note. */
type NoteEdit = Partial<Pick<Note, 'kind' | 'repository' | 'title' | 'text' | 'trust' | 'tags' | 'importance'>>;

/** All of it becomes true with the transaction. What looks like a secret is never stored. */
export interface Memory {
  remember(tx: Tx, note: NewNote): Promise<Remembered>;
  /** Refused when there is no such note, when its new text will not do, or when another note says the same. */
  edit(tx: Tx, id: string, change: NoteEdit, by: string): Promise<Edited>;
  /** The note as it was; undefined when there is none. */
  forget(tx: Tx, id: string, by: string): Promise<Note | undefined>;
}

export function createMemory({ clock, newId, noted = async () => undefined }: MemoryParts): Memory {
  return {
    async remember(tx, wish) {
      const said = { ...wish, ...clean(wish) };
      const refusal = unfit(wish) ?? unfit(said);
      if (refusal) return { ok: false, refusal };
      const now = clock.now();
      const { note, isNew } = await saveNote(tx, {
        ...said,
        id: newId(idPrefixes.note),
        importance: said.importance ?? usualImportance,
        hash: hashOf(said),
        times: 1,
        supersededBy: null,
        createdAt: now,
        updatedAt: now,
      });
      await append(tx, [told(isNew ? 'note.added' : 'note.repeated', note, wish.origin)], now);
      if (isNew) await noted(tx, note.id, now);
      return { ok: true, note, isNew };
    },

    async edit(tx, id, change, by) {
      const before = (await lockNotes(tx, [id])).get(id);
      if (!before) return { ok: false, refusal: noSuchNote(id) };
      const now = clock.now();
      const wanted = { ...before, ...change };
      const said = { ...wanted, ...clean(wanted) };
      const refusal = unfit(wanted) ?? unfit(said);
      if (refusal) return { ok: false, refusal };
      const note: Note = { ...said, hash: hashOf(said), updatedAt: now };
      if (!(await replaceNote(tx, note))) return { ok: false, refusal: saidAlready };
      await append(tx, [told('note.edited', note, { kind: 'person', name: by })], now);
      await noted(tx, id, now);
      return { ok: true, note };
    },

    async forget(tx, id, by) {
      const note = (await lockNotes(tx, [id])).get(id);
      if (!note) return undefined;
      const now = clock.now();
      await deleteNote(tx, note);
      await append(tx, [told('note.deleted', note, { kind: 'person', name: by })], now);
      await noted(tx, id, now);
      return note;
    },
  };
}

const told = (type: 'note.added' | 'note.repeated' | 'note.edited' | 'note.deleted', { id, kind }: Note, origin: NoteOrigin): NewEvent => ({
  type,
  data: { note: id, kind, by: origin.kind === 'person' ? origin.name : origin.kind },
  ...(origin.kind === 'person' ? {} : { taskId: origin.taskId }),
  ...(origin.kind === 'run' ? { runId: origin.runId } : {}),
});

/** Without what a database refuses, without secrets, and with all but the text on one line. */
const clean = ({ title, text, tags = [] }: Pick<NewNote, 'title' | 'text' | 'tags'>): Pick<Note, 'title' | 'text' | 'tags'> => ({
  title: storable(title).replaceAll(/\s+/g, ' ').trim(),
  text: storable(text).trim(),
  tags: [...new Set(tags.map((tag) => storable(tag).replaceAll(/\s+/g, ' ').trim()).filter((tag) => tag !== ''))],
});

const storable = (text: string): string => withoutSecrets(text.toWellFormed().replaceAll('\0', ''));

function unfit({
  title,
  text,
  tags = [],
  importance = usualImportance,
}: Pick<NewNote, 'title' | 'text' | 'tags' | 'importance'>): Reason | undefined {
  if (title === '' || text === '') return { code: 'empty-note', message: 'A note needs a title and a text.' };
  if (title.length > noteLimits.title) return tooLong('title', title.length, noteLimits.title);
  if (text.length > noteLimits.text) return tooLong('text', text.length, noteLimits.text);
  if (tags.length > noteLimits.tags || tags.some((tag) => tag.length > noteLimits.tag)) {
    return { code: 'bad-tags', message: `A note may have ${noteLimits.tags} tags of ${noteLimits.tag} characters each.` };
  }
  if (!Number.isInteger(importance) || importance < 1 || importance > 10) {
    return { code: 'bad-importance', message: 'The importance of a note is a whole number from 1 to 10.' };
  }
  return undefined;
}

const tooLong = (what: string, length: number, limit: number): Reason => ({
  code: 'note-too-long',
  message: `The ${what} of the note has ${length} characters; at most ${limit} are kept. Say it shorter.`,
});

export const noSuchNote = (id: string): Reason => ({ code: 'no-such-note', message: `There is no note ${id}.` });

const saidAlready: Reason = {
  code: 'same-note',
  message: 'Another note of the same kind and repository says exactly that already. Change that one, or delete it first.',
};
