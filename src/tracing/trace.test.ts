import { expect, test } from 'vitest';
import { newTraceId, parentIn, samplerOf, spanIdOf, traceIdOf, traceparentOf } from './trace.ts';

const header = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

test('a traceparent is read as the standard has it, and written the same', () => {
  const context = parentIn(header);
  expect(context).toEqual({ traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', sampled: true });
  expect(context && traceparentOf(context)).toBe(header);
  // A later version may say more, and flags that nobody knows yet.
  expect(parentIn(`${header.replace('00-', '42-')}-more`)?.sampled).toBe(true);
  expect(parentIn(header.replace(/01$/, '02'))?.sampled).toBe(false);
});

test.each([
  ['nothing', undefined],
  ['an empty one', ''],
  ['one with more than its version has', `${header}-more`],
  ['the version that there is never', header.replace('00-', 'ff-')],
  ['a trace of zeros', header.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32))],
  ['a parent of zeros', header.replace('b7ad6b7169203331', '0'.repeat(16))],
  ['capitals', header.toUpperCase()],
  ['something long', `${header}${'0'.repeat(100_000)}`],
])('%s is no traceparent', (_, text) => {
  expect(parentIn(text)).toBeUndefined();
});

test('ids are those of their subject, wherever they are asked for', () => {
  expect([traceIdOf('tsk_1').length, spanIdOf('tsk_1').length]).toEqual([32, 16]);
  expect(traceIdOf('tsk_1')).toBe(traceIdOf('tsk_1'));
  expect(spanIdOf('tsk_1')).not.toBe(spanIdOf('tsk_2'));
});

test('a sampler keeps what it should, and whoever began a trace decides where it says so', () => {
  const parent = { traceId: 'a', spanId: 'b', sampled: false };
  const ids = Array.from({ length: 2_000 }, newTraceId);
  const share = (name: Parameters<typeof samplerOf>[0], ratio: number): number =>
    ids.filter((id) => samplerOf(name, ratio)(id, undefined)).length / ids.length;
  expect([share('always_on', 0), share('always_off', 1), share('traceidratio', 0), share('traceidratio', 1)]).toEqual([1, 0, 0, 1]);
  expect(share('parentbased_traceidratio', 0.25)).toBeGreaterThan(0.18);
  expect(share('parentbased_traceidratio', 0.25)).toBeLessThan(0.32);
  expect(samplerOf('parentbased_always_on', 1)('a', parent)).toBe(false);
  expect(samplerOf('parentbased_always_off', 1)('a', { ...parent, sampled: true })).toBe(true);
  expect(samplerOf('always_on', 1)('a', parent)).toBe(true);
});
