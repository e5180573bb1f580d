import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addedUp, byWeekOf, stacked } from './chart.ts';
import { parseDiff } from './diff.ts';
import { levelsAround } from './graph.ts';
import { highlight, languageOf } from './highlight.ts';
import { asWritten, legible } from './legible.ts';
import { piecesOf } from './pieces.ts';
import { shortRepository } from './repository.ts';
import { ago, duration, elapsed } from './time.ts';
import { tellingPart } from './tool.ts';

describe('text of somebody else', () => {
  test('is taken apart into what is set differently', () => {
    expect(
      piecesOf('Run `npm test`, **now**:\n```sh\nnpm test\n```\nsee https://example.com/a_b?c=d.').map(({ kind, text }) => [kind, text]),
    ).toEqual([
      ['text', 'Run '],
      ['code', 'npm test'],
      ['text', ', '],
      ['strong', 'now'],
      ['text', ':\n'],
      ['block', 'npm test'],
      ['text', '\nsee '],
      ['link', 'https://example.com/a_b?c=d'],
      ['text', '.'],
    ]);
  });

  test('leads to the web only, whatever it claims to be', () => {
    for (const text of [
      'javascript:alert(1)',
      '[x](javascript:alert(1))',
      'data:text/html,x',
      'JAVASCRIPT:alert(1)',
      'ftp://example.com',
      'http://',
      'https://[',
    ]) {
      expect(
        piecesOf(text).filter(({ kind }) => kind === 'link'),
        text,
      ).toEqual([]);
    }
  });

  test('loses no character, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '`', '```', '*', '**', '\n', 'https://x.y', ' ', '.', '<') }), (text) => {
        const pieces = piecesOf(text);
        expect(pieces.map(({ text: each }) => each).join('').length).toBeLessThanOrEqual(text.length);
        for (const { text: each } of pieces) expect(text).toContain(each);
        expect(new Set(pieces.map(({ at }) => at)).size).toBe(pieces.length);
      }),
    );
  });
});

describe('a patch', () => {
  test('is read with its line numbers', () => {
    const [file, ...others] = parseDiff(
      'diff --git a/src/a.js b/src/a.js\nindex 1..2 100644\n--- a/src/a.js\n+++ b/src/a.js\n@@ -1,3 +1,4 @@ function a() {\n one\n-two\n+2\n+2b\n three\n\\ No newline at end of file\n',
    );
    expect(others).toEqual([]);
    expect(file).toMatchObject({ path: 'src/a.js', kind: 'modified', binary: false, additions: 2, deletions: 1 });
    expect(file?.hunks).toMatchObject([{ header: 'function a() {' }]);
    expect(file?.hunks[0]?.lines.map(({ kind, before, after, text }) => [kind, before, after, text])).toEqual([
      ['same', 1, 1, 'one'],
      ['removed', 2, undefined, 'two'],
      ['added', undefined, 2, '2'],
      ['added', undefined, 3, '2b'],
      ['same', 3, 4, 'three'],
      ['remark', undefined, undefined, 'No newline at end of file'],
    ]);
  });

  test('names new, removed, renamed and binary files', () => {
    const files = parseDiff(
      [
        'diff --git a/new.txt b/new.txt\nnew file mode 100644\n--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+x',
        'diff --git a/old.txt b/old.txt\ndeleted file mode 100644\n--- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-x',
        'diff --git a/from.txt b/to.txt\nsimilarity index 100%\nrename from from.txt\nrename to to.txt',
        'diff --git a/a.png b/a.png\nnew file mode 100644\nBinary files /dev/null and b/a.png differ',
        '',
      ].join('\n'),
    );
    expect(files.map(({ path, from, kind, binary }) => [path, from, kind, binary])).toEqual([
      ['new.txt', undefined, 'added', false],
      ['old.txt', undefined, 'deleted', false],
      ['to.txt', 'from.txt', 'renamed', false],
      ['a.png', undefined, 'added', true],
    ]);
    expect(parseDiff('no patch at all')).toEqual([]);
  });

  test('reads names with odd characters as they are', () => {
    const files = parseDiff(
      [
        'diff --git "a/two\\nlines\\t\\"quoted\\".txt" "b/two\\nlines\\t\\"quoted\\".txt"\n--- /dev/null\n+++ "b/two\\nlines\\t\\"quoted\\".txt"\n@@ -0,0 +1 @@\n+x',
        'diff --git "a/bell\\007" "b/bell\\007"\nnew file mode 100644',
        'diff --git a/x b/y.sh b/x b/y.sh\nold mode 100644\nnew mode 100755',
        'diff --git "a/\\\\" b/b\nsimilarity index 100%\nrename from "\\\\"\nrename to b',
        '',
      ].join('\n'),
    );
    expect(files.map(({ path, from }) => [path, from])).toEqual([
      ['two\nlines\t"quoted".txt', undefined],
      ['bell\u0007', undefined],
      ['x b/y.sh', undefined],
      ['b', '\\'],
    ]);
  });

  test('tells what its lines do not: modes, links, what is empty or only moved', () => {
    const remarks = (head: string) => parseDiff(`diff --git a/f b/f\n${head}\n`).map((file) => file.remarks.join(' '));
    expect(remarks('old mode 100644\nnew mode 100755')).toEqual(['Its mode was 100644 and is 100755.']);
    expect(remarks('new file mode 100755\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x')).toEqual(['It can be executed.']);
    expect(remarks('new file mode 120000\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+/etc')).toEqual([
      'It is a symbolic link to what is its text.',
    ]);
    expect(remarks('new file mode 100644')).toEqual(['It is empty.']);
    expect(remarks('similarity index 100%\nrename from e\nrename to f')).toEqual(['What is in it is the same.']);
    expect(remarks('new file mode 100644\nBinary files /dev/null and b/f differ')).toEqual(['']);
    expect(remarks('--- a/f\n+++ b/f\n@@ -1 +1 @@\n-x\n+y')).toEqual(['']);
  });
});

describe('colours', () => {
  const coloured = (path: string, line: string): string[] =>
    highlight(line, languageOf(path)).flatMap(({ kind, text }) => (kind === 'plain' ? [] : [`${kind} ${text}`]));

  test('know keywords, strings, numbers and comments of the common families', () => {
    expect(coloured('a.ts', "const x = call('a // b', 12); // why")).toEqual([
      'keyword const',
      'name call',
      "string 'a // b'",
      'number 12',
      'comment // why',
    ]);
    expect(coloured('a.py', 'def f(x): return None # why')).toEqual([
      'keyword def',
      'name f',
      'keyword return',
      'keyword None',
      'comment # why',
    ]);
    expect(coloured('a.unknown', 'const x = 1')).toEqual([]);
  });

  test('lose no character of any line', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom('a.ts', 'a.py', 'a.sql', 'a.yaml', 'a.css', 'a'), (line, path) => {
        expect(
          highlight(line, languageOf(path))
            .map(({ text }) => text)
            .join(''),
        ).toBe(line);
      }),
    );
  });
});

test('the graph around a task shows what it waits for, what those wait for, and what waits for it', () => {
  const tasks = new Map([
    ['a', { id: 'a', dependsOn: [] }],
    ['b', { id: 'b', dependsOn: ['a'] }],
    ['c', { id: 'c', dependsOn: ['b', 'gone'] }],
    ['d', { id: 'd', dependsOn: ['c'] }],
  ]);
  const around = levelsAround({ id: 'c', dependsOn: ['b', 'gone'] }, tasks);
  expect(around.levels.map(({ ids }) => ids)).toEqual([['a'], ['b', 'gone'], ['c'], ['d']]);
  expect(around.edges).toEqual([
    ['a', 'b'],
    ['b', 'c'],
    ['gone', 'c'],
    ['c', 'd'],
  ]);
  expect(around.unknown).toEqual(['gone']);
  const wide = levelsAround({ id: 'z', dependsOn: ['1', '2', '3', '4', '5'] }, new Map());
  expect(wide.levels[0]).toMatchObject({ ids: ['1', '2', '3'], more: 2 });
});

test('times are told as people tell them', () => {
  expect([450, 9_400, 59_900, 61_000, 3_700_000, 200_000_000].map(duration)).toEqual([
    '450 ms',
    '9.4 s',
    '59 s',
    '1 min 1 s',
    '1 h 1 min',
    '2 days',
  ]);
  expect([-5, 450, 9_900].map(elapsed)).toEqual(['0 s', '0 s', '9 s']);
  const now = Date.parse('2026-01-02T00:00:00Z');
  expect(
    ['2026-01-01T23:59:58Z', '2026-01-01T23:59:00Z', '2026-01-01T12:00:00Z', '2026-01-02T01:00:00Z'].map((iso) => ago(iso, now)),
  ).toEqual(['just now', '1 min ago', '12 h ago', 'in 1 h']);
});

test('a tool call is told by the argument that says most, from the top of the workspace', () => {
  expect(tellingPart({ file_path: '/srv/workspaces/wsp_01ARZ3NDEKTSV4RRFFQ69G5FAV/tree/src/a.ts' })).toBe('src/a.ts');
  expect(tellingPart({ description: 'Run', command: 'npm\n test' })).toBe('npm test');
  expect([tellingPart(null), tellingPart('x'), tellingPart({ a: 1 })]).toEqual(['', '', '']);
});

describe('a chart', () => {
  test('stands the parts of a bar on each other', () => {
    expect(
      stacked([
        [1, null, 3],
        [2, 2, 0],
      ]),
    ).toEqual([
      [1, 0, 3],
      [3, 2, 3],
    ]);
    expect(addedUp([1, 2, 3])).toEqual([1, 3, 6]);
  });

  test('adds up the days of a week, which begins on Monday', () => {
    const day = (name: string, runs: number) => ({ day: name, runs, of: 'x' });
    expect(byWeekOf([day('2026-11-14', 1), day('2026-11-15', 2), day('2026-11-16', 4)])).toEqual([
      { day: '2026-11-09', runs: 3, of: 'x' },
      { day: '2026-11-16', runs: 4, of: 'x' },
    ]);
  });
});

describe('a repository', () => {
  test('is named after its owner and itself, wherever it is', () => {
    expect(['https://github.com/acme/shop.git', 'ssh://git@git.example.org/platform/importer', 'owner/name'].map(shortRepository)).toEqual([
      'acme/shop',
      'platform/importer',
      'owner/name',
    ]);
  });

  test('on a disk is told by the end of its path when that is long', () => {
    expect(
      ['/srv/app', '/home/somebody/code/customers/acme/shop', `/tmp/${'x'.repeat(80)}/rota`, `/${'y'.repeat(80)}`].map(shortRepository),
    ).toEqual(['/srv/app', '…/code/customers/acme/shop', '…/rota', `…/${'y'.repeat(80)}`]);
  });
});

test('text cannot turn itself round, nor tell a terminal anything; whoever writes of escapes is left alone', () => {
  const shown = (text: string): unknown => JSON.parse(legible(JSON.stringify(text)));
  expect(asWritten(String(shown('rm -rf \u202e# harmless\u2066')))).toBe('rm -rf \u202e# harmless\u2066');
  expect(shown('rm -rf \u202e# harmless\u2066')).toBe('rm -rf ⟨U+202E⟩# harmless⟨U+2066⟩');
  expect(shown('\u001b[1;31mred\u001b[0m \u001b[2Kand \u001bbare')).toBe('red and bare');
  expect(shown('\\u001b[31m is how one writes it, "\\\\" too\n')).toBe('\\u001b[31m is how one writes it, "\\\\" too\n');
  expect(shown('هذا عنوان with English, 日本語 and 👩‍💻')).toBe('هذا عنوان with English, 日本語 and 👩‍💻');
});
