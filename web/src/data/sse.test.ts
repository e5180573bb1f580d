import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSseParser, messagesOf } from './sse.ts';

const stream = ': hello\nretry: 1000\n\nid: 1\nevent: a\ndata: {"x":"ü"}\n\n: still here\n\nid: 2\nevent: b\ndata: one\ndata: two\n\n';
const messages = [
  { id: '1', data: '{"x":"ü"}' },
  { id: '2', data: 'one\ntwo' },
];

test('server-sent events are the same however they are cut into pieces', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: stream.length })), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), stream.length];
      const parse = createSseParser();
      expect(at.slice(1).flatMap((end, i) => parse(stream.slice(at[i], end)))).toEqual(messages);
    }),
  );
});

test('characters that are cut in the middle are put together, and every piece is a sign of life', async () => {
  const bytes = new TextEncoder().encode(stream);
  let heard = 0;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const found = [];
  for await (const batch of messagesOf(body, () => heard++)) found.push(...batch);
  expect(found).toEqual(messages);
  expect(heard).toBe(bytes.length);
});
