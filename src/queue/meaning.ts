import { createHash } from 'node:crypto';

interface Meant {
  readonly title: string;
  readonly repository: string | null;
  /** What else was said. Wishes that go on differently are not the same: the words of one would be lost. */
  readonly details?: string;
}

/**
 * The same for the same work on the same repository, however it is written: capitals, spaces and what ends a sentence do not matter, nor
 * by which protocol the repository is reached. Used as a key of deduplication, so that one wish that comes through two
 * sources is one task.
 */
export function meaningOf({ title, repository, details = '' }: Meant): string {
  const more = wordsOf(details);
  const meaning = `work:${placeOf(repository ?? '')}:${wordsOf(title) || title}${more === '' ? '' : `:${hashOf(more)}`}`;
  return meaning.length <= longest ? meaning : `${meaning.slice(0, longest - 44).toWellFormed()}:${hashOf(meaning)}`;
}

const longest = 500;

/**
 * Capitals, spaces, and what stands around words do not count. Signs within words, before them or alone do: `a-b` is not `a_b`, `-1`
 * is not `1`, and `<` is not `>`. Two tasks of one wish are a nuisance; one task of two loses one.
 */
const wordsOf = (text: string): string =>
  text
    .normalize('NFC')
    .toLowerCase()
    .replaceAll('’', "'")
    .split(/\s+/)
    .filter((word) => !/^[-–—*«»]*$/.test(word))
    .map((word) => bare(word) || word)
    .join(' ');

const opening = new Set('"\'“”‘«»„`([{（「『【');
const closing = new Set('"\'“”«»`）」』】.,;:!?…。，、！？：；');
const brackets = new Set(')]}');

/** A word without what stands around it, character by character, for texts may be long and hostile. A bracket that is opened in it belongs to it. */
function bare(word: string): string {
  let start = 0;
  let end = word.length;
  for (;;) {
    while (start < end && opening.has(word[start] as string)) start++;
    const stars = starsFrom(word, start, 1);
    if (stars === 0 || !isLoud(word[start + stars])) break;
    start += stars;
  }
  const opened = /[([{]/.test(word.slice(start));
  for (;;) {
    while (end > start && (closing.has(word[end - 1] as string) || (!opened && brackets.has(word[end - 1] as string)))) end--;
    const stars = starsFrom(word, end - 1, -1);
    if (stars === 0 || !isLoud(word[end - 1 - stars])) break;
    end -= stars;
  }
  return word.slice(start, end);
}

function starsFrom(word: string, at: number, step: 1 | -1): number {
  let stars = 0;
  while (word[at + stars * step] === '*') stars++;
  return stars;
}

/** What stars stand beside: `**word**` is only loud, `*.ts` and `tmp/*` are patterns. */
const isLoud = (beside = ''): boolean => /[\p{L}\p{N}`"'([{)\]}]/u.test(beside);

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** `https://host/a/b.git`, `ssh://git@host/a/b` and `git@host:a/b` are one place. */
function placeOf(repository: string): string {
  const [, host, path] =
    /^(?:https?|ssh):\/\/(?:[^@/]*@)?([^/]+)\/(.+)$/i.exec(repository) ?? /^(?:[^@/:]+@)?([^@/:]+):(?!\/)(.+)$/.exec(repository) ?? [];
  const place = host === undefined ? repository.replace(/^file:\/\//i, '') : `${host.toLowerCase().replace(/:(?:22|80|443)$/, '')}/${path}`;
  return place.replace(/\/+$/, '').replace(/\.git$/, '');
}
