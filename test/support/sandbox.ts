import { spawn } from 'node:child_process';
import { mkdirSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Reason } from '../../src/domain/outcome.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { Command } from '../../src/platform/subprocess.ts';
import { type Probe, probeSandbox } from '../../src/sandbox/probe.ts';
import { defaultLimits, type Limits, type Profile } from '../../src/sandbox/profile.ts';
import { createSandbox, type Enclosure } from '../../src/sandbox/sandbox.ts';
import { temporaryHome } from './stores.ts';

export const probe: Probe = await probeSandbox();

/** Why nothing can be tried here, or undefined. */
export const missingSandbox = ((): string | undefined => {
  if (probe.works) return undefined;
  const missing = `the sandbox does not work here (${probe.found}), so no escape is tried. ${probe.remedy}`;
  if (process.env['NIGHTSHIFT_TEST_NOTHING_SKIPPED']) throw new Error(missing);
  console.warn(`\n  SKIPPED: ${missing}\n`);
  return missing;
})();

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Trial {
  readonly limits?: Partial<Limits>;
  readonly profile?: Partial<Profile>;
  readonly env?: Readonly<Record<string, string>>;
  /** While it runs. */
  readonly meanwhile?: (running: { readonly pid: number; readonly enclosure: Enclosure }) => Promise<unknown>;
  readonly onExceeded?: (reason: Reason) => void;
  /** It is killed after so long, whatever it does. */
  readonly withinMs?: number;
}

export interface TestSandbox {
  readonly base: string;
  /** Stands for the server's home: it holds a key and another run. */
  readonly home: string;
  readonly workspace: string;
  /** For what `run` does not do. The enclosure is the caller's to close. */
  wrap(argv: readonly string[], trial?: Trial): Promise<{ readonly command: Command; readonly enclosure: Enclosure }>;
  run(argv: readonly string[], trial?: Trial): Promise<Ended>;
  sh(script: string, trial?: Trial): Promise<Ended>;
  /** A script in JavaScript. */
  node(script: string, trial?: Trial): Promise<Ended>;
  remove(): void;
}

const mebibyte = 2 ** 20;

export async function openTestSandbox(): Promise<TestSandbox> {
  const base = realpathSync(temporaryHome());
  const home = join(base, 'home');
  const workspace = join(home, 'runs', 'mine', 'work');
  mkdirSync(workspace, { recursive: true });
  const sandbox = await createSandbox({ mode: 'require', directory: join(home, 'sandbox'), protect: [home], clock: systemClock, probe });
  const wrap: TestSandbox['wrap'] = async (argv, { limits, profile, env } = {}) => {
    const enclosure = await sandbox.open(
      {
        workspace,
        home: { kind: 'memory', bytes: 16 * mebibyte },
        tmp: { kind: 'memory', bytes: 16 * mebibyte },
        readOnly: [process.execPath],
        ...profile,
        limits: { ...defaultLimits, ...limits },
      },
      'untrusted',
    );
    if (!enclosure.ok) throw new Error(enclosure.refusal.message);
    const wrapped = enclosure.wrap({ argv, cwd: workspace, env: { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8', ...env } });
    if (!wrapped.ok) throw new Error(wrapped.refusal.message);
    return { command: wrapped.command, enclosure };
  };
  const run: TestSandbox['run'] = async (argv, trial = {}) => {
    const { command, enclosure } = await wrap(argv, trial);
    return supervise(command, enclosure, trial);
  };
  return {
    base,
    home,
    workspace,
    wrap,
    run,
    sh: (script, trial) => run(['/bin/sh', '-c', script], trial),
    node: (script, trial) => run([process.execPath, '-e', script], trial),
    remove: () => rmSync(base, { recursive: true, force: true }),
  };
}

async function supervise({ argv, cwd, env }: Command, enclosure: Enclosure, trial: Trial): Promise<Ended> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), trial.withinMs ?? 20_000);
  const unguard = trial.onExceeded ? enclosure.guard(trial.onExceeded) : undefined;
  const texts = { stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    texts.stdout += String(data);
  });
  child.stderr.on('data', (data) => {
    texts.stderr += String(data);
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, ...texts }));
  });
  try {
    await trial.meanwhile?.({ pid: child.pid as number, enclosure });
    return await ended;
  } finally {
    clearTimeout(timer);
    unguard?.();
    child.kill('SIGKILL');
    await enclosure.close();
  }
}
