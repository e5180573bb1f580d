import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../bin/nightshift.js', import.meta.url));

export interface ServerProcess {
  readonly child: ChildProcess;
  /** Where it answers; rejects when the process ends before that. */
  readonly address: Promise<string>;
  readonly firstOutput: Promise<void>;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  readonly output: () => string;
}

/** A server as an operator starts it, in a process of its own. */
export function spawnServer(
  home: string,
  env: Readonly<Record<string, string>> = {},
  /** What is started instead; it becomes the server in the end, as the same process. */
  within: (argv: readonly string[]) => readonly string[] = (argv) => argv,
): ServerProcess {
  const [start = '', ...args] = within([process.execPath, program, 'up']);
  const child = spawn(start, args, {
    cwd: home,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, NIGHTSHIFT_HOME: home, HOST: '127.0.0.1', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const firstOutput = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-20_000);
        resolve();
      });
    }
    child.once('exit', () => resolve());
  });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const address = answering(home, child, () => output);
  address.catch(() => undefined); // a server that is killed at once never answers, and nobody may be asking
  return { child, address, firstOutput, exited, output: () => output };
}

async function answering(home: string, child: ChildProcess, output: () => string): Promise<string> {
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server ended before it answered:\n${output()}`);
    const address = announced(home, child.pid as number);
    if (
      address !== undefined &&
      (await fetch(`${address}/health`).then(
        (answer) => answer.ok,
        () => false,
      ))
    )
      return address;
    await pause();
  }
}

function announced(home: string, pid: number): string | undefined {
  try {
    const told = JSON.parse(readFileSync(join(home, 'server.json'), 'utf8')) as { pid: number; address: string };
    return told.pid === pid ? told.address : undefined;
  } catch {
    return undefined;
  }
}

/** Resolves when the condition holds; fails with what was awaited when it never does. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  seconds = 30,
): Promise<T> {
  const deadline = performance.now() + seconds * 1_000;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`waited ${seconds} s in vain for: ${what}`);
    await pause();
  }
}

/** Between two looks at something that tells nobody when it changes. */
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 15));

/** Processes whose environment has a variable that begins like this. */
export function processesWith(variable: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1')
          .split('\0')
          .some((each) => each.startsWith(variable));
      } catch {
        return false;
      }
    })
    .map(Number);
}
