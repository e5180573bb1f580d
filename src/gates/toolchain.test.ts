import { expect, test } from 'vitest';
import { whyItCannotRun } from './toolchain.ts';

const ended = (exitCode: number, output: string) => ({ kind: 'ended', exitCode, timedOut: false, output }) as const;

test.each([
  ['a shell does not find the program', 127, '> x@1.0.0 test\n> vitest run\n\nsh: 1: vitest: not found\n', 'sh: 1: vitest: not found'],
  ['bash does not find it', 1, 'bash: line 1: cargo: command not found\n', 'bash: line 1: cargo: command not found'],
  [
    'make does not find it',
    2,
    'node --test\nmake: node: No such file or directory\nmake: *** [Makefile:2: test] Error 127\n',
    /^make: node/,
  ],
  ['a module of python is missing', 1, '/usr/bin/python3: No module named pytest\n', '/usr/bin/python3: No module named pytest'],
  ['the network is missing', 1, 'npm error getaddrinfo EAI_AGAIN registry.npmjs.org\n', /EAI_AGAIN/],
  ['all that is known is the exit code', 127, '', 'the program is not installed'],
])('it cannot run when %s', (_name, code, output, why) => {
  expect(whyItCannotRun(ended(code, output))).toEqual(typeof why === 'string' ? why : expect.stringMatching(why));
});

test.each([
  ['tests fail', 1, 'ℹ pass 1\nℹ fail 1\nℹ skipped 0\n'],
  ['tests fail because a program that they start is missing', 1, 'sh: 1: foo: not found\nℹ pass 1\nℹ fail 1\nℹ skipped 0\n'],
  ['a file of the project is missing', 1, "Error: Cannot find module './sum.js'\n"],
  ['the compiler does not find a name', 1, 'a.ts(1,1): error TS2304: Cannot find name x.\n'],
  ['a module of the project is missing', 1, "ModuleNotFoundError: No module named 'app'\n"],
  ['it is green', 0, 'sh: 1: foo: not found\n'],
])('it has run when %s', (_name, code, output) => {
  expect(whyItCannotRun(ended(code, output))).toBeUndefined();
});
