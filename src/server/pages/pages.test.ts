import { hash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { Hono } from 'hono';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { asOrdinaryUser } from '../../../test/support/ordinary-user.ts';
import { until } from '../../../test/support/server-process.ts';
import { systemClock } from '../../platform/clock.ts';
import { silentLog } from '../../platform/log.ts';
import type { AppEnv } from '../env.ts';
import { openPages, type Pages } from './pages.ts';
import { servePages } from './serve.ts';

let root: string;
let pages: Pages;
let app: Hono<AppEnv>;

/** An installation whose build writes what it is told to, so that a test takes no longer than it must. */
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nightshift-pages-'));
  mkdirSync(join(root, 'web', 'src'), { recursive: true });
  mkdirSync(join(root, 'scripts'));
  writeFileSync(join(root, 'package.json'), '{"dependencies":{"react":"1.0.0"}}');
  writeFileSync(join(root, 'secret'), 'a secret');
  writeFileSync(join(root, 'web', 'src', 'main.tsx'), 'export {};');
  writeFileSync(join(root, 'scripts', 'draw-icon.ts'), '');
  builds(`
    const { mkdirSync, writeFileSync } = await import('node:fs');
    const { gzipSync, brotliCompressSync } = await import('node:zlib');
    const { fingerprintOf } = await import(${JSON.stringify(new URL('./fingerprint.ts', import.meta.url).href)});
    const dist = ${JSON.stringify(join(root, 'web', 'dist'))};
    mkdirSync(dist + '/assets', { recursive: true });
    const files = {};
    const put = (name, type, text) => {
      for (const [suffix, body] of [['', text], ['.gz', gzipSync(text)], ['.br', brotliCompressSync(text)]]) writeFileSync(dist + '/' + name + suffix, body);
      files[name] = { type, etag: 'W/"' + name + '"', immutable: name.startsWith('assets/'), compressed: true };
    };
    put('index.html', 'text/html; charset=utf-8', '<p>the shell</p>');
    put('assets/app-1.js', 'text/javascript; charset=utf-8', 'run()');
    writeFileSync(dist + '/build.json', JSON.stringify({ fingerprint: await fingerprintOf(${JSON.stringify(root)}), files }));
  `);
  open();
});
afterEach(async () => {
  await pages.stop();
  rmSync(root, { recursive: true, force: true });
});

const builds = (program: string): void => writeFileSync(join(root, 'scripts', 'build-web.ts'), program);

function open(): void {
  pages = openPages({ root, clock: systemClock, log: silentLog, env: { PATH: process.env['PATH'] ?? '' } });
  app = new Hono<AppEnv>();
  app.use(servePages(pages, (path) => path === '/metrics'));
  app.all('*', (context) => context.text('no page', 404));
}

const html = { accept: 'text/html,application/xhtml+xml' };
const get = async (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Response> =>
  app.request(path, { method, headers });

async function ready(): Promise<void> {
  pages.prepare();
  await until('the pages to be ready', () => pages.state().kind === 'ready', 20);
}

describe('the dashboard', () => {
  test('is built at the first visit, which is told so and comes back by itself', async () => {
    const first = await get('/', html);
    expect(first.status).toBe(503);
    expect(first.headers.get('retry-after')).toBe('2');
    expect(first.headers.get('cache-control')).toBe('no-store');
    const text = await first.text();
    expect(text).toContain('The dashboard is being prepared');
    expect(text).toContain('http-equiv="refresh"');
    // A login link has its code behind the `#`, and to a browser a refresh of such an address loads nothing.
    const [, script = ''] = /<script>(.*)<\/script>/.exec(text) ?? [];
    expect(script).toContain('location.reload()');
    expect(first.headers.get('content-security-policy')).toContain(`script-src 'sha256-${hash('sha256', script, 'base64')}'`);
    await ready();
    expect(await (await get('/', html)).text()).toBe('<p>the shell</p>');
  });

  test('is not built again while its sources are the same, and is when they change', async () => {
    await ready();
    builds('throw new Error("not again")');
    const before = readFileSync(join(root, 'web', 'dist', 'build.json'), 'utf8');
    // The program that builds is itself one of the sources.
    open();
    pages.prepare();
    await until('the build to fail', () => pages.state().kind === 'unavailable', 20);
    writeFileSync(join(root, 'scripts', 'build-web.ts'), '');
    const { fingerprintOf } = await import('./fingerprint.ts');
    writeFileSync(
      join(root, 'web', 'dist', 'build.json'),
      JSON.stringify({ ...(JSON.parse(before) as object), fingerprint: await fingerprintOf(root) }),
    );
    open();
    await ready();
    expect((await get('/', html)).status).toBe(200);
  });

  test('goes on as it is when it is built anew under a running server', async () => {
    await ready();
    rmSync(join(root, 'web', 'dist'), { recursive: true });
    expect(await (await get('/', html)).text()).toBe('<p>the shell</p>');
    expect((await get('/assets/app-1.js')).status).toBe(200);
  });

  test('that cannot be built says why and what to do, and everything else goes on', async () => {
    builds('console.error("no such thing as vite"); process.exit(1)');
    pages.prepare();
    await until('the build to fail', () => pages.state().kind === 'unavailable', 20);
    const answer = await get('/', html);
    expect(answer.status).toBe(503);
    const text = await answer.text();
    expect(text).toContain(`Run \`npm run build\` in ${root}`);
    expect(text).toContain('no such thing as vite');
    expect(text).not.toContain('http-equiv="refresh"');
    expect((await get('/api/tasks', html)).status).toBe(404);
  });

  test('in a read-only installation says that somebody who may write has to build it', async () => {
    chmodSync(root, 0o755);
    chmodSync(join(root, 'web'), 0o555);
    await asOrdinaryUser(async () => {
      pages.prepare();
      await until('the pages to be given up', () => pages.state().kind === 'unavailable', 20);
    });
    expect(pages.state()).toMatchObject({
      why: expect.stringContaining('cannot be written. Run `npm run build` there as a user who may write'),
    });
  });

  test('is one shell for every page, compressed as the browser likes it', async () => {
    await ready();
    for (const path of ['/', '/tasks', '/tasks/tsk_01ARZ3NDEKTSV4RRFFQ69G5FAV', '/anything/at/all']) {
      const answer = await get(path, { ...html, 'accept-encoding': 'gzip, deflate, br' });
      expect(answer.status, path).toBe(200);
      expect(answer.headers.get('content-encoding')).toBe('br');
      expect(answer.headers.get('vary')).toBe('accept-encoding');
      expect(brotliDecompressSync(Buffer.from(await answer.arrayBuffer())).toString()).toBe('<p>the shell</p>');
    }
    const gzipped = await get('/', { ...html, 'accept-encoding': 'gzip;q=0.5, br;q=0' });
    expect(gunzipSync(Buffer.from(await gzipped.arrayBuffer())).toString()).toBe('<p>the shell</p>');
    expect((await get('/', html)).headers.get('content-encoding')).toBeNull();
  });

  test('lets files with a digest in their name be kept for ever, and has the shell asked for each time', async () => {
    await ready();
    const asset = await get('/assets/app-1.js');
    expect(await asset.text()).toBe('run()');
    expect(asset.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    const shell = await get('/', html);
    expect(shell.headers.get('cache-control')).toBe('no-cache');
    expect((await get('/', { ...html, 'if-none-match': shell.headers.get('etag') ?? '' })).status).toBe(304);
    const head = await get('/assets/app-1.js', {}, 'HEAD');
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '5', '']);
  });

  test('is under a policy that lets in nothing from elsewhere and nothing inline', async () => {
    await ready();
    const policy = (await get('/', html)).headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toMatch(/unsafe|https?:|\*|data:/);
  });

  test('serves the files of the build and nothing else', async () => {
    await ready();
    for (const path of [
      '/build.json',
      '/index.html.br',
      '/../secret',
      '/%2e%2e/secret',
      '/..%2fsecret',
      '/assets/../../../secret',
      '/assets/%2e%2e%2f%2e%2e%2f%2e%2e%2fsecret',
      '/assets/',
      '/assets/app-2.js',
      '/__proto__',
      '/constructor',
      '/assets/app-1.js%00.html',
    ]) {
      const answer = await get(path);
      expect([answer.status, await answer.text()], path).toEqual([404, 'no page']);
    }
    for (const path of ['/api/tasks', '/api/nothing', '/metrics']) expect((await get(path, html)).status, path).toBe(404);
    expect((await get('/', html, 'POST')).status).toBe(404);
  });
});
