import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '../../test/support/ports.ts';
import type { Scope } from './scope.ts';

/** `always` answers after the disk has it, as the other stores here do; `everysec` may lose a second of answered work. */
export type AppendSync = 'always' | 'everysec';

export function redisProgram(): string | undefined {
  return ['/usr/bin/redis-server', '/usr/local/bin/redis-server'].find((path) => existsSync(path));
}

/** A Redis of our own, with an append-only file in a directory that goes with it; answers the port. */
export async function startRedis(program: string, sync: AppendSync, scope: Scope): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'nightshift-bench-redis-'));
  const port = await freePort();
  const settings = ['--bind', '127.0.0.1', '--port', String(port), '--dir', directory];
  const durability = ['--appendonly', 'yes', '--appendfsync', sync, '--save', '', '--maxmemory-policy', 'noeviction'];
  const child = spawn(program, [...settings, ...durability], { stdio: 'ignore', cwd: '/' });
  scope.onEnd(async () => {
    await ended(child);
    rmSync(directory, { recursive: true, force: true });
  });
  const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null, retryStrategy: () => 20 });
  client.on('error', () => undefined); // refused until it listens
  await client.ping();
  await client.quit();
  return port;
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}
