import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Clock } from '../../../platform/clock.ts';
import type { Command } from '../../../platform/subprocess.ts';

export type SpawnAgent = (command: Command) => ChildProcessWithoutNullStreams;

export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  /** It never ran: no such program, no permission, no such directory. */
  readonly notStarted?: NodeJS.ErrnoException;
  /** The end of what it wrote to its error output. */
  readonly stderr: string;
}

export interface AgentProcess {
  start(command: Command): ChildProcessWithoutNullStreams;
  /** Asks it to stop, and makes it stop soon after. */
  stop(): void;
  /** Resolves when it is gone; one that should be gone by itself and is not is stopped. Undefined when none was started. */
  ended(): Promise<Ending | undefined>;
}

/** Between the polite signal and the other one; the whole stop has to be over in three seconds. */
const graceMs = 1_500;
/** A program that has said its last word needs this long at most to write its session down. */
const farewellMs = 3_000;
const stderrLimit = 4_000;

export const spawnPlainly: SpawnAgent = ({ argv: [program = '', ...args], cwd, env }) =>
  spawn(program, args, { cwd, env: { ...env }, detached: true, stdio: ['pipe', 'pipe', 'pipe'], shell: false });

export function agentProcess(spawnAgent: SpawnAgent, clock: Clock): AgentProcess {
  let child: ChildProcessWithoutNullStreams | undefined;
  let ending: Promise<Ending> | undefined;
  let over = false;
  let stopping = false;
  let cancelKill = (): void => undefined;
  const stop = (): void => {
    stopping = true; // also for one that is started later
    if (!child || over) return;
    killGroup(child, 'SIGTERM');
    cancelKill = clock.after(graceMs, () => child && killGroup(child, 'SIGKILL'));
  };
  return {
    start(command) {
      const started = spawnAgent(command);
      child = started;
      ending = endingOf(started).finally(() => {
        over = true;
        cancelKill();
        killGroup(started, 'SIGKILL');
      });
      if (stopping) stop();
      return started;
    },
    stop,
    async ended() {
      if (!ending) return undefined;
      const cancelStop = clock.after(farewellMs, stop);
      return ending.finally(cancelStop);
    },
  };
}

function endingOf(child: ChildProcessWithoutNullStreams): Promise<Ending> {
  let said = '';
  const ending = new Promise<Ending>((resolve) => {
    child.once('error', (notStarted: NodeJS.ErrnoException) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, notStarted, stderr: said });
    });
    child.once('exit', (code, signal) => resolve({ code, signal, stderr: said }));
  });
  const { stdin, stderr }: ChildProcess = child;
  // Out of descriptors, Node gives a child without pipes; its 'error' event is still to come.
  if (!stdin || !stderr) return ending;
  stderr.setEncoding('utf8');
  stderr.on('data', (text: string) => {
    said = (said + text).slice(-stderrLimit);
  });
  stdin.on('error', () => undefined); // it ended while it was being written to, and its end says so
  return ending;
}

function killGroup({ pid }: ChildProcessWithoutNullStreams, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is empty already, which is what was wanted.
  }
}
