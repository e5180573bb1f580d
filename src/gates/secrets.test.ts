import { describe, expect, test } from 'vitest';
import { searchForSecrets } from './secrets.ts';

function found(...lines: readonly string[]): readonly string[] {
  const search = searchForSecrets();
  for (const [index, text] of lines.entries()) search.look({ path: 'a.ts', kind: 'added', line: index + 1, text });
  return search.first.map(({ line, text }) => `${line} ${text}`);
}

/** In pieces, so that this file does not look as if it held any. */
const of = (...pieces: readonly string[]): string => pieces.join('');
const noise = 'R4nd0mT0k7nVq1ueWithEn8ughCh4rs9xKq2LmZp3Y';

describe('a line that adds', () => {
  test.each<[string, string]>([
    ['a GitHub token', of('gh', 'p_', noise.slice(0, 36))],
    ['a GitHub token', of('github', '_pat_', noise.slice(0, 22), '_', noise, noise.slice(0, 17))],
    ['a GitLab token', of('glp', 'at-', noise.slice(0, 20))],
    ['an AWS access key', of('AK', 'IA', 'Q3EGRVZ5TTLMKW2P')],
    ['a Slack token', of('xo', 'xb-7391826405-', noise)],
    ['a Slack webhook', of('https://hooks.slack.com/ser', 'vices/T0AAAAAAA/B0BBBBBBB/', noise.slice(0, 24))],
    ['an Anthropic key', of('sk-', 'ant-api03-', noise, noise)],
    ['an OpenAI key', of('sk-', 'proj-', noise, 'T3Blbk', 'FJ', noise)],
    ['a Stripe key', of('sk_', 'live_', noise.slice(0, 24))],
    ['a Google API key', of('AI', 'za', noise.slice(0, 35))],
    ['an npm token', of('np', 'm_', noise.slice(0, 36))],
    ['a Telegram bot token', of('710988', '2417:A', 'A', noise.slice(0, 33))],
    ['a password in an address', of('postgres://app:', 'gW7xQ2mK', '@db.internal/app')],
    ['a secret', of('const apiKey = "', noise, '"')],
    ['a secret', of("client_secret: '", noise, "'")],
    ['a secret', of('{"accessToken": "', noise, '"}')],
  ])('%s is told: %#', (name, value) => {
    expect(found('const x = 1;', `  value = ${value}`)).toEqual([`2 looks like ${name}`]);
  });

  test('a private key is told by its first line and what follows', () => {
    const begin = of('-----BEGIN RSA ', 'PRIVATE KEY-----');
    expect(found(begin, noise + noise)).toEqual(['1 looks like a private key']);
    expect(found(begin, 'Proc-Type: 4,ENCRYPTED', '', noise + noise)).toEqual(['1 looks like a private key']);
    expect(found(`key: "${begin}\\n${noise}${noise}"`)).toEqual(['1 looks like a private key']);
    expect(found(begin, 'a', 'b', 'c', 'd', 'e', noise + noise)).toEqual([]);
  });

  test('is told once in the pieces of a long line, and in text of two bytes a letter', () => {
    const search = searchForSecrets();
    const text = of('gh', 'p_', noise.slice(0, 36));
    for (const piece of [text, `x ${text}`]) search.look({ path: 'a.min.js', kind: 'added', line: 1, text: piece });
    search.look({ path: 'b.txt', kind: 'added', line: 1, text: [...text].join('\0') });
    expect(search.first.map(({ path }) => path)).toEqual(['a.min.js', 'b.txt']);
  });

  test('is counted, also when there are more than anybody reads', () => {
    const search = searchForSecrets();
    for (let line = 1; line <= 500; line++) search.look({ path: 'a', kind: 'added', line, text: of('gh', 'p_', noise.slice(0, 36)) });
    expect([search.found(), search.first.length]).toEqual([500, 20]);
  });

  test.each<[string, string]>([
    ['the first line of a key alone', of('if (text.includes("-----BEGIN ', 'PRIVATE KEY-----")) refuse();')],
    ['a public key', of('-----BEGIN PUBLIC KEY-----\\n', noise)],
    ['the key of the documentation', of('AK', 'IAIOSFODNN7EXAMPLE')],
    ['a placeholder', of('gh', 'p_', 'x'.repeat(36))],
    ['a made-up token', of('gh', 'p_', '0123456789', 'abcdefghijklmnopqrstuvwxyz')],
    ['a variable', 'const token = process.env.GITHUB_TOKEN;'],
    ['a template', of('postgres://app:', '$', '{PASSWORD}', '@db/app')],
    ['a password in an example', of('https://user:', 'password', '@example.org')],
    ['an address with a port', 'http://localhost:8080/@scope/package'],
    ['an integrity hash', of('"integrity": "sha512-', noise, noise, '=="')],
    ['a commit', of('const token = "', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b', '"')],
    ['an id', 'token: "tsk_01KEXAMPLE000000000000000"'],
    ['a uuid', 'secret: "2b1c9d3e-8f4a-4c6b-9d2e-1f3a5b7c9d0e"'],
    ['a sentence', 'password: "the password that people type"'],
    ['a name of a thing', 'const tokenSecretName = "projects/acme/secrets/database/versions"'],
    ['a class', 'class TokenKeySecret { apiKeyPassword = "changeme-changeme-Changeme1"; }'],
  ])('%s is not told: %#', (_name, line) => {
    expect(found(line)).toEqual([]);
  });

  test('something hostile keeps nobody busy', { timeout: 20_000 }, () => {
    const lines = ['a:'.repeat(2_000), 'token="'.repeat(600), 'a://b:'.repeat(700), '-----BEGIN '.repeat(400), 'sk-'.repeat(1_300)];
    expect(found(...Array.from({ length: 200 }, () => lines).flat())).toEqual([]);
  });
});
