import { fork } from 'node:child_process';
import type { Scope } from '../support/scope.ts';

export interface ProbotChild {
  readonly address: string;
  stop(): Promise<void>;
}

/** probot in a process of its own, as Nightshift has one. */
export function startProbot(scope: Scope, webhookSecret: string): Promise<ProbotChild> {
  const child = fork(new URL('./probot-child.ts', import.meta.url), [webhookSecret], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  scope.onEnd(() => child.kill('SIGKILL'));
  return new Promise((resolve, reject) => {
    child.once('message', (message) => {
      const { port } = message as { port: number };
      resolve({
        address: `http://127.0.0.1:${port}`,
        stop: () => {
          child.disconnect();
          return ended;
        },
      });
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => reject(new Error(`probot ended with ${signal ?? code}`)));
  });
}
