import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { systemClock } from '../platform/clock.ts';
import { measure, type Usage, watchQuota } from './quota.ts';

describe('the quota', () => {
  let root: string;
  const plenty = { bytes: 1e12, files: 1e9 };
  const never = new AbortController().signal;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-quota-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  test('counts what is on the disk: links are not followed, holes and second names are free', async () => {
    mkdirSync(join(root, 'a/b'), { recursive: true });
    writeFileSync(join(root, 'a/b/one'), Buffer.alloc(100_000));
    linkSync(join(root, 'a/b/one'), join(root, 'again'));
    writeFileSync(join(root, 'hole'), '');
    truncateSync(join(root, 'hole'), 1e12);
    symlinkSync('/', join(root, 'everything'));
    symlinkSync(root, join(root, 'a/loop'));
    const { bytes, files, exceeded } = await measure(root, plenty, systemClock, never);
    expect([files, exceeded]).toEqual([7, null]);
    expect(bytes).toBeGreaterThanOrEqual(100_000);
    expect(bytes).toBeLessThan(150_000);
  });

  test('stops counting when a limit is passed', async () => {
    for (let i = 0; i < 100; i++) writeFileSync(join(root, `f${i}`), 'x'.repeat(10_000));
    expect(await measure(root, { ...plenty, files: 10 }, systemClock, never)).toMatchObject({ exceeded: 'files', files: 11 });
    const byBytes = await measure(root, { ...plenty, bytes: 50_000 }, systemClock, never);
    expect(byBytes).toMatchObject({ exceeded: 'bytes' });
    expect(byBytes.files).toBeLessThan(20);
  });

  test('is not got around by a path too long to be looked at', async () => {
    const deep = `for (let i = 0; i < 60; i++) { const name = 'x'.repeat(100); fs.mkdirSync(name); process.chdir(name); }`;
    execFileSync(process.execPath, ['-e', deep], { cwd: root });
    expect(await measure(root, plenty, systemClock, never)).toMatchObject({ exceeded: 'files' });
    execFileSync('rm', ['-rf', join(root, 'x'.repeat(100))]);
  });

  test('of something that is not there is nothing', async () => {
    expect(await measure(join(root, 'nothing'), plenty, systemClock, never)).toEqual({ bytes: 0, files: 0, exceeded: null });
  });

  test('is watched while an agent works, tells once, and leaves no timer', async () => {
    const clock = new ManualClock();
    const told: Usage[] = [];
    const watch = watchQuota(root, { ...plenty, files: 5 }, clock, (usage) => told.push(usage));
    await expect.poll(() => clock.pending).toBe(1);
    expect(watch.usage()).toMatchObject({ files: 0 });
    for (let i = 0; i < 10; i++) writeFileSync(join(root, `f${i}`), 'x');
    clock.advance(2_000);
    await expect.poll(() => told.length).toBe(1);
    await watch.stop();
    expect([told.length, clock.pending]).toEqual([1, 0]);
    expect(told[0]?.exceeded).toBe('files');
  });

  test('is not watched any more when stopped', async () => {
    const clock = new ManualClock();
    const watch = watchQuota(root, plenty, clock, () => undefined);
    await watch.stop();
    expect(clock.pending).toBe(0);
  });
});
