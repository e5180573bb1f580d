import { expect, test } from 'vitest';
import type { TokenUsage } from '../domain/usage.ts';
import { createTally } from './tally.ts';

const tokens = (inputTokens: number, outputTokens = 0): TokenUsage => ({
  inputTokens,
  outputTokens,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
});

test('a run of a session that others began before is given its own tokens, and its share of the cost', () => {
  const tally = createTally();
  tally.used(tokens(1_000, 100));
  tally.see({ type: 'run.usage', data: { ...tokens(2_000, 200), model: 'one', costUsd: 0.5, turns: 1 } });
  tally.see({ type: 'run.usage', data: { ...tokens(3_000, 300), model: 'one', costUsd: 0.9, turns: 2 } });
  expect(tally.tokens).toEqual(tokens(1_000, 100));
  expect(tally.costUsd).toBeCloseTo(0.3);
});

test("where no call was seen, the engine's count is all there is", () => {
  const tally = createTally();
  tally.see({ type: 'run.usage', data: { ...tokens(2_000), model: 'one', costUsd: 0.5, turns: 1 } });
  tally.see({ type: 'run.usage', data: { ...tokens(500), model: 'two', costUsd: 0.25, turns: 1 } });
  expect(tally.tokens).toEqual(tokens(2_500));
  expect(tally.costUsd).toBe(0.75);
});
