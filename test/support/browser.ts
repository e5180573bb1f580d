import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const program = (process.env['PATH'] ?? '')
  .split(delimiter)
  .flatMap((folder) => ['chromium', 'chromium-browser', 'google-chrome'].map((name) => join(folder, name)))
  .find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** Why no browser can be tried here, or undefined. */
export const missingBrowser = ((): string | undefined => {
  if (program !== undefined) return undefined;
  const missing = "there is no chromium on PATH (Debian's package chromium), so the dashboard is not tried in a browser.";
  if (process.env['NIGHTSHIFT_TEST_NOTHING_SKIPPED']) throw new Error(missing);
  console.warn(`\n  SKIPPED: ${missing}\n`);
  return missing;
})();

export function startBrowser(): Promise<Browser> {
  // Chromium does not sandbox itself for root.
  const args = process.getuid?.() === 0 ? ['--no-sandbox', '--disable-dev-shm-usage'] : ['--disable-dev-shm-usage'];
  return chromium.launch({ executablePath: program ?? 'chromium', args });
}

/** A person's window, and everything in it that should not have happened. */
export interface Visitor {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Broken policies, uncaught errors, dialogs, and requests that went elsewhere. */
  readonly faults: readonly string[];
}

export async function visit(browser: Browser, address: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(`uncaught: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    // That a server is away, or wants a key, is told by the network in the console as well; both are part of the tests.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) faults.push(`console: ${message.text()}`);
  });
  context.on('request', (request) => {
    if (!request.url().startsWith(`${address}/`)) faults.push(`a request elsewhere: ${request.url()}`);
  });
  return { context, page, faults };
}
