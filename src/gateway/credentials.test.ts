import { expect, test } from 'vitest';
import { callerOf } from '../../test/support/callers.ts';
import { ManualClock } from '../../test/support/clock.ts';
import { createCredentials } from './credentials.ts';

test('a credential names its run, until it is revoked', () => {
  const credentials = createCredentials(new ManualClock());
  const one = credentials.issue(callerOf('run_1'));
  const two = credentials.issue(callerOf('run_2'));
  expect([credentials.check(one), credentials.check(two)]).toEqual([callerOf('run_1'), callerOf('run_2')]);
  credentials.revoke('run_1');
  expect([credentials.check(one), credentials.check(two)]).toEqual([undefined, callerOf('run_2')]);
});

test('a new credential of a run ends the one before', () => {
  const credentials = createCredentials(new ManualClock());
  const before = credentials.issue(callerOf('run_1'));
  const after = credentials.issue(callerOf('run_1'));
  expect([credentials.check(before), credentials.check(after)]).toEqual([undefined, callerOf('run_1')]);
});

test('a credential lasts as long as it is used', () => {
  const clock = new ManualClock();
  const credentials = createCredentials(clock, 60_000);
  const credential = credentials.issue(callerOf('run_1'));
  for (let i = 0; i < 3; i++) {
    clock.advance(59_999);
    expect(credentials.check(credential)).toEqual(callerOf('run_1'));
  }
  clock.advance(60_000);
  expect(credentials.check(credential)).toBeUndefined();
});

test('a credential that nobody revoked ends by itself', () => {
  const clock = new ManualClock();
  const credentials = createCredentials(clock, 60_000);
  const credential = credentials.issue(callerOf('run_1'));
  clock.advance(59_999);
  clock.jump(-3_600_000); // somebody sets the wall clock back
  clock.advance(1);
  expect(credentials.check(credential)).toBeUndefined();
});

test('nothing that merely looks like a credential passes', () => {
  const credentials = createCredentials(new ManualClock());
  const credential = credentials.issue(callerOf('run_1'));
  const secret = credential.slice('nsr.run_1.'.length);
  const others = [
    '',
    'nsr.',
    'nsr.run_1',
    'nsr.run_1.',
    `nsr.run_2.${secret}`,
    `${credential}x`,
    credential.slice(0, -1),
    secret,
    'x'.repeat(5_000),
  ];
  expect(others.map((each) => credentials.check(each))).toEqual(others.map(() => undefined));
  expect(credentials.check(undefined)).toBeUndefined();
});
