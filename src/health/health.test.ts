import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { ok } from '../domain/examination.ts';
import { type Check, examineOnce, watchHealth } from './health.ts';

const fine: Check = { name: 'fine', examine: async () => ok('fine', 'it is') };
const broken: Check = { name: 'broken', examine: () => Promise.reject(new Error('no such thing')) };

const verdictsOf = (findings: readonly { readonly check: string; readonly verdict: string }[]): Record<string, string> =>
  Object.fromEntries(findings.map(({ check, verdict }) => [check, verdict]));

test('looks at once and then every so often, by itself', async () => {
  const clock = new ManualClock();
  let looks = 0;
  const health = watchHealth({ clock, checks: [{ name: 'counted', examine: async () => ok('counted', String(++looks)) }] }, 60_000);
  health.start();
  await health.examine();
  expect(looks).toBe(1);
  // The next look is set when the one before is over and done with.
  while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(60_000);
  await health.examine();
  expect(looks).toBe(2);
  expect(health.last?.healthy).toBe(true);
  await health.stop();
});

test('one that hangs or breaks is a finding, and keeps none of the others from theirs', async () => {
  const clock = new ManualClock();
  const hanging: Check = { name: 'hanging', examine: () => new Promise(() => undefined) };
  const health = watchHealth({ clock, checks: [hanging, broken, fine] }, 0);
  const examined = health.examine();
  // The others have told what they found, and their limits are gone; that of the one that hangs is left.
  while (clock.pending !== 1) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(15_000);
  const { healthy, findings } = await examined;
  expect(healthy).toBe(false);
  expect(verdictsOf(findings)).toEqual({ hanging: 'failure', broken: 'failure', fine: 'ok' });
  expect(findings.find(({ check }) => check === 'broken')?.found).toBe('no such thing');
  expect(clock.pending).toBe(0);
  await health.stop();
});

test('a stop waits for nothing that hangs', async () => {
  const clock = new ManualClock();
  const health = watchHealth({ clock, checks: [{ name: 'hanging', examine: () => new Promise(() => undefined) }] }, 0);
  const examined = health.examine();
  await health.stop();
  expect((await examined).findings[0]?.found).toContain('the server stops');
});

test('leaves nothing behind that waits for the server to stop', async () => {
  const { signal } = new AbortController();
  await examineOnce([fine, broken], new ManualClock(), signal);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
