import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Delivery } from '../../domain/mail.ts';
import { repositoryPattern } from '../../workspace/repository-pattern.ts';
import { fill } from './fill.ts';
import { type WebhookSetting, webhookDoor, webhookSource } from './webhook.ts';

const setting: WebhookSetting = {
  name: 'sentry',
  secret: 'shared',
  signatureHeader: 'x-signature',
  when: { action: 'created' },
  about: '{{issue.id}}',
  trust: 'untrusted',
  repositories: ['https://example.org/app', 'https://git.example.org/team/*'],
  task: {
    title: 'Mend {{issue.title}}',
    body: 'Stack:\n{{issue.stack}}',
    repository: 'https://example.org/{{project}}.git',
    priority: 'high',
  },
};
const never = new AbortController().signal;
const sign = (body: Buffer, secret = 'shared'): string => createHmac('sha256', secret).update(body).digest('hex');
const posted = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const issue = { action: 'created', project: 'app', issue: { id: 7, title: 'a crash', stack: ['a', 'b'] } };
const read = (value: unknown, changed: Partial<WebhookSetting> = {}) =>
  webhookSource({ ...setting, ...changed }, repositoryPattern).read(
    { key: 'k1' } as Delivery,
    Buffer.isBuffer(value) ? value : posted(value),
    never,
  );

describe('the way in', () => {
  const admit = (headers: Record<string, string>, body = posted(issue)) => webhookDoor(setting).admit((name) => headers[name], body);
  const json = { 'content-type': 'application/json; charset=utf-8' };

  test('is open to what carries the signature, however it is written', () => {
    const body = posted(issue);
    expect(admit({ ...json, 'x-signature': sign(body) })).toMatchObject({ ok: true });
    expect(admit({ ...json, 'x-signature': `sha256=${sign(body)}` })).toMatchObject({ ok: true });
  });

  test.each([
    ['missing-signature', {}],
    ['wrong-signature', { 'x-signature': sign(posted(issue), 'another') }],
    ['wrong-signature', { 'x-signature': 'zz' }],
    ['wrong-signature', { 'x-signature': sign(posted({ ...issue, project: 'evil' })) }],
    ['not-json', { 'x-signature': sign(posted(issue)), 'content-type': 'text/plain' }],
  ])('is closed with %s', (code, headers) => {
    expect(admit({ ...json, ...headers } as Record<string, string>)).toMatchObject({ ok: false, code });
  });

  test('knows a delivery again by its name, and without one by its content', () => {
    const signed = { ...json, 'x-signature': sign(posted(issue)) };
    const keyOf = (headers: Record<string, string>) => (admit({ ...signed, ...headers }) as { readonly key: string }).key;
    expect(keyOf({ 'idempotency-key': 'abc' })).toBe('abc');
    expect(keyOf({ 'x-request-id': 'made by a proxy' })).toBe(keyOf({ 'x-request-id': 'made-by-it-again' }));
    expect(keyOf({ 'idempotency-key': 'with spaces in it' })).toBe(keyOf({}));
  });
});

describe('a delivery', () => {
  test('becomes the task of the settings, filled in', async () => {
    expect(await read(issue)).toMatchObject({
      kind: 'work',
      wanted: [
        {
          trigger: 'k1',
          wish: {
            title: 'Mend a crash',
            body: 'Stack:\n[\n  "a",\n  "b"\n]',
            repository: 'https://example.org/app.git',
            priority: 'high',
            trust: 'untrusted',
            source: 'webhook:sentry',
            dedupeKey: 'webhook:sentry:7',
          },
        },
      ],
    });
  });

  test('that names a repository which is not among those of the settings is kept as failed, however it is written', async () => {
    const names = { task: { ...setting.task, repository: '{{project}}' } };
    for (const project of ['https://example.org/app.git', 'https://git.example.org/team/tool'])
      expect(await read({ ...issue, project }, names)).toMatchObject({ kind: 'work' });
    for (const project of [
      'https://example.org/other',
      'https://example.org.evil.example/app',
      'https://git.example.org/team/../other/tool',
      'https://git.example.org/team/%2e%2e/other',
      'https://user@git.example.org/team/tool',
      'ssh://git.example.org/team/tool',
      '/etc',
      'file:///etc',
      '',
    ])
      expect(await read({ ...issue, project }, names)).toMatchObject({ kind: 'failed', reason: { code: 'repository-not-allowed' } });
    expect(() => webhookSource({ ...setting, repositories: ['anything'] }, repositoryPattern)).toThrow(
      /webhooks: sentry: repositories\[0\] cannot be/,
    );
  });

  test('that is not the kind which is wanted is ignored; one without a title, or no JSON, is kept as failed', async () => {
    expect(await read({ ...issue, action: 'closed' })).toMatchObject({ kind: 'ignored', reason: { code: 'not-wanted' } });
    expect(await read({ action: 'created' }, { task: { ...setting.task, title: '{{issue.title}}' } })).toMatchObject({ kind: 'failed' });
    expect(await read(Buffer.from('{'))).toMatchObject({ kind: 'failed', reason: { code: 'not-json' } });
  });
});

test('what is filled in cannot name another value, and only values are filled in', () => {
  expect(fill('{{ a }} {{b.c}} {{b.none}}!', { a: '{{secret}}', b: { c: 1 }, secret: 'x' })).toBe('{{secret}} 1 !');
  expect(fill('{{constructor.name}}{{__proto__}}{{a.length}}', { a: 'text' })).toBe('');
  expect(fill('{{list.1.id}}', { list: [{ id: 1 }, { id: 2 }] })).toBe('2');
});
