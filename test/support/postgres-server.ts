import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { freePort } from './ports.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL of a server on which tests make databases of their own, or why there is none. */
    postgres: { readonly url: string } | { readonly missing: string };
  }
}

/** One PostgreSQL for all tests: the one given, else one of Debian's that is started here and removed afterwards. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['DATABASE_URL_TEST'];
  if (given) {
    project.provide('postgres', { url: given });
    return async () => undefined;
  }
  const bin = debianPostgres();
  if (!bin) {
    const missing =
      'PostgreSQL is not installed (Debian package "postgresql"), so nothing is tested on it; set DATABASE_URL_TEST to use a server elsewhere';
    if (process.env['NIGHTSHIFT_TEST_NOTHING_SKIPPED']) throw new Error(missing);
    console.warn(`\n  SKIPPED: ${missing}\n`);
    project.provide('postgres', { missing });
    return async () => undefined;
  }
  // Only a crash of the machine would show the difference, and a thousand databases are made in a fifth of the time.
  const server = await startPostgres(bin, ['-c', 'fsync=off', '-c', 'full_page_writes=off']);
  project.provide('postgres', { url: server.url });
  return () => server.stop();
}

export interface PostgresServer {
  readonly url: string;
  readonly stop: () => Promise<void>;
  /** Ends every connection and starts again, as an operator would. */
  readonly restart: () => Promise<void>;
}

export async function startPostgres(bin: string, settings: readonly string[] = []): Promise<PostgresServer> {
  const directory = mkdtempSync('/tmp/nightshift-postgres-');
  const identity = unprivileged();
  if (identity.uid !== undefined) chownSync(directory, identity.uid, identity.gid as number);
  const data = join(directory, 'data');
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'nightshift', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8'], {
    ...identity,
    stdio: 'ignore',
    cwd: '/',
  });
  const port = await freePort();
  const url = `postgres://nightshift@127.0.0.1:${port}/postgres`;
  const args = [
    '-D',
    data,
    '-h',
    '127.0.0.1',
    '-p',
    String(port),
    '-k',
    directory,
    '-c',
    'max_connections=200',
    '-c',
    'shared_buffers=128MB',
    ...settings,
  ];

  const launch = async (): Promise<ChildProcess> => {
    const child = spawn(join(bin, 'postgres'), args, { ...identity, cwd: '/', stdio: 'ignore' });
    await answering(url, child);
    return child;
  };
  const end = (child: ChildProcess): Promise<void> =>
    new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.kill('SIGINT'); // "fast": disconnect everybody, then stop
    });

  let child = await launch();
  const killWithUs = (): unknown => child.kill('SIGQUIT');
  process.once('exit', killWithUs);
  return {
    url,
    async stop() {
      process.off('exit', killWithUs);
      await end(child);
      rmSync(directory, { recursive: true, force: true });
    },
    async restart() {
      await end(child);
      child = await launch();
    },
  };
}

export function debianPostgres(): string | undefined {
  const root = '/usr/lib/postgresql';
  if (!existsSync(root)) return undefined;
  const newest = readdirSync(root).sort((a, b) => Number(b) - Number(a))[0];
  const bin = join(root, String(newest), 'bin');
  return existsSync(join(bin, 'initdb')) ? bin : undefined;
}

/** PostgreSQL refuses to run as root; then it runs as the user that Debian made for it. */
function unprivileged(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres']).toString());
  return { uid: id('-u'), gid: id('-g') };
}

async function answering(url: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error('PostgreSQL did not start');
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error('PostgreSQL does not answer');
}
