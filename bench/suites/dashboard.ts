import { type Browser, devices } from 'playwright-core';
import { openStore } from '../../src/store/open.ts';
import { missingBrowser, startBrowser } from '../../test/support/browser.ts';
import { fillPast } from '../../test/support/past.ts';
import type { Row } from '../support/report.ts';
import { startServerChild, token, waitFor } from '../support/server.ts';
import { median } from '../support/stats.ts';
import type { Suite } from './suite.ts';

/** What a page is opened with for the first time. */
interface Device {
  readonly name: string;
  readonly options: Parameters<Browser['newContext']>[0];
  /** So many times slower than this machine, over such a network. */
  readonly slowed?: { readonly cpu: number; readonly roundTripMs: number; readonly downKbit: number; readonly upKbit: number };
}

/** The phone, and its network, that page audits commonly reckon with. */
const deviceKinds: readonly Device[] = [
  { name: 'computer', options: { viewport: { width: 1440, height: 900 } } },
  { name: 'phone', options: devices['Pixel 7'], slowed: { cpu: 4, roundTripMs: 150, downKbit: 1_600, upKbit: 750 } },
];

export const dashboard: Suite = {
  names: ['dashboard'],
  async run(bench) {
    const title = 'The dashboard, opened for the first time';
    if (missingBrowser !== undefined) return [{ title, rows: [], notes: [`Skipped: ${missingBrowser}`] }];
    const { scope, sizes } = bench;
    const place = await bench.place('sqlite');
    const store = await openStore(place);
    await fillPast(store, Date.now());
    await store.close();
    const server = await startServerChild(scope, place, { LLM_PROVIDER: 'rehearsal' });
    const { taskId } = await server.api<{ taskId: string }>('POST', '/api/demo');
    await server.settled(taskId);
    const { title: work, runs } = await server.api<{ title: string; runs: readonly { id: string }[] }>('GET', `/api/tasks/${taskId}`);
    // It may be building the page still.
    await waitFor(
      () => fetch(server.address),
      ({ ok }) => ok,
    );
    const browser = await startBrowser();
    scope.onEnd(() => browser.close());

    const pages = [
      { name: 'Now', address: server.address, heading: 'Now' },
      { name: 'Run', address: `${server.address}/runs/${runs.at(-1)?.id}`, heading: work },
    ];
    const rows: Row[] = [];
    for (const device of deviceKinds) {
      for (const page of pages) {
        const loads: Load[] = [];
        for (let each = 0; each < sizes.pageLoads; each++) {
          bench.progress(`${page.name} on a ${device.name}, ${each + 1} of ${sizes.pageLoads}`);
          loads.push(await open(browser, device, page.address, page.heading));
        }
        const middle = (of: (load: Load) => number): number => median(loads.map(of));
        rows.push({
          page: page.name,
          device: device.name,
          'kB program': middle(({ programBytes }) => programBytes) / 1_000,
          'kB data': middle(({ dataBytes }) => dataBytes) / 1_000,
          'first paint, ms': middle(({ firstPaintMs }) => firstPaintMs),
          'content, ms': middle(({ contentMs }) => contentMs),
          'interactive, ms': middle(({ interactiveMs }) => interactiveMs),
          'longest task, ms': middle(({ longestTaskMs }) => longestTaskMs),
        });
      }
    }
    await browser.close();
    await server.stop();
    return [
      {
        title,
        rows,
        notes: [
          `Medians of ${sizes.pageLoads}, with nothing in the browser's cache, counted from the navigation; the browser runs on the same two cores as the server.`,
          'The phone: this machine slowed four times, 1.6 Mbit/s with 150 ms there and back. "Program" is HTML, CSS and JavaScript, compressed.',
        ],
      },
    ];
  },
};

interface Load {
  readonly programBytes: number;
  readonly dataBytes: number;
  readonly firstPaintMs: number;
  /** When the page's own heading stood there. */
  readonly contentMs: number;
  /** When, after that, nothing held the page for over 50 ms any more. */
  readonly interactiveMs: number;
  readonly longestTaskMs: number;
}

/** No task that long within this, and the page is taken to be at rest. */
const quietMs = 1_500;
/** One that is not at rest by then never will be. */
const longestMs = 120_000;

async function open(browser: Browser, { options, slowed }: Device, address: string, heading: string): Promise<Load> {
  // A service worker fetches everything else as well, after the page is there; here it would only be in the way.
  const context = await browser.newContext({ ...options, serviceWorkers: 'block', extraHTTPHeaders: { authorization: `Bearer ${token}` } });
  const page = await context.newPage();
  const browserSide = await context.newCDPSession(page);
  await browserSide.send('Network.enable');
  if (slowed) {
    await browserSide.send('Emulation.setCPUThrottlingRate', { rate: slowed.cpu });
    await browserSide.send('Network.emulateNetworkConditions', {
      offline: false,
      latency: slowed.roundTripMs,
      downloadThroughput: (slowed.downKbit * 1_000) / 8,
      uploadThroughput: (slowed.upKbit * 1_000) / 8,
    });
  }
  const isData = new Map<string, boolean>();
  const bytes = { program: 0, data: 0 };
  browserSide.on('Network.responseReceived', ({ requestId, response }) => {
    isData.set(requestId, new URL(response.url).pathname.startsWith('/api/'));
  });
  browserSide.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    bytes[isData.get(requestId) ? 'data' : 'program'] += encodedDataLength;
  });
  await page.addInitScript({ content: watchPage(heading) });
  await page.goto(address);
  const { firstPaintMs, contentMs, tasks } = await page.evaluate<Seen>(seenAtRest);
  await context.close();
  return {
    programBytes: bytes.program,
    dataBytes: bytes.data,
    firstPaintMs,
    contentMs,
    interactiveMs: Math.max(contentMs, ...tasks.map(({ start, duration }) => start + duration)),
    longestTaskMs: Math.max(0, ...tasks.map(({ duration }) => duration)),
  };
}

/* What runs in the page, where there are other globals than here. Times are milliseconds since the navigation. */

interface Seen {
  readonly firstPaintMs: number;
  readonly contentMs: number;
  /** Those that held the page for over 50 ms. */
  readonly tasks: readonly { readonly start: number; readonly duration: number }[];
}

const watchPage = (heading: string): string => `
  const seen = (globalThis.seen = { firstPaintMs: 0, contentMs: 0, tasks: [] });
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) seen.tasks.push({ start: startTime, duration });
  }).observe({ type: 'longtask', buffered: true });
  new PerformanceObserver((list) => {
    for (const { name, startTime } of list.getEntries()) if (name === 'first-contentful-paint') seen.firstPaintMs = startTime;
  }).observe({ type: 'paint', buffered: true });
  const look = new MutationObserver(() => {
    if (document.querySelector('h1')?.textContent !== ${JSON.stringify(heading)}) return;
    look.disconnect();
    requestAnimationFrame(() => { seen.contentMs = performance.now(); });
  });
  look.observe(document, { childList: true, subtree: true, characterData: true });
`;

const seenAtRest = `(async () => {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const last = Math.max(seen.contentMs, ...seen.tasks.map(({ start, duration }) => start + duration));
    if (seen.contentMs > 0 && performance.now() - last > ${quietMs}) return seen;
    if (performance.now() > ${longestMs}) throw new Error('The page did not come to rest, or has another heading.');
  }
})()`;
