import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { artifactsIn, keepArtifacts } from './artifacts.ts';

let root: string;
let work: string;
let target: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nightshift-artifacts-'));
  [work, target] = [join(root, 'work'), join(root, 'records', 'artifacts')];
  mkdirSync(artifactsIn(work), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const leave = (name: string, text: string): void => writeFileSync(join(artifactsIn(work), name), text);

test('as many are kept as the limits let, and the others are named', async () => {
  for (const name of ['a', 'b', 'd']) leave(name, 'x'.repeat(40));
  leave('c', '');
  truncateSync(join(artifactsIn(work), 'b'), 10 ** 12); // a hole costs an agent nothing
  expect(await keepArtifacts(work, target, { files: 2, bytes: 100 })).toEqual({ kept: 2, leftOut: ['b', 'd'] });
  expect(readdirSync(target)).toEqual(['a', 'c']);
  expect(readFileSync(join(target, 'a'), 'utf8')).toBe('x'.repeat(40));
});

test('among very many names only the first are looked at', async () => {
  for (let index = 0; index < 10; index++) mkdirSync(join(artifactsIn(work), `a${index}`));
  leave('b', 'x');
  const { kept, leftOut } = await keepArtifacts(work, target, { files: 1, bytes: 100 });
  expect([kept, leftOut.length]).toEqual([0, 11]);
});

test('none are looked for behind a link, wherever it stands on the way', async () => {
  writeFileSync(join(root, 'secret'), 'secret');
  symlinkSync(join(root, 'secret'), join(artifactsIn(work), 'link'));
  expect(await keepArtifacts(work, target)).toEqual({ kept: 0, leftOut: ['link'] });
  for (const place of [artifactsIn(work), dirname(artifactsIn(work))]) {
    rmSync(place, { recursive: true });
    symlinkSync(root, place);
    expect(await keepArtifacts(work, target)).toEqual({ kept: 0, leftOut: [] });
  }
  expect(await keepArtifacts(join(root, 'nowhere'), target)).toEqual({ kept: 0, leftOut: [] });
});
