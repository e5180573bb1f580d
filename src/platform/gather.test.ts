import { describe, expect, test } from 'vitest';
import { gather } from './gather.ts';

describe('gathered calls', () => {
  test('that come together go together, in their order, and each gets its own result', async () => {
    const batches: (readonly number[])[] = [];
    const double = gather(async (items: readonly number[]) => {
      batches.push(items);
      return items.map((item) => item * 2);
    });
    expect(await Promise.all([1, 2, 3].map(double))).toEqual([2, 4, 6]);
    expect(await double(4)).toBe(8);
    expect(batches).toEqual([[1, 2, 3], [4]]);
  });

  test('that come while others are under way wait for the next batch', async () => {
    const first = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const batches: number[] = [];
    const call = gather(async (items: readonly number[]) => {
      batches.push(items.length);
      started.resolve();
      await first.promise;
      return items;
    });
    const one = call(1);
    await started.promise;
    const rest = [call(2), call(3)];
    first.resolve();
    expect(await Promise.all([one, ...rest])).toEqual([1, 2, 3]);
    expect(batches).toEqual([1, 2]);
  });

  test('beyond the limit form several batches', async () => {
    const sizes: number[] = [];
    const call = gather(async (items: readonly number[]) => {
      sizes.push(items.length);
      return items;
    }, 4);
    await Promise.all(Array.from({ length: 10 }, (_, i) => call(i)));
    expect(sizes).toEqual([4, 4, 2]);
  });

  test('of a batch that fails get its error, and the next batch goes on', async () => {
    let fail = true;
    const call = gather(async (items: readonly number[]) => {
      if (fail) throw new Error('no');
      return items;
    });
    const results = await Promise.allSettled([call(1), call(2)]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    fail = false;
    expect(await call(3)).toBe(3);
  });
});
