import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { block, displayWidth, OutputFilter, oneLine, toJson, truncate } from './legible.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const commanding = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
/** Text that is more likely than most to hold what a terminal obeys. */
const hostile = fc
  .array(fc.constantFrom('\x1b', '[', ']', '31m', '0;', '\x07', '\x9b', '\\', '\r', '\n', 'a', '2J', 'P', '\u202e', '日'))
  .map((parts) => parts.join(''));

describe('text from outside', () => {
  test('keeps its words and loses what commands a terminal', () => {
    expect(oneLine('\x1b]0;owned\x07fix \x1b[31mthe\x1b[0m login\r\nnow\x1b[2J')).toBe('fix the login now');
    expect(oneLine('a\u009b2Jb\u202ec')).toBe('ab�c');
    expect(block('one\r\ntwo\x1b[1A\tthree')).toBe('one\ntwo\tthree');
  });

  test('can hold nothing that gets through', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(oneLine(text)).not.toMatch(commanding);
        expect(block(text).replaceAll(/[\n\t]/g, '')).not.toMatch(commanding);
      }),
    );
  });

  test('cannot smuggle a sequence through in pieces', () => {
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 6 }), (pieces) => {
        const filter = new OutputFilter(true);
        const shown = pieces.map((piece) => filter.next(piece)).join('') + filter.end();
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        const withoutColours = shown.replaceAll(/\x1b\[[0-9;:]*m/g, '').replaceAll(/[\n\t]/g, '');
        expect(withoutColours).not.toMatch(commanding);
      }),
    );
  });

  test('keeps the colours of a program, unless they are not wanted', () => {
    expect(new OutputFilter(true).next('\x1b[32mok\x1b[0m\x1b[2K')).toBe('\x1b[32mok\x1b[0m');
    expect(new OutputFilter(false).next('\x1b[32mok\x1b[0m')).toBe('ok');
    const filter = new OutputFilter(true);
    expect([filter.next('a\x1b['), filter.next('32mb'), filter.next('50%\r'), filter.next('100%'), filter.end()]).toEqual([
      'a',
      '\x1b[32mb',
      '50%',
      '\n100%',
      '',
    ]);
  });

  test('is the same after JSON as before, and harmless in between', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), hostile, (one, two) => {
        const printed = toJson({ one, two });
        expect(printed).not.toMatch(commanding);
        expect(JSON.parse(printed)).toEqual({ one, two });
      }),
      { numRuns: 50 },
    );
  });
});

describe('the width of a line', () => {
  test.each([
    ['plain', 5],
    ['Grüße', 5],
    ['e\u0301', 1],
    ['日本語', 6],
    ['한글', 4],
    ['👩‍👩‍👧', 2],
    ['🇩🇪', 2],
    ['❤️', 2],
    ['', 0],
  ])('of %j is %d', (text, width) => {
    expect(displayWidth(text)).toBe(width);
  });

  test('is kept when a line is cut, and no character is cut in two', () => {
    expect(truncate('Fix the login', 8)).toBe('Fix the…');
    expect(truncate('日本語日本語', 6)).toBe('日本…');
    expect(truncate('👩‍👩‍👧👩‍👩‍👧', 3)).toBe('👩‍👩‍👧…');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), (text, width) => {
        expect(displayWidth(truncate(text, width))).toBeLessThanOrEqual(width);
      }),
    );
  });
});
