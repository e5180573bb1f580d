import { expect, test } from 'vitest';
import { type CheckpointKind, surplus } from './checkpoint.ts';

const made = (...kinds: readonly CheckpointKind[]) =>
  kinds.map((kind, index) => ({ id: `c${index + 1}`, number: index + 1, kind, at: index }));
const for_ = (perRun: number, keepMs = 1_000) => ({ perRun, keepMs });

test('the oldest go first', () => {
  expect(surplus(made('calls', 'calls', 'risky', 'calls'), for_(2), 10)).toEqual(['c2', 'c1']);
});

test('what is too old goes', () => {
  expect(surplus(made('calls', 'calls', 'calls'), for_(10, 5), 7)).toEqual(['c2', 'c1']);
});

test('the newest and the last green one stay', () => {
  expect(surplus(made('green', 'green', 'calls', 'calls'), for_(1, 0), 100)).toEqual(['c3', 'c1']);
  expect(surplus([], for_(1), 100)).toEqual([]);
});
