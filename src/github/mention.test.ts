import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mentions, withoutAddress } from './mention.ts';

const speaks = (text: string): boolean => mentions(text, 'nightshift');

describe('a mention', () => {
  test.each([
    '@nightshift fix this',
    'please, @nightshift.',
    'hey @NightShift, look',
    '@nightshift[bot] fix',
    '(@nightshift)',
    '**@nightshift** fix',
    'a\r\n\r\nlater: @nightshift: now',
    '- @nightshift do it',
    '`code` and @nightshift',
    'a stray ` tick, @nightshift',
    '> quoted\n\n@nightshift do it',
    '> quoted\n@nightshift do it',
    '```\ncode\n```\n@nightshift do it',
    '<details><summary>x</summary>y</details> @nightshift',
    'mail me at a@b.de, @nightshift',
    '<!-- note -->@nightshift',
    '<a title="x">it\'s @nightshift</a>',
    'a < b, "@nightshift", c > d',
    '\\`@nightshift\\`',
  ])('is heard in %j', (text) => {
    expect(speaks(text)).toBe(true);
  });

  test.each([
    'nightshift fix this',
    '@nightshifter',
    '@nightshift-dev',
    '@night-shift',
    'me@nightshift.dev',
    'me@nightshift',
    'https://example.com/@nightshift',
    '@nightshift.dev',
    '@nightshift/team',
    'x-@nightshift',
    '`@nightshift`',
    '``a ` @nightshift``',
    '```\n@nightshift\n```',
    '~~~sh\n@nightshift\n~~~',
    '```\n~~~\n@nightshift',
    '````\n```\n@nightshift\n````',
    '- item\n  ```\n  @nightshift\n  ```',
    'text\n\n    @nightshift',
    '\t@nightshift',
    '> @nightshift',
    '  > > @nightshift',
    '<!-- @nightshift -->',
    '<!-- never closed @nightshift',
    '<a href="@nightshift">x</a>',
    '<img alt="a > @nightshift">',
    "<img alt='a > @nightshift' src=x>",
    '<a title="@nightshift>',
    '<code>@nightshift</code>',
    '<pre>\n@nightshift\n</pre>',
    '<blockquote>@nightshift</blockquote>',
    '\\@nightshift',
    '',
  ])('is not heard in %j', (text) => {
    expect(speaks(text)).toBe(false);
  });

  const silent = fc.constantFrom(
    'plain words',
    'a@nightshift.dev',
    '`@nightshift`',
    '``x `@nightshift` y``',
    '```\n@nightshift\n```',
    '~~~\n`@nightshift\n~~~',
    '> @nightshift',
    '<!-- @nightshift -->',
    '@nightshifts',
    '<code>@nightshift</code>',
    '*emphasis* and \\` ticks',
  );

  test('is heard exactly when one stands among things that are silent', () => {
    fc.assert(
      fc.property(fc.array(silent, { maxLength: 8 }), fc.option(fc.nat(8)), (parts, place) => {
        const blocks = place === null ? parts : [...parts.slice(0, place), 'please @nightshift, do', ...parts.slice(place)];
        expect(speaks(blocks.join('\n\n'))).toBe(place !== null);
      }),
    );
  });

  test('is looked for in any text, however hostile, without failing', () => {
    const piece = fc.constantFrom('`', '``', '```', '~~~', '<!--', '-->', '<', '>', '\\', '@nightshift', '\n', '    ', '> ', '<code>', 'a');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 200 }), (pieces) => {
        expect(typeof speaks(pieces.join(''))).toBe('boolean');
      }),
    );
  });

  test('is found in a text of the greatest length, made to be slow, in no more steps than that', () => {
    const size = 65_536;
    let ticks = '';
    for (let i = 1; ticks.length < size; i++) ticks += `${'`'.repeat(i)} `;
    for (const text of [
      ticks,
      '`'.repeat(size),
      '<'.repeat(size),
      '<!--'.repeat(size / 4),
      '<a '.repeat(size / 3),
      '<a "'.repeat(size / 4),
      `<a ${'"\''.repeat(size / 2)}`,
      `${'<a x '.repeat(size / 10)}${'"x'.repeat(size / 4)}`,
      `<a ${'x="y" '.repeat(size / 6)}`,
      `<${'a-'.repeat(size / 2)}`,
      '> '.repeat(size / 2),
      ' \n'.repeat(size / 2),
    ])
      expect(speaks(`${text}\n\n`)).toBe(false);
  });
});

describe('a request', () => {
  test('is the whole comment, without the address at its head', () => {
    expect(withoutAddress('@nightshift, fix this\n\nand that', 'nightshift')).toBe('fix this\n\nand that');
    expect(withoutAddress(' @Nightshift[bot]: go', 'nightshift')).toBe('go');
    expect(withoutAddress('please @nightshift go', 'nightshift')).toBe('please @nightshift go');
    expect(withoutAddress('@nightshifter go', 'nightshift')).toBe('@nightshifter go');
  });
});
