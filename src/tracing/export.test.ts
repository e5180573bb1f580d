import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { until } from '../../test/support/server-process.ts';
import { createLog } from '../platform/log.ts';
import { type Exporter, exportSpans } from './export.ts';
import type { Span } from './trace.ts';

interface Batch {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly { readonly name: string }[] }[] }[];
}

let collector: Server | undefined;
let exporter: Exporter | undefined;

afterEach(async () => {
  const stopped = exporter?.stop();
  collector?.closeAllConnections();
  await stopped;
  collector?.close();
  collector = exporter = undefined;
});

/** A collector that does with each batch what it is told to, and an exporter that sends to it. */
async function pair(
  answer: RequestListener,
): Promise<{ clock: ManualClock; logged: string[]; taken: () => string[]; asked: () => number }> {
  const names: string[] = [];
  let asked = 0;
  collector = createServer(async (request, response) => {
    asked += 1;
    let body = '';
    for await (const chunk of request) body += String(chunk);
    expect(request.headers).toMatchObject({ 'content-type': 'application/json', 'x-key': 'a-secret' });
    answer(request, response);
    if (response.statusCode === 200) names.push(...namesIn(JSON.parse(body) as Batch));
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const clock = new ManualClock();
  const logged: string[] = [];
  const { port } = collector.address() as AddressInfo;
  exporter = exportSpans({
    url: `http://127.0.0.1:${port}/v1/traces`,
    headers: { 'x-key': 'a-secret' },
    resource: { 'service.name': 'test' },
    version: '0',
    clock,
    log: createLog('info', [{ write: (line) => void logged.push(line) }]),
  });
  return { clock, logged, taken: () => names, asked: () => asked };
}

const namesIn = ({ resourceSpans }: Batch): string[] =>
  resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans.map(({ name }) => name)));

const span = (name: string): Span => ({
  ...{ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: true, parentId: null, name, kind: 'internal' },
  ...{ startMs: 1_000.25, endMs: 1_001, failed: false, attributes: { many: 1, share: 0.5, yes: true, none: null } },
});

const add = (...names: readonly string[]): void => {
  for (const name of names) exporter?.add(span(name));
};

/** Lets time pass, in steps that no request takes too long for. */
const untilLater = (clock: ManualClock, what: string, condition: () => boolean): Promise<boolean | undefined> =>
  until(what, () => {
    if (condition()) return true;
    clock.advance(200);
    return false;
  });

test('spans go out together after a while, and what is left when it stops goes out then', async () => {
  const { clock, taken, asked } = await pair((_, response) => void response.end('{}'));
  add('a', 'b');
  expect(asked()).toBe(0);
  clock.advance(5_000);
  await until('the batch', () => taken().length === 2);
  add('c');
  await exporter?.stop();
  expect(taken()).toEqual(['a', 'b', 'c']);
  expect(asked()).toBe(2);
  expect(clock.pending).toBe(0);
});

test('one that is away for a while gets them later, and people are told once that it was, without its key', async () => {
  let away = true;
  const { clock, logged, taken, asked } = await pair((_, response) => void response.writeHead(away ? 503 : 200).end());
  add('a');
  clock.advance(5_000);
  await untilLater(clock, 'word of it', () => logged.length === 1);
  expect(asked()).toBe(5);
  away = false;
  add('b');
  await untilLater(clock, 'word that it is back', () => logged.length === 2);
  expect(taken()).toEqual(['b']);
  expect(JSON.parse(logged[1] ?? '')).toMatchObject({ dropped: 1 });
  expect(logged.join()).not.toMatch(/a-secret|127\.0\.0\.1/);
});

test('one that refuses for good is not asked again for the same', async () => {
  const { clock, logged, asked } = await pair((_, response) => void response.writeHead(401).end('no'));
  add('a');
  clock.advance(5_000);
  await until('word of it', () => logged.length === 1);
  expect(logged[0]).toContain('status 401');
  expect([asked(), clock.pending]).toEqual([1, 0]);
});

test('one that never answers holds up nothing, takes no more memory than so much, and is given up on at the stop', async () => {
  const { clock, logged, asked } = await pair(() => undefined);
  for (let each = 0; each < 10_000; each++) add(`span ${each}`);
  await until('the first try', () => asked() === 1);
  clock.advance(10_000);
  await until('the wait before the second', () => clock.pending === 1);
  const stopped = exporter?.stop();
  await until('the last try', () => asked() === 2);
  clock.advance(5_000);
  await stopped;
  // 512 under way and 2048 that wait: all others were never kept.
  expect(JSON.parse(logged.at(-1) ?? '')).toMatchObject({ why: 'it does not answer in time', dropped: 10_000 });
  expect(clock.pending).toBe(0);
});

test('one that answers without an end is heard no further than its status', async () => {
  let written = 0;
  const { clock, taken } = await pair((_, response) => {
    const flood = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536))) written += 65_536;
    };
    response.on('drain', flood);
    response.writeHead(200);
    flood();
  });
  add('a');
  clock.advance(5_000);
  await until('the batch', () => taken().length === 1);
  add('b');
  await untilLater(clock, 'the next one', () => taken().length === 2);
  expect(written).toBeLessThan(64 * 2 ** 20);
});

test('one that sends elsewhere gets nobody to follow', async () => {
  const { clock, logged, asked } = await pair((_, response) => void response.writeHead(307, { location: '/elsewhere' }).end());
  add('a');
  clock.advance(5_000);
  await until('word of it', () => logged.length === 1);
  expect(asked()).toBe(1);
});

test('nobody there is no reason to fail', async () => {
  const { clock, logged } = await pair(() => undefined);
  collector?.close();
  await once(collector as Server, 'close');
  add('a');
  clock.advance(5_000);
  await untilLater(clock, 'word of it', () => logged.length === 1);
  expect(logged[0]).toContain('ECONNREFUSED');
});
