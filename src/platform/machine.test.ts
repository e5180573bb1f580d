import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { readMachine } from './machine.ts';

test('what a machine has left of its memory and its disk is told, and is not more than there is', async () => {
  const { serverMemoryBytes, memoryBytes, memoryFreeBytes, cpus, load, diskBytes, diskFreeBytes } = await readMachine(tmpdir());
  expect(serverMemoryBytes).toBeGreaterThan(10e6);
  expect(memoryBytes).toBeGreaterThan(serverMemoryBytes);
  expect(memoryFreeBytes).toBeGreaterThan(0);
  expect(memoryFreeBytes).toBeLessThanOrEqual(memoryBytes);
  expect(cpus).toBeGreaterThan(0);
  expect(load).toBeGreaterThanOrEqual(0);
  expect(diskFreeBytes).toBeGreaterThan(0);
  expect(diskFreeBytes).toBeLessThanOrEqual(diskBytes);
});
