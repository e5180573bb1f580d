import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { blanked, signatureOf } from './signature.ts';

describe('an error without what differs', () => {
  test.each<[string, string, string]>([
    ['numbers', 'line 12: expected 3 to be 4.5', 'line 98: expected 1,000 to be 2'],
    ['quoted strings', `cannot find "a b" or 'c' or \`d\``, `cannot find "x" or 'y z' or \`\``],
    ['addresses in memory', 'segfault at 0x7ffe01', 'segfault at 0xdeadbeef'],
    ['ids', 'commit 8f3b2c1d9 is bad', 'commit 0a1b2c3 is bad'],
    ['e-mails', 'no such user ada@example.org', 'no such user b.c+d@mail.example.com'],
    ['paths', 'ENOENT /tmp/x-1/a.ts', 'ENOENT ./src/b/c.test.ts'],
    ['paths without a beginning', 'error in src/a.ts', 'error in lib/deep/b.js'],
    ['addresses on the net', 'GET https://a.example/x?y=1 failed', 'GET http://localhost:3000/ failed'],
    ['times', 'took 00:01:02.345', 'took 10:59:01.1'],
    ['colours and blanks', '\u001b[31mfailed\u001b[0m   badly\n', 'failed badly'],
  ])('is the same with other %s', (_name, one, other) => {
    expect(blanked(one)).toBe(blanked(other));
  });

  test.each<[string, string]>([
    ['expected true to be false', 'expected false to be true'],
    ["it doesn't work, that isn't right", "it doesn't fail, that isn't right"],
    ['TypeError: x is not a function', 'ReferenceError: x is not defined'],
    ['and/or nothing', 'nothing'],
  ])('is another with other words: %s', (one, other) => {
    expect(blanked(one)).not.toBe(blanked(other));
  });

  test('keeps nobody busy, whatever a hostile program prints', { timeout: 20_000 }, () => {
    for (const text of ['a/'.repeat(50_000), '"'.repeat(100_000), 'a@'.repeat(50_000), '1.'.repeat(50_000), `${'a.'.repeat(50_000)}@`])
      expect(blanked(text).length).toBeLessThanOrEqual(text.length);
    expect(blanked(Array.from({ length: 200 }, () => 'a/.'.repeat(200)).join('\n'))).not.toBe('');
  });
});

describe('its signature', () => {
  const sign = (category: string, code: string, message: string): string =>
    signatureOf({ category, code, message }, (text) => createHash('sha256').update(text).digest('hex'));

  test('is sixteen digits that depend on category, code and the blanked message', () => {
    expect(sign('tests', '1', 'expected 3')).toMatch(/^[0-9a-f]{16}$/);
    expect(sign('tests', '1', 'expected 3')).toBe(sign('tests', '1', 'expected 4'));
    expect(new Set([sign('tests', '1', 'a'), sign('lint', '1', 'a'), sign('tests', '2', 'a'), sign('tests', '1', 'b')]).size).toBe(4);
  });
});
