import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Reaper {
  /** Lets it finish: it kills what is left, which after a clean stop is nothing. */
  stop(): Promise<void>;
}

/**
 * Sees to it that nothing started by this process survives it, even a SIGKILL. A shell of a megabyte waits on a pipe
 * whose other end only this process holds; `marker` is an environment variable that all children were given.
 */
export function startReaper(marker: { readonly name: string; readonly value: string }): Reaper {
  const script = fileURLToPath(new URL('./reaper.sh', import.meta.url));
  const child = spawn('/bin/sh', [script, `${marker.name}=${marker.value}`], {
    cwd: '/',
    env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  child.unref();
  // A pipe of a child keeps the loop alive; this one is only there to close.
  child.stdin.on('error', () => undefined);
  (child.stdin as unknown as { unref?: () => void }).unref?.();
  return {
    async stop() {
      child.stdin.end();
      child.ref();
      await ended;
    },
  };
}
