import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FailureCode } from './failure.ts';
import { parseRepository } from './repository.ts';

const parse = (text: string, local = true) => parseRepository(text, { local });
const url = (text: string): string | undefined => {
  const parsed = parse(text);
  return parsed.ok ? parsed.value.url : undefined;
};
const code = (text: string, local = true): FailureCode | undefined => {
  const parsed = parse(text, local);
  return parsed.ok ? undefined : parsed.failure.code;
};

describe('the address of a repository', () => {
  test.each([
    ['https://GitHub.com/ada/engine.git', 'https://github.com/ada/engine.git'],
    ['https://github.com/ada/engine/', 'https://github.com/ada/engine'],
    ['http://localhost:8080/a.git', 'http://localhost:8080/a.git'],
    ['ssh://git@Example.org:2222/a/b.git', 'ssh://git@example.org:2222/a/b.git'],
    ['git@github.com:ada/engine.git', 'git@github.com:ada/engine.git'],
    ['github.com:ada/engine', 'github.com:ada/engine'],
    ['file:///srv/git/a%20b', '/srv/git/a b'],
    ['/srv/git//engine/', '/srv/git/engine'],
    ['https://[::1]:8443/a.git', 'https://[::1]:8443/a.git'],
  ])('%s is taken as %s', (text, normal) => {
    expect(url(text)).toBe(normal);
  });

  test.each([
    '',
    ' https://github.com/a/b',
    '-upload-pack=evil',
    '--upload-pack=touch /tmp/x',
    'ext::sh -c whoami',
    'fd::7',
    'git://github.com/a/b',
    'ftp://host/a',
    'javascript:alert(1)//x y',
    'https://',
    'https://host',
    'https://host/',
    'https://host/a/../../b',
    'https://host/a/%2e%2e/b',
    'https://host/a?x=1',
    'https://host/a#b',
    'https://ho st/a',
    'https://-host/a',
    'ssh://-oProxyCommand=touch/a',
    'ssh://git@-oProxyCommand=x/a',
    '-oProxyCommand=x:a',
    'git@-host:a',
    'git@host:-a',
    'git@host:a/../b',
    'https://host/a\nb',
    'https://host/a\0b',
    'https://host\\@evil/a',
    'relative/path',
    './here',
    '../up',
    '/srv/../etc',
    '/',
    'file://elsewhere/srv/a',
    'file:///srv/%2e%2e/a',
    'file:///',
    '/srv/a /',
    'file:///srv/a%20/',
    `https://host/${'a'.repeat(3_000)}`,
  ])('%j is refused', (text) => {
    expect(code(text)).toBe('invalid-repository');
  });

  test.each(['https://token@github.com/a/b', 'https://user:pass@github.com/a/b', 'ssh://git:pass@host/a'])(
    '%s carries a secret, which is refused and not repeated',
    (text) => {
      const parsed = parse(text);
      expect(parsed).toMatchObject({ ok: false, failure: { code: 'credentials-in-url' } });
      expect(JSON.stringify(parsed)).not.toMatch(/pass\b|token@/);
    },
  );

  test('a path is refused where paths may not be named', () => {
    expect(code('/srv/git/a', false)).toBe('local-not-allowed');
    expect(code('file:///srv/git/a', false)).toBe('local-not-allowed');
    expect(code('https://github.com/a/b', false)).toBeUndefined();
  });

  test('spellings of one address share a mirror, and different ones do not', () => {
    const key = (text: string): string | undefined => {
      const parsed = parse(text);
      return parsed.ok ? parsed.value.key : undefined;
    };
    expect(key('https://github.com/ada/engine.git')).toBe(key('https://GITHUB.com/ada/engine/'));
    expect(key('https://github.com/ada/engine')).not.toBe(key('https://github.com/ada/engine2'));
    expect(key('https://github.com/ada/engine')).not.toBe(key('https://github.com/Ada/engine'));
  });

  test('whatever is accepted is no option, holds no control character, and has a key that is one safe file name', () => {
    const likely = fc
      .array(
        fc.constantFrom(
          'https://',
          'ssh://',
          'file://',
          'git@',
          'host',
          ':',
          '/',
          '..',
          '.',
          '-',
          '%2e',
          '%00',
          '@',
          'a',
          ' ',
          '\\',
          '::',
          '?',
          '\n',
        ),
        {
          maxLength: 8,
        },
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(likely, fc.string({ unit: 'binary', maxLength: 40 })), (text) => {
        const parsed = parse(text);
        if (!parsed.ok) return;
        const { url: normal, key } = parsed.value;
        expect(normal).not.toMatch(/^-|\p{Cc}|(^|\/)\.\.?(\/|$)|^[a-z0-9]+::/u);
        expect(key).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_-]*$/);
        expect(parse(normal)).toEqual(parsed);
      }),
      { numRuns: 3_000 },
    );
  });
});
