import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seccompFilter } from './seccomp.ts';

/** The files that a sandbox is made from. */
export interface Directory {
  readonly launcher: string;
  /** The filter, where there is one for this processor. */
  readonly seccomp: string | undefined;
  /** Minimal stand-ins for files of /etc, by their place inside. */
  readonly system: ReadonlyMap<string, string>;
  /** Synchronous, because starting a process is. */
  write(args: readonly string[]): Entry;
}

export interface Entry {
  readonly args: string;
  readonly status: string;
  remove(): Promise<void>;
}

const stand: Readonly<Record<string, string>> = {
  passwd:
    'root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nagent:x:1000:1000:agent:/home/agent:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  group: 'root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost sandbox\n::1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
};

export async function openDirectory(path: string): Promise<Directory> {
  const [system, entries] = [join(path, 'etc'), join(path, 'entries')];
  await mkdir(system, { recursive: true, mode: 0o700 });
  await mkdir(entries, { recursive: true, mode: 0o700 });
  await removeLeftovers(entries);
  const stands = await Promise.all(
    Object.entries(stand).map(async ([name, text]) => {
      await writeFile(join(system, name), text, { mode: 0o644 });
      return [`/etc/${name}`, join(system, name)] as const;
    }),
  );
  const filter = seccompFilter(process.arch);
  const seccomp = filter && join(path, 'seccomp.bpf');
  if (filter && seccomp) await writeFile(seccomp, filter, { mode: 0o600 });
  return {
    launcher: fileURLToPath(new URL('./launch.sh', import.meta.url)),
    seccomp,
    system: new Map(stands),
    write(args) {
      const base = join(entries, randomUUID());
      const entry = { args: `${base}.args`, status: `${base}.status` };
      writeFileSync(entry.args, args.map((arg) => `${arg}\0`).join(''), { mode: 0o600 });
      writeFileSync(entry.status, '', { mode: 0o600 });
      return {
        ...entry,
        remove: async () => {
          await Promise.all(Object.values(entry).map((file) => rm(file, { force: true }).catch(() => undefined)));
        },
      };
    },
  };
}

/** Of a server that was killed. A home has one server, so nobody else's sandbox is begun from them. */
async function removeLeftovers(entries: string): Promise<void> {
  for (const name of await readdir(entries)) await rm(join(entries, name), { force: true });
}
