import { access, constants, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemClock, wait } from '../platform/clock.ts';
import type { Limits } from './profile.ts';

/** Limits on all processes of a sandbox together, where this server may set them. A run never fails for want of them. */
export interface Cgroups {
  readonly memory: boolean;
  readonly processes: boolean;
  /** A group for one sandbox. Never throws: what cannot be made is left out. */
  open(limits: Limits): Promise<Group>;
}

export interface Group {
  /** To be entered before the sandbox begins. */
  readonly directories: readonly string[];
  memoryBytes(): Promise<number | undefined>;
  /** Kills what is left in it, and removes it. Never throws. */
  close(): Promise<void>;
}

interface Place {
  readonly version: 1 | 2;
  readonly controllers: readonly ('memory' | 'pids')[];
  readonly path: string;
}

interface CgroupInputs {
  readonly self: string;
  readonly mounts: string;
}

/**
 * Only places that nobody else looks after. Version 1: a controller in whose root the server stands; one in which
 * somebody has put the server into a group is that somebody's (systemd, a container's engine). Version 2: a subtree
 * that was delegated, which shows in the server standing in a group `server` below it (`Delegate=memory pids` with
 * `DelegateSubgroup=server` in a systemd unit).
 */
export async function findCgroups(inputs?: CgroupInputs): Promise<Cgroups> {
  const { self, mounts } = inputs ?? { self: await text('/proc/self/cgroup'), mounts: await text('/proc/self/mountinfo') };
  const places = (await Promise.all([...candidates(self, mounts)].map(usable))).filter((place) => place !== undefined);
  for (const { path } of places) await removeLeftovers(path);
  const has = (controller: 'memory' | 'pids'): boolean => places.some(({ controllers }) => controllers.includes(controller));
  let count = 0;
  return {
    memory: has('memory'),
    processes: has('pids'),
    open(limits) {
      count += 1;
      return openGroup(places, `${prefix}${process.pid}-${count}`, limits);
    },
  };
}

const prefix = 'nightshift-';
const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

function* candidates(self: string, mounts: string): Generator<Place> {
  const groups = new Map(
    self.split('\n').flatMap((line) => {
      const [, names, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
      return names === undefined || path === undefined ? [] : names.split(',').map((name) => [name, path] as const);
    }),
  );
  for (const line of mounts.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [kind, , options = ''] = after.split(' ');
    const mountedAt = before.split(' ')[4] ?? '';
    if (kind === 'cgroup') {
      for (const controller of ['memory', 'pids'] as const) {
        if (options.split(',').includes(controller) && groups.get(controller) === '/')
          yield { version: 1, controllers: [controller], path: mountedAt };
      }
    }
    const own = groups.get('');
    if (kind === 'cgroup2' && own?.endsWith('/server')) {
      yield { version: 2, controllers: ['memory', 'pids'], path: join(mountedAt, dirname(own)) };
    }
  }
}

async function usable(place: Place): Promise<Place | undefined> {
  try {
    await access(place.path, constants.W_OK);
    if (place.version === 1) return place;
    const offered = (await text(join(place.path, 'cgroup.controllers'))).trim().split(' ');
    const controllers = place.controllers.filter((name) => offered.includes(name));
    if (controllers.length === 0) return undefined;
    await writeFile(join(place.path, 'cgroup.subtree_control'), controllers.map((name) => `+${name}`).join(' '));
    return { ...place, controllers };
  } catch {
    return undefined; // not ours to write: then there is no such limit, and the sandbox says so
  }
}

async function openGroup(places: readonly Place[], name: string, limits: Limits): Promise<Group> {
  const made = await Promise.all(places.map((place) => make(place, join(place.path, name), limits)));
  const groups = made.filter((group) => group !== undefined);
  const memory = groups.find(({ controllers }) => controllers.includes('memory'));
  return {
    directories: groups.map(({ path }) => path),
    async memoryBytes() {
      if (!memory) return undefined;
      const found = await text(join(memory.path, memory.version === 1 ? 'memory.usage_in_bytes' : 'memory.current'));
      return found === '' ? undefined : Number(found);
    },
    async close() {
      await Promise.all(groups.map(({ path }) => empty(path)));
    },
  };
}

/** bubblewrap's own two processes, and some air. */
const ownProcesses = 4;

async function make(place: Place, path: string, limits: Limits): Promise<Place | undefined> {
  const settings: readonly (readonly [string, number])[] = [
    ...(place.controllers.includes('memory')
      ? [[place.version === 1 ? 'memory.limit_in_bytes' : 'memory.max', limits.memoryBytes] as const]
      : []),
    ...(place.controllers.includes('pids') ? [['pids.max', limits.processes + ownProcesses] as const] : []),
  ];
  try {
    await mkdir(path);
    for (const [file, value] of settings) await writeFile(join(path, file), String(value));
  } catch {
    await rmdir(path).catch(() => undefined);
    return undefined;
  }
  // Without swap the limit would only move the load; not every kernel counts it.
  const noSwap = place.version === 1 ? ['memory.memsw.limit_in_bytes', String(limits.memoryBytes)] : ['memory.swap.max', '0'];
  if (place.controllers.includes('memory')) await writeFile(join(path, noSwap[0] as string), noSwap[1] as string).catch(() => undefined);
  return { ...place, path };
}

async function empty(path: string): Promise<void> {
  for (let pass = 0; pass < 50; pass++) {
    for (const pid of (await text(join(path, 'cgroup.procs'))).split('\n').filter(Boolean)) kill(Number(pid));
    const gone = await rmdir(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
    );
    if (gone) return;
    await wait(systemClock, 20);
  }
}

function kill(pid: number): void {
  try {
    if (pid > 1) process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself meanwhile.
  }
}

/** Of servers that were killed. A group with processes in it cannot be removed, so the attempt harms nobody. */
async function removeLeftovers(path: string): Promise<void> {
  for (const name of await readdir(path).catch(() => [])) {
    const owner = new RegExp(`^${prefix}(\\d+)-\\d+$`).exec(name)?.[1];
    if (owner !== undefined && (await text(`/proc/${owner}/stat`)) === '') await rmdir(join(path, name)).catch(() => undefined);
  }
}
