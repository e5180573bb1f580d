import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { type Clock, systemClock, wait } from './clock.ts';

export interface Command {
  readonly argv: readonly string[];
  readonly cwd: string;
  /** The whole environment; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** What it reads; without this its input is empty. */
  readonly input?: string | Uint8Array;
}

export type Exit =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'killed'; readonly signal: string }
  /** It never ran: no such program, no permission, no such directory. */
  /** `host` when this machine was short of something (processes, memory, descriptors), which says nothing of the command. */
  | { readonly kind: 'not-started'; readonly message: string; readonly host: boolean };

export interface RunningCommand {
  readonly stdout: AsyncIterable<Buffer>;
  readonly stderr: AsyncIterable<Buffer>;
  readonly exit: Promise<Exit>;
  /** True when nothing holds the outputs open any more and all of them has been read. */
  outputEnded(): boolean;
  /** Stops reading, whoever still holds the outputs open. */
  cutOutput(): void;
}

/** Between the polite signal and the other one. */
const graceMs = 1_500;

/**
 * Starts a program in a process group of its own, without a shell. When the signal aborts the whole group is asked to
 * stop and then killed; when the program ends, whatever it left in its group is killed too.
 */
export function start(command: Command, clock: Clock, signal: AbortSignal): RunningCommand {
  const [program, ...args] = command.argv;
  let child: ChildProcess;
  try {
    child = spawn(program ?? '', args, {
      cwd: command.cwd,
      env: { ...command.env },
      detached: true,
      stdio: [command.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      shell: false,
    });
  } catch (error) {
    // An argument with a NUL byte, for one, is refused before anything is started.
    return notStarted(Promise.resolve(failureOf(error)));
  }
  child.stdin?.on('error', () => undefined); // it ended before it had read everything, which its exit tells better
  child.stdin?.end(command.input);
  let cancelKill = (): void => undefined;
  const stop = (): void => {
    killGroup(child, 'SIGTERM');
    cancelKill = clock.after(graceMs, () => killGroup(child, 'SIGKILL'));
  };
  const exit = new Promise<Exit>((resolve) => {
    child.once('error', (error) => resolve(failureOf(error)));
    child.once('exit', (code, killedBy) => {
      killGroup(child, 'SIGKILL');
      resolve(code === null ? { kind: 'killed', signal: String(killedBy) } : { kind: 'exited', code });
    });
  }).finally(() => {
    cancelKill();
    signal.removeEventListener('abort', stop);
  });
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  // Out of descriptors, Node gives a child without pipes; its 'error' event is still to come.
  if (!child.stdout || !child.stderr) return notStarted(exit);
  const outputs: readonly Readable[] = [child.stdout, child.stderr];
  return {
    stdout: outputs[0] as Readable,
    stderr: outputs[1] as Readable,
    exit,
    outputEnded: () => outputs.every((output) => output.closed),
    cutOutput: () => {
      for (const output of outputs) output.destroy();
    },
  };
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is empty already, which is what was wanted.
  }
}

const notStarted = (exit: Promise<Exit>): RunningCommand => ({
  stdout: nothing(),
  stderr: nothing(),
  exit,
  outputEnded: () => true,
  cutOutput: () => undefined,
});

const hostFaults = new Set(['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM', 'ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'ENOTDIR', 'EACCES', 'EPERM']);
const shortages = new Set(['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM']);

/** Whether what was thrown is this machine's trouble with its own files and processes. */
export const isHostFault = (error: unknown): boolean => hostFaults.has(codeOf(error));

/** Whether this machine was short of something that a program needs to be started. */
export const isShortage = (error: unknown): boolean => shortages.has(codeOf(error));

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

const failureOf = (error: unknown): Exit => ({ kind: 'not-started', message: messageOf(error), host: isShortage(error) });

async function* nothing(): AsyncGenerator<Buffer> {}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

type Match = (variable: string) => boolean;

/** While a process is on its way from one program to the next, its environment reads as empty; a second look finds it. */
const secondLookMs = 10;

/**
 * Kills every process whose environment carries a variable that matches, and none that is spared, until none is left: also those that moved to
 * a session of their own. Environments are inherited, so a marker set at the root marks the whole tree.
 * Works where there is a /proc; elsewhere it finds nothing.
 */
export async function sweep(matches: Match, spared: Match = () => false): Promise<number> {
  let killed = 0;
  for (let clean = 0, pass = 0; clean < 2 && pass < 20; pass++) {
    const found = marked(matches, spared);
    clean = found.length === 0 ? clean + 1 : 0;
    for (const pid of found) {
      try {
        process.kill(pid, 'SIGKILL');
        killed += 1;
      } catch {
        // It ended by itself meanwhile.
      }
    }
    if (clean < 2) await wait(systemClock, secondLookMs);
  }
  return killed;
}

/** Read without leaving the thread: /proc answers from memory, and a trip to the thread pool takes ten times as long. */
function marked(matches: Match, spared: Match): readonly number[] {
  return processIds().filter((pid) => {
    const variables = pid === process.pid ? [] : environmentOf(pid).split('\0');
    return variables.some(matches) && !variables.some(spared);
  });
}

function processIds(): readonly number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** Empty for processes of other people and those that have just ended. */
function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}
