import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';
import type { Note, Page } from './api.ts';

let desk: Desk;
beforeAll(async () => {
  desk = new Desk();
  await desk.startServer({ engine: 'command' });
});
afterAll(() => desk.remove());

const shop = 'https://git.example/acme/shop';

test('notes are added, found, shown, changed and deleted', async () => {
  writeFileSync(join(desk.home, 'text.md'), 'Start it with\nmake redis.\n');
  const note = await desk.json<Note>(
    ...['notes', 'add', 'The tests need Redis', '--text-file', 'text.md', '-r', `${shop}.git`],
    ...['--kind', 'investigation', '--tag', 'tests', '--tag', 'setup', '--importance', '8'],
  );
  expect(note).toMatchObject({ kind: 'investigation', repository: shop, tags: ['tests', 'setup'], importance: 8, trust: 'trusted' });
  const { out } = await desk.call(['notes', 'add', 'Everywhere', '--text', 'Use redis sparingly.']);
  const other = out.trim();
  expect((await desk.call(['notes', 'add', 'Everywhere', '--text', 'Use redis sparingly.'])).out).toBe(
    `${other}  was known, said 2 times\n`,
  );

  const ids = async (...args: string[]): Promise<readonly string[]> =>
    (await desk.json<Page<Note>>('notes', ...args)).items.map(({ id }) => id);
  expect(await ids()).toEqual([other, note.id]);
  expect(await ids('-r', shop)).toEqual([note.id]);
  expect(await ids('--global')).toEqual([other]);
  expect(await ids('search', 'redis', 'TEST')).toEqual([note.id]);
  expect(await ids('search', 'redis', '--repository', shop, '-n', '1')).toEqual([note.id]);
  expect(await ids('search', 'redis', '--kind', 'learning')).toEqual([other]);
  expect((await desk.call(['notes', '--global'])).out).toMatch(new RegExp(`^${other}\tlearning\t\\S+\t2\tEverywhere\n$`));

  const changed = await desk.json<Note>('notes', 'edit', note.id, '--title', 'The tests need Valkey', '--global', '--trust', 'untrusted');
  expect(changed).toMatchObject({ id: note.id, title: 'The tests need Valkey', text: note.text, repository: null, trust: 'untrusted' });
  const shown = await desk.call(['notes', 'show', note.id]);
  expect(shown.out).toMatch(
    /^The tests need Valkey\n[\s\S]*about\s+all repositories\n[\s\S]*trust\s+untrusted\n[\s\S]*\n {2}make redis\.\n$/,
  );

  const gone = await desk.call(['notes', 'delete', note.id, 'nte_none']);
  expect(gone.code).toBe(5);
  expect(gone.out).toBe(`${note.id}  deleted\n`);
  expect(await ids()).toEqual([other]);
});

test('a note without a text, or about two things, is wrong usage', async () => {
  expect((await desk.call(['notes', 'add', 'Nothing'])).code).toBe(2);
  expect((await desk.call(['notes', 'add', 'Both', '--text', 'x', '--global', '-r', shop])).code).toBe(2);
});
