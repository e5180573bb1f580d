import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ModelEndpoint, model } from '../support/model.ts';
import type { Scope } from '../support/scope.ts';

export interface BareRun {
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly prompt: string;
  readonly model: string;
}

export type BareSaid = { readonly ready: true } | { readonly calledAt: number } | { readonly failure: string | null };

/** The Claude Agent SDK in a process of its own, with the SDK loaded and nothing begun. */
export interface BareAgent {
  readonly pid: number;
  /** Calls `query()` once for each directory, all at once. */
  begin(
    directories: readonly string[],
    prompt: string,
  ): {
    /** When `query()` was called, by the clock of `performance.now()` in this process. */
    readonly calledAt: Promise<number>;
    /** Resolves when all have ended well. */
    readonly ended: Promise<void>;
  };
  stop(): Promise<void>;
}

/** A process that has loaded the SDK. Each conversation gets a new configuration directory, as each run of Nightshift does. */
export async function startBareAgent(scope: Scope, endpoint: ModelEndpoint): Promise<BareAgent> {
  const home = mkdtempSync(join(tmpdir(), 'nightshift-bench-bare-'));
  const env = { PATH: process.env['PATH'] ?? '', HOME: home, LANG: 'C.UTF-8' };
  const child = fork(new URL('./bare-agent-child.ts', import.meta.url), { cwd: home, env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const stop = async (): Promise<void> => {
    await ended(child);
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  scope.onEnd(stop);
  await said(child, 'ready');
  return {
    pid: child.pid as number,
    begin(directories, prompt) {
      const calledAt = said(child, 'calledAt').then((at) => Number(at) - performance.timeOrigin);
      const finished = said(child, 'failure').then((failure) => {
        if (failure !== null) throw new Error(`the bare SDK: ${failure}`);
      });
      finished.catch(() => undefined); // heard by whoever waits for the end, if anybody does
      const runs = directories.map((directory, index): BareRun => {
        const config = join(home, `config-${index}`);
        mkdirSync(config);
        return { directory, prompt, model, env: { ...env, ...claudeSettings(endpoint, config) } };
      });
      child.send(runs);
      return { calledAt, ended: finished };
    },
    stop,
  };
}

const claudeSettings = ({ url, key }: ModelEndpoint, config: string): Readonly<Record<string, string>> => ({
  ANTHROPIC_BASE_URL: url,
  ANTHROPIC_API_KEY: key,
  CLAUDE_CONFIG_DIR: config,
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  DISABLE_AUTOUPDATER: '1',
  IS_SANDBOX: '1',
});

function said(child: ChildProcess, what: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const hear = (message: unknown): void => {
      const record = message as Readonly<Record<string, unknown>>;
      if (!(what in record)) return;
      child.off('message', hear);
      resolve(record[what]);
    };
    child.on('message', hear);
    child.once('exit', () => reject(new Error('the process with the bare SDK ended')));
  });
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}
