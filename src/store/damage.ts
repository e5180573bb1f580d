import { fileURLToPath } from 'node:url';
import type { Clock } from '../platform/clock.ts';
import { start } from '../platform/subprocess.ts';

const program = fileURLToPath(new URL('./damage-search.ts', import.meta.url));

/**
 * Searches the embedded database for damage. That takes seconds for one of a gigabyte, so it is done by a process of its own:
 * a thread would do, but what it takes of memory (12 to 28 MB were measured) the server has for good.
 */
export async function findDamage(database: string, clock: Clock, signal: AbortSignal): Promise<string | undefined> {
  const search = start({ argv: [process.execPath, program, database], cwd: '/', env: {} }, clock, signal);
  const [found, complaint, exit] = await Promise.all([textOf(search.stdout), textOf(search.stderr), search.exit]);
  signal.throwIfAborted();
  if (exit.kind !== 'exited' || exit.code !== 0) throw new Error(`The search for damage was ended: ${complaint.trim() || exit.kind}`);
  return found === 'ok' ? undefined : found;
}

async function textOf(output: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of output) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
