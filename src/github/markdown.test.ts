import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { code, label, plain } from './markdown.ts';

describe('text from others in a comment of ours', () => {
  test('mentions nobody, refers to nothing, and brings no markup', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('@', 'a', '#', '1', '<', '>', '[', ']', '(', ')', '!', '`', '\n', ' ', '&', '-', '\u202e') }),
        (text) => {
          const shown = plain(text, 1_000);
          expect(shown).not.toMatch(/[@#]\w/);
          expect(shown).not.toMatch(/(?<!\\)[<>[\]`!&]/);
          expect(shown).not.toContain('\u202e');
          expect(shown).not.toMatch(/^ {4}|^\t/m);
          expect(label(text, 100)).not.toMatch(/@\w/);
        },
      ),
    );
  });

  test('is bounded', () => {
    expect(plain('x'.repeat(10_000), 100)).toHaveLength(100);
  });

  test('stays code as code, whatever ticks are in it', () => {
    expect(code('plain')).toBe('`plain`');
    expect(code('a`b``c')).toBe('``` a`b``c ```');
    expect(code('two\nlines')).toBe('`two lines`');
  });
});
