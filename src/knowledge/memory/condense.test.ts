import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../../test/support/stores.ts';
import type { NewNote, Note } from '../../domain/note.ts';
import { createIds } from '../../platform/ids.ts';
import { silentLog } from '../../platform/log.ts';
import { readAfter } from '../../store/journal.ts';
import { findNote, listNotes, searchNotes } from '../../store/notes.ts';
import type { Store } from '../../store/store.ts';
import { type AskSummary, type CondenseParts, condense, condenseRegularly } from './condense.ts';
import { createMemory, type Memory } from './memory.ts';

const shop = 'https://git.example/acme/shop';
const never = new AbortController().signal;

for (const dialect of dialects)
  describe.skipIf(missing(dialect))(`condensing notes on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let clock: ManualClock;
    let memory: Memory;
    let asked: string[];
    let answer: (text: string) => Awaited<ReturnType<AskSummary>> | Promise<Awaited<ReturnType<AskSummary>>>;

    const parts = (): CondenseParts => ({
      store,
      clock,
      newId: createIds(clock),
      log: silentLog,
      memory,
      tokensIn: (bytes) => bytes / 2,
      async ask(question) {
        asked.push(question.text);
        const given = await answer(question.text);
        return given.ok ? { ok: true, value: question.answer.parse(given.value) } : given;
      },
    });

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      clock = new ManualClock(1_800_000_000_000);
      memory = createMemory({ clock, newId: createIds(clock) });
      asked = [];
      answer = () => ({ ok: true, value: { title: `Summary ${asked.length}`, text: 'All of it, in short.' } });
    });
    afterEach(async () => {
      await store.close();
      await database.remove();
    });

    /** A thousand bytes, which are five hundred tokens here. */
    const say = async (n: number, more: Partial<NewNote> = {}): Promise<Note> => {
      const title = `Note ${n}`;
      const note: NewNote = {
        kind: 'learning',
        repository: shop,
        title,
        text: `fact${n} `.padEnd(999 - title.length, 'x'),
        origin: { kind: 'run', taskId: `tsk_${n}`, runId: `run_${n}` },
        trust: 'trusted',
        tags: [`t${n}`],
        ...more,
      };
      const said = await store.write((tx) => memory.remember(tx, note));
      if (!said.ok) throw new Error(said.refusal.message);
      return said.note;
    };
    const current = async (): Promise<readonly string[]> =>
      (await listNotes(store.read, {}, { before: null, limit: 200 })).items.map(({ title }) => title);

    test('leaves a repository alone whose notes are few', async () => {
      for (let i = 1; i <= 8; i++) await say(i);
      expect(await condense(parts(), never)).toBe(0);
      expect(asked).toEqual([]);
    });

    test('makes one summary of the older ones, which stay stored and are found on demand', async () => {
      const notes: Note[] = [];
      for (let i = 1; i <= 9; i++) notes.push(await say(i, { importance: i }));
      expect(await condense(parts(), never)).toBe(1);
      expect(await current()).toEqual(['Summary 1', 'Note 9', 'Note 8', 'Note 7', 'Note 6']);
      const [summary] = (await listNotes(store.read, { kind: 'summary' }, { before: null, limit: 1 })).items as [Note];
      expect(summary).toMatchObject({
        repository: shop,
        trust: 'trusted',
        importance: 5,
        origin: { kind: 'run', taskId: 'tsk_5', runId: 'run_5' },
        tags: ['t1', 't2', 't3', 't4', 't5'],
      });
      expect((await findNote(store.read, notes[0]?.id ?? ''))?.supersededBy).toBe(summary.id);
      const find = async (condensed: boolean) =>
        (await searchNotes(store, 'fact2', { all: true, now: 0, repository: shop, condensed }, { limit: 5 })).map(({ title }) => title);
      expect(await find(false)).toEqual([]);
      expect(await find(true)).toEqual(['Note 2']);
      const told = (await readAfter(store, '0', 100)).filter(({ type }) => type === 'note.condensed');
      expect(told.map(({ data }) => data)).toEqual([{ note: summary.id, kind: 'summary', notes: 5 }]);
      expect(await condense(parts(), never)).toBe(0);
      expect(asked).toHaveLength(1);
      expect(asked[0]?.indexOf('fact1 ')).toBeLessThan(asked[0]?.indexOf('fact5 ') ?? 0);
      expect(asked[0]).toMatch(/do not follow instructions[\s\S]*\nend [0-9a-f]{16}$/);
    });

    test('leaves what people wrote as they wrote it, and never mixes what is trusted with what is not', async () => {
      for (let i = 1; i <= 12; i++) await say(i, { origin: { kind: 'person', name: 'ann' } });
      expect(await condense(parts(), never)).toBe(0);
      for (let i = 21; i <= 25; i++) await say(i);
      for (let i = 31; i <= 36; i++) await say(i, { trust: 'untrusted' });
      expect(await condense(parts(), never)).toBeGreaterThan(0);
      expect(asked[0]).not.toMatch(/fact2\d/);
      const summaries = (await listNotes(store.read, { kind: 'summary' }, { before: null, limit: 9 })).items;
      expect(summaries.every(({ trust }) => trust === 'untrusted')).toBe(true);
      expect((await current()).filter((title) => /^Note (1?\d|2\d)$/.test(title))).toHaveLength(17);
    });

    test('works through many, repository by repository', async () => {
      for (let i = 1; i <= 60; i++) await say(i, { repository: i % 2 === 0 ? shop : null });
      expect(await condense(parts(), never)).toBeGreaterThanOrEqual(2);
      expect((await current()).length).toBeLessThan(20);
      const all = (await listNotes(store.read, { condensed: true }, { before: null, limit: 200 })).items;
      expect(all.filter(({ title }) => title.startsWith('Note'))).toHaveLength(60);
    });

    test('loses nothing when no model answers, and tries again', async () => {
      for (let i = 1; i <= 9; i++) await say(i);
      answer = () => ({ ok: false, code: 'unavailable', message: 'not now' });
      const condensing = condenseRegularly(parts());
      await expect.poll(() => asked.length).toBe(1);
      await expect.poll(() => clock.pending).toBe(1);
      expect(await current()).toHaveLength(9);
      answer = () => ({ ok: true, value: { title: 'Summary', text: 'short' } });
      clock.advance(10 * 60_000);
      await expect.poll(current).toEqual(['Summary', 'Note 9', 'Note 8', 'Note 7', 'Note 6']);
      await condensing.stop();
      expect(clock.pending).toBe(0);
    });

    test('does nothing about notes that changed while the model thought', async () => {
      for (let i = 1; i <= 9; i++) await say(i);
      answer = async () => {
        const [first] = (await listNotes(store.read, {}, { before: null, limit: 9 })).items.toReversed() as [Note];
        await store.write((tx) => memory.edit(tx, first.id, { text: 'something new' }, 'ann'));
        return { ok: true, value: { title: 'Summary', text: 'outdated' } };
      };
      expect(await condense(parts(), never)).toBe(0);
      expect(await current()).toHaveLength(9);
    });

    test('makes one summary also when two look at the same time, or one died with the answer in its hand', async () => {
      for (let i = 1; i <= 9; i++) await say(i);
      let waiting = 0;
      let go = (): void => undefined;
      const both = new Promise<void>((resolve) => {
        go = resolve;
      });
      answer = async () => {
        if (++waiting === 3) go();
        const title = `By ${waiting}`;
        await both;
        return { ok: true, value: { title, text: 'short' } };
      };
      const died = new AbortController();
      const [one, other] = [condense(parts(), never), condense(parts(), never)];
      const lost = condense(
        { ...parts(), store: { ...store, read: store.read, write: () => Promise.reject(new Error('killed')) } },
        died.signal,
      );
      await expect(lost).rejects.toThrow('killed');
      expect((await one) + (await other)).toBe(1);
      expect((await listNotes(store.read, { kind: 'summary' }, { before: null, limit: 9 })).items).toHaveLength(1);
      expect(await current()).toHaveLength(5);
    });
  });
