import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missingBrowser, startBrowser, type Visitor, visit } from '../support/browser.ts';
import { Api, type ApiTask, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer } from '../support/server-process.ts';

/** A server as it is on the first day: no provider, no source. */
describe.skipIf(missingBrowser)('the first visit', () => {
  let root: string;
  let server: ServerProcess;
  let address: string;
  let api: Api;
  let browser: Browser;
  let person: Visitor;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-first-'));
    for (const name of ['home', 'tmp']) mkdirSync(join(root, name));
    server = spawnServer(join(root, 'home'), { NIGHTSHIFT_TOKEN: testToken, TMPDIR: join(root, 'tmp'), NIGHTSHIFT_DRAIN_SECONDS: '0' });
    address = await server.address;
    api = new Api(address, testToken);
    browser = await startBrowser();
    person = await visit(browser, address);
  });
  afterAll(async () => {
    await person?.context.close();
    await browser?.close();
    server?.child.kill('SIGTERM');
    expect((await server?.exited)?.code, server?.output()).toBe(0);
    rmSync(root, { recursive: true, force: true });
  });

  test('says what is missing, each with the command that mends it', async () => {
    const { page } = person;
    const { body } = await api.call<{ code: string }>('POST', '/api/session/code');
    await page.goto(`${address}/#login=${body.code}`);
    const hints = page.getByRole('region', { name: 'What is missing here' });
    await hints.waitFor({ timeout: 60_000 });
    await hints.getByText('LLM_API_KEY=sk-ant-… npm start').waitFor();
    await hints.getByText('TODO_FILES=/srv/app/TODO.md npm start').waitFor();
  });

  test('runs the demo at the press of a button, and shows it live until the change is there', async () => {
    const { page } = person;
    await page.getByRole('button', { name: 'Run the demo' }).click();
    await page.waitForURL(/\/runs\/run_/);
    await page.locator('.transcript').getByText('I will look at the code and run the tests.').waitFor();
    await page.locator('.run-line').getByText('Succeeded').waitFor();
    await page.locator('.result').getByText('3 passed, 0 failed').waitFor();
    await page.getByRole('tab', { name: /Changes/ }).click();
    await page.locator('.diff .added', { hasText: 'return hour >= shift.from || hour < shift.to;' }).waitFor();
    expect(await page.locator('.delivery').count()).toBe(0);
    const { items } = (await api.call<{ items: ApiTask[] }>('GET', '/api/tasks')).body;
    expect(items).toMatchObject([{ source: 'demo', status: 'succeeded' }]);
    expect(person.faults).toEqual([]);
  });

  test('offers it again afterwards, and leaves it to the command line for who may only look', async () => {
    const { page } = person;
    await page.goto(address);
    await page.getByRole('button', { name: 'Run the demo' }).waitFor();
    const { body } = await api.call<{ secret: string }>('POST', '/api/keys', { body: { name: 'looks', role: 'viewer' } });
    const viewer = await visit(browser, address);
    await viewer.page.goto(address);
    await viewer.page.getByLabel('API key').fill(body.secret);
    await viewer.page.getByRole('button', { name: 'Log in' }).click();
    await viewer.page.getByText('npx nightshift demo').waitFor();
    expect(await viewer.page.getByRole('button', { name: 'Run the demo' }).count()).toBe(0);
    await viewer.context.close();
  });
});
