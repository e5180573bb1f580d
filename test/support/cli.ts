import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nightshift } from '../../src/cli/program.ts';
import { loadConfig } from '../../src/config/config.ts';
import { type RunningServer, startServer } from '../../src/main.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLog } from '../../src/platform/log.ts';

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Calling {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: readonly string[];
  /** Columns of the terminal that it believes to be on. */
  readonly terminal?: number;
}

/** A command under way, as whoever typed it sees it. */
export interface Call extends PromiseLike<Said> {
  /** Resolves when both outputs together hold the text. */
  shows(text: string | RegExp): Promise<void>;
  pressCtrlC(): void;
}

/** A home of its own, and the command line on it. */
export class Desk {
  readonly home = mkdtempSync(join(tmpdir(), 'nightshift-cli-'));
  private server: RunningServer | undefined;

  async startServer(flags: Parameters<typeof loadConfig>[0]['flags'] = {}): Promise<RunningServer> {
    const { config } = loadConfig({ env: {}, flags: { home: this.home, port: '0', drainSeconds: '0', ...flags }, cwd: this.home });
    this.server = await startServer(config, silentLog);
    return this.server;
  }

  async stopServer(): Promise<void> {
    await this.server?.stop();
    this.server = undefined;
  }

  async remove(): Promise<void> {
    await this.stopServer();
    rmSync(this.home, { recursive: true, force: true });
  }

  call(args: readonly string[], { env = {}, stdin = [], terminal }: Calling = {}): Call {
    const written = { out: '', err: '' };
    const watchers = new Set<() => void>();
    const interrupts = new Set<() => void>();
    const output = (to: 'out' | 'err') => ({
      isTTY: terminal !== undefined,
      columns: terminal,
      write(text: string) {
        written[to] += text;
        for (const watcher of watchers) watcher();
      },
    });
    const done = nightshift(args, {
      stdin: (async function* () {
        yield* stdin;
      })(),
      stdout: output('out'),
      stderr: output('err'),
      env: { PATH: process.env['PATH'], HOME: this.home, NIGHTSHIFT_HOME: this.home, ...env },
      cwd: this.home,
      clock: systemClock,
      onInterrupt(listener) {
        interrupts.add(listener);
        return () => interrupts.delete(listener);
      },
    }).then((code): Said => ({ code, ...written }));
    const holds = (text: string | RegExp): boolean => {
      const all = written.out + written.err;
      return typeof text === 'string' ? all.includes(text) : text.test(all);
    };
    return {
      // biome-ignore lint/suspicious/noThenProperty: a call is awaited for what it said
      then: (...handlers) => done.then(...handlers),
      shows: (text) =>
        new Promise((resolve, reject) => {
          const look = (): void => {
            if (!holds(text)) return;
            watchers.delete(look);
            resolve();
          };
          watchers.add(look);
          look();
          void done.then(({ out, err }) => (holds(text) ? undefined : reject(new Error(`ended without showing ${text}:\n${out}\n${err}`))));
        }),
      pressCtrlC() {
        for (const listener of interrupts) listener();
      },
    };
  }

  /** The answer of a command that must work, as JSON. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { code, out, err } = await this.call([...args, '--json']);
    if (code !== 0) throw new Error(`nightshift ${args.join(' ')} ended with ${code}: ${err}`);
    return JSON.parse(out) as T;
  }
}
