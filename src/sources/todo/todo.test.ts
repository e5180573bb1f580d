import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { batchesOf } from './batches.ts';
import { readTodo } from './files.ts';
import { type KnownItem, matchItems } from './identity.ts';
import { orderOf } from './order.ts';
import { parseTodos, type TodoItem } from './parse.ts';
import { tickBox, tickIn } from './tick.ts';

describe('the to-dos of a file', () => {
  test('are its list items with a box, in order, with what stands in them', () => {
    const items = parseTodos(
      [
        '# Work',
        '',
        'Some words.',
        '- [ ] Write the parser',
        '  It has to be fast.',
        '',
        '  And right.',
        '- not a to-do',
        '1. [x] Done already',
      ].join('\n'),
    );
    expect(items.map(({ line, checked, title, body }) => ({ line, checked, title, body }))).toEqual([
      { line: 3, checked: false, title: 'Write the parser', body: 'It has to be fast.\n\nAnd right.' },
      { line: 8, checked: true, title: 'Done already', body: '' },
    ]);
  });

  test('are not what stands in code, in quotes, in comments, or under a heading that says done', () => {
    const text = [
      '```',
      '- [ ] code',
      '```',
      '> - [ ] quoted',
      '',
      '<!--',
      '- [ ] commented',
      '-->',
      '',
      '## Done',
      '- [ ] over',
      '## Next',
      '- [ ] real',
    ];
    expect(parseTodos(text.join('\n')).map(({ title }) => title)).toEqual(['real']);
  });

  test('know what they stand under, through items that are no to-dos', () => {
    const items = parseTodos(['- [ ] parent', '  - group', '    - [ ] child', '      1. [ ] grandchild', '- [ ] other'].join('\n'));
    expect(items.map(({ title, parent }) => [title, parent])).toEqual([
      ['parent', null],
      ['child', 0],
      ['grandchild', 1],
      ['other', null],
    ]);
    expect(items[0]?.body).toBe('- group');
  });

  test.each([
    ['## High Priority', 'high'],
    ['### 2. Login (Priority: HIGH)', 'high'],
    ['## CRITICAL', 'high'],
    ['## Priority: low', 'low'],
    ['## Medium', 'medium'],
    ['## P2', 'high'],
    ['## P9 things', 'low'],
    ['## High availability', null],
    ['## Highlights', null],
    ['## Priority queue', null],
  ])('take their priority from the heading %s: %s', (heading, priority) => {
    expect(parseTodos(`${heading}\n\n- [ ] it`)[0]?.priority).toBe(priority);
  });

  test('take it from the nearest heading that names one, unless they name it themselves', () => {
    const text = '# High priority\n## Backend\n- [ ] one\n- [ ] two (priority: low)\n- [ ] [P5] three\n# Low\n- [ ] four';
    expect(parseTodos(text).map(({ title, priority }) => [title, priority])).toEqual([
      ['one', 'high'],
      ['two', 'low'],
      ['three', 'medium'],
      ['four', 'low'],
    ]);
  });

  test('say labels, repository and what comes before; numbers and code are left as they are', () => {
    const [one, two] = parseTodos(
      [
        '- [ ] Fix #12 in `#code (after: x)` #Bug #ui (repo: https://example.org/a.git) (after: write it, `build` it)',
        '- [ ] Ship it after: the docs, the tests repo: git@example.org:b.git #release',
      ].join('\n'),
    );
    expect(one).toMatchObject({
      title: 'Fix #12 in `#code (after: x)`',
      labels: ['bug', 'ui'],
      repository: 'https://example.org/a.git',
      after: ['write it', '`build` it'],
    });
    expect(two).toMatchObject({
      title: 'Ship it',
      labels: ['release'],
      repository: 'git@example.org:b.git',
      after: ['the docs', 'the tests'],
    });
  });

  test('keep what stands under them with a mark of the encoding in front, and however deep', () => {
    expect(parseTodos('\ufeff- [ ] whole\n  - [ ] part').map(({ parent }) => parent)).toEqual([null, 0]);
    const deep = Array.from({ length: 30 }, (_, level) => `${'  '.repeat(level)}- [ ] level ${level}`);
    expect(parseTodos(deep.join('\n')).map(({ parent }) => parent)).toEqual([null, ...Array.from({ length: 29 }, (_, level) => level)]);
  });

  test('are not boxes in headings or tables, nor those that have no words yet', () => {
    const text = ['- # [ ] heading', '- [ ] cell | b', '  --|--', '- [ ] ', '- [ ] #ui', '- [ ]', '  words below it', '- [ ] real'];
    expect(parseTodos(text.join('\n')).map(({ title, body }) => title || body)).toEqual(['words below it', 'real']);
  });

  test('never break the reader, whatever the file holds', () => {
    const pieces = fc.constantFrom(
      '- [ ] ',
      '  ',
      '\n',
      '\r\n',
      '# High',
      '```',
      '> ',
      '<!--',
      '(after: ',
      ')',
      '#a',
      '\u0000',
      '\ue000',
      '1. ',
      '[x]',
      '`',
      '<<<<<<< HEAD',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(pieces, fc.string()), { maxLength: 60 }), (parts) => {
        const text = parts.join('');
        const items = parseTodos(text);
        for (const item of items) expect(text.split(/\r\n|\n|\r/)[item.line]).toMatch(/\[[ xX]\]/);
      }),
    );
  });
});

describe('an item keeps its identity', () => {
  const remember = (text: string): readonly KnownItem[] =>
    parseTodos(text).map(({ title, headings }, at) => ({ key: `k${at}`, title, headings, at }));
  const matched = (
    before: string,
    now: string,
  ): { readonly keys: Readonly<Record<string, string | null>>; readonly gone: readonly string[] } => {
    const found = parseTodos(now);
    const { keys, gone } = matchItems(remember(before), found);
    return { keys: Object.fromEntries(found.map(({ title }, at) => [title, keys[at] ?? null])), gone };
  };
  const list = (...titles: string[]): string => titles.map((title) => `- [ ] ${title}`).join('\n');

  test('when the list is reordered and grows', () => {
    expect(matched(list('alpha', 'beta', 'gamma'), list('new one', 'gamma', 'alpha', 'beta'))).toEqual({
      keys: { 'new one': null, gamma: 'k2', alpha: 'k0', beta: 'k1' },
      gone: [],
    });
  });

  test('when its words are edited, and only when they are still much alike', () => {
    const { keys, gone } = matched(list('write the parser', 'draw a logo'), list('write the fast parser', 'book a hall'));
    expect([keys, gone]).toEqual([{ 'write the fast parser': 'k0', 'book a hall': null }, ['k1']]);
  });

  test('when it moves under another heading', () => {
    expect(matched('# Now\n- [ ] same\n# Later\n', '# Now\n# Later\n- [ ] same\n').keys).toEqual({ same: 'k0' });
  });

  test('when several have the same words: by heading, then by order', () => {
    const found = parseTodos('# B\n- [ ] test\n# A\n- [ ] test\n- [ ] test');
    expect(matchItems(remember('# A\n- [ ] test\n- [ ] test\n# B\n- [ ] test'), found).keys).toEqual(['k2', 'k0', 'k1']);
  });

  test('and no key is given twice, whatever happens to the file', () => {
    const lists = fc.array(fc.constantFrom('a b', 'a c', 'b c', 'a b c', 'd'), { maxLength: 30 });
    fc.assert(
      fc.property(lists, lists, (before, now) => {
        const { keys, gone } = matchItems(remember(list(...before)), parseTodos(list(...now)));
        const given = [...keys.filter((key) => key !== null), ...gone];
        expect(given.length).toBe(before.length);
        expect(new Set(given).size).toBe(before.length);
      }),
    );
  });
});

describe('ticking a box', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nightshift-todo-'));
    path = join(directory, 'TODO.md');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('changes that one character and nothing else, whatever the bytes around it', async () => {
    const before = Buffer.concat([
      Buffer.from('\ufeff- [ ] ä\r\n'),
      Buffer.from([0xff, 0xfe, 0x0a]),
      Buffer.from('* group\n  1. [ ] second\n'),
    ]);
    writeFileSync(path, before);
    expect(await tickBox(path, 3, '  1. [ ] second')).toEqual({ kind: 'ticked' });
    const now = readFileSync(path);
    expect(now.length).toBe(before.length);
    expect([...now].filter((byte, at) => byte !== before[at])).toEqual(['x'.charCodeAt(0)]);
    expect(now.toString('utf8')).toContain('  1. [x] second');
    expect(await tickBox(path, 3, '  1. [x] second')).toEqual({ kind: 'already' });
  });

  test('is possible wherever a box was found, and ticks that one', async () => {
    const pieces = '- [ ] |  |\t|\n|\n|\r\n|# |> |```|<!--|-->|<div>|---|1. |2) |[x] |[ ] |* |`|a|\u00a0|漢字|\ufeff|\f|\u2028|--|:-'.split(
      '|',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...pieces, '|'), { maxLength: 25 }), async (parts) => {
        const text = parts.join('');
        const items = parseTodos(text);
        for (const [at, { line, checked }] of items.entries()) {
          if (checked) continue;
          writeFileSync(path, text);
          expect(await tickBox(path, line, text.split(/\r\n|\n|\r/)[line] ?? '')).toEqual({ kind: 'ticked' });
          const now = parseTodos(readFileSync(path, 'utf8'));
          expect(now.map((item) => item.checked)).toEqual(items.map((item, other) => other === at || item.checked));
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test('refuses when the line is not the one that was read, and leaves the file alone', async () => {
    writeFileSync(path, '- [ ] one\n');
    appendFileSync(path, '- [ ] two\n');
    expect(await tickBox(path, 0, '- [ ] two')).toEqual({ kind: 'moved' });
    expect(await tickBox(path, 7, '- [ ] two')).toEqual({ kind: 'moved' });
    expect(readFileSync(path, 'utf8')).toBe('- [ ] one\n- [ ] two\n');
  });

  test('is done again when an editor has put another file in its place meanwhile', async () => {
    writeFileSync(path, '- [ ] one\n');
    const file = await open(path, 'r+');
    try {
      writeFileSync(`${path}.new`, 'Words.\n- [ ] one\n');
      renameSync(`${path}.new`, path);
      expect(await tickIn(file, path, 0, '- [ ] one')).toEqual({ kind: 'moved' });
    } finally {
      await file.close();
    }
    expect(readFileSync(path, 'utf8')).toBe('Words.\n- [ ] one\n');
  });

  test('goes through a link to the file behind it', async () => {
    writeFileSync(path, '- [ ] one\n');
    const link = join(directory, 'link.md');
    symlinkSync(path, link);
    expect(await tickBox(link, 0, '- [ ] one')).toEqual({ kind: 'ticked' });
    expect(readFileSync(path, 'utf8')).toBe('- [x] one\n');
  });
});

describe('what waits for what', () => {
  const item = (title: string, ...after: readonly string[]): TodoItem => ({
    ...{ line: 0, checked: false, title, body: '', parent: null, priority: null, labels: [], repository: null, headings: [] },
    after,
  });

  test('is told by words, by the beginning of words, and never in a circle', () => {
    const order = orderOf([item('hen', 'egg'), item('Egg', 'nest'), item('nest', 'hen'), item('Ship it', 'he'), item('alone', 'alone')]);
    expect([0, 1, 2, 3, 4].map((place) => order.before(place))).toEqual([[], [], [0], [0], []]);
    expect(order.places.toSorted()).toEqual([0, 1, 2, 3, 4]);
  });

  test.each([
    ['each for the next one', (at: number) => item(`${at}.`, `${at + 1}.`)],
    ['all for one', (at: number) => item(`${at}.`, '0.')],
    ['all for words that fit all of them', () => item('same', 'same')],
    ['all for a beginning that fits all of them', (at: number) => item(`same ${at}`, 'sa')],
  ])('is found in 50,000 of them that wait %s', (_, make) => {
    const order = orderOf(Array.from({ length: 50_000 }, (_, at) => make(at)));
    expect(order.places).toHaveLength(50_000);
  });
});

describe('the steps in which a file is taken in', () => {
  const item = fc.record({ words: fc.constantFrom('a', 'b', 'c', 'd', 'e'), depth: fc.nat(2), known: fc.boolean() });
  test('hold each item once, after what it waits for, what is known first, and of the same words the upper one first', () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 40 }), fc.integer({ min: 1, max: 6 }), (drawn, atOnce) => {
        const items = parseTodos(drawn.map(({ words, depth }) => `${'  '.repeat(depth)}- [ ] ${words}`).join('\n'));
        const order = orderOf(items);
        const isKnown = (place: number): boolean => drawn[place]?.known ?? false;
        const steps = batchesOf(items, order, isKnown, atOnce);
        expect(steps.flat().toSorted((a, b) => a - b)).toEqual([...items.keys()]);
        for (const later of steps.slice(1)) {
          expect(later.length).toBeLessThanOrEqual(atOnce);
          expect(later.filter(isKnown)).toEqual([]);
        }
        const sequence = steps.flat();
        for (const [at, place] of sequence.entries())
          expect(order.before(place).filter((other) => sequence.indexOf(other) > at)).toEqual([]);
        const stepOf = (place: number): number => steps.findIndex((step) => step.includes(place));
        for (const places of Map.groupBy(items.keys(), (place) => items[place]?.title).values()) {
          const taken = places.map(stepOf);
          expect(taken).toEqual(taken.toSorted((a, b) => a - b));
        }
      }),
    );
  });
});

describe('a file is not read', () => {
  let path: string;
  beforeEach(() => {
    path = join(mkdtempSync(join(tmpdir(), 'nightshift-todo-')), 'TODO.md');
  });
  afterEach(() => rmSync(join(path, '..'), { recursive: true, force: true }));

  test('when it is a pipe, without waiting for somebody to write into it', async () => {
    execFileSync('mkfifo', [path]);
    expect(await readTodo(path)).toEqual({ ok: false, why: 'it is no file', gone: false });
  });

  test('when it is no text', async () => {
    writeFileSync(path, Buffer.from('\ufeff- [ ] one\n', 'utf16le'));
    expect(await readTodo(path)).toMatchObject({ ok: false, gone: false });
  });
});
