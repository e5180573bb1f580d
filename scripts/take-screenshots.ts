import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { startBrowser } from '../test/support/browser.ts';
import { spawnServer, until } from '../test/support/server-process.ts';

/**
 * The pictures of the README, of a real server that has run the demo and a few commands: `node scripts/take-screenshots.ts`.
 * All of it is made up here, so that nothing of anybody's gets into them.
 */
const images = fileURLToPath(new URL('../docs/images/', import.meta.url));
const token = 'an-owner-key-for-pictures-0123456789';
const root = mkdtempSync(join(tmpdir(), 'nightshift-pictures-'));
const home = join(root, 'home');
mkdirSync(home);
mkdirSync(images, { recursive: true });
const server = spawnServer(home, {
  NIGHTSHIFT_TOKEN: token,
  LLM_PROVIDER: 'rehearsal',
  NIGHTSHIFT_DRAIN_SECONDS: '0',
  MAX_CONCURRENT_RUNS: '4',
});
const browser = await startBrowser();
try {
  const address = await server.address;
  const call = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const response = await fetch(`${address}/api${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  const submit = (title: string, body: string, more: object = {}) => call('POST', '/tasks', { title, engine: 'command', body, ...more });

  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', reducedMotion: 'reduce' });
  const page = await context.newPage();
  const { code } = await call<{ code: string }>('POST', '/session/code');
  await page.goto(`${address}/#login=${code}`);
  await page.getByRole('heading', { name: 'Now' }).waitFor({ timeout: 120_000 });

  const { taskId } = await call<{ taskId: string }>('POST', '/demo');
  const demo = () => call<{ status: string; runs: readonly { id: string }[] }>('GET', `/tasks/${taskId}`);
  await until('the demo to be over', async () => (await demo()).status === 'succeeded', 120);
  for (const title of ['Count the files', 'Check the links of the handbook', 'Update the list of licences']) await submit(title, 'true');
  await submit('Index the archive', 'sleep 600');
  await submit('Rotate the logs', 'sleep 600', { priority: 'low' });
  await submit('Drop the tables of last year', 'true', { needsApproval: true, priority: 'high' });
  await submit('Release 2.4', 'true', { notBefore: new Date(Date.now() + 10 * 3_600_000).toISOString() });
  await page.goto(address);
  await page.getByText('Update the list of licences').waitFor();
  await page.getByText('Rotate the logs').first().waitFor();
  await take(page, 'now');

  await page.goto(`${address}/runs/${(await demo()).runs[0]?.id}`);
  await page.getByText('3 passed, 0 failed').waitFor();
  await page.getByRole('tab', { name: /Changes/ }).click();
  await page.locator('.diff .added').first().waitFor();
  await take(page, 'run');
} finally {
  await browser.close();
  server.child.kill('SIGTERM');
  await server.exited;
  rmSync(root, { recursive: true, force: true });
}

async function take(page: Page, name: string): Promise<void> {
  await page.locator('.connection').getByText('Live').waitFor();
  await page.screenshot({ path: join(images, `${name}.png`), animations: 'disabled' });
}
