import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { missingSandbox } from '../../test/support/sandbox.ts';
import { temporaryHome } from '../../test/support/stores.ts';
import { systemClock } from '../platform/clock.ts';
import { defaultLimits } from '../sandbox/profile.ts';
import { createSandbox } from '../sandbox/sandbox.ts';
import { removeTree } from '../workspace/removal.ts';
import { agentProgram } from './agent-program.ts';

const home = (): string => {
  const made = temporaryHome();
  onTestFinished(async () => {
    await removeTree(made, { clock: systemClock, path: process.env['PATH'] ?? '' }, new AbortController().signal);
  });
  return made;
};

test('of a Node in ~/.local an agent sees the programs, and nothing else that is there', () => {
  const local = join(home(), '.local');
  for (const name of ['bin', 'lib/node_modules/npm', 'lib/python3', 'share/keyrings']) mkdirSync(join(local, name), { recursive: true });
  writeFileSync(join(local, 'bin', 'node'), '');
  expect(agentProgram(join(local, 'bin', 'node')).slice(1)).toEqual([join(local, 'bin'), join(local, 'lib', 'node_modules')]);
});

test.skipIf(missingSandbox)("a Node of the system's own is no reason to refuse every run", async () => {
  const directory = home();
  const workspace = join(directory, 'work');
  mkdirSync(workspace);
  const sandbox = await createSandbox({ mode: 'require', directory: join(directory, 'sandbox'), protect: [directory], clock: systemClock });
  const memory = { kind: 'memory', bytes: 2 ** 20 } as const;
  const readOnly = agentProgram('/usr/bin/node');
  const enclosure = await sandbox.open({ workspace, home: memory, tmp: memory, readOnly, limits: defaultLimits }, 'owner');
  expect(enclosure.ok).toBe(true);
  if (enclosure.ok) await enclosure.close();
});
