import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { systemClock } from '../platform/clock.ts';
import { type Cgroups, findCgroups } from './cgroups.ts';
import { checkSandbox } from './check.ts';
import { type Machine, type Probe, probeSandbox } from './probe.ts';
import { defaultLimits, type Profile, type sandboxModes } from './profile.ts';
import { createSandbox, type Sandbox } from './sandbox.ts';
import { watchUsage } from './usage.ts';

const base = realpathSync(mkdtempSync(join(tmpdir(), 'nightshift-test-')));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const inBase = (...parts: string[]): string => {
  const path = join(base, ...parts);
  mkdirSync(path, { recursive: true });
  return path;
};

const noGroups: Cgroups = {
  memory: false,
  processes: false,
  open: async () => ({ directories: [], memoryBytes: async () => undefined, close: async () => undefined }),
};
const works: Probe = {
  works: true,
  bwrap: '/usr/bin/bwrap',
  version: '0.8.0',
  disablesNesting: true,
  filtersCalls: true,
  prlimit: '/usr/bin/prlimit',
  ceilings: {},
  cgroups: noGroups,
  asRoot: false,
};
const missing: Probe = { works: false, code: 'not-installed', found: 'bubblewrap is not installed', remedy: 'Install it.' };
const scratch = { kind: 'memory', bytes: 1_000_000 } as const;
const command = { argv: ['/bin/true'], cwd: '/', env: { PATH: '/bin' } };
const open = (mode: (typeof sandboxModes)[number], probe: Probe): Promise<Sandbox> =>
  createSandbox({ mode, directory: join(base, 'sandbox'), protect: [inBase('home')], clock: systemClock, probe });

describe('the modes of the sandbox', () => {
  const profile = (): Profile => ({ workspace: inBase('work'), home: scratch, tmp: scratch, limits: defaultLimits });

  test.each([
    ['auto', works, 'untrusted', 'sandboxed'],
    ['auto', missing, 'owner', 'bare'],
    ['auto', missing, 'known', 'bare'],
    ['auto', missing, 'untrusted', 'sandbox-needed'],
    ['require', works, 'untrusted', 'sandboxed'],
    ['require', missing, 'owner', 'sandbox-unavailable'],
    ['require', missing, 'untrusted', 'sandbox-unavailable'],
    ['off', works, 'owner', 'bare'],
    ['off', works, 'untrusted', 'sandbox-needed'],
  ] as const)('%s, with a sandbox that may work or not, for work of the %s', async (mode, probe, trust, expected) => {
    const sandbox = await open(mode, probe);
    const opening = await sandbox.open(profile(), trust);
    expect(opening.ok ? (opening.sandboxed ? 'sandboxed' : 'bare') : opening.refusal.code).toBe(expected);
    expect(sandbox.refuses(trust)?.code).toBe(opening.ok ? undefined : expected);
    if (opening.ok) await opening.close();
  });

  test.each([
    ['auto', missing, 'warning', /AGENTS RUN WITH THE SERVER'S OWN RIGHTS/],
    ['require', missing, 'failure', /nothing is run/],
    ['off', works, 'warning', /switched off/],
    ['auto', works, 'ok', /Agents run in a sandbox/],
  ] as const)('%s says loudly how things stand', async (mode, probe, verdict, summary) => {
    const { describe: describeIt } = await open(mode, probe);
    expect(describeIt().summary).toMatch(summary);
    const machine = fake(probe.works ? {} : { find: () => undefined });
    expect(await checkSandbox(mode, machine)).toMatchObject({ verdict, ...(verdict === 'ok' ? {} : { remedy: expect.any(String) }) });
  });

  test('names each limit that does not hold', async () => {
    const { doesNotHold } = (
      await open('auto', { ...works, asRoot: true, prlimit: undefined, disablesNesting: false, filtersCalls: false })
    ).describe();
    for (const word of [
      'Memory',
      'number of processes',
      'Open files',
      'User namespaces',
      'System calls',
      "root's user",
      'kernel is shared',
    ])
      expect(doesNotHold.join('\n')).toContain(word);
  });
});

describe('a profile', () => {
  const code = async (change: Partial<Profile>, more: Partial<typeof command> = {}): Promise<string> => {
    const profile = { workspace: inBase('home', 'runs', 'a', 'work'), home: scratch, tmp: scratch, limits: defaultLimits, ...change };
    const opening = await (await open('require', works)).open(profile, 'untrusted');
    if (!opening.ok) return opening.refusal.code;
    const wrapped = opening.wrap({ ...command, ...more });
    await opening.close();
    return wrapped.ok ? 'ok' : wrapped.refusal.code;
  };
  const made = (path: string, make: (path: string) => void): string => {
    make(path);
    return path;
  };

  test('opens a workspace inside of the home', async () => expect(await code({})).toBe('ok'));

  test.each<[string, () => Partial<Profile>, string]>([
    ["shows the server's home", () => ({ workspace: join(base, 'home') }), 'bind-exposes'],
    ['shows what the home is in', () => ({ readOnly: [base] }), 'bind-exposes'],
    ['shows everything', () => ({ readOnly: ['/'] }), 'bind-not-plain'],
    ['shows every home', () => ({ readOnly: ['/home'] }), 'bind-exposes'],
    ['shows /etc', () => ({ readOnly: ['/etc'] }), 'bind-exposes'],
    ['shows a file of /etc', () => ({ readOnly: ['/etc/shadow'] }), 'bind-exposes'],
    ['shows /proc', () => ({ readOnly: ['/proc'] }), 'bind-exposes'],
    ['shows devices', () => ({ readOnly: ['/dev'] }), 'bind-exposes'],
    ['climbs', () => ({ workspace: `${base}/home/runs/../runs/a` }), 'bind-not-plain'],
    ['is relative', () => ({ workspace: 'work' }), 'bind-not-plain'],
    ['is nowhere', () => ({ workspace: join(base, 'nowhere') }), 'bind-missing'],
    ['is a file', () => ({ workspace: made(join(base, 'file'), (path) => writeFileSync(path, '')) }), 'bind-not-directory'],
    ['is a link', () => ({ workspace: made(join(base, 'link'), (path) => symlinkSync(inBase('home'), path)) }), 'bind-is-link'],
    [
      'is a link to a protected place',
      () => ({ readOnly: [made(join(base, 'to-home'), (path) => symlinkSync(inBase('home'), path))] }),
      'bind-exposes',
    ],
    ['lies where the agent can change it', () => ({ readOnly: [inBase('home', 'runs', 'a', 'work', 'sub')] }), 'bind-inside-writable'],
    ['has a socket that is none', () => ({ sockets: [inBase('home', 'runs', 'b')] }), 'bind-not-socket'],
  ])('that %s is refused', async (_, change, expected) => expect(await code(change())).toBe(expected));

  test("that lends Docker's socket is refused", async () => {
    const socket = join(inBase('engine'), 'docker.sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    expect(await code({ sockets: [socket] })).toBe('bind-powerful');
    server.close();
  });

  test.each([{ argv: [] }, { argv: ['a\0b'] }, { env: { 'A=B': 'x' } as unknown as typeof command.env }, { env: { PATH: 'a\0--bind' } }])(
    'with a command that cannot be started is refused: %j',
    async (more) => expect(await code({}, more)).toBe('unusable-command'),
  );
});

function fake(change: Partial<Machine> & { readonly says?: string; readonly files?: Readonly<Record<string, string>> }): Machine {
  return {
    platform: 'linux',
    asRoot: false,
    find: (program) => `/usr/bin/${program}`,
    run: async (argv) =>
      argv.includes('--version')
        ? { code: 0, output: 'bubblewrap 0.8.0' }
        : { code: change.says === undefined ? 0 : 1, output: change.says ?? '' },
    read: (path) => change.files?.[path],
    cgroups: async () => noGroups,
    ...change,
  };
}

describe('the probe', () => {
  const denied = 'bwrap: setting up uid map: Permission denied';
  test.each<[string, Parameters<typeof fake>[0], string]>([
    ['another system', { platform: 'darwin' }, 'not-linux'],
    ['no bubblewrap', { find: () => undefined }, 'not-installed'],
    ['an old one', { says: 'bwrap: Unknown option --size' }, 'too-old'],
    ['user namespaces switched off', { says: denied, files: { '/proc/sys/user/max_user_namespaces': '0\n' } }, 'switched-off'],
    ['user namespaces for root only', { says: denied, files: { '/proc/sys/kernel/unprivileged_userns_clone': '0\n' } }, 'switched-off'],
    ['AppArmor', { says: denied, files: { '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1\n' } }, 'restricted'],
    ['Docker', { says: 'bwrap: No permissions to create new namespace', files: { '/.dockerenv': '' } }, 'in-container'],
    [
      'a unit of systemd that closes too much',
      {
        says: "bwrap: Can't set hostname to sandbox: Operation not permitted",
        files: { '/proc/self/status': 'NoNewPrivs:\t1\nSeccomp:\t2\n' },
      },
      'filtered',
    ],
    ['something else', { says: 'bwrap: no idea' }, 'broken'],
  ])('knows %s, and a remedy', async (_, machine, code) => {
    expect(await probeSandbox(fake(machine))).toMatchObject({
      works: false,
      code,
      remedy: expect.stringMatching(/\w/),
      found: expect.stringMatching(/\w/),
    });
  });

  test('sees what the server may have at most itself', async () => {
    const limits = [
      'Max cpu time              unlimited            unlimited            seconds',
      'Max open files            1024                 4096                 files',
    ];
    expect(await probeSandbox(fake({ files: { '/proc/self/limits': limits.join('\n') } }))).toMatchObject({ ceilings: { nofile: 4096 } });
  });

  test('tries what agents get: a machine that allows no name of its own has no sandbox', async () => {
    const run: Machine['run'] = async (argv) => ({ code: argv.includes('--hostname') ? 1 : 0, output: "bwrap: Can't set hostname" });
    expect(await probeSandbox(fake({ run }))).toMatchObject({ works: false, code: 'broken' });
  });

  test('does without --disable-userns where bubblewrap cannot', async () => {
    const run: Machine['run'] = async (argv) => ({ code: argv.includes('--disable-userns') ? 1 : 0, output: '0.7.0' });
    expect(await probeSandbox(fake({ run }))).toMatchObject({ works: true, disablesNesting: false });
  });
});

describe('control groups', () => {
  const mounts = (kind: string, at: string, options: string): string => `30 20 0:30 / ${at} rw - ${kind} cgroup rw,${options}\n`;

  test('of version 1 are used where the server stands in the root, and left alone where somebody has put it into a group', async () => {
    const [memory, pids] = [inBase('v1', 'memory'), inBase('v1', 'pids')];
    const both = mounts('cgroup', memory, 'memory') + mounts('cgroup', pids, 'pids');
    const found = await findCgroups({ self: '4:memory:/somebody/else\n8:pids:/\n', mounts: both });
    expect([found.memory, found.processes]).toEqual([false, true]);
    const group = await found.open({ ...defaultLimits, processes: 10 });
    expect(group.directories.map((path) => join(path, '..'))).toEqual([pids]);
    expect(readFileSync(join(String(group.directories[0]), 'pids.max'), 'utf8')).toBe('14');
  });

  test('of version 1 limit memory and swap together', async () => {
    const memory = inBase('v1b', 'memory');
    const found = await findCgroups({ self: '4:memory:/\n', mounts: mounts('cgroup', memory, 'memory') });
    const [path = ''] = (await found.open({ ...defaultLimits, memoryBytes: 123_000 })).directories;
    expect(['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'].map((file) => readFileSync(join(path, file), 'utf8'))).toEqual([
      '123000',
      '123000',
    ]);
  });

  test('of version 2 are used where they were delegated', async () => {
    const root = inBase('v2');
    const unit = inBase('v2', 'system.slice', 'nightshift.service');
    writeFileSync(join(unit, 'cgroup.controllers'), 'cpu memory pids\n');
    const inputs = (self: string) => ({ self, mounts: mounts('cgroup2', root, 'nsdelegate') });
    const found = await findCgroups(inputs('0::/system.slice/nightshift.service/server\n'));
    expect([found.memory, found.processes]).toEqual([true, true]);
    expect(readFileSync(join(unit, 'cgroup.subtree_control'), 'utf8')).toBe('+memory +pids');
    const group = await found.open({ ...defaultLimits, memoryBytes: 5_000, processes: 1 });
    const [path = ''] = group.directories;
    expect(['memory.max', 'memory.swap.max', 'pids.max'].map((file) => readFileSync(join(path, file), 'utf8'))).toEqual(['5000', '0', '5']);
    expect((await findCgroups(inputs('0::/user.slice/session\n'))).memory).toBe(false);
  });

  test('that cannot be made are left out', async () => {
    const found = await findCgroups({ self: '8:pids:/\n', mounts: mounts('cgroup', inBase('v1c'), 'pids') });
    rmSync(join(base, 'v1c'), { recursive: true });
    expect((await found.open(defaultLimits)).directories).toEqual([]);
  });

  test('of a server that is gone are removed', async () => {
    const pids = inBase('v1d');
    inBase('v1d', 'nightshift-999999999-1');
    inBase('v1d', `nightshift-${process.pid}-1`);
    await findCgroups({ self: '8:pids:/\n', mounts: mounts('cgroup', pids, 'pids') });
    expect(readdirSync(pids)).toEqual([`nightshift-${process.pid}-1`]);
  });
});

describe('watching', () => {
  const status = join(base, 'status');
  beforeAll(() => writeFileSync(status, ''));
  const group = { directories: [], memoryBytes: async () => undefined, close: async () => undefined };

  test('waits for a sandbox that has not begun, and stops when told', async () => {
    const clock = new ManualClock();
    const exceeded: unknown[] = [];
    const stop = watchUsage({ statuses: () => [status], group }, 1, clock, (reason) => exceeded.push(reason));
    clock.advance(1_000);
    stop();
    expect([exceeded, clock.pending]).toEqual([[], 0]);
  });
});
