import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { missingBrowser, startBrowser, type Visitor, visit } from '../support/browser.ts';
import { fillPast } from '../support/past.ts';
import { Api, type ApiTask, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer } from '../support/server-process.ts';

/** A server that has been at work for weeks: what it has to show for itself, and what waits for a person. */
describe.skipIf(missingBrowser)('the dashboard of a server with a past', () => {
  let home: string;
  let server: ServerProcess;
  let address: string;
  let api: Api;
  let browser: Browser;
  let person: Visitor;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'nightshift-past-'));
    const store = await openStore({ home, databaseUrl: undefined });
    await fillPast(store, Date.now());
    await store.close();
    server = spawnServer(home, { NIGHTSHIFT_TOKEN: testToken, LLM_PROVIDER: 'rehearsal', NIGHTSHIFT_DRAIN_SECONDS: '0', PORT: '0' });
    address = await server.address;
    api = new Api(address, testToken);
    browser = await startBrowser();
    person = await signedIn('light');
  });

  afterAll(async () => {
    await person?.context.close();
    await browser?.close();
    server?.child.kill('SIGTERM');
    await server?.exited;
    rmSync(home, { recursive: true, force: true });
  });

  async function signedIn(colorScheme: 'light' | 'dark', key = testToken): Promise<Visitor> {
    const visitor = await visit(browser, address, { colorScheme, reducedMotion: 'reduce' });
    await visitor.page.goto(address);
    await visitor.page.getByLabel('API key').fill(key, { timeout: 60_000 });
    await visitor.page.getByRole('button', { name: 'Log in' }).click();
    await visitor.page.getByRole('heading', { name: 'Now' }).waitFor();
    return visitor;
  }

  test('tells what became of the work as pictures and as tables, which say the same as the server', async () => {
    const { page } = person;
    await page.goto(`${address}/trends`);
    const velocity = page.locator('figure', { hasText: 'Velocity' });
    await velocity.locator('canvas').waitFor();
    // What the gates said is an answer of its own.
    await page.locator('figure canvas').nth(4).waitFor();
    expect(await inked(page, 'figure canvas')).toEqual([true, true, true, true, true]);

    const { body } = await api.call<{ days: { day: string; succeeded: number; failed: number; cancelled: number }[] }>(
      'GET',
      '/api/trends',
    );
    const last = body.days.at(-2);
    // Reached and opened with the keyboard alone.
    await velocity.locator('summary').focus();
    await page.keyboard.press('Enter');
    const row = velocity.getByRole('row', { name: new RegExp(`^${last?.day}`) });
    await row.waitFor();
    expect(await row.getByRole('cell').allTextContents()).toEqual([last?.succeeded, last?.failed, last?.cancelled].map(String));

    await page.getByRole('button', { name: 'A year' }).click();
    await velocity.getByText('in each week').waitFor();
    await page.getByLabel('Repository').selectOption({ index: 1 });
    await page.locator('figure', { hasText: 'What the gates left' }).locator('canvas').waitFor();
  });

  test('shows its nodes, what holds around agents, and how it stands', async () => {
    const { page } = person;
    await page.goto(`${address}/safety`);
    await page.locator('section[aria-label="Nodes"]').getByText('This one').waitFor();
    await page.getByRole('button', { name: 'Examine now' }).click();
    await page.locator('section[aria-label="Health"] .check').first().waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Back up now' }).click();
    await page.locator('section[aria-label="Backups"] .item').first().waitFor({ timeout: 60_000 });
  });

  test('tells what a run has cost, call by call', async () => {
    const { page } = person;
    const { items } = (await api.call<{ items: ApiTask[] }>('GET', '/api/tasks?status=succeeded&limit=1')).body;
    await page.goto(`${address}/runs/${items[0]?.runs[0]?.id}`);
    await page.getByRole('tab', { name: 'Cost' }).click();
    await page.locator('figure canvas').waitFor();
    await page.locator('summary', { hasText: 'As a table' }).click();
    expect(await page.locator('.chart-table tbody tr').count()).toBe(4);
  });

  describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
    test('has no fault that axe can find, and nothing moves when it comes', async () => {
      const visitor = await signedIn(colorScheme);
      const { page } = visitor;
      for (const width of colorScheme === 'light' ? [1440, 390] : [1440]) {
        await page.setViewportSize({ width, height: 900 });
        for (const [path, ready] of pages) {
          await page.goto(address + path);
          await page.locator(ready).first().waitFor();
          expect(await moved(page), `${path} at ${width} moves while it is built`).toBeLessThan(0.02);
          const overflow = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
          expect(await page.evaluate(overflow), `${path} at ${width} scrolls sideways`).toBeLessThanOrEqual(0);
          const { violations } = await new AxeBuilder({ page })
            .options({ resultTypes: ['violations'] })
            .setLegacyMode()
            .analyze();
          expect(
            violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
            `${path} at ${width}`,
          ).toEqual([]);
        }
      }
      expect(visitor.faults).toEqual([]);
      await visitor.context.close();
    });
  });

  test('offers a viewer nothing to do', async () => {
    const { body } = await api.call<{ secret: string }>('POST', '/api/keys', { body: { name: 'onlooker', role: 'viewer' } });
    const { page, context, faults } = await signedIn('light', body.secret);
    for (const [path, ready] of [
      ['/trends', 'figure canvas'],
      ['/approvals', '.request'],
      ['/safety', '.check'],
    ] as const) {
      await page.goto(address + path);
      await page.locator(ready).first().waitFor();
      expect(
        await page
          .locator('main')
          .getByRole('button', { name: /Approve|Deny|Try again|Raise|Examine|Back up|Silence|Reset/ })
          .count(),
        path,
      ).toBe(0);
    }
    expect(faults).toEqual([]);
    await context.close();
  });

  test('puts before a person what waits for one, with all that can be said about it', async () => {
    const { page } = person;
    await page.goto(address);
    await page.getByRole('link', { name: '3 need a person' }).click();
    const request = (title: string) => page.locator('.request', { hasText: title });
    await request('Rewrite the session store').getByText('who is not known here').waitFor();

    const dear = request('Port the importer to streams');
    await dear.getByLabel('What all its attempts together').fill('3');
    await dear.getByRole('button', { name: 'Raise the budget' }).click();
    await dear.getByText('raise it to more than that').waitFor();
    await dear.getByRole('radio', { name: 'Give up' }).check();
    await dear.getByLabel('Why, for the record').fill('Not worth it.');
    await dear.getByRole('button', { name: 'Give up' }).click();
    await dear.waitFor({ state: 'detached' });

    const stuck = request('Make the export resumable');
    await stuck.getByRole('radio', { name: 'Take over' }).focus();
    await page.keyboard.press('Space');
    await stuck.getByRole('button', { name: 'Take over' }).click();
    await page.getByText('Make the export resumable is yours').waitFor();
    await page.locator('section[aria-label^="Taken over"]').getByText('three in a row led nowhere new').waitFor();

    await request('Rewrite the session store').getByRole('button', { name: /^Deny/ }).click();
    await page.getByText('Nothing waits for you').waitFor();
    const { items } = (await api.call<{ items: ApiTask[] }>('GET', '/api/tasks?limit=3')).body;
    expect(items.map(({ title, status, reason }) => [title, status, reason?.code ?? null])).toEqual([
      ['Port the importer to streams', 'cancelled', 'given-up'],
      ['Make the export resumable', 'cancelled', 'taken-over'],
      ['Rewrite the session store', 'cancelled', null],
    ]);
  });

  test('did nothing in all this that it should not have', () => {
    expect(person.faults).toEqual([]);
  });
});

const pages = [
  ['/trends', 'figure canvas'],
  ['/approvals', '.request form'],
  ['/safety', '.check'],
] as const;

/** How much of what was seen has moved by itself, as browsers count it. */
const moved = (page: Page): Promise<number> =>
  page.evaluate(`new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries().reduce((sum, each) => sum + (each.hadRecentInput ? 0 : each.value), 0)))
      .observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => resolve(0), 200);
  })`);

/** Whether anything has been drawn there. */
const inked = (page: Page, canvas: string): Promise<readonly boolean[]> =>
  page.locator(canvas).evaluateAll((all) =>
    all.map((each) => {
      const { width, height } = each as unknown as { width: number; height: number };
      const context = (
        each as unknown as { getContext(kind: '2d'): { getImageData(...of: number[]): { data: Uint8ClampedArray } } }
      ).getContext('2d');
      return context.getImageData(0, 0, width, height).data.some((value) => value > 0);
    }),
  );
