import { lstat, rmdir, unlink } from 'node:fs/promises';
import type { Clock } from '../platform/clock.ts';
import { start } from '../platform/subprocess.ts';

/**
 * Removes a tree that an agent could shape: deeper than any path may be long, with directories that nobody may read or
 * write. Links are removed, never followed. `rm` walks by directory handles, which Node cannot. Returns whether it is gone.
 */
export async function removeTree(
  path: string,
  { clock, path: programs }: { readonly clock: Clock; readonly path: string },
  signal: AbortSignal,
): Promise<boolean> {
  if (!path.startsWith('/') || path.length < 4) throw new TypeError(`not a tree to remove: ${path}`);
  const run = async (argv: readonly string[]): Promise<void> => {
    const command = start({ argv, cwd: '/', env: { PATH: programs, LC_ALL: 'C' } }, clock, signal);
    await Promise.all([forget(command.stdout), forget(command.stderr), command.exit]);
  };
  // Most have nothing in them, and a program costs more than the rest of a short run's end.
  if (await rmdir(path).then(succeeded, hasFailed)) return true;
  for (const attempt of [1, 2, 3]) {
    const found = await lstat(path).catch(() => undefined);
    if (!found) return true;
    if (signal.aborted) return false;
    if (!found.isDirectory()) await unlink(path).catch(() => undefined);
    else {
      // Only what belongs to us can be made writable, and only a directory that is not needs to be.
      if (attempt > 1) await run(['chmod', '-R', 'u+rwx', '--', path]);
      await run(['rm', '-rf', '--', path]);
    }
  }
  return (await lstat(path).catch(() => undefined)) === undefined;
}

const succeeded = (): boolean => true;
const hasFailed = (): boolean => false;

async function forget(output: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of output);
}
