import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missingBrowser, startBrowser, type Visitor, visit } from '../support/browser.ts';
import { type PushService, startPushService } from '../support/push-service.ts';
import { Api, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';

describe.skipIf(missingBrowser)('a browser that wants to be told', () => {
  let root: string;
  let server: ServerProcess;
  let service: PushService;
  let address: string;
  let api: Api;
  let browser: Browser;
  let person: Visitor;

  async function begin(port = '0'): Promise<void> {
    server = spawnServer(join(root, 'home'), {
      NIGHTSHIFT_TOKEN: testToken,
      NIGHTSHIFT_PUSH_SERVICES: service.origin,
      NIGHTSHIFT_DRAIN_SECONDS: '0',
      PORT: port,
    });
    address = await server.address;
    api = new Api(address, testToken);
  }
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-told-'));
    mkdirSync(join(root, 'home'));
    service = await startPushService();
    await begin();
    browser = await startBrowser();
    person = await visit(browser, address, { permissions: ['notifications'] });
    const { body } = await api.call<{ code: string }>('POST', '/api/session/code');
    await person.page.goto(`${address}/#login=${body.code}`);
    await live();
  });
  afterAll(async () => {
    await person?.context.close();
    await browser?.close();
    server?.child.kill('SIGTERM');
    expect((await server?.exited)?.code, server?.output()).toBe(0);
    await service?.close();
    rmSync(root, { recursive: true, force: true });
  });

  const live = () => person.page.locator('.connection').getByText('Live').waitFor({ timeout: 110_000 });
  const asks = (title: string) => api.submit({ title, needsApproval: true });
  const shown = (): Promise<readonly string[]> =>
    person.page.evaluate(
      'navigator.serviceWorker.ready.then((worker) => worker.getNotifications()).then((all) => all.map(({ title }) => title))',
    );

  test('is told in the page while somebody looks at it', async () => {
    await asks('Drop the old tables');
    await person.page.locator('.toast').getByText('Needs approval: Drop the old tables').waitFor();
    expect(await shown()).toEqual([]);
  });

  test('is told by a notification while nobody looks, once the button was pressed', async () => {
    const { page } = person;
    await page.goto(`${address}/settings`);
    await live();
    await page.getByRole('button', { name: 'Turn on notifications' }).click();
    await page.getByText('You are told while a page of the dashboard is open.').waitFor();
    await page.evaluate('Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" })');
    await asks('Rename the company');
    await until('the notification to be shown', async () => (await shown()).includes('Needs approval: Rename the company'));
    await page.getByRole('button', { name: 'Turn off notifications' }).click();
    await page.getByRole('button', { name: 'Turn on notifications' }).waitFor();
  });

  test('is told by the server where there is a push service, and a tap opens the task', async () => {
    const { page } = person;
    // The browser of these tests has no push service, so what it would say of one is said for it.
    const { subscription, notes } = service.subscribe();
    await page.addInitScript(
      `const own = { toJSON: () => (${JSON.stringify(subscription)}), unsubscribe: async () => true, options: { applicationServerKey: null } };
       let given = null;
       PushManager.prototype.getSubscription = async () => given;
       PushManager.prototype.subscribe = async () => (given = own);`,
    );
    await page.goto(`${address}/settings`);
    await live();
    await page.getByRole('button', { name: 'Turn on notifications' }).click();
    await page.getByText('You are told also when no page is open').waitFor();
    const { id } = await asks('Sell the house');
    await until('the note to come', () => notes.length === 1);
    expect(notes[0]).toMatchObject({ title: 'Needs approval: Sell the house', path: `/tasks/${id}` });

    const devtools = await person.context.newCDPSession(page);
    const registered = new Promise<string>((resolve) => {
      devtools.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
        for (const { registrationId } of registrations) resolve(registrationId);
      });
    });
    await devtools.send('ServiceWorker.enable');
    const data = JSON.stringify(notes[0]);
    await devtools.send('ServiceWorker.deliverPushMessage', { origin: address, registrationId: await registered, data });
    await until('it to be shown', async () => (await shown()).includes('Needs approval: Sell the house'));
    const [worker] = person.context.serviceWorkers();
    await worker?.evaluate(`self.registration.getNotifications().then((all) => {
      const notification = all.find(({ title }) => title.endsWith('Sell the house'));
      self.dispatchEvent(new NotificationEvent('notificationclick', { notification }));
    })`);
    await page.waitForURL(`${address}/tasks/${id}`);
    await page.locator('.panel').getByText('Sell the house').first().waitFor();
  });

  test('misses nothing of what happened while the server was killed and its own line was down, without a reload', async () => {
    const { page, context } = person;
    await page.goto(`${address}/tasks`);
    await live();
    await page.evaluate('window.mark = "the same page"');
    const torn = await api.submit({ title: 'Torn by the kill', engine: 'command', body: 'sleep 2' });
    await page.locator('.rows li', { hasText: torn.title }).getByText('Running').waitFor();
    await context.setOffline(true);
    server.child.kill('SIGKILL');
    await server.exited;
    await begin(new URL(address).port);
    const between = [];
    for (let each = 1; each <= 5; each += 1) between.push(await api.submit({ title: `In between ${each}`, engine: 'command' }));
    const red = await api.submit({ title: 'Fails in between', engine: 'command', body: 'false', maxAttempts: 1 });
    for (const { id } of [torn, ...between]) await api.becomes(id, 'succeeded');
    await api.becomes(red.id, 'failed', 'escalated');
    await context.setOffline(false);
    await live();
    for (const { title } of [torn, ...between]) await page.locator('.rows li', { hasText: title }).getByText('Succeeded').waitFor();
    await page.locator('.toast').getByText(': Fails in between').first().waitFor();
    expect(await page.evaluate('window.mark')).toBe('the same page');
    const ids = (await page.evaluate('[...document.querySelectorAll(".rows li")].map((each) => each.textContent)')) as string[];
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('can be installed: a manifest, icons that are there, and a worker', async () => {
    const devtools = await person.context.newCDPSession(person.page);
    const { installabilityErrors } = (await devtools.send('Page.getInstallabilityErrors')) as {
      installabilityErrors: readonly { errorId: string }[];
    };
    expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito')).toEqual([]);
    // That a private window has no push service is what the tests make up for.
    expect(person.faults.filter((fault) => !fault.includes('support the Push API in incognito'))).toEqual([]);
  });
});
