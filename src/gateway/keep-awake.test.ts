import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { until } from '../../test/support/server-process.ts';
import { keptAwake } from './keep-awake.ts';
import { errorAnswer } from './providers/provider.ts';

const ping = 'event: ping\ndata: {"type":"ping"}\n\n';

function waiting() {
  const clock = new ManualClock();
  let answer: (response: Response) => void = () => undefined;
  const asked = new Promise<Response>((resolve) => {
    answer = resolve;
  });
  return { clock, answer, kept: keptAwake(asked, clock) };
}

test('an answer within a minute is left as it is', async () => {
  const { clock, answer, kept } = waiting();
  clock.advance(59_999);
  const response = errorAnswer({ status: 429, message: 'slow' });
  answer(response);
  expect(await kept).toBe(response);
  expect(clock.pending).toBe(0);
});

test('a longer wait begins with signs of life, and goes on with the answer', async () => {
  const { clock, answer, kept } = waiting();
  clock.advance(60_000);
  const response = await kept;
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  const text = response.text();
  for (let pings = 0; pings < 3; pings++) {
    await until('the next sign of life to be due', () => clock.pending === 1);
    clock.advance(20_000);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  answer(new Response('event: message_start\ndata: {}\n\n'));
  expect(await text).toBe(`${ping}${ping}${ping}event: message_start\ndata: {}\n\n`);
  expect(clock.pending).toBe(0);
});

test('a refusal after that is an error in the stream', async () => {
  const { clock, answer, kept } = waiting();
  clock.advance(60_000);
  const text = kept.then((response) => response.text());
  answer(errorAnswer({ status: 401, message: 'no' }));
  expect(await text).toBe('event: error\ndata: {"type":"error","error":{"type":"authentication_error","message":"no"}}\n\n');
});

test('an answer that comes when nobody reads any more is not left open', async () => {
  const { clock, answer, kept } = waiting();
  clock.advance(60_000);
  await (await kept).body?.cancel();
  let cancelled = false;
  answer(
    new Response(
      new ReadableStream({
        cancel() {
          cancelled = true;
        },
      }),
    ),
  );
  await until('it to be cancelled', () => cancelled);
});
