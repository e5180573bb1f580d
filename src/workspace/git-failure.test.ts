import { expect, test } from 'vitest';
import { explain } from './git-failure.ts';

const died = { kind: 'exited', code: 128 } as const;

test('a line without end neither keeps the server busy nor hides what stands at its end', () => {
  const endless = ['packfile ', 'unable to write ', 'object file '].map((words) => words.repeat(10_000)).join('');
  expect(explain('git fetch', endless, died).code).toBe('git-failed');
  expect(explain('git fetch', `${endless}: No space left on device`, died).code).toBe('disk-full');
});
