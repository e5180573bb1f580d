import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../../test/support/stores.ts';
import type { NewNote, Note } from '../../domain/note.ts';
import { createIds } from '../../platform/ids.ts';
import { readAfter } from '../../store/journal.ts';
import { findNote, listNotes, searchNotes, supersede } from '../../store/notes.ts';
import type { Store } from '../../store/store.ts';
import { createMemory, type Memory } from './memory.ts';

const here = 'https://git.example/acme/shop';
const day = 86_400_000;

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`memory on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let clock: ManualClock;
    let memory: Memory;

    beforeEach(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      clock = new ManualClock(1_800_000_000_000);
      memory = createMemory({ clock, newId: createIds(clock) });
    });
    afterEach(async () => {
      await store.close();
      await database.remove();
    });

    const say = async (title: string, text: string, more: Partial<NewNote> = {}): Promise<Note> => {
      const said = await store.write((tx) =>
        memory.remember(tx, {
          kind: 'learning',
          repository: here,
          title,
          text,
          origin: { kind: 'run', taskId: 'tsk_1', runId: 'run_1' },
          trust: 'trusted',
          ...more,
        }),
      );
      if (!said.ok) throw new Error(said.refusal.message);
      return said.note;
    };

    const found = async (asked: string, how: Partial<Parameters<typeof searchNotes>[2]> = {}): Promise<readonly string[]> =>
      (await searchNotes(store, asked, { all: true, now: clock.now(), ...how }, { limit: 10 })).map(({ title }) => title);

    test('keeps a note as it was said, and tells of it without its words', async () => {
      const note = await say('  Flaky \n clock ', 'The clock test is flaky.\nRun it twice.', {
        tags: ['tests', 'tests', ' '],
        importance: 7,
      });
      expect(note).toMatchObject({ title: 'Flaky clock', tags: ['tests'], importance: 7, times: 1, supersededBy: null });
      expect(await findNote(store.read, note.id)).toEqual(note);
      expect((await readAfter(store, '0', 10)).map(({ type, runId, data }) => ({ type, runId, data }))).toEqual([
        { type: 'note.added', runId: 'run_1', data: { note: note.id, kind: 'learning', by: 'run' } },
      ]);
    });

    test('makes one note of what is said twice, and counts', async () => {
      const first = await say('Port', 'The tests need port 8080.', { trust: 'untrusted', importance: 3 });
      await store.write((tx) => supersede(tx, [first.id], 'nte_other'));
      clock.advance(1_000);
      const again = await say('Port', 'The tests need port 8080.', { origin: { kind: 'person', name: 'ann' } });
      expect(again).toEqual({ ...first, times: 2, trust: 'trusted', importance: 5, supersededBy: null, updatedAt: clock.now() });
      const elsewhere = await say('Port', 'The tests need port 8080.', { repository: null });
      expect(elsewhere.id).not.toBe(first.id);
      expect(await found('port 8080')).toHaveLength(2);
      expect((await readAfter(store, '0', 10)).map(({ type }) => type)).toEqual(['note.added', 'note.repeated', 'note.added']);
    });

    test('counts each of many who say the same at once', async () => {
      await Promise.all(Array.from({ length: 12 }, () => say('Same', 'The same words.')));
      const { items } = await listNotes(store.read, {}, { before: null, limit: 10 });
      expect(items.map(({ times }) => times)).toEqual([12]);
    });

    test('finds names of code by their parts and as a whole, and words by their stem', async () => {
      await say('Reading', 'openSqliteStore fails when the file is in src/store/sqlite.ts and MAX_OPEN_FILES is low');
      await say('Other', 'Nothing of the kind, only a café.');
      for (const asked of [
        'sqlite store',
        'openSqliteStore',
        'opensqlitestore',
        'max open',
        'MAX_OPEN_FILES',
        'src/store',
        'failing files',
      ]) {
        expect(await found(asked), asked).toEqual(['Reading']);
      }
      expect(await found('CAFE')).toEqual(['Other']);
      expect(await found('sqlite café')).toEqual([]);
      expect((await found('sqlite café', { all: false })).toSorted()).toEqual(['Other', 'Reading']);
    });

    test('takes any text for words and nothing else', async () => {
      await say('Quotes', 'about quotes and near');
      const hostile = [
        '"',
        "'",
        '""" OR (',
        'title:quotes',
        'NEAR(a b',
        '* ^ -',
        "');drop table notes;--",
        '& | ! <->',
        'a:*',
        '\0',
        '{}',
        '\\',
        '🙂',
        '\ud800',
        'हिन्दी ไทย ﷺ ½ ² ǅ',
        'x'.repeat(5_000),
        '   ',
        '',
      ];
      for (const asked of hostile) for (const all of [true, false]) await found(asked, { all });
      expect(await found('NEAR("quotes" *')).toEqual(['Quotes']);
      expect(await found('quotes '.repeat(50_000))).toEqual(['Quotes']);
    });

    test('puts what fits better, is newer or matters more first', async () => {
      await say('An old matter', 'the login page is slow');
      clock.advance(400 * day);
      await say('A new matter', 'the login page is slow');
      await say('Minor matter', 'the login page is slow', { importance: 1 });
      await say('Login page', 'where it is described how people sign in');
      expect(await found('login page')).toEqual(['Login page', 'A new matter', 'Minor matter', 'An old matter']);
    });

    test('looks only where it is told to, and at what a summary stands for only when asked for all', async () => {
      const one = await say('Here', 'the cache is cold');
      await say('There', 'the cache is cold', { repository: 'https://git.example/acme/other' });
      await say('Everywhere', 'the cache is cold', { repository: null, kind: 'investigation' });
      const gone = await say('Before', 'the cache is cold');
      await store.write((tx) => supersede(tx, [gone.id], one.id));
      expect(await found('cache', { repository: here })).toEqual(['Here']);
      expect(await found('cache', { repository: null })).toEqual(['Everywhere']);
      expect(await found('cache', { kind: 'investigation' })).toEqual(['Everywhere']);
      expect((await found('cache')).toSorted()).toEqual(['Everywhere', 'Here', 'There']);
      expect((await found('cache', { repository: here, condensed: true })).toSorted()).toEqual(['Before', 'Here']);
      expect(await found('cache', { condensed: true })).toHaveLength(4);
      const titles = async (filter: Parameters<typeof listNotes>[1]) =>
        (await listNotes(store.read, filter, { before: null, limit: 10 })).items.map(({ title }) => title);
      expect(await titles({ repository: here })).toEqual(['Here']);
      expect(await titles({ repository: here, condensed: true })).toEqual(['Before', 'Here']);
      expect(await titles({ repository: null })).toEqual(['Everywhere']);
    });

    test('gives a long list and a long search page by page, each note once', async () => {
      for (let i = 0; i < 7; i++) await say(`Note ${i}`, 'a page of it');
      const first = await listNotes(store.read, {}, { before: null, limit: 4 });
      const rest = await listNotes(store.read, {}, { before: first.next, limit: 4 });
      expect([...first.items, ...rest.items].map(({ title }) => title)).toEqual([6, 5, 4, 3, 2, 1, 0].map((i) => `Note ${i}`));
      expect(rest.next).toBeNull();
      const pages = await Promise.all(
        [0, 4].map((skip) => searchNotes(store, 'page', { all: true, now: clock.now() }, { skip, limit: 4 })),
      );
      expect(new Set(pages.flat().map(({ id }) => id)).size).toBe(7);
    });

    test('finds an edited note by its new words alone, and a deleted one not at all', async () => {
      const note = await say('Tests', 'run them with pnpm');
      clock.advance(5);
      const edited = await store.write((tx) => memory.edit(tx, note.id, { text: 'run them with yarn' }, 'ann'));
      expect(edited).toMatchObject({ ok: true, note: { id: note.id, text: 'run them with yarn', updatedAt: clock.now() } });
      expect(await found('pnpm')).toEqual([]);
      expect(await found('yarn')).toEqual(['Tests']);
      expect(await store.write((tx) => memory.forget(tx, note.id, 'ann'))).toMatchObject({ id: note.id });
      expect(await found('yarn')).toEqual([]);
      expect(await store.write((tx) => memory.forget(tx, note.id, 'ann'))).toBeUndefined();
      expect((await readAfter(store, '0', 10)).map(({ type, data }) => [type, data['by']])).toEqual([
        ['note.added', 'run'],
        ['note.edited', 'ann'],
        ['note.deleted', 'ann'],
      ]);
      // The place of a deleted note in the index may be taken by the next.
      await say('Next', 'something else');
      expect(await found('yarn')).toEqual([]);
    });

    test('gives what a summary stood for back when the summary is deleted', async () => {
      const old = await say('Old', 'the build needs a lot of memory');
      const summary = await say('Summary', 'builds', { kind: 'summary' });
      await store.write((tx) => supersede(tx, [old.id], summary.id));
      const newer = await say('Newer summary', 'all builds', { kind: 'summary' });
      await store.write((tx) => supersede(tx, [summary.id], newer.id));
      await store.write((tx) => memory.forget(tx, summary.id, 'ann'));
      expect((await findNote(store.read, old.id))?.supersededBy).toBe(newer.id);
      expect(await found('memory', { repository: here })).toEqual([]);
      await store.write((tx) => memory.forget(tx, newer.id, 'ann'));
      expect(await found('memory', { repository: here })).toEqual(['Old']);
    });

    test('refuses what is no note, and what another one says already', async () => {
      const refused = async (more: Partial<NewNote>): Promise<string> => {
        const said = await store.write((tx) =>
          memory.remember(tx, {
            kind: 'learning',
            repository: null,
            title: 't',
            text: 'x',
            origin: { kind: 'person', name: 'ann' },
            trust: 'trusted',
            ...more,
          }),
        );
        return said.ok ? 'stored' : said.refusal.code;
      };
      expect(await refused({ title: ' \n ' })).toBe('empty-note');
      expect(await refused({ text: '\0' })).toBe('empty-note');
      expect(await refused({ text: 'x'.repeat(16_001) })).toBe('note-too-long');
      expect(await refused({ title: 'x'.repeat(201) })).toBe('note-too-long');
      expect(await refused({ tags: ['x'.repeat(51)] })).toBe('bad-tags');
      expect(await refused({ importance: 11 })).toBe('bad-importance');
      const one = await say('One', 'first');
      const two = await say('Two', 'second');
      const twin = await store.write((tx) => memory.edit(tx, two.id, { title: 'One', text: 'first' }, 'ann'));
      expect(twin).toMatchObject({ ok: false, refusal: { code: 'same-note' } });
      expect(await findNote(store.read, two.id)).toEqual(two);
      expect(await store.write((tx) => memory.edit(tx, one.id, { text: '' }, 'ann'))).toMatchObject({ refusal: { code: 'empty-note' } });
      expect(await store.write((tx) => memory.edit(tx, 'nte_no', {}, 'ann'))).toMatchObject({ refusal: { code: 'no-such-note' } });
    });

    test('never stores what looks like a secret', async () => {
      const token = `ghp_${'aB3dE5fG7h'.repeat(4).slice(0, 36)}`;
      const note = await say(`Push with ${token}`, `remote: https://bot:${'hunter2hunter2'}@git.example/x\nGITHUB_TOKEN=${token}`);
      expect(JSON.stringify(note)).not.toContain(token);
      expect(note.text).toBe('remote: https://bot:[secret]@git.example/x\nGITHUB_TOKEN=[secret]');
    });

    test('weighs the most recent of what is everywhere', async () => {
      await store.write(async (tx) => {
        for (let i = 0; i < 2_100; i++) {
          await memory.remember(tx, {
            kind: 'learning',
            repository: null,
            title: i === 0 ? 'common common' : `Note ${i}`,
            text: `common ${i}`,
            origin: { kind: 'person', name: 'ann' },
            trust: 'trusted',
          });
        }
      });
      // The first would fit best, if it were not older than so many others.
      expect(await found('common')).not.toContain('common common');
      expect(await found('common 0')).toEqual(['common common']);
      expect(await found('common 2099')).toEqual(['Note 2099']);
      expect(await found('note 50')).toEqual(['Note 50']);
    });
  });
}
