import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Reason } from '../domain/outcome.ts';
import type { Trust } from '../domain/task.ts';
import type { Clock } from '../platform/clock.ts';
import type { Command } from '../platform/subprocess.ts';
import type { Group } from './cgroups.ts';
import { type Directory, type Entry, openDirectory } from './directory.ts';
import { planMounts } from './mounts.ts';
import { type Ceilings, namespaces, type Probe, probeSandbox } from './probe.ts';
import type { Limits, Profile, SandboxMode } from './profile.ts';
import { type Standing, standingOf } from './standing.ts';
import { type Usage, usageOf, watchUsage } from './usage.ts';

type Wrapped = { readonly ok: true; readonly command: Command } | { readonly ok: false; readonly refusal: Reason };

type Opening = { readonly ok: false; readonly refusal: Reason } | Enclosure;

/** The sandbox of one run: commands of that run start in it, one after the other or side by side. */
export interface Enclosure {
  readonly ok: true;
  /** False only where the mode and the task's trust allow it; then commands are started as they are. */
  readonly sandboxed: boolean;
  /** Directories in which its commands may write; elsewhere they may not. Nothing is said of commands that are started as they are. */
  readonly writable: readonly string[];
  /**
   * What to start instead, once. A signal that ends its process or its group ends everything in it at once, SIGTERM too:
   * it is not passed on. It refuses what no program can be given.
   */
  wrap(command: Command): Wrapped;
  /** Starts a command with three pipes, in a process group of its own. Throws, as `spawn` does, for what `wrap` refuses. */
  spawn(command: Command): ChildProcessWithoutNullStreams;
  /** What its commands use at this moment; undefined when none runs. */
  usage(): Promise<Usage | undefined>;
  /** Ends them and says why when they use more memory than they may. Needed where no control group does so. Returns how to stop. */
  guard(onExceeded: (reason: Reason) => void): () => void;
  /** To be called when its commands have ended: ends what a control group still holds, and removes its traces. Idempotent; never throws. */
  close(): Promise<void>;
}

export interface Sandbox {
  readonly mode: SandboxMode;
  /** What holds, what does not, and what that costs. For the log at start, `doctor` and the API. */
  describe(): Standing;
  /** Why work of this trust cannot be done here, or undefined. To be asked when a task is submitted and when it is claimed. */
  refuses(trust: Trust): Reason | undefined;
  /** Refuses like `refuses`, and what would let the agent out. Does not throw for anything that a profile can say. */
  open(profile: Profile, trust: Trust): Promise<Opening>;
}

export interface SandboxParts {
  readonly mode: SandboxMode;
  /** A directory of the server's own for what sandboxes are made from. */
  readonly directory: string;
  /** What no bind may be, or contain: the server's home, the owner's. */
  readonly protect: readonly string[];
  readonly clock: Clock;
  /** Replaces the look at this machine. */
  readonly probe?: Probe;
}

export async function createSandbox(parts: SandboxParts): Promise<Sandbox> {
  const { mode } = parts;
  const probe: Probe | undefined = mode === 'off' ? undefined : (parts.probe ?? (await probeSandbox()));
  const directory = probe?.works ? await openDirectory(parts.directory) : undefined;
  const refuses = (trust: Trust): Reason | undefined => refusal(mode, probe, trust);
  return {
    mode,
    describe: () => standingOf(mode, probe),
    refuses,
    async open(profile, trust) {
      const refused = refuses(trust);
      if (refused) return { ok: false, refusal: refused };
      if (!probe?.works || !directory) return bare;
      return enclose({ ...parts, directory, probe }, profile);
    },
  };
}

/** Work of people who are not trusted never runs bare, whatever the mode: switching the sandbox off is no sign of trust in them. */
function refusal(mode: SandboxMode, probe: Probe | undefined, trust: Trust): Reason | undefined {
  if (probe?.works) return undefined;
  const why =
    probe === undefined ? 'the sandbox is switched off (NIGHTSHIFT_SANDBOX=off)' : `the sandbox does not work here: ${probe.found}`;
  const remedy = probe === undefined ? 'Set it to auto or require.' : probe.remedy;
  if (mode === 'require') return { code: 'sandbox-unavailable', message: `Refused, because ${why}. ${remedy}` };
  if (trust !== 'untrusted') return undefined;
  return { code: 'sandbox-needed', message: `Work from somebody who is not trusted is refused, because ${why}. ${remedy}` };
}

const bare: Enclosure = {
  ok: true,
  sandboxed: false,
  writable: [],
  wrap: (command) => ({ ok: true, command }),
  spawn: spawnPiped,
  usage: async () => undefined,
  guard: () => () => undefined,
  close: async () => undefined,
};

function spawnPiped({ argv: [program = '', ...args], cwd, env }: Command): ChildProcessWithoutNullStreams {
  return spawn(program, args, { cwd, env: { ...env }, detached: true, stdio: ['pipe', 'pipe', 'pipe'], shell: false });
}

type Working = Extract<Probe, { works: true }>;

interface EncloseParts {
  readonly directory: Directory;
  readonly protect: readonly string[];
  readonly clock: Clock;
  readonly probe: Working;
}

async function enclose(parts: EncloseParts, profile: Profile): Promise<Opening> {
  const { directory, probe, clock } = parts;
  const mounts = await planMounts(profile, { protect: parts.protect, system: directory.system, node: process.execPath });
  if (!mounts.ok) return mounts;
  const group = await probe.cgroups.open(profile.limits);
  const entries: Entry[] = [];
  const watched = { statuses: () => entries.map(({ status }) => status), group };
  const wrap = (command: Command): Wrapped => {
    const unusable = unusableCommand(command);
    if (unusable) return { ok: false, refusal: unusable };
    const inside = { ...command.env, ...mounts.env, HOME: mounts.home, TMPDIR: '/tmp' };
    const entry = directory.write([...namespaces(probe.disablesNesting), ...mounts.args, ...environment(inside), '--chdir', command.cwd]);
    entries.push(entry);
    const program = [...limited(probe, profile.limits), ...mounts.bridge, ...command.argv];
    return {
      ok: true,
      command: {
        ...command,
        argv: [...launch(directory, entry, group), ...enter(directory, probe), ...program],
        cwd: '/',
        env: outside(command.env),
      },
    };
  };
  return {
    ok: true,
    sandboxed: true,
    writable: [profile.workspace, ...(profile.writable ?? []), mounts.home, '/tmp', '/var/tmp'],
    wrap,
    spawn(command) {
      const wrapped = wrap(command);
      if (!wrapped.ok) throw new TypeError(wrapped.refusal.message);
      return spawnPiped(wrapped.command);
    },
    usage: () => usageOf(watched),
    guard: (onExceeded) => watchUsage(watched, profile.limits.memoryBytes, clock, onExceeded),
    async close() {
      await group.close();
      await Promise.all(entries.map((entry) => entry.remove()));
    },
  };
}

const launch = (directory: Directory, { args, status }: Entry, group: Group): readonly string[] => [
  ...['/bin/sh', directory.launcher, args, status, directory.seccomp ?? ''],
  ...group.directories,
  '--',
];

/** The descriptors are those that launch.sh opens. */
const enter = ({ seccomp }: Directory, { bwrap }: Working): readonly string[] => [
  ...[bwrap, '--args', '7', '--json-status-fd', '8'],
  ...(seccomp === undefined ? [] : ['--seccomp', '9']),
  '--',
];

/**
 * What bubblewrap and the shell before it see. They are outside of the sandbox: a variable such as LD_PRELOAD that names a
 * file of the agent's would run the agent's code there. Only our own markers pass, by which processes are found again.
 */
function outside(env: Command['env']): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => /^NIGHTSHIFT_[A-Z_]+$/.test(name)));
}

/** In a file, not among the arguments: those can be read by every user of the machine. */
const environment = (env: Command['env']): readonly string[] => [
  '--clearenv',
  ...Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]),
];

function unusableCommand({ argv, env, cwd }: Command): Reason | undefined {
  const texts = [...argv, cwd, ...Object.entries(env).flat()];
  const named = Object.keys(env).every((name) => name !== '' && !name.includes('='));
  if (argv.length > 0 && named && texts.every((text) => !text.includes('\0'))) return undefined;
  return { code: 'unusable-command', message: 'The command is empty, or it or its environment holds what no program can be given.' };
}

/**
 * Set inside, because the kernel counts processes per user namespace. Hard limits cannot be raised again without a capability,
 * not even the server's own: where it has less than a run may have, that is what there is.
 */
function limited({ prlimit, ceilings }: Working, limits: Limits): readonly string[] {
  if (prlimit === undefined) return [];
  const both = (name: keyof Ceilings | 'core', value: number): string => {
    const most = name === 'core' ? value : Math.min(value, ceilings[name] ?? value);
    return `--${name}=${most}:${most}`;
  };
  return [
    prlimit,
    both('nproc', limits.processes),
    both('nofile', limits.openFiles),
    both('fsize', limits.fileBytes),
    both('cpu', limits.cpuSeconds),
    both('core', 0),
    ...(limits.dataBytesPerProcess === undefined ? [] : [both('data', limits.dataBytesPerProcess)]),
    '--',
  ];
}
