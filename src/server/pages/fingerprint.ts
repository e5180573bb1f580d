import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

/**
 * What the dashboard is built from, as one short text: its sources, and the packages that go into it or make it.
 * Contents decide, not times: a copied or unpacked tree has new times and the same contents.
 */
export async function fingerprintOf(root: string): Promise<string> {
  const hash = createHash('sha256');
  const files = (await readdir(join(root, 'web'), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/\/web\/\.?dist|\.test\.tsx?$/.test(path))
    .sort();
  for (const path of files)
    hash
      .update(`${relative(root, path)}\0`)
      .update(await readFile(path))
      .update('\0');
  for (const name of ['build-web.ts', 'draw-icon.ts']) hash.update(await readFile(join(root, 'scripts', name)));
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { dependencies: Record<string, string> };
  for (const name of ['@tanstack/react-virtual', 'react', 'react-dom', 'vite']) hash.update(`${name}@${dependencies[name]}\0`);
  return hash.digest('hex').slice(0, 32);
}
