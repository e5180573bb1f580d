import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'vite';
import { type Built, type BuiltFile, readBuilt } from '../src/server/pages/built.ts';
import { fingerprintOf } from '../src/server/pages/fingerprint.ts';
import { drawIcon } from './draw-icon.ts';

/**
 * Builds the dashboard into web/dist: `npm run build`, and what a server runs by itself when there is none yet. It is made
 * beside its place and renamed into it whole, so that whoever serves or builds at the same time never sees half of one.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const web = join(root, 'web');
const dist = join(web, 'dist');

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
};

const fingerprint = await fingerprintOf(root);
await clearLeftovers();
const fresh = await mkdtemp(join(web, '.dist-'));
try {
  await build({ root: web, configFile: join(web, 'vite.config.ts'), logLevel: 'warn', build: { outDir: fresh, emptyOutDir: true } });
  for (const size of [192, 512]) await writeFile(join(fresh, `icon-${size}.png`), drawIcon(size));
  await nameShell();
  const built: Built = { fingerprint, files: await describe() };
  await writeFile(join(fresh, 'build.json'), JSON.stringify(built));
  await chmod(fresh, 0o755); // whoever serves may be another than who built
  await putInPlace();
} finally {
  await rm(fresh, { recursive: true, force: true });
}

/** The service worker keeps the shell for offline; what that consists of is known only now. */
async function nameShell(): Promise<void> {
  const names = (await readdir(fresh, { recursive: true })).filter((name) => /^(assets\/|icon|manifest)/.test(name));
  const worker = join(fresh, 'sw.js');
  const text = await readFile(worker, 'utf8');
  const marker = /(["'`])__SHELL__\1/;
  if (!marker.test(text)) throw new Error('sw.js does not say where the names of the files go.');
  const shell = { version: fingerprint, files: names.map((name) => `/${name}`) };
  await writeFile(
    worker,
    text.replace(marker, () => JSON.stringify(JSON.stringify(shell))),
  );
}

async function describe(): Promise<Record<string, BuiltFile>> {
  const files: Record<string, BuiltFile> = {};
  for (const name of (await readdir(fresh, { recursive: true })).sort()) {
    if (!(await stat(join(fresh, name))).isFile()) continue;
    const type = types[extname(name)];
    if (type === undefined) throw new Error(`${name} is of no type that is served.`);
    const body = await readFile(join(fresh, name));
    const compressed = type !== 'image/png';
    if (compressed) {
      await writeFile(join(fresh, `${name}.br`), brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: body.length } }));
      await writeFile(join(fresh, `${name}.gz`), gzipSync(body, { level: 9 }));
    }
    const etag = `W/"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    files[name] = { type, etag, immutable: name.startsWith('assets/'), compressed };
  }
  return files;
}

/** Somebody else may have been faster with the same; what is there then is as good as ours. */
async function putInPlace(): Promise<void> {
  const aside = `${fresh}-old`;
  if (existsSync(dist)) await rename(dist, aside).catch(() => undefined);
  try {
    await rename(fresh, dist);
  } catch (error) {
    if ((await readBuilt(dist))?.fingerprint !== fingerprint) throw error;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

/** Of builds that were killed. */
async function clearLeftovers(): Promise<void> {
  const hourAgo = Date.now() - 3_600_000;
  for (const name of (await readdir(web)).filter((each) => each.startsWith('.dist-'))) {
    const { mtimeMs } = await stat(join(web, name)).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (mtimeMs < hourAgo) await rm(join(web, name), { recursive: true, force: true });
  }
}
