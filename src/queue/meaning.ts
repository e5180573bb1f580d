import { createHash } from 'node:crypto';

interface Meant {
  readonly title: string;
  readonly repository: string | null;
  /** What else was said. Wishes that go on differently are not the same: the words of one would be lost. */
  readonly details?: string;
}

/**
 * The same for the same work on the same repository, however it is spelt: capitals, punctuation and spaces do not matter, nor
 * by which protocol the repository is reached. Used as a key of deduplication, so that one wish that comes through two
 * sources is one task.
 */
export function meaningOf({ title, repository, details = '' }: Meant): string {
  const more = wordsOf(details);
  const meaning = `work:${placeOf(repository ?? '')}:${wordsOf(title) || title}${more === '' ? '' : `:${hashOf(more)}`}`;
  return meaning.length <= longest ? meaning : `${meaning.slice(0, longest - 44).toWellFormed()}:${hashOf(meaning)}`;
}

const longest = 500;

/** The vowels of many scripts are marks, not letters; and C++ and C# are two languages. */
const wordsOf = (text: string): string =>
  (
    text
      .normalize('NFC')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+[+#]*/gu) ?? []
  ).join(' ');

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** `https://host/a/b.git`, `ssh://git@host/a/b` and `git@host:a/b` are one place. */
function placeOf(repository: string): string {
  const [, host, path] =
    /^(?:https?|ssh):\/\/(?:[^@/]*@)?([^/]+)\/(.+)$/i.exec(repository) ?? /^(?:[^@/:]+@)?([^@/:]+):(?!\/)(.+)$/.exec(repository) ?? [];
  const place = host === undefined ? repository.replace(/^file:\/\//i, '') : `${host.toLowerCase().replace(/:(?:22|80|443)$/, '')}/${path}`;
  return place.replace(/\/+$/, '').replace(/\.git$/, '');
}
