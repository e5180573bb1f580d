import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Reports, reportsIn } from './reports.ts';

describe('a report in a workspace', () => {
  let root: string;
  let tree: string;
  let reports: Reports;
  const path = 'coverage/lcov.info';

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-reports-'));
    tree = join(root, 'tree');
    mkdirSync(join(tree, 'coverage'), { recursive: true });
    reports = reportsIn(tree, [path], join(root, 'aside'), 1_000);
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const leave = (text: string): void => writeFileSync(join(tree, path), text);
  async function read(): Promise<string | undefined> {
    const found = await reports.read(path);
    if (found?.kind !== 'file') return found?.kind;
    let text = '';
    for await (const piece of found.pieces) text += piece;
    return text;
  }

  test('is one of this round, whatever an older one says of its age', async () => {
    leave('older');
    utimesSync(join(tree, path), new Date(2100, 0), new Date(2100, 0));
    await reports.clear();
    expect(await read()).toBeUndefined();
    leave('of this round');
    expect(await read()).toBe('of this round');
  });

  test('is not what is written while the files are others', async () => {
    leave('of now');
    const said = await reports.without(async () => {
      expect(existsSync(join(tree, path))).toBe(false);
      leave('of before');
      return 'said';
    });
    expect([said, await read()]).toEqual(['said', 'of now']);
    await reports.without(async () => rmSync(join(tree, 'coverage'), { recursive: true }));
    expect(await read()).toBe('of now');
    rmSync(join(tree, path));
    await reports.without(async () => leave('of before'));
    expect(await read()).toBeUndefined();
  });

  test('is not what a run left aside that was killed', async () => {
    mkdirSync(join(root, 'aside'));
    writeFileSync(join(root, 'aside', 'report-0'), 'of a run that was killed');
    await reports.without(async () => undefined);
    expect(await read()).toBeUndefined();
  });

  test('is not read when it is too long, a link, or no file', async () => {
    leave('');
    truncateSync(join(tree, path), 2 ** 40);
    expect(await read()).toBe('too-long');
    await reports.clear();
    writeFileSync(join(root, 'secret'), 'secret');
    symlinkSync(join(root, 'secret'), join(tree, path));
    expect(await read()).toBeUndefined();
    await reports.clear();
    mkdirSync(join(tree, path));
    expect(await read()).toBeUndefined();
  });

  test('is neither read nor removed outside of the workspace', async () => {
    rmSync(join(tree, 'coverage'), { recursive: true });
    mkdirSync(join(root, 'outside'));
    writeFileSync(join(root, 'outside', 'lcov.info'), 'theirs');
    symlinkSync(join(root, 'outside'), join(tree, 'coverage'));
    expect(await read()).toBeUndefined();
    await reports.clear();
    await reports.without(async () => undefined);
    expect(readFileSync(join(root, 'outside', 'lcov.info'), 'utf8')).toBe('theirs');
  });
});
