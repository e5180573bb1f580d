import { expect, test } from 'vitest';
import { explain } from './git-failure.ts';

const died = { kind: 'exited', code: 128 } as const;

test('a line without end neither keeps the server busy nor hides what stands at its end', () => {
  const endless = ['packfile ', 'unable to write ', 'object file '].map((words) => words.repeat(10_000)).join('');
  expect(explain('git fetch', endless, died).code).toBe('git-failed');
  expect(explain('git fetch', `${endless}: No space left on device`, died).code).toBe('disk-full');
});

test('a git that this machine was short of something for says nothing about the work; what a remote is short of does', () => {
  const short = 'fatal: unable to create thread: Resource temporarily unavailable';
  expect(explain('git push', `error: cannot fork() for git-remote-https: ${short}\n`, died).code).toBe('host-unfit');
  expect(explain('git push', `remote: ${short}\n ! [remote rejected] a -> b (hook declined)\n`, died).code).toBe('refused-by-hook');
});
