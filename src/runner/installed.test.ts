import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { touchedPrograms } from './installed.ts';

describe('a program of a package', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-installed-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function install(mark: string | undefined, at: Date): void {
    mkdirSync(join(root, 'node_modules', 'eslint'), { recursive: true });
    mkdirSync(join(root, 'node_modules', '.bin'));
    writeFileSync(join(root, 'node_modules', 'eslint', 'cli.js'), 'check();\n');
    chmodSync(join(root, 'node_modules', 'eslint', 'cli.js'), 0o755);
    symlinkSync('../eslint/cli.js', join(root, 'node_modules', '.bin', 'eslint'));
    if (mark === undefined) return;
    writeFileSync(join(root, 'node_modules', mark), '{}');
    utimesSync(join(root, 'node_modules', mark), at, at);
  }
  const now = new Date();
  const longAgo = new Date(2020, 0);

  test.each(['.package-lock.json', '.modules.yaml', '.yarn-integrity'])('is as it was installed, by %s', async (mark) => {
    install(mark, now);
    expect(await touchedPrograms(root)).toEqual([]);
  });

  test('is told when it was touched since, whatever time it bears', async () => {
    install('.package-lock.json', longAgo);
    utimesSync(join(root, 'node_modules', 'eslint', 'cli.js'), longAgo, longAgo);
    expect(await touchedPrograms(root)).toEqual(['node_modules/.bin/eslint']);
  });

  test('is told when nobody has installed it', async () => {
    install(undefined, now);
    expect(await touchedPrograms(root)).toEqual(['node_modules/.bin/eslint']);
    writeFileSync(join(root, 'bun.lock'), '');
    expect(await touchedPrograms(root)).toEqual([]);
  });

  test('is none where nothing is installed, or elsewhere', async () => {
    expect(await touchedPrograms(root)).toEqual([]);
    symlinkSync(tmpdir(), join(root, 'node_modules'));
    expect(await touchedPrograms(root)).toEqual([]);
    expect(await touchedPrograms(join(root, 'gone'))).toEqual([]);
  });
});
