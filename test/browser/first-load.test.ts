import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missingBrowser, startBrowser, type Visitor, visit } from '../support/browser.ts';
import { Api, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer } from '../support/server-process.ts';

const dist = fileURLToPath(new URL('../../web/dist/', import.meta.url));

/** How the dashboard comes: what is there at once, what comes later, and what when that does not come. */
describe.skipIf(missingBrowser)('the first load', () => {
  let home: string;
  let server: ServerProcess;
  let address: string;
  let browser: Browser;
  let person: Visitor;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'nightshift-load-'));
    server = spawnServer(home, { NIGHTSHIFT_TOKEN: testToken, NIGHTSHIFT_DRAIN_SECONDS: '0', PORT: '0' });
    address = await server.address;
    browser = await startBrowser();
    // What the service worker answers cannot be withheld.
    person = await visit(browser, address, { serviceWorkers: 'block' });
    await person.page.goto(address);
    await person.page.getByLabel('API key').fill(testToken, { timeout: 60_000 });
    await person.page.getByRole('button', { name: 'Log in' }).click();
    await person.page.getByRole('heading', { name: 'Now' }).waitFor();
  });
  afterAll(async () => {
    await person?.context.close();
    await browser?.close();
    server?.child.kill('SIGTERM');
    await server?.exited;
    rmSync(home, { recursive: true, force: true });
  });

  test('names every script that the first page needs, so that none waits for another to be read', () => {
    const page = readFileSync(join(dist, 'index.html'), 'utf8');
    const named = [...page.matchAll(/"\/assets\/([^"]+\.js)"/g)].map(([, name = '']) => name);
    expect(named.some((name) => name.startsWith('show-'))).toBe(true);
    const needed = named.flatMap((name) => [
      ...readFileSync(join(dist, 'assets', name), 'utf8').matchAll(/(?:\bfrom|\bimport)\s*["'`]\.\/([^"'`]+\.js)["'`]/g),
    ]);
    expect(needed.map(([, name = '']) => name).filter((name) => !named.includes(name))).toEqual([]);
  });

  test('shows a sign and asks for the data before the pages have come', async () => {
    const { page } = person;
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route('**/assets/show-*.js', async (route) => {
      await held;
      await route.continue();
    });
    const snapshot = page.waitForResponse('**/api/snapshot');
    await page.goto(address, { waitUntil: 'commit' });
    await page.locator('.arriving').getByText('Loading…').waitFor();
    expect((await snapshot).status()).toBe(200);
    expect(await page.getByRole('heading', { name: 'Now' }).count()).toBe(0);
    release();
    await page.getByRole('heading', { name: 'Now' }).waitFor();
    await page.unroute('**/assets/show-*.js');
  });

  test('asks once for a run, with its task, when that is the page', async () => {
    const { page } = person;
    // The page before it would ask what the run has cost.
    await page.goto('about:blank');
    const api = new Api(address, testToken);
    const { id } = await api.submit({ title: 'Say something', engine: 'command', body: 'echo said' });
    const { runs } = await api.becomes(id, 'succeeded');
    const asked: string[] = [];
    page.on('request', (request) => {
      const { pathname, search } = new URL(request.url());
      if (pathname.startsWith('/api/')) asked.push(pathname + search);
    });
    await page.goto(`${address}/runs/${runs[0]?.id}`);
    await page.getByRole('heading', { name: 'Say something' }).waitFor();
    await page.getByText('said', { exact: true }).waitFor();
    page.removeAllListeners('request');
    expect(asked.toSorted()).toEqual(['/api/events', `/api/runs/${runs[0]?.id}/events?follow=false`, `/api/snapshot?run=${runs[0]?.id}`]);
  });

  test('comes again by itself, with the page that was wanted, when that is no longer where it was', async () => {
    const { page } = person;
    await page.goto(address);
    let gone = 0;
    await page.route('**/assets/settings-*.js', (route) => {
      gone += 1;
      return gone === 1 ? route.fulfill({ status: 404 }) : route.continue();
    });
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    expect(page.url()).toBe(`${address}/settings`);
    expect(gone).toBe(2);
    await page.unroute('**/assets/settings-*.js');
  });

  test('comes again only once, and then says what is the matter', async () => {
    const page = await person.context.newPage();
    let loads = 0;
    page.on('request', (request) => {
      if (request.isNavigationRequest()) loads += 1;
    });
    await page.route('**/assets/usage-*.js', (route) => route.fulfill({ status: 404 }));
    await page.goto(address);
    await page.getByRole('link', { name: 'Usage' }).click();
    await page.getByRole('alert').getByText('This part of the page could not be fetched').waitFor();
    expect(loads).toBe(2);
    // The rest of the page works as before.
    await page.getByRole('link', { name: 'Notes' }).click();
    await page.getByRole('heading', { name: 'Notes' }).waitFor();
    await page.close();
  });

  test('broke no rule on the way', () => {
    expect(person.faults).toEqual([]);
  });
});
