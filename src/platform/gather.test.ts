import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, test } from 'vitest';
import { askedTogether, gather, gatherUntil } from './gather.ts';

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

  test('that come until a batch is closed go along, and what is waited for may fail before that', async () => {
    const open = Promise.withResolvers<void>();
    const call = gatherUntil(async (close: () => readonly number[]) => {
      await open.promise;
      expect(close()).toBe(close());
      return close().map(() => close().length);
    });
    const one = call(1);
    await new Promise((resolve) => setImmediate(resolve));
    const two = call(2);
    open.resolve();
    expect(await Promise.all([one, two])).toEqual([2, 2]);
    const shut = gatherUntil(() => Promise.reject<readonly number[]>(new Error('shut')));
    expect((await Promise.allSettled([shut(1), shut(2)])).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  test('belong to nobody while they are together', async () => {
    const caller = new AsyncLocalStorage<string>();
    const call = gather(async (items: readonly number[]) => items.map(() => caller.getStore()));
    expect(await caller.run('ann', () => call(1))).toBeUndefined();
  });
});

describe('a question that many ask', () => {
  test('is put once for all who wait for that, and never answered by what was found before it was asked', async () => {
    const doors = Array.from({ length: 3 }, () => Promise.withResolvers<void>());
    let asked = 0;
    const ask = askedTogether(async (put) => {
      const turn = asked++;
      await doors[turn]?.promise;
      put();
      await new Promise((resolve) => setImmediate(resolve));
      if (turn === 2) throw new Error('nobody knows');
      return turn;
    });
    const first = [ask(), ask()];
    await new Promise((resolve) => setImmediate(resolve));
    first.push(ask());
    doors[0]?.resolve();
    await doors[0]?.promise;
    await Promise.resolve();
    const late = [ask(), ask()];
    doors[1]?.resolve();
    expect(await Promise.all(first)).toEqual([0, 0, 0]);
    expect(await Promise.all(late)).toEqual([1, 1]);
    const failing = [ask(), ask()];
    doors[2]?.resolve();
    expect((await Promise.allSettled(failing)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await ask()).toBe(3);
  });

  test('is not put again for those who wait when an earlier one has been answered', async () => {
    const [answered, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let asked = 0;
    const ask = askedTogether(async (put) => {
      const turn = asked++;
      if (turn > 0) await free.promise;
      put();
      if (turn === 0) await answered.promise;
      return turn;
    });
    const first = ask();
    await new Promise((resolve) => setImmediate(resolve));
    const second = ask();
    answered.resolve();
    expect(await first).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    const third = ask();
    free.resolve();
    expect(await Promise.all([second, third])).toEqual([1, 1]);
  });
});
