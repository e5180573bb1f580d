import { expect, test } from 'vitest';
import { systemClock } from '../platform/clock.ts';
import { createSandbox } from '../sandbox/sandbox.ts';
import { refusesWork } from './admission.ts';

const broken = { works: false, code: 'not-installed', found: 'no bubblewrap', remedy: 'Install it.' } as const;
const command = { converses: false, repository: null, trust: 'owner' } as const;

test.each([
  ['auto', command, undefined],
  ['auto', { ...command, repository: '/srv/app' }, undefined],
  ['auto', { ...command, trust: 'known' }, 'sandbox-needed'],
  ['auto', { ...command, trust: 'known', converses: true }, undefined],
  ['auto', { ...command, trust: 'untrusted', converses: true }, 'sandbox-needed'],
  ['off', { ...command, trust: 'known' }, 'sandbox-needed'],
  ['off', { ...command, trust: 'untrusted' }, 'sandbox-needed'],
  ['require', command, undefined],
  ['require', { ...command, repository: '/srv/app' }, 'sandbox-unavailable'],
  ['require', { ...command, converses: true }, 'sandbox-unavailable'],
] as const)('where the sandbox does not work, %s for %j means %s', async (mode, work, code) => {
  const sandbox = createSandbox({ mode, directory: '/nonexistent', protect: [], clock: systemClock, probe: broken });
  expect((await refusesWork(() => sandbox, work))?.code).toBe(code);
});
