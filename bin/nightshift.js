#!/usr/bin/env node
// Plain JavaScript that old versions of Node can read: it sees to it that the program runs on one that is new enough.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const main = new URL('../src/cli/main.ts', import.meta.url);
const bundled = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));

if (process.features.typescript) {
  const { enableCompileCache } = await import('node:module');
  // Halves the start-up. A folder that cannot be written only means that it stays as slow as the first time.
  enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/nightshift', import.meta.url)));
  await import(main.href);
} else if (existsSync(bundled) && process.env.NIGHTSHIFT_LAUNCHER !== String(process.ppid)) {
  relay(bundled, [fileURLToPath(import.meta.url), ...process.argv.slice(2)]);
} else {
  console.error(
    `nightshift: Node ${process.versions.node} is too old; Nightshift needs 22.18 or later.\n` +
      'Run `npm ci` in the folder of Nightshift, which brings a newer one along, or install a newer Node.',
  );
  process.exitCode = 2;
}

/** Runs the same on another Node, and ends as that one ended. */
function relay(node, args) {
  const child = spawn(node, args, { stdio: 'inherit', env: { ...process.env, NIGHTSHIFT_LAUNCHER: String(process.pid) } });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => child.kill(signal));
  child.once('error', (error) => {
    console.error(`nightshift: ${node} cannot be started: ${error.message}. Run \`npm ci\` in the folder of Nightshift.`);
    process.exitCode = 2;
  });
  child.once('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}
