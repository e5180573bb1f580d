import { Unusable } from '../domain/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { start } from '../platform/subprocess.ts';

interface Wanted {
  readonly argv: readonly string[];
  readonly path: string;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string>>;
  /** The exit codes that are good enough. */
  readonly content?: readonly number[];
}

/** Runs a program to its end. Throws with what it said when that was not the end that was wanted. */
export async function run({ argv, path, clock, env, content = [0] }: Wanted, signal: AbortSignal): Promise<void> {
  const [program = ''] = argv;
  const running = start({ argv, cwd: '/', env: { PATH: path, LC_ALL: 'C.UTF-8', ...env } }, clock, signal);
  let said = '';
  const listen = async (output: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of output) said = (said + chunk.toString()).slice(-2_000);
  };
  const [exit] = await Promise.all([running.exit, listen(running.stdout), listen(running.stderr)]);
  if (exit.kind === 'exited' && content.includes(exit.code)) return;
  signal.throwIfAborted();
  if (exit.kind === 'not-started') {
    throw new Unusable('program-missing', `${program} is needed for this, but it cannot be started (${exit.message})`);
  }
  const end = exit.kind === 'exited' ? `ended with ${exit.code}` : `was killed by ${exit.signal}`;
  throw new Unusable('program-failed', `${program} ${end}${said.trim() === '' ? '' : `: ${said.trim()}`}`);
}
