import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Place } from '../support/bench.ts';
import type { Scope } from '../support/scope.ts';

/** What stands at an address: the model itself, or something between it and whoever asks. */
export type WayPart =
  | { readonly kind: 'model' }
  /** `node:http` and nothing else: what a hop costs at the least. */
  | { readonly kind: 'pipe'; readonly to: string }
  /** With ledger and budgets, as the server has it. */
  | { readonly kind: 'gateway'; readonly to: string; readonly place: Place };

export interface Way {
  readonly pid: number;
  readonly url: string;
  readonly key: string;
  /** Resolves when garbage has been collected there. */
  collect(): Promise<void>;
  stop(): Promise<void>;
}

/** Each part in a process of its own. */
export async function startWay(scope: Scope, part: WayPart): Promise<Way> {
  const child = fork(new URL('./way-child.ts', import.meta.url), {
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  scope.onEnd(() => child.kill('SIGKILL'));
  child.send(part);
  const { url, key } = (await reply(child)) as { url: string; key: string };
  return {
    pid: child.pid as number,
    url,
    key,
    async collect() {
      child.send('collect');
      await reply(child);
    },
    async stop() {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}

async function reply(child: ChildProcess): Promise<unknown> {
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('a process on the way to the model ended')));
  ended.catch(() => undefined);
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [unknown];
  return message;
}
