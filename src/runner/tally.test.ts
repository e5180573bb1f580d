import { expect, test } from 'vitest';
import { createTally } from './tally.ts';

test('a later count of a model replaces the earlier one, and models add up', () => {
  const tally = createTally();
  const count = (model: string, inputTokens: number, costUsd: number) =>
    tally.see({
      type: 'run.usage',
      data: { model, inputTokens, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, costUsd, turns: 1 },
    });
  count('one', 1_000, 0.25);
  count('one', 2_000, 0.5);
  count('two', 500, 0.25);
  expect([tally.tokens.inputTokens, tally.costUsd]).toEqual([2_500, 0.75]);
});
