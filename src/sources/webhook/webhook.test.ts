import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import type { Delivery } from '../../domain/mail.ts';
import { repositoryPattern } from '../../workspace/repository-pattern.ts';
import { fill } from './fill.ts';
import { type WebhookSetting, webhookDoor, webhookSource } from './webhook.ts';

const setting: WebhookSetting = {
  name: 'sentry',
  secret: 'shared',
  signature: 'body',
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
  const admit = (headers: Record<string, string>, body = posted(issue)) =>
    webhookDoor(setting, new ManualClock()).admit((name) => headers[name], body);
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

  test('does not take a name that is not signed for a new delivery', () => {
    expect(admit({ ...json, 'x-signature': sign(posted(issue)), 'webhook-id': 'another' })).toMatchObject({ onceByContent: true });
  });
});

describe('the way in for standard webhooks', () => {
  // The example of the standard's own libraries.
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  const example = {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    'content-type': 'application/json',
  };
  const clock = new ManualClock(1_614_265_330_000);
  const admit = (headers: Readonly<Record<string, string | undefined>>, body = '{"test": 2432232314}', at = clock) =>
    webhookDoor({ ...setting, secret, signature: 'standard-webhooks' }, at).admit((name) => headers[name], Buffer.from(body));

  test('is open to what is signed with its id and its time, by that id', () => {
    expect(admit(example)).toMatchObject({ ok: true, key: example['webhook-id'], onceByContent: false });
    const two = `v1,${Buffer.alloc(32).toString('base64')} v1a,x ${example['webhook-signature']}`;
    expect(admit({ ...example, 'webhook-signature': two })).toMatchObject({ ok: true });
    expect(admit({ ...example, 'idempotency-key': 'another' })).toMatchObject({ key: example['webhook-id'] });
  });

  test.each([
    ['missing-signature', { 'webhook-id': undefined }],
    ['missing-signature', { 'webhook-timestamp': undefined }],
    ['missing-signature', { 'webhook-signature': undefined }],
    ['wrong-signature', { 'webhook-id': 'msg_another' }],
    ['wrong-signature', { 'webhook-timestamp': '1614265331' }],
    ['wrong-signature', { 'webhook-signature': example['webhook-signature'].replace('v1,', 'v2,') }],
    ['wrong-signature', { 'webhook-signature': '' }],
    ['not-json', { 'content-type': 'text/plain' }],
  ])('is closed with %s: %j', (code, changed) => {
    expect(admit({ ...example, ...changed })).toMatchObject({ ok: false, code });
  });

  test('is closed to another content, and to another time than ours', () => {
    expect(admit(example, '{"test": 2432232315}')).toMatchObject({ ok: false, status: 401, code: 'wrong-signature' });
    for (const [seconds, ok] of [
      [299, true],
      [-299, true],
      [301, false],
      [-301, false],
    ] as const) {
      expect(admit(example, undefined, new ManualClock(1_614_265_330_000 + seconds * 1_000))).toMatchObject(
        ok ? { ok } : { ok, code: 'wrong-time' },
      );
    }
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
