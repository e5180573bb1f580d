import { type ChildProcess, spawn } from 'node:child_process';
import { get, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/ports.ts';
import type { Place } from './bench.ts';
import type { Scope } from './scope.ts';

export const token = 'bench-owner-key-0123456789';

export interface ServerChild {
  readonly pid: number;
  readonly address: string;
  /** When the process was started, by the wall clock that its own records use. */
  readonly spawnedAt: number;
  /** From spawn to the first 200 of /health. */
  readonly healthyMs: number;
  api<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Resolves with the task's status when it neither runs nor stands in line. */
  settled(taskId: string): Promise<string>;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

const program = fileURLToPath(new URL('../../bin/nightshift.js', import.meta.url));
const patienceMs = 20_000;
const settledWithinMs = 180_000;

/** The real server, with its settings as they come, in a process of its own. */
export async function startServerChild(scope: Scope, place: Place, settings: Readonly<Record<string, string>> = {}): Promise<ServerChild> {
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  const spawnedAt = Date.now();
  const start = performance.now();
  const child = spawn(process.execPath, [program, 'up'], {
    cwd: place.home,
    env: {
      PATH: process.env['PATH'],
      HOME: place.home,
      NIGHTSHIFT_HOME: place.home,
      NIGHTSHIFT_TOKEN: token,
      PORT: String(port),
      ...(place.databaseUrl === undefined ? {} : { DATABASE_URL: place.databaseUrl }),
      ...settings,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  scope.onEnd(() => end(child, 'SIGKILL'));
  while ((await statusOf(`${address}/health`)) !== 200) {
    if (child.exitCode !== null || performance.now() - start > patienceMs) throw new Error('the server did not become healthy');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const healthyMs = performance.now() - start;
  const api: ServerChild['api'] = (method, path, body) => call(address, method, path, body);
  return {
    pid: child.pid as number,
    address,
    spawnedAt,
    healthyMs,
    api,
    async settled(taskId) {
      const until = performance.now() + settledWithinMs;
      while (performance.now() < until) {
        const { status } = await api<{ status: string }>('GET', `/api/tasks/${taskId}`);
        if (status !== 'queued' && status !== 'running') return status;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`the task ${taskId} did not end`);
    },
    stop: () => end(child, 'SIGTERM'),
    kill: () => end(child, 'SIGKILL'),
  };
}

/** Looks every few milliseconds, for ten seconds at most. */
export async function waitFor<T>(look: () => Promise<T>, enough: (found: T) => boolean): Promise<T> {
  for (let tries = 0; tries < 2_000; tries++) {
    const found = await look();
    if (enough(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('it did not happen within ten seconds');
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}

function statusOf(url: string): Promise<number> {
  return new Promise((resolve) => {
    const outgoing = get(url, { agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    outgoing.once('error', () => resolve(0)); // it does not listen yet
  });
}

function call<T>(address: string, method: string, path: string, body: unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const outgoing = request(`${address}${path}`, { method, headers, agent: false }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.once('end', () => {
        const text = Buffer.concat(parts).toString();
        if ((answer.statusCode ?? 500) < 300) resolve(JSON.parse(text) as T);
        else reject(new Error(`${method} ${path} was answered with ${answer.statusCode}: ${text}`));
      });
    });
    outgoing.once('error', reject);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
