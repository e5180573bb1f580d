import { createHmac } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AxeBuilder } from '@axe-core/playwright';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { idPrefixes } from '../../src/domain/id.ts';
import type { Task } from '../../src/domain/task.ts';
import { createIds } from '../../src/platform/ids.ts';
import type { DeliveryView } from '../../src/server/views.ts';
import { append } from '../../src/store/journal.ts';
import { openStore } from '../../src/store/open.ts';
import { insertRuns } from '../../src/store/runs.ts';
import { insertTasks } from '../../src/store/tasks.ts';
import { missingBrowser, startBrowser, type Visitor, visit } from '../support/browser.ts';
import { ManualClock } from '../support/clock.ts';
import { git } from '../support/git-world.ts';
import { Api, type ApiTask, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';

const dist = fileURLToPath(new URL('../../web/dist/', import.meta.url));
const sample = fileURLToPath(new URL('../../demo/repository/', import.meta.url));

const manyTasks = 10_000;
const manyEvents = 20_000;

/** The real server with the real agent, whose model follows a script, and a real browser in front of it. */
describe.skipIf(missingBrowser)('the dashboard', () => {
  let root: string;
  let home: string;
  let repository: string;
  let server: ServerProcess;
  let address: string;
  let api: Api;
  let browser: Browser;
  let person: Visitor;
  let longRun: string;
  /** Where alerts go: it will have none of them. */
  let deafEar: Server;
  let deafAddress: string;
  let refusals = 0;

  async function begin(port = '0'): Promise<void> {
    server = spawnServer(home, {
      NIGHTSHIFT_TOKEN: testToken,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_DRAIN_SECONDS: '0',
      MAX_CONCURRENT_RUNS: '2',
      ALERT_WEBHOOK_URL: deafAddress,
      ALERT_WEBHOOK_SECRET: 'a-long-shared-secret',
      PORT: port,
    });
    address = await server.address;
    api = new Api(address, testToken);
  }
  async function end(): Promise<void> {
    server.child.kill('SIGTERM');
    expect((await server.exited).code, server.output()).toBe(0);
  }

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'nightshift-browser-'));
    home = join(root, 'home');
    repository = join(root, 'repository');
    mkdirSync(home);
    cpSync(sample, repository, { recursive: true });
    git(repository, 'init', '--quiet', '--initial-branch=main');
    git(repository, 'add', '--all', '--force');
    git(repository, 'commit', '--quiet', '-m', 'first');
    longRun = await fill(home);
    writeFileSync(join(home, 'nightshift.yaml'), hooks);
    deafEar = createServer((request, response) => {
      // HEAD only asks whether anybody is there.
      if (request.method !== 'HEAD') refusals += 1;
      response.writeHead(410).end();
    });
    await new Promise<void>((resolve) => deafEar.listen(0, '127.0.0.1', resolve));
    deafAddress = `http://127.0.0.1:${(deafEar.address() as AddressInfo).port}/`;
    await begin();
    browser = await startBrowser();
    person = await visit(browser, address);
  });

  afterAll(async () => {
    await person?.context.close();
    await browser?.close();
    if (server) await end();
    deafEar?.close();
    rmSync(root, { recursive: true, force: true });
  });

  const open = (path: string) => person.page.goto(address + path);
  const heading = (name: string | RegExp) => person.page.getByRole('heading', { name }).first();
  const sign = () => person.page.locator('.connection');

  test('prepares itself at the first visit, and then asks who is there', async () => {
    await open('/tasks');
    await person.page.getByLabel('API key').waitFor({ timeout: 60_000 });
    await person.page.getByLabel('API key').fill('not the key at all');
    await person.page.getByRole('button', { name: 'Log in' }).click();
    await person.page.getByText('That API key is not valid here.').waitFor();
  });

  test('weighs at most 150 kB until it can be used, with everything compressed ahead', () => {
    const { files } = JSON.parse(readFileSync(join(dist, 'build.json'), 'utf8')) as { files: Record<string, { immutable: boolean }> };
    const assets = Object.keys(files).filter((name) => name.startsWith('assets/'));
    // What the page names is fetched before anything is shown; the rest when it is first looked at.
    const page = readFileSync(join(dist, 'index.html'), 'utf8');
    const first = ['index.html', ...assets.filter((name) => page.includes(`/${name}"`))];
    expect(assets.some((name) => name.startsWith('assets/chart-') && !first.includes(name))).toBe(true);
    expect(first.length).toBeGreaterThanOrEqual(3);
    expect(first.reduce((sum, name) => sum + statSync(join(dist, `${name}.gz`)).size, 0)).toBeLessThan(150_000);
    expect(assets.filter((name) => !files[name]?.immutable)).toEqual([]);
  });

  test('lets in who comes with a login link, which leaves no trace', async () => {
    const { body } = await api.call<{ code: string }>('POST', '/api/session/code');
    await open(`/#login=${body.code}`);
    await heading('Now').waitFor();
    expect(person.page.url()).toBe(`${address}/`);
    await sign().getByText('Live').waitFor();
    expect(await person.page.evaluate('document.cookie')).toBe('');
  });

  test('creates a task, follows it live to its end, and shows what it changed', async () => {
    const { page } = person;
    await open('/');
    await page.getByRole('button', { name: 'New task' }).click();
    await page.getByLabel('Title', { exact: true }).fill('Fix the failing test');
    await page.getByLabel('Repository').fill(repository);
    await page.getByRole('button', { name: 'Create the task' }).click();
    await heading('Fix the failing test').waitFor();
    await page.getByRole('link', { name: /^Run 1/ }).click();
    await page.locator('.transcript li').first().waitFor();
    await page.locator('.run-line').getByText('Succeeded').waitFor();
    // It has followed the end meanwhile, and holds only what is near that.
    await page.evaluate('scrollTo(0, 0)');
    await page.locator('.transcript').getByText('I will look at the code and run the tests.').waitFor();
    await page.locator('.fold.tool', { hasText: 'Edit' }).waitFor();
    await page.locator('.result').getByText('3 passed, 0 failed').waitFor();
    expect(await page.locator('.delivery .command code').textContent()).toMatch(/^git fetch \S+ nightshift\//);
    const call = page.locator('.fold.tool', { hasText: 'node --test' }).first();
    await call.getByRole('button').click();
    await call.getByText('finds who is on duty over midnight').first().waitFor();
    await page.getByRole('tab', { name: /Changes/ }).click();
    await page.locator('.diff .added', { hasText: 'return hour >= shift.from || hour < shift.to;' }).waitFor();
    expect(await page.locator('.diff .removed').count()).toBe(1);
    await page.getByRole('tab', { name: 'Events' }).click();
    await page.locator('.events').getByText('run.started').waitFor();
    // The address says which view that is: it stays when it is loaded again, and can be sent.
    expect(new URL(page.url()).search).toBe('?tab=events');
    await page.reload();
    await page.locator('.events').getByText('run.started').waitFor();
    await page.evaluate('scrollTo(0, document.documentElement.scrollHeight)');
    await page.locator('.events').getByText('run.finished').waitFor();
  });

  test('shows what the gates said, and puts the files of a run back to a checkpoint once that is confirmed', async () => {
    const { page } = person;
    const { items } = (await api.call<{ items: ApiTask[] }>('GET', '/api/tasks?limit=1')).body;
    const { id = '' } = items[0]?.runs[0] ?? {};
    await open(`/runs/${id}`);
    await page.getByRole('tab', { name: /^Gates/ }).click();
    const gates = page.locator('section[aria-label="Round 1"]');
    await gates.getByText('all green').waitFor();
    const withEvidence = gates.getByRole('button').first();
    await withEvidence.click();
    await gates.locator('.evidence .code').first().waitFor();

    const { path } = (await api.call<{ items: { runId: string; path: string }[] }>('GET', '/api/workspaces')).body.items.find(
      ({ runId }) => runId === id,
    ) ?? { path: '' };
    const spoilt = join(path, 'tree', 'spoilt.txt');
    writeFileSync(spoilt, 'not of the agent');
    await page.getByRole('tab', { name: 'Checkpoints' }).click();
    await page.getByRole('button', { name: 'Rewind checkpoint 1' }).click();
    expect(existsSync(spoilt)).toBe(true);
    await page.getByRole('button', { name: 'Put the files back: checkpoint 1' }).click();
    await page.locator('.toast').getByText('The files are as at checkpoint 1; what they were is checkpoint 2').waitFor();
    expect(existsSync(spoilt)).toBe(false);
    await page.getByText('Checkpoint 2', { exact: true }).waitFor();
    await page.getByRole('tab', { name: 'Events' }).click();
    await page.evaluate('scrollTo(0, document.documentElement.scrollHeight)');
    await page.locator('.events').getByText('owner put the files back to a checkpoint').waitFor();
  });

  test('replays what could not be understood, tests a channel, and discards a dead letter', async () => {
    const { page } = person;
    await open('/sources');
    await page.getByText('Nothing has arrived yet').waitFor();
    const body = JSON.stringify({ note: 'this has no title' });
    const signature = `sha256=${createHmac('sha256', 'a-long-shared-secret').update(body).digest('hex')}`;
    const delivered = await fetch(`${address}/webhook/builds`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-hub-signature-256': signature },
      body,
    });
    expect(delivered.ok).toBe(true);
    // It is told by an event, without a reload.
    await page.getByText('leaves the title of the task empty').waitFor();
    await page.getByRole('button', { name: /^delivery from/ }).click();
    await page.locator('.entry-body .part').getByText('"this has no title"').waitFor();
    const settled = async () => (await api.call<{ items: DeliveryView[] }>('GET', '/api/inbox?state=failed')).body.items[0]?.settledAt;
    const before = await settled();
    await page.getByRole('button', { name: 'Replay delivery from' }).click();
    await page.locator('.toast').getByText('It is read again').waitFor();
    await until('it to be read again', async () => ((await settled()) ?? before) !== before);
    await page.locator('.entry').getByText('Not understood').waitFor();
    await page.getByRole('button', { name: 'Ignored', exact: true }).click();
    await page.getByText('Nothing that arrived is in this state').waitFor();
    expect(new URL(page.url()).search).toBe('?state=ignored');

    await page.getByRole('link', { name: 'Channels' }).click();
    await page.getByRole('button', { name: 'Test webhook' }).click();
    await page.getByText('refuses it with status 410').waitFor();
    await page.getByRole('link', { name: 'Outbox' }).click();
    await page.getByRole('button', { name: 'Dead letter', exact: true }).click();
    const letters = page.locator('.entry');
    await letters.getByText('refuses it with status 410').first().waitFor();
    const refusedBefore = refusals;
    await letters
      .first()
      .getByRole('button', { name: /^Resend / })
      .click();
    await until('it to be sent again', async () => refusals > refusedBefore);
    await page.locator('.toast').getByText('It is in line again').waitFor();
    await page
      .getByRole('button', { name: /^Discard / })
      .first()
      .click();
    await page.getByRole('button', { name: /^Discard it: / }).click();
    await page.getByText('It is not sent').waitFor();
  });

  test('tells what is wrong, and keeps one alert quiet', async () => {
    const { page } = person;
    await open('/');
    const wrong = page.locator('section[aria-label="What is wrong"]');
    await wrong.getByRole('button', { name: 'Silence 8 h: inbox-failed' }).click();
    await wrong.getByText('Silenced until').waitFor();
    const { silences } = (await api.call<{ silences: { name: string }[] }>('GET', '/api/alerts')).body;
    expect(silences.map(({ name }) => name)).toEqual(['inbox-failed']);
    await wrong.getByRole('button', { name: 'Tell me again: inbox-failed' }).click();
    await wrong.getByRole('button', { name: 'Silence 8 h: inbox-failed' }).waitFor();
    await open('/safety');
    await page.locator('section[aria-label="Model providers"]').getByText('Answers', { exact: true }).first().waitFor();
  });

  test('remembers a note, finds it by a word of it, changes it and forgets it', async () => {
    const { page } = person;
    await open('/notes');
    for (const [title, text] of [
      ['The clock of the tests', 'They fail in March unless the zone is UTC.'],
      ['Who releases', 'The tag does, by itself.'],
    ] as const) {
      await page.getByRole('button', { name: 'New note' }).click();
      await page.getByLabel('Title', { exact: true }).fill(title);
      await page.getByLabel('What to know').fill(text);
      await page.getByRole('button', { name: 'Remember it' }).click();
      await page.locator('.entry').getByText(title).waitFor();
    }
    await page.getByLabel('Search the notes').fill('failing');
    await page.locator('.entry', { hasText: 'Who releases' }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Edit The clock of the tests' }).click();
    await page.getByLabel('Tags').fill('tests, time');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: 'The clock of the tests', exact: true }).click();
    await page.locator('.chip').getByText('time').waitFor();
    await page.getByLabel('Search the notes').fill('');
    await page.getByRole('button', { name: 'Delete Who releases' }).click();
    await page.getByRole('button', { name: 'Delete it: Who releases' }).click();
    await page.locator('.entry', { hasText: 'Who releases' }).waitFor({ state: 'detached' });
    const { items } = (await api.call<{ items: { title: string; tags: string[] }[] }>('GET', '/api/notes')).body;
    expect(items.find(({ title }) => title === 'The clock of the tests')?.tags).toEqual(['tests', 'time']);
    expect(items.map(({ title }) => title)).not.toContain('Who releases');
  });

  test('shows what turns the text of a note round, and leaves it as it was when the rest is changed', async () => {
    const { page } = person;
    const { body } = await api.call<{ id: string }>('POST', '/api/notes', {
      body: { title: 'Read from the right', text: 'a \u202eb\u202c c' },
    });
    await open('/notes');
    await page.getByRole('button', { name: 'Edit Read from the right' }).click();
    const text = page.getByLabel('What to know');
    expect(await text.inputValue()).toBe('a ⟨U+202E⟩b⟨U+202C⟩ c');
    await text.fill(`${await text.inputValue()} d`);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect((await api.call('GET', `/api/notes/${body.id}`)).body).toMatchObject({ text: 'a \u202eb\u202c c d' });
  });

  test('shows on a phone of tasks what the address says, with that choice in sight, and each page from its beginning', async () => {
    const { page, context, faults } = await visit(browser, address, {
      viewport: { width: 390, height: 844 },
      extraHTTPHeaders: { authorization: `Bearer ${testToken}` },
    });
    await page.goto(`${address}/tasks?show=cancelled&priority=medium`);
    const pages = page.getByRole('navigation', { name: 'Pages' });
    const chosen = page.locator('.segments [aria-pressed=true]');
    await chosen.getByText('Cancelled').waitFor();
    const { x = 0, width = 0 } = (await chosen.boundingBox()) ?? {};
    expect(x + width).toBeLessThanOrEqual(390);
    await pages.getByRole('link', { name: 'Tasks' }).click();
    await chosen.getByText('All', { exact: true }).waitFor();
    expect(await page.getByLabel('Priority').inputValue()).toBe('');
    await page.getByRole('button', { name: 'Succeeded', exact: true }).click();
    await page.waitForURL(/\?show=succeeded$/);

    const scrolled = () =>
      until('the list to be scrolled', async () => {
        await page.evaluate('scrollTo(0, 3000)');
        return (await page.evaluate('scrollY')) === 3000;
      });
    await scrolled();
    await page.locator('.row-link').nth(15).click();
    await page.locator('.panel-title').waitFor();
    expect(await page.evaluate('scrollY')).toBe(0);
    await page.goBack();
    await scrolled();
    // Where it goes to is here already, and long: nothing but we would bring it to its beginning.
    await page.evaluate('document.body.style.minHeight = "9000px"');
    await pages.getByRole('link', { name: 'Now' }).click();
    await page.getByRole('heading', { name: 'Now' }).waitFor();
    expect(await page.evaluate('scrollY')).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  test('changes the place in line, calls off and takes up again', async () => {
    const { page } = person;
    const { id } = await api.submit({ title: 'Wait for tomorrow', engine: 'command', notBefore: '2126-01-01T00:00:00Z' });
    await open(`/tasks/${id}`);
    await page.locator('.panel').getByLabel('Priority').selectOption('high');
    await until('the priority to be another', async () => (await api.task(id)).priority === 'high');
    await page
      .locator('.panel')
      .getByRole('button', { name: /^Cancel/ })
      .click();
    await page.locator('.panel-bar .badge').getByText('Cancelled').waitFor();
    await page.locator('.panel').getByRole('button', { name: 'Retry' }).click();
    expect(await api.becomes(id, 'succeeded')).toMatchObject({ priority: 'high' });
    await page.locator('.panel-bar .badge').getByText('Succeeded').waitFor();
  });

  test('stops what runs, and shows dependencies as they are', async () => {
    const { page } = person;
    const first = await api.submit({ title: 'Sleep for long', engine: 'command', body: 'sleep 600' });
    const second = await api.submit({ title: 'Comes after', engine: 'command', dependsOn: [first.id] });
    await api.becomes(first.id, 'running');
    await open('/');
    await page.getByRole('button', { name: 'Cancel Sleep for long' }).click();
    await api.becomes(first.id, 'cancelled');
    await page.locator('.section[aria-label="Recent results"]').getByText('Sleep for long').waitFor();
    await open(`/tasks/${second.id}`);
    const graph = page.locator('.graph');
    await graph.getByRole('link', { name: /Sleep for long/ }).waitFor();
    expect(await graph.locator('path[d^="M50 "]').count()).toBe(1);
    await page.locator('.panel').getByText(`It depends on ${first.id}, which ended cancelled.`).waitFor();
  });

  test('lets a person decide about what waits for approval, about money, and about the checkouts on the disk', async () => {
    const { page } = person;
    await open('/');
    await page.getByRole('button', { name: 'New task' }).click();
    await page.getByLabel('Title', { exact: true }).fill('Drop the old tables');
    await page.getByLabel('Engine').selectOption('command');
    await page.getByLabel('Command', { exact: true }).fill('echo dropped');
    await page.getByRole('dialog').getByText('More', { exact: true }).click();
    await page.getByLabel('Labels').fill('database, careful');
    await page.getByLabel('Profile').selectOption('default');
    await page.getByLabel('Wait until somebody approves it').check();
    await page.getByRole('button', { name: 'Create the task' }).click();
    await page.locator('.panel-bar').getByText('Needs approval').waitFor();
    await open('/');
    await page.getByRole('link', { name: '1 need a person' }).waitFor();
    await page.getByRole('button', { name: 'Approve Drop the old tables' }).click();
    await page.locator('.section[aria-label="Recent results"]').getByText('Drop the old tables').waitFor();
    const { items } = (await api.call<{ items: ApiTask[] }>('GET', '/api/tasks?limit=1')).body;
    expect(items[0]).toMatchObject({
      title: 'Drop the old tables',
      status: 'succeeded',
      labels: ['database', 'careful'],
      engine: 'command',
    });
    await open('/usage');
    // By keyboard alone: the focus is where one writes, and then where one was.
    const focused = () => page.evaluate('document.activeElement.id || document.activeElement.ariaLabel');
    await page.getByRole('button', { name: 'Change: A day', exact: true }).focus();
    await page.keyboard.press('Enter');
    const limit = page.getByLabel('A day, in dollars');
    const id = await limit.getAttribute('id');
    await until('the focus to be where one writes', async () => (await focused()) === id);
    await limit.fill('35');
    await page.keyboard.press('Enter');
    await page.locator('.budget').getByText('$35.00').waitFor();
    await until('the focus to be back', async () => (await focused()) === 'Change: A day');
    await page.getByRole('button', { name: 'By task' }).click();
    await page.locator('.bars').getByRole('link', { name: 'Fix the failing test' }).waitFor();
    await open('/');
    await page.locator('.tile').getByText('of $35').waitFor();
    await open('/workspaces');
    await page.getByRole('button', { name: 'Remove the files of' }).first().click();
    await page.getByText('No workspace is on the disk').waitFor();
  });

  test('misses nothing while it has no network', async () => {
    const { page, context } = person;
    const gate = join(root, 'gate');
    const program = `let i = 0; const t = setInterval(() => { if (i === 1 && !require('fs').existsSync('${gate}')) return; console.log('line ' + ++i); if (i === 40) clearInterval(t); }, 5)`;
    const { id } = await api.submit({ title: 'Write forty lines', engine: 'command', body: JSON.stringify(['node', '-e', program]) });
    const runId = (await until('its run', async () => (await api.task(id)).runs[0]))?.id ?? '';
    await open(`/runs/${runId}`);
    await page.locator('.output').getByText('line 1').waitFor();
    await context.setOffline(true);
    await page.evaluate('window.dispatchEvent(new Event("offline"))');
    writeFileSync(gate, '');
    await api.becomes(id, 'succeeded');
    await context.setOffline(false);
    await page.locator('.run-line').getByText('Succeeded').waitFor();
    const lines = (await page.locator('.output').allInnerTexts()).join('\n').split('\n').filter(Boolean);
    expect(lines).toEqual(Array.from({ length: 40 }, (_, i) => `line ${i + 1}`));
  });

  test('asks again for a run that it could not hear the end of', async () => {
    const { page } = person;
    const gate = join(root, 'end');
    const program = `const t = setInterval(() => require('fs').existsSync('${gate}') && clearInterval(t), 5)`;
    const { id } = await api.submit({ title: 'Wait to be let go', engine: 'command', body: JSON.stringify(['node', '-e', program]) });
    const runId = (await until('its run', async () => (await api.task(id)).runs[0]))?.id ?? '';
    await open(`/tasks/${id}`);
    const run = page.getByRole('link', { name: /^Run 1/ });
    await run.click();
    await page.locator('.run-line').getByText('Running').waitFor();
    await page.goBack();
    const asked = page.waitForRequest(`**/api/runs/${runId}`);
    await page.route(`**/api/runs/${runId}`, (route) => route.abort());
    writeFileSync(gate, '');
    await asked;
    await run.getByText('Succeeded').waitFor();
    await page.unroute(`**/api/runs/${runId}`);
    await run.click();
    await page.locator('.run-line').getByText('Succeeded').waitFor();
  });

  test('outlives a restart of the server without a reload, and says meanwhile that it is not connected', async () => {
    const { page } = person;
    await open('/tasks');
    await sign().getByText('Live').waitFor();
    await page.evaluate('window.mark = "the same page"');
    const before = await api.submit({ title: 'Before the restart', engine: 'command', notBefore: '2126-01-01T00:00:00Z' });
    await page.locator('.rows').getByText(before.title).waitFor();
    await end();
    await sign()
      .getByText(/Not connected.*as of|Offline.*as of/)
      .waitFor();
    await begin(new URL(address).port);
    const after = await api.submit({ title: 'After the restart', engine: 'command' });
    await api.becomes(after.id, 'succeeded');
    await page.locator('.rows li', { hasText: after.title }).getByText('Succeeded').waitFor();
    await sign().getByText('Live').waitFor();
    expect(await page.evaluate('window.mark')).toBe('the same page');
  });

  test('shows the last state without a server, and from when it is', async () => {
    const { page } = person;
    await open('/');
    await sign().getByText('Live').waitFor();
    await page.evaluate('navigator.serviceWorker.ready.then(() => true)');
    const kept = 'caches.match("/offline/state.json").then((found) => found ? found.text() : "")';
    await until('the last state to be kept', async () => String(await page.evaluate(kept)).includes('After the restart'));
    await end();
    await page.reload();
    await heading('Now').waitFor();
    await page.getByText('After the restart').first().waitFor();
    await sign()
      .getByText(/(Not connected|Offline).*as of \d\d:\d\d:\d\d/)
      .waitFor();
    await page
      .locator('.away')
      .getByText(/What is shown is from .* nothing can be changed until it is back/)
      .waitFor();
    await begin(new URL(address).port);
    await sign().getByText('Live').waitFor();
    await page.locator('.away').waitFor({ state: 'detached' });
  });

  test('offers nothing without a server that only a server can do, and shows what was opened meanwhile when it is back', async () => {
    const { page } = person;
    const { id } = await api.submit({ title: 'To be cancelled', engine: 'command', notBefore: '2126-01-01T00:00:00Z' });
    const { runs } = (await api.call<{ items: ApiTask[] }>('GET', '/api/tasks?status=succeeded&limit=1')).body.items[0] as ApiTask;
    await open('/');
    await sign().getByText('Live').waitFor();
    const goTo = (path: string) =>
      page.evaluate(`history.pushState(null, '', ${JSON.stringify(path)}); dispatchEvent(new PopStateEvent('popstate'))`);
    await end();
    await sign()
      .getByText(/Not connected|Offline/)
      .waitFor();
    const acts =
      /^(New |Write |Pause|Resume|Approve|Deny|Cancel |Retry|Run |Change:|Make |Silence|Tell |Replay|Resend|Discard |Test |Edit |Delete |Remove|Rewind|Look again|Examine|Log out|Turn o|Revoke)/;
    let offered = 0;
    for (const path of ['/', `/tasks/${id}`, '/approvals', '/usage', '/notes', '/sources', '/safety', '/settings']) {
      await goTo(path);
      await page.locator('h1').first().waitFor();
      const buttons = page.getByRole('button', { name: acts });
      for (const button of await buttons.all()) {
        offered += 1;
        expect([await button.isEnabled(), await button.getAttribute('title')], `${path}: ${await button.textContent()}`).toEqual([
          false,
          'Not possible now: the server does not answer.',
        ]);
      }
    }
    expect(offered).toBeGreaterThan(6);
    await goTo('/');
    await page.getByRole('button', { name: 'Pause' }).click({ force: true });
    await goTo(`/runs/${runs[0]?.id}`);
    await begin(new URL(address).port);
    await page.locator('.transcript li').first().waitFor();
    expect((await api.call('GET', '/api/queue')).body).toMatchObject({ paused: false });
  });

  test('shows what comes from outside as text, and links to the web alone', async () => {
    const { page } = person;
    const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>';
    const { id } = await api.submit({
      title: evil,
      engine: 'command',
      body: JSON.stringify(['node', '-e', `console.log(${JSON.stringify(evil)})`]),
      repository: undefined,
    });
    const held = await api.submit({
      title: `${evil} javascript:alert(3)`,
      body: `[here](javascript:alert(4)) javascript:alert(5) https://example.com/a?b=c. \`${evil}\` data:text/html,<script>alert(6)</script>`,
      repository: 'javascript:alert(7)',
      ref: evil,
      notBefore: '2126-01-01T00:00:00Z',
    });
    const { runs } = await api.becomes(id, 'succeeded');
    for (const [path, text] of [
      ['/', evil],
      ['/tasks', evil],
      [`/tasks/${held.id}`, evil],
      [`/runs/${runs[0]?.id}`, evil],
    ] as const) {
      await open(path);
      await page.getByText(text).first().waitFor();
      expect(await page.locator('main img, main script, aside img').count(), path).toBe(0);
      const links = await page
        .locator('a[href]')
        .evaluateAll((all) => all.map((each) => [each.getAttribute('href') ?? '', each.getAttribute('rel') ?? '']));
      for (const [href = '', rel] of links) {
        if (href.startsWith('/') || href.startsWith('#')) continue;
        expect([href, rel], path).toEqual(['https://example.com/a?b=c', 'noopener noreferrer']);
      }
    }
    await open(`/tasks/${held.id}`);
    await page.getByRole('link', { name: 'https://example.com/a?b=c' }).waitFor();
    // What is about to be approved reads as what will be run.
    const turned = await api.submit({ title: 'Tidy up', engine: 'command', body: 'rm -rf \u202e cod/ #', needsApproval: true });
    await open(`/tasks/${turned.id}`);
    await page.locator('.panel').getByText('rm -rf ⟨U+202E⟩ cod/ #').waitFor();
    await api.call('POST', `/api/tasks/${turned.id}/deny`);
  });

  test('scrolls ten thousand tasks and twenty thousand events with a screenful of them in the page', async () => {
    const { page } = person;
    await open(`/runs/${longRun}`);
    await page.locator('.transcript').getByText('Step 0 of many').waitFor();
    await until(
      'the whole transcript',
      async () => Number(await page.locator('.transcript li').first().getAttribute('aria-setsize')) > 12_000,
    );
    expect(await page.locator('.transcript li').count()).toBeLessThan(80);
    await page.getByRole('tab', { name: 'Events' }).click();
    expect(await page.locator('.events li').first().getAttribute('aria-setsize')).toBe(String(manyEvents + 2));
    expect(await page.locator('.events li').count()).toBeLessThan(100);

    await open('/tasks');
    await page.locator('.rows li').first().waitFor();
    await page.getByLabel(/^Search/).fill(`number ${manyTasks - 1} of many`);
    await page
      .locator('.rows')
      .getByText(`Task number ${manyTasks - 1} of many`)
      .waitFor();
    await page.getByLabel(/^Search/).fill('');
    await until('all tasks to be there', async () => (await page.locator('.rows li').first().getAttribute('aria-setsize')) !== '-1');
    await page.evaluate('scrollTo(0, document.documentElement.scrollHeight)');
    await page
      .locator('.rows')
      .getByText(`Task number ${manyTasks - 1} of many`)
      .waitFor();
    expect(await page.locator('.rows li').count()).toBeLessThan(60);
  });

  test('can be used by keyboard alone', async () => {
    const { page } = person;
    await open('/tasks');
    await page.locator('.rows li').first().waitFor();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toContain('Skip to the content');
    await sign().getByText('Live').waitFor();
    const focused = () => page.evaluate('document.activeElement.querySelector(".title")?.textContent') as Promise<string | undefined>;
    const titles = await page.locator('.rows li .title').allTextContents();
    await page.locator('.rows li a').first().focus();
    await page.keyboard.press('ArrowDown');
    await until('the second row to be focused', async () => (await focused()) === titles[1]);
    // A task that comes between a key and the next picture moves every row by one, and nobody's focus.
    await page.evaluate('window.held = []; window.requestAnimationFrame = (then) => held.push(then)');
    await page.keyboard.press('ArrowDown');
    const { title } = await api.submit({ title: 'Comes in between', engine: 'command', notBefore: '2126-01-01T00:00:00Z' });
    await page.locator('.rows').getByText(title).waitFor();
    await page.evaluate('for (const then of held) then(performance.now())');
    expect(await focused()).toBe(titles[2]);
    await page.keyboard.press('ArrowUp');
    expect(await focused()).toBe(titles[1]);
    await page.keyboard.press('Enter');
    await page.locator('.panel-title').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.panel').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'New task' }).focus();
    await page.keyboard.press('Enter');
    await page.getByLabel('Title', { exact: true }).waitFor();
    expect(await page.evaluate('document.activeElement.name')).toBe('title');
    for (const leave of ['Escape', 'Close', 'Cancel']) {
      if (leave === 'Escape') await page.keyboard.press('Escape');
      else await page.getByRole('dialog').getByRole('button', { name: leave }).click();
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      expect(await page.evaluate('document.activeElement.textContent'), `after ${leave}`).toContain('New task');
      await page.keyboard.press('Enter');
      await page.getByLabel('Title', { exact: true }).waitFor();
    }
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
    test('has no fault that axe can find, on any page, wide or narrow', async () => {
      const tasks = (await api.call<{ items: ApiTask[] }>('GET', '/api/tasks?limit=50')).body.items;
      const fixed = tasks.find(({ title }) => title === 'Fix the failing test');
      const blocked = tasks.find(({ dependsOn }) => dependsOn.length > 0);
      const visitor = await visit(browser, address, { colorScheme, reducedMotion: 'reduce' });
      const { page } = visitor;
      const check = async (what: string): Promise<void> => {
        const overflow = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
        expect(await page.evaluate(overflow), `${what} scrolls sideways`).toBeLessThanOrEqual(0);
        // On a phone the pages are made of the same parts; what is laid out anew there is looked at again.
        if (/390$/.test(what) && !/^\/tasks\/|^\/ at|new task|gates|menu/.test(what)) return;
        const { violations } = await new AxeBuilder({ page })
          .options({ resultTypes: ['violations'] })
          .setLegacyMode()
          .analyze();
        expect(
          violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
          what,
        ).toEqual([]);
      };
      await page.goto(address);
      await page.getByLabel('API key').waitFor();
      await check('login');
      await page.getByLabel('API key').fill(testToken);
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByRole('heading', { name: 'Now' }).waitFor();
      // Colours are the same on a phone.
      for (const width of colorScheme === 'light' ? [1440, 390] : [1440]) {
        await page.setViewportSize({ width, height: 900 });
        for (const [path, ready] of [
          ['/', '.tiles'],
          ['/tasks', '.rows li'],
          [`/tasks/${blocked?.id}`, '.graph path'],
          [`/runs/${fixed?.runs[0]?.id}`, '.transcript li'],
          ['/sources', '.entry'],
          ['/sources/outbox', '.entry'],
          ['/sources/channels', '.list .item'],
          ['/notes', '.entry'],
          ['/usage', '.bars'],
          ['/workspaces', 'h1'],
          ['/settings', '.facts'],
        ] as const) {
          await page.goto(address + path);
          await page.locator(ready).first().waitFor({ state: 'attached' });
          await check(`${path} at ${width}`);
        }
        await page.goto(`${address}/runs/${fixed?.runs[0]?.id}`);
        await page.getByRole('tab', { name: /Changes/ }).click();
        await page.locator('.diff-file').waitFor();
        await check(`changes at ${width}`);
        await page.getByRole('tab', { name: /Gates/ }).click();
        await page.locator('button.verdict').first().click();
        await check(`gates at ${width}`);
        await page.getByRole('tab', { name: 'Checkpoints' }).click();
        await check(`checkpoints at ${width}`);
        await page.goto(`${address}/notes`);
        await page.getByRole('button', { name: 'New note' }).click();
        await check(`new note at ${width}`);
        if (width === 390) {
          await page.goto(`${address}/notes`);
          await page.getByRole('button', { name: 'More', exact: true }).click();
          await page.getByRole('link', { name: 'Settings' }).waitFor();
          await check('the menu at 390');
          await page.keyboard.press('Escape');
          await page.getByRole('link', { name: 'Settings' }).waitFor({ state: 'hidden' });
        }
        await page.goto(address);
        await page.getByRole('button', { name: 'New task' }).click();
        await page.getByRole('dialog').getByText('More', { exact: true }).click();
        await check(`new task at ${width}`);
      }
      expect(visitor.faults).toEqual([]);
      await visitor.context.close();
    });
  });

  test('can be installed', async () => {
    const manifest = (await (await fetch(`${address}/manifest.webmanifest`)).json()) as {
      icons: { src: string; sizes: string }[];
      display: string;
    };
    expect(manifest.display).toBe('standalone');
    for (const { src, sizes } of manifest.icons.filter(({ src }) => src.endsWith('.png'))) {
      const icon = Buffer.from(await (await fetch(address + src)).arrayBuffer());
      expect(`${icon.readUInt32BE(16)}x${icon.readUInt32BE(20)}`).toBe(sizes);
    }
  });

  test('makes a key and revokes it, shows who did what, and offers a viewer nothing to do', async () => {
    const { page } = person;
    await open('/settings');
    const keys = page.locator('section[aria-label="API keys"]');
    await keys.getByText('New key').click();
    await keys.getByLabel('Name').fill('onlooker');
    await keys.getByLabel('Role').selectOption('viewer');
    await keys.getByRole('button', { name: 'Make the key' }).click();
    await keys.getByText('It is shown once.').waitFor();
    const secret = (await keys.locator('.command code').textContent()) ?? '';
    await page.locator('section[aria-label="Audit log"]').getByRole('button', { name: 'Look again' }).click();
    await page.locator('.audit').getByText('POST /api/keys').first().waitFor();

    const viewer = await visit(browser, address);
    await viewer.page.goto(address);
    await viewer.page.getByLabel('API key').fill(secret);
    await viewer.page.getByRole('button', { name: 'Log in' }).click();
    await viewer.page.getByRole('heading', { name: 'Now' }).waitFor();
    for (const path of ['/', '/tasks', '/sources', '/sources/outbox', '/sources/channels', '/notes', '/usage', '/settings']) {
      await viewer.page.goto(address + path);
      await viewer.page.locator('h1').waitFor();
      expect(
        await viewer.page
          .getByRole('button', {
            name: /^(New |Pause|Cancel |Retry|Change:|Make the key|Silence|Replay|Resend|Discard |Test |Edit |Delete )/,
          })
          .count(),
        path,
      ).toBe(0);
    }
    await viewer.page.getByText('onlooker').waitFor();
    await keys.getByRole('button', { name: 'Revoke onlooker' }).click();
    await keys.getByRole('button', { name: 'Revoke it: onlooker' }).click();
    await keys.locator('.item', { hasText: 'onlooker' }).waitFor({ state: 'detached' });
    // At once, in the page that is open.
    await viewer.page.getByLabel('API key').waitFor();
    expect(viewer.faults).toEqual([]);
    await viewer.context.close();
  });

  test('is logged out of, and into, in all its tabs at once', async () => {
    const { context, page, faults } = await visit(browser, address);
    await page.goto(address);
    await page.getByLabel('API key').fill(testToken);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.locator('.connection.live').waitFor();
    const other = await context.newPage();
    await other.goto(`${address}/settings`);
    await other.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('API key').waitFor();
    await other.getByLabel('API key').fill(testToken);
    await other.getByRole('button', { name: 'Log in' }).click();
    for (const each of [other, page]) await each.locator('.connection.live').waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  test('looks the same in all its tabs', async () => {
    const { context, page, faults } = await visit(browser, address, { extraHTTPHeaders: { authorization: `Bearer ${testToken}` } });
    const other = await context.newPage();
    for (const each of [page, other]) await each.goto(`${address}/settings`);
    await other.getByRole('radio', { name: 'Dark' }).check();
    await until('both to be dark', async () => (await page.evaluate('document.documentElement.dataset.theme')) === 'dark');
    await until('the choice to be seen', () => page.getByRole('radio', { name: 'Dark' }).isChecked());
    expect(faults).toEqual([]);
    await context.close();
  });

  test('lets nobody in any more who logged out, and keeps nothing of it', async () => {
    const { page } = person;
    await open('/settings');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('API key').waitFor();
    await until('what was kept to be gone', async () => !(await page.evaluate('caches.has("nightshift-state")')));
    await open('/tasks');
    await page.getByLabel('API key').waitFor();
  });

  test('did nothing in all this that it should not have', () => {
    expect(person.faults.filter((fault) => !fault.includes('ERR_'))).toEqual([]);
  });
});

/** A service that can sign. */
const hooks = `
webhooks:
  - name: builds
    secret: a-long-shared-secret
    task: { title: "{{title}}" }
`;

/** A store with a past: many tasks, and one run that has said a great deal. */
async function fill(home: string): Promise<string> {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const newId = createIds(clock);
  const store = await openStore({ home, databaseUrl: undefined });
  // Ids sort by birth: the last number is the oldest.
  const tasks = Array.from({ length: manyTasks }, (_, i): Task => {
    clock.advance(1);
    return {
      ...past,
      id: newId(idPrefixes.task),
      title: `Task number ${manyTasks - 1 - i} of many`,
      createdAt: clock.now(),
      updatedAt: clock.now(),
      closedAt: clock.now(),
    };
  });
  const taskId = tasks.at(-1)?.id ?? '';
  const runId = newId(idPrefixes.run);
  const of = { taskId, runId };
  await store.write(async (tx) => {
    await insertTasks(tx, tasks);
    const run = { id: runId, taskId, nodeId: 'nod_past', engine: 'claude', attempt: 1, reason: null, summary: null };
    await insertRuns(tx, [{ ...run, status: 'succeeded', startedAt: clock.now(), finishedAt: clock.now() }]);
    await append(tx, [{ ...of, type: 'run.started', data: { attempt: 1, node: 'nod_past', engine: 'claude' } }], clock.now());
    const events = Array.from({ length: manyEvents }, (_, i) => {
      if (i % 3 === 0) return { ...of, type: 'run.text' as const, data: { text: `Step ${i} of many. ${'And more. '.repeat(i % 7)}` } };
      const call = { call: `call-${i - (i % 3)}`, tool: 'Bash' };
      return i % 3 === 1
        ? { ...of, type: 'run.tool-started' as const, data: { ...call, input: { command: `echo ${i}` } } }
        : { ...of, type: 'run.tool-finished' as const, data: { ...call, failed: false, output: String(i), outputSize: 5, durationMs: 3 } };
    });
    await append(tx, events, clock.now());
    await append(
      tx,
      [{ ...of, type: 'run.finished', data: { status: 'succeeded', reason: null, durationMs: 1, attempt: 1, node: 'nod_past' } }],
      clock.now(),
    );
  });
  await store.close();
  return runId;
}

const past = {
  source: 'api',
  externalRef: null,
  doneWhen: null,
  maxRounds: null,
  parentTaskId: null,
  body: null,
  repository: null,
  ref: null,
  priority: 'medium',
  status: 'succeeded',
  reason: null,
  dedupeKey: null,
  budgetUsd: null,
  verify: null,
  engine: 'claude',
  profile: 'default',
  tier: null,
  labels: [],
  deliverable: 'changes',
  branch: null,
  requestedBy: 'owner',
  trust: 'owner',
  attempts: 1,
  maxAttempts: 3,
  losses: 0,
  needsApproval: false,
  helped: false,
  waitingFor: 0,
  notBefore: null,
  cancelRequestedAt: null,
} as const;
