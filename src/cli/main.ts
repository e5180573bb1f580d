import { systemClock } from '../platform/clock.ts';
import { exits } from './failure.ts';
import { nightshift } from './program.ts';

// `nightshift logs … | head` closes the pipe early; there is nobody left to tell.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exits.ok);
    if (stream === process.stdout) process.stderr.write(`nightshift: the output cannot be written: ${error.message}\n`);
    process.exit(exits.failed);
  });
}

// Waiting between two attempts to reach the server holds nothing open that would keep the process alive.
const alive = setInterval(() => undefined, 2 ** 30);

const exit = await nightshift(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  clock: systemClock,
  onInterrupt(listener) {
    process.on('SIGINT', listener);
    return () => void process.off('SIGINT', listener);
  },
  keys: process.stdin.isTTY ? hearKeys : undefined,
  onResize(listener) {
    process.stdout.on('resize', listener);
    return () => void process.stdout.off('resize', listener);
  },
});
// A full disk shows only when what was written arrives there.
for (const stream of [process.stdout, process.stderr]) await new Promise<void>((resolve) => stream.write('', () => resolve()));
clearInterval(alive);
process.exit(exit);

function hearKeys(listener: (pressed: string) => void): () => void {
  const { stdin } = process;
  const hear = (chunk: Buffer): void => listener(chunk.toString());
  stdin.setRawMode(true);
  stdin.on('data', hear);
  return () => {
    stdin.off('data', hear);
    stdin.setRawMode(false);
    stdin.pause();
  };
}
