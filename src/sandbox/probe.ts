import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { type Cgroups, findCgroups } from './cgroups.ts';
import { seccompFilter } from './seccomp.ts';

/** What the sandbox has to work with on this machine. */
export type Probe =
  | {
      readonly works: true;
      readonly bwrap: string;
      readonly version: string;
      /** No user namespaces inside the sandbox. */
      readonly disablesNesting: boolean;
      readonly filtersCalls: boolean;
      readonly prlimit: string | undefined;
      readonly ceilings: Ceilings;
      readonly cgroups: Cgroups;
      readonly asRoot: boolean;
    }
  | { readonly works: false; readonly code: ProblemCode; readonly found: string; readonly remedy: string };

/** What the server may have at most itself. It can give nobody more; what is not named has no end. */
export type Ceilings = Readonly<Partial<Record<keyof typeof ceilingNames, number>>>;

type ProblemCode = 'not-linux' | 'not-installed' | 'too-old' | 'restricted' | 'switched-off' | 'in-container' | 'filtered' | 'broken';

/** The machine as the probe sees it. */
export interface Machine {
  readonly platform: string;
  readonly asRoot: boolean;
  /** Where a program is, of fixed places only: what PATH says may be anybody's. */
  find(program: string): string | undefined;
  run(argv: readonly string[]): Promise<{ readonly code: number; readonly output: string }>;
  /** The content of a file, or undefined. */
  read(path: string): string | undefined;
  cgroups(): Promise<Cgroups>;
}

/** Starts a trivial program the way that agents are started. Whether bubblewrap is installed says little: kernels and containers forbid what it needs. */
export async function probeSandbox(machine: Machine = thisMachine()): Promise<Probe> {
  if (machine.platform !== 'linux') {
    return problem(
      'not-linux',
      `it needs Linux, and this is ${machine.platform}`,
      'Run the server on Linux, in a virtual machine for example.',
    );
  }
  const bwrap = machine.find('bwrap');
  if (bwrap === undefined) return problem('not-installed', 'bubblewrap is not installed', 'Install it (Debian: apt install bubblewrap).');
  const version = /(\d[\d.]*)/.exec((await machine.run([bwrap, '--version'])).output)?.[1] ?? 'unknown';

  const strict = await machine.run(trial(bwrap, true));
  const trialled = strict.code === 0 ? strict : await machine.run(trial(bwrap, false));
  if (trialled.code !== 0) return diagnose(trialled.output.trim(), version, machine);
  return {
    works: true,
    bwrap,
    version,
    disablesNesting: strict.code === 0,
    filtersCalls: seccompFilter(process.arch) !== undefined,
    prlimit: machine.find('prlimit'),
    ceilings: ceilingsIn(machine.read('/proc/self/limits') ?? ''),
    cgroups: await machine.cgroups(),
    asRoot: machine.asRoot,
  };
}

const trial = (bwrap: string, disablesNesting: boolean): readonly string[] => [
  ...[bwrap, ...namespaces(disablesNesting), '--ro-bind', '/', '/', '--proc', '/proc', '--ro-bind', '/proc/sys', '/proc/sys'],
  ...['--dev', '/dev', '--size', '1048576', '--tmpfs', '/tmp', '--', '/bin/sh', '-c', 'exit 0'],
];

/**
 * The user inside is an ordinary one without capabilities, also when the server is root. To the kernel it is still the
 * server's user, so that the workspace needs no change of owner; what root owns is kept from it by not being there or by
 * being read-only. docs/sandbox.md has what that leaves.
 */
export function namespaces(disablesNesting: boolean): readonly string[] {
  return [
    '--unshare-user',
    ...(disablesNesting ? ['--disable-userns'] : []),
    '--unshare-pid',
    '--unshare-net',
    '--unshare-ipc',
    '--unshare-uts',
    '--unshare-cgroup-try',
    '--uid',
    '1000',
    '--gid',
    '1000',
    '--hostname',
    'sandbox',
    '--die-with-parent',
    '--new-session',
    '--cap-drop',
    'ALL',
  ];
}

const ceilingNames = {
  nproc: 'Max processes',
  nofile: 'Max open files',
  fsize: 'Max file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
} as const;

/** The second figure of a line is the hard limit. Containers often have low ones. */
function ceilingsIn(limits: string): Ceilings {
  return Object.fromEntries(
    Object.entries(ceilingNames).flatMap(([name, words]) => {
      const hard = new RegExp(`^${words} +\\S+ +(\\d+) `, 'm').exec(limits)?.[1];
      return hard === undefined ? [] : [[name, Number(hard)]];
    }),
  );
}

function diagnose(output: string, version: string, machine: Machine): Probe {
  const said = output.split('\n').at(-1) || 'it ended without a word';
  const setTo = (path: string, value: string): boolean => machine.read(path)?.trim() === value;
  if (/unknown option/i.test(output)) {
    return problem('too-old', `bubblewrap ${version} is too old (${said})`, 'Install 0.8 or later (Debian 12 has it).');
  }
  if (setTo('/proc/sys/user/max_user_namespaces', '0')) {
    return problem(
      'switched-off',
      'user namespaces are switched off (user.max_user_namespaces is 0)',
      'sysctl -w user.max_user_namespaces=10000',
    );
  }
  if (!machine.asRoot && setTo('/proc/sys/kernel/unprivileged_userns_clone', '0')) {
    return problem(
      'switched-off',
      'ordinary users may not make user namespaces (kernel.unprivileged_userns_clone is 0)',
      'sysctl -w kernel.unprivileged_userns_clone=1',
    );
  }
  if (inContainer(machine)) {
    return problem(
      'in-container',
      `this container does not allow it (${said})`,
      'Start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined, or run the server outside of one.',
    );
  }
  if (setTo('/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1')) {
    return problem(
      'restricted',
      `AppArmor keeps programs from making user namespaces (${said})`,
      'Install an AppArmor profile for bwrap that has "userns," (Ubuntu: apt install apparmor-profiles, then copy bwrap-userns-restrict to /etc/apparmor.d).',
    );
  }
  if (/^Seccomp:\s*2$/m.test(machine.read('/proc/self/status') ?? '')) {
    return problem(
      'filtered',
      `what started the server keeps system calls from it that a sandbox needs (${said})`,
      'If that is systemd, compare its unit with deploy/nightshift.service, which says what to leave out: ProtectHostname and RestrictSUIDSGID, for example.',
    );
  }
  return problem(
    'broken',
    `bubblewrap ${version} does not start (${said})`,
    "Run `bwrap --unshare-user --ro-bind / / true` as the server's user to see why.",
  );
}

function inContainer({ read }: Machine): boolean {
  if (read('/.dockerenv') !== undefined || read('/run/.containerenv') !== undefined) return true;
  return /docker|containerd|kubepods|lxc/.test(read('/proc/1/cgroup') ?? '');
}

const problem = (code: ProblemCode, found: string, remedy: string): Probe => ({ works: false, code, found, remedy });

const places = ['/usr/bin', '/bin', '/usr/local/bin', '/run/current-system/sw/bin'];
const trialMs = 10_000;

function thisMachine(): Machine {
  return {
    platform: process.platform,
    asRoot: process.getuid?.() === 0,
    find: (program) => places.map((place) => `${place}/${program}`).find(isExecutable),
    run: ([program = '', ...args]) =>
      new Promise((resolve) => {
        execFile(program, args, { env: {}, cwd: '/', timeout: trialMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
          const output = stderr || stdout || (error?.message ?? '');
          resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, output });
        });
      }),
    read(path) {
      try {
        return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
      } catch {
        return ''; // it is there, but not for us
      }
    },
    cgroups: () => findCgroups(),
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
