import { createServer, type IncomingMessage, type OutgoingHttpHeaders, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { Refused } from '../domain/errors.ts';
import { silentLog } from '../platform/log.ts';
import { takeBodies } from './delivery-bodies.ts';
import type { AppEnv } from './env.ts';
import { problemOf } from './problem.ts';

const limits = { small: 100, longest: 1_000, room: 4_000, share: 2_000, withinMs: 10_000 };

let clock: ManualClock;
let app: Hono<AppEnv>;
let server: Server;
/** Those whose bodies are there, and which wait for their end. */
let arrived: { readonly length: number; readonly end: (refuse?: boolean) => void }[];
let begun: number;
const undo: (() => void)[] = [];

beforeEach(async () => {
  clock = new ManualClock();
  arrived = [];
  begun = 0;
  const takeBody = takeBodies(clock, limits);
  app = new Hono<AppEnv>();
  app.onError((error, context) => problemOf(context, error, silentLog));
  app.post('/', async (context) => {
    begun += 1;
    return takeBody(context, context.req.header('from') ?? '', async ({ length }) => {
      const refused = await new Promise<boolean>((resolve) => arrived.push({ length, end: (refuse = false) => resolve(refuse) }));
      if (refused) throw new Refused(401, 'wrong-signature', 'It is not signed.');
      return context.text('stored');
    });
  });
  const listener = getRequestListener(app.fetch);
  server = createServer((incoming, outgoing) => void listener(incoming, outgoing));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  for (const step of undo.splice(0)) step();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

interface Sending {
  readonly answer: Promise<{ readonly status: number; readonly code: string; readonly retryAfter: string | undefined }>;
  hangUp(): void;
}

/** Says how much it sends, and sends `bytes` of it. */
function send(from: string, announced: number | 'unknown', bytes = announced === 'unknown' ? 0 : announced): Sending {
  const headers: OutgoingHttpHeaders = { from, ...(announced === 'unknown' ? {} : { 'content-length': announced }) };
  const sending = request({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', method: 'POST', headers });
  undo.push(() => sending.destroy());
  const answer = new Promise<IncomingMessage>((resolve, reject) => sending.on('response', resolve).on('error', reject)).then(
    async (response) => {
      let text = '';
      for await (const chunk of response) text += String(chunk);
      const { code = '' } = response.statusCode === 200 ? {} : (JSON.parse(text) as { code?: string });
      return { status: response.statusCode ?? 0, code, retryAfter: response.headers['retry-after'] };
    },
  );
  answer.catch(() => undefined);
  sending.flushHeaders();
  if (bytes > 0) sending.write(Buffer.alloc(bytes));
  if (bytes === announced) sending.end();
  return { answer, hangUp: () => void sending.destroy() };
}

const begins = (count: number): Promise<void> => expect.poll(() => begun).toBe(count);
const arrives = (count: number): Promise<void> => expect.poll(() => arrived.length).toBe(count);

/** The status of a large one that is no waste. */
async function attempt(from: string): Promise<number> {
  const before = arrived.length;
  const { answer } = send(from, 1_000);
  await Promise.race([answer, arrives(before + 1)]);
  arrived[before]?.end();
  return (await answer).status;
}

/** One whose body is on its way for ever. */
async function stall(from: string, announced: number | 'unknown' = 1_000, bytes = 500): Promise<Sending> {
  const sending = send(from, announced, bytes);
  await begins(begun + 1);
  return sending;
}

test('lets in as many large bodies as there is room for, tells others when to come again, and keeps no small one waiting', async () => {
  const large = ['a', 'a', 'b', 'b'].map((from) => send(from, 1_000));
  await arrives(4);
  expect(await send('c', 101).answer).toEqual({ status: 503, code: 'too-much-at-once', retryAfter: '5' });
  const small = send('c', 100);
  await arrives(5);
  for (const { end } of arrived) end();
  for (const { answer } of [...large, small]) expect((await answer).status).toBe(200);

  expect(await attempt('c')).toBe(200);
});

test('gives one address a share only, so that another finds room', async () => {
  for (let n = 0; n < 2; n++) await stall('slow');
  expect((await send('slow', 1_000).answer).code).toBe('too-much-at-once');
  expect(await attempt('other')).toBe(200);
});

test('waits for no body longer than it says, and gives its room to the next', async () => {
  const slow = [await stall('a'), await stall('a'), await stall('b'), await stall('b')];
  expect((await send('c', 1_000).answer).code).toBe('too-much-at-once');
  clock.advance(limits.withinMs);
  for (const { answer } of slow) expect(await answer).toMatchObject({ status: 408, code: 'too-slow' });
  expect(await attempt('c')).toBe(200);
  expect(clock.pending).toBe(0);
});

test('gives no room to what comes after it was told that it is late', async () => {
  for (const from of ['a', 'b', 'a', 'b']) {
    let more = (_bytes: number): void => undefined;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        more = (bytes) => controller.enqueue(Buffer.alloc(bytes));
      },
    });
    const headers = { from, 'transfer-encoding': 'chunked' };
    const answer = app.request('/', { method: 'POST', headers, body, duplex: 'half' } as RequestInit);
    more(50);
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(limits.withinMs);
    expect((await answer).status).toBe(408);
    more(200);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await attempt('c')).toBe(200);
});

test('does not wait for a small body for ever either', async () => {
  const slow = await stall('a', 50, 20);
  clock.advance(limits.withinMs);
  expect(await slow.answer).toMatchObject({ status: 408, code: 'too-slow' });
});

test('gives no more room for a while to an address whose large bodies came to nothing, but takes its small ones', async () => {
  for (let n = 0; n < 2; n++) {
    const unsigned = send('a', 1_000);
    await arrives(n + 1);
    arrived[n]?.end(true);
    expect((await unsigned.answer).status).toBe(401);
  }
  expect(await send('a', 1_000).answer).toEqual({ status: 503, code: 'too-much-at-once', retryAfter: '30' });
  const small = send('a', 100);
  await arrives(3);
  arrived[2]?.end();
  expect((await small.answer).status).toBe(200);
  clock.advance(30_000);
  expect(await attempt('a')).toBe(200);
});

test('counts a body of unknown length as large from where it is, and refuses what is too long, announced or not', async () => {
  for (let n = 0; n < 5; n++) await stall('a', 'unknown', 100);
  expect(await attempt('a')).toBe(200);
  for (const from of ['b', 'c']) for (let n = 0; n < 2; n++) await stall(from, 'unknown', 101);
  await expect.poll(() => attempt('d')).toBe(503);
  expect((await send('d', 1_001, 0).answer).code).toBe('body-too-large');
  clock.advance(limits.withinMs);
  expect((await send('d', 'unknown', 1_001).answer).code).toBe('body-too-large');
});

test('gives the room back when its sender hangs up', async () => {
  for (const from of ['a', 'b']) for (let n = 0; n < 2; n++) (await stall(from)).hangUp();
  await expect.poll(() => attempt('c')).toBe(200);
});
