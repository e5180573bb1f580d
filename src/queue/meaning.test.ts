import { describe, expect, test } from 'vitest';
import { meaningOf } from './meaning.ts';

const repository = 'https://git.example/team/app';

describe('the meaning of a wish', () => {
  test.each([
    ['Mend the login', repository],
    ['mend  the LOGIN!', `${repository}.git`],
    ['Mend the login.', 'https://ada@Git.Example/team/app/'],
    ['"Mend the login"', 'git@git.example:team/app.git'],
    ['**Mend** the `login`…', repository],
    ['Mend – the (login)', repository],
    ['Mend: the login', 'ssh://git@git.example:22/team/app'],
  ])('is the same for %s on %s', (title, place) => {
    expect(meaningOf({ title, repository: place })).toBe(meaningOf({ title: 'Mend the login', repository }));
  });

  test.each([
    ['Mend the logout', repository],
    ['Mend the login', null],
    ['Mend the login', 'https://git.example:8443/team/app'],
    ['Mend the login', 'https://git.example/team/App2'],
    ['Mend the login', '/srv/team/app'],
  ])('is another one for %s on %s', (title, place) => {
    expect(meaningOf({ title, repository: place })).not.toBe(meaningOf({ title: 'Mend the login', repository }));
  });

  test.each([
    ['दिन', 'दान'],
    ['Port it to C++', 'Port it to C#'],
    ['Rename a-b to a_b', 'Rename a_b to a-b'],
    ['Set the limit to -1', 'Set the limit to 1'],
    ['Set it to 5.0', 'Set it to 50'],
    ['Fail when x < 3', 'Fail when x > 3'],
    ['Mend x != y', 'Mend x == y'],
    ['Read .env', 'Read env'],
    ['Ignore *.ts', 'Ignore .ts'],
    ['Look for 🐛', 'Look for 🚀'],
    ['Delete /srv/a/b', 'Delete /srv/a b'],
    ['Call f(a, b)', 'Call f(a) b'],
    ["Say it's", 'Say its'],
    ['Take , instead of ;', 'Take ; instead of ,'],
    ['Write " for `', 'Write ` for "'],
    ['Delete tmp/*', 'Delete tmp/'],
    ['Delete tmp/*', 'Delete tmp/**'],
    ['List **/*.ts', 'List */*.ts'],
  ])('is not the same for %s and %s', (one, other) => {
    expect(meaningOf({ title: one, repository })).not.toBe(meaningOf({ title: other, repository }));
  });

  test('is the same however an accent is encoded', () => {
    const of = (form: 'NFC' | 'NFD'): string => meaningOf({ title: 'Öffne das Café'.normalize(form), repository });
    expect(of('NFC')).toBe(of('NFD'));
  });

  test('is found at once, however hostile the text is', () => {
    for (const piece of [')', '(', '*', '.', '-', '`*(', 'a) ']) {
      const details = `${piece.repeat(300_000)}x`;
      expect(meaningOf({ title: 'Mend it', repository, details })).not.toBe(meaningOf({ title: 'Mend it', repository }));
    }
  });

  test('counts what else was said, and all of a long title', () => {
    const meaning = (title: string, details?: string): string =>
      meaningOf({ title, repository, ...(details === undefined ? {} : { details }) });
    expect(meaning('Add tests', 'For the login.')).toBe(meaning('Add tests', 'for the login'));
    expect(new Set([meaning('Add tests'), meaning('Add tests', 'For the login.'), meaning('Add tests', 'For the logout.')]).size).toBe(3);
    const long = 'word '.repeat(99);
    expect(meaning(`${long}a`)).not.toBe(meaning(`${long}b`));
    expect(meaning(`${long}a`).length).toBeLessThanOrEqual(500);
    // Half a character is another one in the database than it was here.
    for (const start of ['', 'a']) expect(meaning(start + '𝒳'.repeat(249)).isWellFormed()).toBe(true);
    expect(meaning('!!!')).not.toBe(meaning('???'));
  });
});
