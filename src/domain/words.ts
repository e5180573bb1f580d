const word = /[\p{L}\p{M}\p{N}_]+/gu;
/** Written without blanks, so that each of their characters counts as a word. */
const unspaced = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu;
const humps = /(?<=[\p{Ll}\p{N}])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})|_+/u;
const longestWord = 64;

/**
 * The words by which a text can be found, for the search of either database: lower case, without accents, and with what
 * stands together in names of code and files taken apart. A name stays findable as a whole too.
 */
export function searchWords(text: string): string {
  return namesIn(text)
    .flatMap((parts) => (parts.length > 1 ? [...parts, parts.join('').slice(0, longestWord)] : parts))
    .join(' ');
}

/** The words that somebody asks for, each once, in their order. Nothing in them means anything to a database. */
export function askedWords(text: string, limit: number): readonly string[] {
  const read = text.length > 50 * limit ? text.slice(0, 50 * limit).replace(/\S*$/, '') : text;
  const asked = [...new Set(namesIn(read).flat())];
  const telling = asked.filter((each) => !common.has(each));
  return (telling.length > 0 ? telling : asked).slice(0, limit);
}

/** The words of a text; a name of several parts stays together. */
const namesIn = (text: string): readonly (readonly string[])[] =>
  [
    ...text
      .normalize('NFKD')
      .replaceAll(/[\u0300-\u036f]/g, '')
      .replaceAll(unspaced, ' $& ')
      .matchAll(word),
  ]
    .map(([name]) =>
      name
        .split(humps)
        .filter((part) => part !== '')
        .map((part) => part.toLowerCase().slice(0, longestWord)),
    )
    .filter((parts) => parts.length > 0);

/** Found everywhere, so that they tell nothing. */
const common = new Set(
  (
    'a about after all also an and any are as at be because been but by can could did do does for from had has have he her his how i if in ' +
    'into is it its just may me more most must my no not of on only or other our out over she should so some such than that the their them ' +
    'then there these they this those to too under up us was we were what when where which while who why will with would you your'
  ).split(' '),
);
