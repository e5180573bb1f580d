/**
 * Runs inside the sandbox, before the command: takes connections on a loopback port of the sandbox's own network and
 * carries them to the egress proxy's unix socket, the one way out. It decides nothing; whatever stands in for it reaches
 * the same proxy. It stands alone, since nothing else of the server's is to be seen inside.
 * usage: node bridge.ts SOCKET PORT COMMAND...
 */
import { spawn } from 'node:child_process';
import { createConnection, createServer, type Socket } from 'node:net';
import { constants } from 'node:os';

const [socket = '', port, program = '', ...args] = process.argv.slice(2);
const open = new Set<Socket>();

const server = createServer({ allowHalfOpen: true }, (inner) => {
  const outer = createConnection({ path: socket, allowHalfOpen: true });
  for (const [one, other] of [
    [inner, outer],
    [outer, inner],
  ] as const) {
    open.add(one);
    one.on('error', () => other.destroy());
    one.on('close', () => {
      open.delete(one);
      other.destroy();
    });
  }
  inner.pipe(outer).pipe(inner);
});

server.listen(Number(port), '127.0.0.1', () => {
  const child = spawn(program, args, { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`${program} could not be started: ${error.message}\n`);
    end(127);
  });
  child.on('exit', (code, signal) => end(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
});

function end(code: number): void {
  process.exitCode = code;
  server.close();
  for (const connection of open) connection.destroy();
}
