import { fork } from 'node:child_process';
import type { Measurement, Measurements } from './measurements.ts';
import type { Scope } from './scope.ts';

export type Reply = { readonly result: unknown } | { readonly error: string };

/** Measures in a process of its own, so that no measurement inherits another's heap, caches or compiled code. */
export function isolated<Name extends Measurement>(
  scope: Scope,
  name: Name,
  input: Parameters<Measurements[Name]>[0],
): Promise<Awaited<ReturnType<Measurements[Name]>>> {
  const child = fork(new URL('./isolated-child.ts', import.meta.url), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  scope.onEnd(() => child.kill('SIGKILL'));
  return new Promise((resolve, reject) => {
    let reply: Reply | undefined;
    child.once('message', (message) => {
      reply = message as Reply;
      child.disconnect();
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (reply && 'result' in reply) resolve(reply.result as Awaited<ReturnType<Measurements[Name]>>);
      else reject(new Error(`measuring ${name} failed: ${reply?.error ?? `the process ended with ${signal ?? code}`}`));
    });
    child.send({ name, input });
  });
}
