import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCommand } from './command-line.ts';

describe('a command', () => {
  test('as a line is split by the quoting rules of shells', () => {
    for (const [line, argv] of [
      ['npm test', ['npm', 'test']],
      ['  npm \t test \n', ['npm', 'test']],
      ['echo "a b" \'c "d"\' e\\ f', ['echo', 'a b', 'c "d"', 'e f']],
      ['echo "say \\"hi\\"" "back\\\\slash" "n\\n"', ['echo', 'say "hi"', 'back\\slash', 'n\\n']],
      ["echo 'it'\\''s' a''b \"\"", ['echo', "it's", 'ab', '']],
      [
        'echo $HOME `id` $(id) * ~ a;b && c | d > e # f',
        ['echo', '$HOME', '`id`', '$(id)', '*', '~', 'a;b', '&&', 'c', '|', 'd', '>', 'e', '#', 'f'],
      ],
      ['ünïcode 👍', ['ünïcode', '👍']],
    ] as const) {
      expect(parseCommand(line), line).toEqual(argv);
    }
  });

  test('as a JSON array is taken as it stands', () => {
    expect(parseCommand('["sh", "-c", "echo $1", "", "a b\\n"]')).toEqual(['sh', '-c', 'echo $1', '', 'a b\n']);
    expect(parseCommand(' ["true"]')).toEqual(['true']);
  });

  test('that is neither is none', () => {
    for (const text of [
      '',
      '   ',
      'echo "open',
      "echo 'open",
      'echo open\\',
      '[',
      '[]',
      '[1]',
      '["a", null]',
      '[""]',
      '["a"] b',
      '"" a',
      'a\0b',
      '["a\\u0000"]',
    ]) {
      expect(parseCommand(text), JSON.stringify(text)).toBeUndefined();
    }
  });

  test('survives being written as JSON, and being quoted', () => {
    const argument = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'));
    const command = fc.array(argument, { minLength: 1 }).filter(([program]) => program !== '');
    fc.assert(
      fc.property(command, (argv) => {
        expect(parseCommand(JSON.stringify(argv))).toEqual(argv);
        const quoted = argv.map((each) => `'${each.replaceAll("'", "'\\''")}'`).join(' ');
        expect(parseCommand(quoted)).toEqual(argv);
      }),
    );
  });
});
