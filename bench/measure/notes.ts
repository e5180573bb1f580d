import type { NewNote } from '../../src/domain/note.ts';
import { createMemory } from '../../src/knowledge/memory/memory.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { listNotes, searchNotes, volumes } from '../../src/store/notes.ts';
import { openStore } from '../../src/store/open.ts';
import type { Place } from '../support/bench.ts';
import { type Summary, summary, timed, timeEach } from '../support/stats.ts';

export interface NotesFigures {
  readonly remember: Summary;
  readonly queries: readonly ({ readonly query: string } & Summary)[];
  readonly fillSeconds: number;
}

/** Every tenth note is about the first repository, another tenth about all; the others share two hundred. */
const repositoryOf = (n: number): string | null =>
  n % 10 === 0 ? busy : n % 10 === 1 ? null : `https://example.org/team/project-${n % 200}`;
const busy = 'https://example.org/team/big';
const together = 500;

export async function measureNotes({
  place,
  notes,
  samples,
}: {
  readonly place: Place;
  readonly notes: number;
  readonly samples: number;
}): Promise<NotesFigures> {
  const store = await openStore(place);
  const memory = createMemory({ clock: systemClock, newId: createIds(systemClock) });
  const say = (from: number, count: number): Promise<unknown> =>
    store.write(async (tx) => {
      for (let n = from; n < from + count; n++) await memory.remember(tx, noteAt(n));
    });

  const fillMs = await timed(async () => {
    for (let from = 0; from < notes; from += 4 * together) {
      await Promise.all(
        [0, 1, 2, 3].map((lane) => say(from + lane * together, Math.max(0, Math.min(together, notes - from - lane * together)))),
      );
    }
  });
  const remember = summary(await timeEach(samples, (n) => say(notes + n, 1)));

  const now = Date.now();
  const search = (text: (n: number) => string, all: boolean, repository?: string | null) => (n: number) =>
    searchNotes(store, text(n), { all, now, repository }, { limit: 20 });
  const word = (rank: number) => (n: number) => wordAt(rank + (n % 7));
  const queries: Record<string, (n: number) => Promise<unknown>> = {
    'search, one word that is everywhere': search(word(0), true),
    'search, one common word': search(word(60), true),
    'search, one rare word': search(word(8_000), true),
    'search, two common words': search((n) => `${word(10)(n)} ${word(40)(n)}`, true),
    'search, common and rare word': search((n) => `${word(10)(n)} ${word(5_000)(n)}`, true),
    'search, three words, some of them': search((n) => `${word(20)(n)} ${word(300)(n)} ${word(9_000)(n)}`, false),
    'search, no such word': search(() => 'nowheretobefound', true),
    'search, one repository (0.5 %)': search(word(60), true, 'https://example.org/team/project-57'),
    'search, one repository (10 %)': search(word(60), true, busy),
    'reminder, title and body, one repository (10 %)': search(taskText, false, busy),
    'reminder, title and body, all repositories': search(taskText, false, null),
    'list, newest': () => listNotes(store.read, {}, { before: null, limit: 50 }),
    'list, one repository': () => listNotes(store.read, { repository: busy }, { before: null, limit: 50 }),
    'repositories that need a summary': () => volumes(store.read, 4_000),
  };
  const figures: ({ query: string } & Summary)[] = [];
  for (const [query, ask] of Object.entries(queries)) {
    await ask(0);
    figures.push({ query, ...summary(await timeEach(samples, (n) => ask(n + 1))) });
  }
  await store.close();
  return { remember, queries: figures, fillSeconds: fillMs / 1_000 };
}

const noteAt = (n: number): NewNote => {
  const random = randomOf(n);
  return {
    kind: n % 3 === 0 ? 'failure' : 'learning',
    repository: repositoryOf(n),
    title: `${textOf(random, 7)} ${n}`,
    text: textOf(random, 60),
    origin: { kind: 'run', taskId: `tsk_${n}`, runId: `run_${n}` },
    trust: 'trusted',
  };
};

const taskText = (n: number): string => textOf(randomOf(1_000_003 + n), 40);

const textOf = (random: () => number, words: number): string => Array.from({ length: words }, () => wordAt(rankFrom(random()))).join(' ');

/** As words are used: the second half as often as the first, the third a third as often, and so on. */
const rankFrom = (chance: number): number => Math.floor(vocabulary ** chance) - 1;
const vocabulary = 20_000;

/** Words that are no word's stem, some of them put together as in code. */
function wordAt(rank: number): string {
  const word = rank.toString(26).replaceAll(/./g, (digit) => String.fromCharCode(97 + Number.parseInt(digit, 26)));
  return rank % 11 === 0 ? `${word}q.${word}Handler` : `${word}q`;
}

/** The same each time, so that figures can be compared. */
function randomOf(seed: number): () => number {
  let state = (seed + 1) * 0x9e3779b1;
  return () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
    state = Math.imul(state ^ (state >>> 12), 0x297a2d39);
    state ^= state >>> 15;
    return (state >>> 0) / 2 ** 32;
  };
}
