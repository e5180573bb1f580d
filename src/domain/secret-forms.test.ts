import { expect, test } from 'vitest';
import { withoutSecrets } from './secret-forms.ts';

const noise = 'aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5';
const body = 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7';
const key = (between: string): string => ['-----BEGIN PRIVATE', ` KEY-----${between}${body}${between}${body}`].join('');

test.each([
  ['a token in prose', `use ghp_${noise}, then`, 'use [secret], then'],
  ['a quoted assignment', `apiKey: "${noise}"`, 'apiKey: "[secret]"'],
  ['a printed environment', `HOME=/x\nNPM_TOKEN=${noise}\nPORT=1`, 'HOME=/x\nNPM_TOKEN=[secret]\nPORT=1'],
  ['a header', `authorization: Bearer ${noise}`, 'authorization: Bearer [secret]'],
  ['a password in an address', `https://bot:${noise}@git.example/x`, 'https://bot:[secret]@git.example/x'],
  ['a user named like the password', `https://${noise}:${noise}@git.example/x`, `https://${noise}:[secret]@git.example/x`],
  ['a private key', `before ${key('\n')}\n-----END PRIVATE KEY----- after`, 'before [secret] after'],
  ['a private key that is cut off', `before ${key('\n')}`, 'before [secret]'],
  [
    'a private key with headers',
    `before ${key('\n').replace('-----\n', '-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,1A\n\n')}`,
    'before [secret]',
  ],
  ['a private key in JSON', `{"key": "${key('\\n')}\\n-----END PRIVATE KEY-----"}`, '{"key": "[secret]"}'],
])('blanks %s', (_, text, blanked) => {
  expect(withoutSecrets(text)).toBe(blanked);
});

test.each([
  ['The token is read from the environment: GITHUB_TOKEN=', '{{ secrets.TOKEN }}'].join('$'),
  'MAX_TOKENS=20000000 is enough; const tokenName = "the-name-of-the-token-in-the-vault";',
  'A file that begins with -----BEGIN PRIVATE KEY----- is never committed.',
])('leaves %s', (text) => {
  expect(withoutSecrets(text)).toBe(text);
});

test('takes its time for no text', () => {
  for (const piece of ['-----BEGIN PRIVATE KEY-----', 'a: b\n', 'A_KEY=', 'token = "', 'x://a:']) {
    expect(withoutSecrets(piece.repeat(3_000)).length).toBeGreaterThan(0);
  }
  const endless = `-----BEGIN PRIVATE KEY-----${'a: '.repeat(2_000)}`;
  expect(withoutSecrets(endless)).toBe(endless);
});
