import { lstat, readdir, readlink, realpath } from 'node:fs/promises';
import { isAbsolute, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Reason } from '../domain/outcome.ts';
import type { Profile, Scratch } from './profile.ts';

export interface MountParts {
  readonly protect: readonly string[];
  /** Stand-ins for files of /etc, by their place inside. */
  readonly system: ReadonlyMap<string, string>;
  /** Runs the bridge to the egress proxy. */
  readonly node: string;
}

export type Mounts =
  | { readonly ok: false; readonly refusal: Reason }
  | {
      readonly ok: true;
      readonly args: readonly string[];
      readonly home: string;
      /** Goes before the command where there is an egress proxy. */
      readonly bridge: readonly string[];
      /** What is set inside besides the command's own. */
      readonly env: Readonly<Record<string, string>>;
    };

/** On the sandbox's own loopback, so it is free. */
const proxyPort = 3128;
const proxy = `http://127.0.0.1:${proxyPort}`;
const proxyVariables: Readonly<Record<string, string>> = {
  ...Object.fromEntries(['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy'].map((name) => [name, proxy])),
  ...Object.fromEntries(['NO_PROXY', 'no_proxy'].map((name) => [name, 'localhost,127.0.0.1,::1'])),
  NODE_USE_ENV_PROXY: '1',
};

const memoryHome = '/home/agent';
const sharedMemoryBytes = 64 * 2 ** 20;

/** What is seen inside. Everything that is not named here does not exist there. */
export async function planMounts(profile: Profile, parts: MountParts): Promise<Mounts> {
  const binds = bindsOf(profile, parts);
  for (const bind of binds) {
    const refusal = await opens(bind, binds, parts.protect);
    if (refusal) return { ok: false, refusal };
  }
  const sources = (kind: Bind['kind']): readonly string[] => binds.filter((bind) => bind.kind === kind).map(({ path }) => path);
  return {
    ok: true,
    home: profile.home.kind === 'memory' ? memoryHome : profile.home.path,
    bridge: profile.egressSocket === undefined ? [] : [parts.node, bridgeFile, profile.egressSocket, String(proxyPort)],
    env: profile.egressSocket === undefined ? {} : proxyVariables,
    args: [
      ...(await system()),
      ...(await etc(parts.system)),
      ...kernel(await present(readOnlyKernel), await present(hiddenKernel)),
      ...scratch(profile.tmp, '/tmp', '1777'),
      ...['--symlink', '/tmp', '/var/tmp', '--dir', '/run'],
      ...(profile.home.kind === 'memory' ? scratch(profile.home, memoryHome, '0700') : []),
      ...sources('read-only').flatMap((path) => ['--ro-bind', path, path]),
      ...sources('socket').flatMap((path) => ['--ro-bind', path, path]),
      ...sources('writable').flatMap((path) => ['--bind', path, path]),
      ...['--remount-ro', '/dev', '--remount-ro', '/'],
    ],
  };
}

interface Bind {
  readonly kind: 'writable' | 'read-only' | 'socket';
  readonly path: string;
}

const bridgeFile = fileURLToPath(new URL('./bridge.ts', import.meta.url));

function bindsOf(profile: Profile, { node }: MountParts): readonly Bind[] {
  const directories = [profile.home, profile.tmp].flatMap((place) => (place.kind === 'directory' ? [place.path] : []));
  const egress = profile.egressSocket;
  return [
    ...[profile.workspace, ...(profile.writable ?? []), ...directories].map((path): Bind => ({ kind: 'writable', path })),
    ...[...(profile.readOnly ?? []), ...(egress === undefined ? [] : [node, bridgeFile])].map(
      (path): Bind => ({ kind: 'read-only', path }),
    ),
    ...[...(profile.sockets ?? []), ...(egress === undefined ? [] : [egress])].map((path): Bind => ({ kind: 'socket', path })),
  ];
}

/** Whole trees that would bring in other people's things, or the means to leave. */
const never = [
  '/boot',
  '/dev',
  '/etc',
  '/home',
  '/proc',
  '/root',
  '/run',
  '/srv',
  '/sys',
  '/tmp',
  '/usr',
  '/var',
  '/var/run',
  '/var/lib',
  '/var/tmp',
];
/** Nothing below these either. */
const neverBelow = ['/boot', '/dev', '/etc', '/proc', '/sys'];
/** Whoever may talk to one of these is root. */
const powerful = /(^|\/)(docker|containerd|podman|crio|dbus|system_bus_socket|libvirt-sock)(\.sock)?$/;

/** Why a bind would open the sandbox, or cannot be made. */
async function opens({ kind, path }: Bind, all: readonly Bind[], protect: readonly string[]): Promise<Reason | undefined> {
  const refuse = (code: string, why: string): Reason => ({ code, message: `${path} cannot be put into the sandbox: ${why}.` });
  if (!isAbsolute(path) || normalize(path) !== path || path.endsWith('/') || path.includes('\0')) {
    return refuse('bind-not-plain', 'it is not a plain absolute path');
  }
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) return refuse('bind-missing', 'it does not exist');
  const found = await lstat(path);
  if (kind === 'writable' && found.isSymbolicLink()) return refuse('bind-is-link', 'it is a symbolic link');
  if (kind === 'writable' && !found.isDirectory()) return refuse('bind-not-directory', 'it is not a directory');
  if (kind === 'socket' && !found.isSocket()) return refuse('bind-not-socket', 'it is not a unix socket');
  if (powerful.test(real)) return refuse('bind-powerful', 'who may use it is root');
  const kept = await Promise.all(protect.map((place) => realpath(place).catch(() => place)));
  const exposed = [...never, ...kept].find((place) => contains(real, place));
  if (exposed !== undefined) return refuse('bind-exposes', `it would show ${exposed}`);
  const above = neverBelow.find((place) => contains(place, real));
  if (above !== undefined) return refuse('bind-exposes', `it belongs to ${above}`);
  // An earlier attempt may have planted a link there, and a mount follows links.
  const within = all.find((other) => other.kind === 'writable' && other.path !== path && contains(other.path, path));
  return within && refuse('bind-inside-writable', `the agent can change ${within.path}, which it is in`);
}

const contains = (outer: string, inner: string): boolean => outer === '/' || inner === outer || inner.startsWith(`${outer}/`);

const systemTrees = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];

/** Debian has links there; others have directories. */
async function system(): Promise<readonly string[]> {
  const trees = await Promise.all(
    systemTrees.map(async (path) => {
      const found = await lstat(path).catch(() => undefined);
      if (found?.isSymbolicLink()) return ['--symlink', await readlink(path), path];
      return found ? ['--ro-bind', path, path] : [];
    }),
  );
  return ['--ro-bind', '/usr', '/usr', ...trees.flat()];
}

/** What programs need of /etc. Not in it: shadow, ssl/private, gitconfig (may hold credentials), resolv.conf (there is nothing to ask). */
const etcPaths = [
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'alternatives',
  'ssl/certs',
  'ssl/openssl.cnf',
  'ca-certificates',
  'ca-certificates.conf',
  'pki/tls/certs',
  'pki/ca-trust',
  'localtime',
  'timezone',
  'protocols',
  'services',
  'mime.types',
  'magic',
  'os-release',
  'debian_version',
  'terminfo',
  'inputrc',
  'fonts',
].map((name) => `/etc/${name}`);

async function etc(stands: ReadonlyMap<string, string>): Promise<readonly string[]> {
  const found = await present(etcPaths);
  const links = await javaAndPython();
  return [
    ...[...found, ...links].flatMap((path) => ['--ro-bind', path, path]),
    ...[...stands].flatMap(([at, from]) => ['--ro-bind', from, at]),
  ];
}

async function javaAndPython(): Promise<readonly string[]> {
  const names = await readdir('/etc').catch(() => []);
  return names.filter((name) => /^(java|python|perl|php)[\d.-]*/.test(name)).map((name) => join('/etc', name));
}

/**
 * bubblewrap covers a part of these by itself, but not when the server is root: it asks whether they can be written
 * with the rights of the user that it has made, and the kernel grants the writing by the server's.
 */
const readOnlyKernel = [
  'sys',
  'sysrq-trigger',
  'irq',
  'bus',
  'fs',
  'acpi',
  'driver',
  'mtrr',
  'pressure',
  'scsi',
  'asound',
  'dynamic_debug',
].map((name) => `/proc/${name}`);
const hiddenKernel = ['kcore', 'keys', 'key-users', 'kmsg', 'kallsyms', 'timer_list', 'sched_debug', 'latency_stats', 'config.gz'].map(
  (name) => `/proc/${name}`,
);

function kernel(readOnly: readonly string[], hidden: readonly string[]): readonly string[] {
  return [
    ...['--proc', '/proc'],
    ...readOnly.flatMap((path) => ['--ro-bind', path, path]),
    ...hidden.flatMap((path) => ['--ro-bind', '/dev/null', path]),
    ...['--dev', '/dev', '--size', String(sharedMemoryBytes), '--tmpfs', '/dev/shm'],
  ];
}

function scratch(place: Scratch, at: string, mode: string): readonly string[] {
  return place.kind === 'memory' ? ['--perms', mode, '--size', String(place.bytes), '--tmpfs', at] : ['--bind', place.path, at];
}

async function present(paths: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(
    paths.map(async (path) =>
      (await lstat(path).catch(() => undefined)) && (await realpath(path).catch(() => undefined)) ? path : undefined,
    ),
  );
  return found.filter((path) => path !== undefined);
}
