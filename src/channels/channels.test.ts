import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';
import { afterEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import type { Message } from '../domain/mail.ts';
import { type Notice, noticeFor } from '../domain/notice.ts';
import type { Channel } from '../outbox/channel.ts';
import { emailChannel } from './email.ts';
import { limited } from './limited.ts';
import { pagerDutyChannel } from './pagerduty.ts';
import { slackChannel } from './slack.ts';
import { webhookChannel } from './webhook.ts';

const clock = new ManualClock(Date.UTC(2026, 5, 1));
const never = new AbortController().signal;
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

const notice: Notice = {
  severity: 'critical',
  title: 'Disk <!channel> full',
  text: 'See <http://evil|here> & mend',
  resolved: false,
  at: clock.now(),
};
const message = (more: Partial<Message> = {}, changed: Partial<Notice> = {}): Message => ({
  ...noticeFor('any', 'disk-full', { ...notice, ...changed }),
  id: 'msg_1',
  state: 'waiting',
  reason: null,
  revision: 1,
  sentRevision: null,
  ref: null,
  attempts: 1,
  doubtful: false,
  notBefore: 0,
  createdAt: 0,
  sentAt: null,
  ...more,
});

interface Hook {
  readonly url: string;
  readonly got: { readonly headers: IncomingMessage['headers']; readonly body: string }[];
}

async function hook(answering: (response: ServerResponse) => void = (response) => void response.end('ok')): Promise<Hook> {
  const got: Hook['got'] = [];
  const server = createServer(async (request, response) => {
    got.push({ headers: request.headers, body: await text(request) });
    answering(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret-path`, got };
}

const overHttp: readonly (readonly [string, (url: string) => Channel])[] = [
  ['slack', (webhookUrl) => slackChannel({ webhookUrl, clock })],
  ['pagerduty', (url) => pagerDutyChannel({ routingKey: 'a-routing-key', source: 'night', clock, url })],
  ['webhook', (url) => webhookChannel({ url, secret: 'shared', clock })],
];

describe.each(overHttp)('a notice through %s', (_, open) => {
  test('arrives', async () => {
    const { url, got } = await hook();
    expect(await open(url).send(message(), never)).toEqual({ kind: 'sent', ref: null });
    expect(got).toHaveLength(1);
    expect(got[0]?.body).toContain('Disk');
  });

  test.each([
    [429, { 'retry-after': '30' }, { kind: 'retry', code: 'http-429', afterMs: 30_000, wholeChannel: true, doubtful: false }],
    [
      503,
      { 'retry-after': new Date(clock.now() + 5_000).toUTCString() },
      { kind: 'retry', code: 'http-503', afterMs: 5_000, doubtful: true },
    ],
    [404, {}, { kind: 'refused', code: 'http-404' }],
    [302, { location: 'http://127.0.0.1:1/' }, { kind: 'refused', code: 'http-302' }],
  ])('is answered with %i', async (status, headers, expected) => {
    const { url } = await hook((response) => response.writeHead(status, headers).end('why'));
    const answer = await open(url).send(message(), never);
    expect(answer).toMatchObject(expected);
    expect(JSON.stringify(answer)).not.toContain('secret-path');
  });

  test('is in doubt when the other side breaks off, and not when nobody is there', async () => {
    const { url } = await hook((response) => response.destroy());
    expect(await open(url).send(message(), never)).toMatchObject({ kind: 'retry', doubtful: true });
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const { port } = gone.address() as AddressInfo;
    await new Promise((resolve) => gone.close(resolve));
    expect(await open(`http://127.0.0.1:${port}/x`).send(message(), never)).toMatchObject({ kind: 'retry', doubtful: false });
    const stalled = await hook(() => undefined);
    const limit = new AbortController();
    const sending = open(stalled.url).send(message(), limit.signal);
    await expect.poll(() => stalled.got.length).toBe(1);
    limit.abort();
    expect(await sending).toMatchObject({ kind: 'retry', doubtful: true });
  });
});

test.each([
  [200, { kind: 'sent' }],
  [403, { kind: 'refused', code: 'http-403' }],
])('an answer without an end is not read to it: %i', async (status, expected) => {
  const piece = Buffer.alloc(64 * 1024, 'x');
  const { url } = await hook((response) => {
    response.writeHead(status);
    const more = (): void => void (response.destroyed || response.write(piece, more));
    more();
  });
  expect(await slackChannel({ webhookUrl: url, clock }).send(message(), never)).toMatchObject(expected);
});

test('one that knows no such request answers, and one that is down does not', async () => {
  const reached = async (status: number): Promise<string | undefined> => {
    const { url } = await hook((response) => void response.writeHead(status).end());
    return webhookChannel({ url, clock }).reach(never);
  };
  expect([await reached(405), await reached(501)]).toEqual([undefined, undefined]);
  expect(await reached(503)).toBe('The web hook answers with status 503');
});

test('nothing in a notice calls a channel of Slack or makes a link there, and what is said again says so', async () => {
  const { url, got } = await hook();
  await slackChannel({ webhookUrl: url, clock }).send(message({ doubtful: true }), never);
  const body = JSON.parse(got[0]?.body ?? '') as { readonly text: string; readonly attachments: readonly { readonly text: string }[] };
  expect(body.text).toBe('[critical] Disk &lt;!channel&gt; full');
  expect(body.attachments[0]?.text).toContain('See &lt;http://evil|here&gt; &amp; mend');
  expect(body.attachments[0]?.text).toContain('Sent again');
});

test('PagerDuty hears the end of what it heard the beginning of', async () => {
  const { url, got } = await hook();
  const channel = pagerDutyChannel({ routingKey: 'k', source: 'night', clock, url });
  await channel.send(message(), never);
  await channel.send(message({ revision: 2 }, { resolved: true }), never);
  const events = got.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  expect(events.map(({ event_action, dedup_key }) => [event_action, dedup_key])).toEqual([
    ['trigger', 'disk-full'],
    ['resolve', 'disk-full'],
  ]);
});

test('a web hook can tell who speaks, and that it was told before', async () => {
  const { url, got } = await hook();
  const channel = webhookChannel({ url, secret: 'shared', clock });
  for (const revision of [1, 1, 2]) await channel.send(message({ revision }), never);
  expect(got.map(({ headers }) => headers['idempotency-key'])).toEqual(['disk-full#1', 'disk-full#1', 'disk-full#2']);
  const [{ headers, body } = { headers: {}, body: '' }] = got;
  expect(headers['x-nightshift-signature']).toBe(`sha256=${createHmac('sha256', 'shared').update(body).digest('hex')}`);
});

describe('mail', () => {
  interface Mailbox {
    readonly port: number;
    readonly mails: string[];
  }
  async function mailbox(refuse?: { readonly at: 'rcpt' | 'data'; readonly code: number }): Promise<Mailbox> {
    const mails: string[] = [];
    const refusal = Object.assign(new Error('no'), { responseCode: refuse?.code ?? 550 });
    const server = new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS', 'AUTH'],
      onRcptTo: (_address, _session, done) => done(refuse?.at === 'rcpt' ? refusal : null),
      onData(stream, _session, done) {
        void text(stream).then((mail) => {
          mails.push(mail);
          done(refuse?.at === 'data' ? refusal : null);
        });
      },
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    undo.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
    return { port: (server.server.address() as AddressInfo).port, mails };
  }
  const open = (port: number): Channel => emailChannel({ smtpUrl: `smtp://127.0.0.1:${port}`, to: 'owner@example.org' });
  const idOf = (mail: string | undefined): string | undefined => /^Message-ID: (.+)$/im.exec(mail ?? '')?.[1];

  test('arrives, and the same message is recognised by its id', async () => {
    const { port, mails } = await mailbox();
    for (const revision of [1, 1, 2]) expect(await open(port).send(message({ revision }), never)).toEqual({ kind: 'sent', ref: null });
    expect(mails[0]).toContain('Subject: [critical] Disk <!channel> full');
    expect(idOf(mails[0])).toBe(idOf(mails[1]));
    expect(idOf(mails[2])).not.toBe(idOf(mails[0]));
  });

  test('cannot be given more headers by a title', async () => {
    const { port, mails } = await mailbox();
    await open(port).send(message({}, { title: 'x\r\nBcc: everybody@example.org' }), never);
    expect(mails[0]).not.toMatch(/^Bcc:/im);
  });

  test.each([
    ['rcpt', 550, { kind: 'refused', code: 'smtp-550' }],
    ['rcpt', 450, { kind: 'retry', doubtful: false }],
    ['data', 452, { kind: 'retry' }],
  ] as const)('that is refused at %s with %i', async (at, code, expected) => {
    const { port } = await mailbox({ at, code });
    expect(await open(port).send(message(), never)).toMatchObject(expected);
  });

  test('that nobody takes is tried again, without the password in the reason', async () => {
    const channel = emailChannel({ smtpUrl: 'smtp://me:pass-word@127.0.0.1:1', to: 'owner@example.org' });
    const answer = await channel.send(message(), never);
    expect(answer).toMatchObject({ kind: 'retry', doubtful: false });
    expect(JSON.stringify(answer)).not.toContain('pass-word');
  });
});

test('an alarm that rings without end is held back, and goes on when its minute is over', async () => {
  const own = new ManualClock();
  const { url, got } = await hook();
  const channel = limited(slackChannel({ webhookUrl: url, clock: own }), 2, own);
  const kinds = async (): Promise<string> => (await channel.send(message(), never)).kind;
  expect([await kinds(), await kinds(), await kinds()]).toEqual(['sent', 'sent', 'retry']);
  own.advance(60_000);
  expect(await kinds()).toBe('sent');
  expect(got).toHaveLength(3);
});
