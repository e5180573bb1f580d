import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';
import { missingSandbox } from '../../test/support/sandbox.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const launcher = fileURLToPath(new URL('../../bin/nightshift.js', import.meta.url));

/** The machine's own Node, when it is one that cannot run this program by itself. */
const oldNode = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .map((folder) => join(folder, 'node'))
  .find((node) => existsSync(node) && Number(execFileSync(node, ['-p', 'process.versions.node.split(".")[0]'])) < 22);

/** A process of the command line, and what it has written. */
class Program {
  readonly child: ChildProcess;
  written = '';
  private readonly watchers = new Set<() => void>();
  readonly code: Promise<number | null>;

  constructor(command: readonly string[], home: string, env: Readonly<Record<string, string>> = {}) {
    const [program = '', ...args] = command;
    this.child = spawn(program, args, {
      cwd: home,
      env: { PATH: process.env['PATH'], HOME: home, NIGHTSHIFT_HOME: home, PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.written += chunk.toString();
        for (const watcher of this.watchers) watcher();
      });
    }
    this.code = once(this.child, 'close').then(([code]) => code as number | null);
  }

  shows(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!this.written.includes(text)) return;
        this.watchers.delete(look);
        resolve();
      };
      this.watchers.add(look);
      look();
      void this.code.then(() =>
        this.written.includes(text) ? undefined : reject(new Error(`ended without showing ${text}:\n${this.written}`)),
      );
    });
  }
}

let desk: Desk;
const started: Program[] = [];
const start = (command: readonly string[], env?: Readonly<Record<string, string>>): Program => {
  const program = new Program(command, desk.home, env);
  started.push(program);
  return program;
};
const up = (...flags: readonly string[]): Program => start([process.execPath, main, 'up', ...flags]);

beforeEach(() => {
  desk = new Desk();
});
afterEach(async () => {
  for (const { child, code } of started.splice(0)) {
    child.kill('SIGKILL');
    await code;
  }
  await desk.remove();
});

describe('up', () => {
  test.skipIf(missingSandbox)('says in plain words when its home cannot be written, or its disk is full', async () => {
    const within = (...mounts: readonly string[]): Program =>
      start([
        ...['bwrap', '--bind', '/', '/', ...mounts, '--dev', '/dev', '--proc', '/proc'],
        ...['sh', '-c', '[ -w "$0" ] && head -c 8192 /dev/zero > "$0/all-there-is"; exec "$@"', desk.home, process.execPath, main, 'up'],
      ]);
    const readOnly = within('--ro-bind', desk.home, desk.home);
    expect(await readOnly.code).toBe(2);
    expect(readOnly.written).toContain(`The home ${desk.home} cannot be used: EROFS: read-only file system`);
    const full = within('--size', '4096', '--tmpfs', desk.home);
    expect(await full.code).toBe(1);
    expect(full.written).toContain('this machine does not let it: ENOSPC: no space left on device');
    for (const { written } of [readOnly, full]) expect(written).not.toMatch(/defect|\n\s+at /);
  });

  test('starts a server, says how to log in without showing the key, and drains at the first signal', async () => {
    const server = up();
    await server.shows('how to log in');
    expect(server.written).toMatch(/Bearer \$\(cat .*\/token\)\\" http:\/\/127\.0\.0\.1:\d+\/api\/tasks/);
    for (const line of server.written.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ level: 'info' });
    const key = (await desk.call(['token'])).out.trim();
    expect(key).toMatch(/^ns_/);
    expect(server.written).not.toContain(key);
    expect(readFileSync(join(desk.home, 'logs', 'nightshift.log'), 'utf8')).toContain('nightshift is up');
    expect(server.written).toContain('no model provider is set up');
    expect((await desk.call(['status'])).code).toBe(0);

    const gate = join(desk.home, 'gate');
    const run = desk.call([
      'run',
      'a long one',
      '--',
      'node',
      '-e',
      `console.log('begun'); setInterval(() => require('fs').existsSync('${gate}') && process.exit(), 20)`,
    ]);
    await run.shows('begun');
    server.child.kill('SIGTERM');
    await server.shows('stopping: nothing new is started');
    writeFileSync(gate, '');
    expect(await server.code).toBe(0);
    expect(server.written).toContain('"outcome":"succeeded"');
    run.pressCtrlC();
    await run;
  });

  test('gives running work back at the second signal', async () => {
    const server = up();
    await server.shows('how to log in');
    const id = (await desk.call(['new', 'for ever', '--engine', 'command', '--body', '["sleep", "600"]'])).out.trim();
    await server.shows('run started');
    server.child.kill('SIGTERM');
    await server.shows('stopping: nothing new is started');
    server.child.kill('SIGTERM');
    expect(await server.code).toBe(0);
    expect(server.written).toMatch(new RegExp(`"taskId":"${id}".*"outcome":"released"`));
    expect(existsSync(join(desk.home, 'server.json'))).toBe(false);
  });

  test('stops as it is at the third signal', async () => {
    const server = up();
    await server.shows('how to log in');
    const stubborn = desk.call(['run', 'stubborn', '--', 'sh', '-c', 'trap "" TERM; echo begun; while :; do sleep 600; done']);
    await stubborn.shows('begun');
    for (const answer of ['stopping: nothing new is started', 'a second signal']) {
      server.child.kill('SIGTERM');
      await server.shows(answer);
    }
    server.child.kill('SIGTERM');
    expect(await server.code).toBe(1);
    expect(server.written).toContain('a third signal');
    stubborn.pressCtrlC();
    expect((await stubborn).code).toBe(130);
  });

  test('makes a home that is closed to others', async () => {
    const home = join(desk.home, 'deep', 'home');
    const server = up('--home', home);
    await server.shows('how to log in');
    expect(statSync(home).mode & 0o777).toBe(0o700);
    expect(statSync(join(home, 'token')).mode & 0o777).toBe(0o600);
  });

  test('refuses a second server on the same home, and tells where the first one is', async () => {
    const first = up();
    await first.shows('how to log in');
    const second = up();
    expect(await second.code).toBe(1);
    expect(second.written).toMatch(
      /^nightshift: Another Nightshift server is running on .* \(process \d+ at http:\/\/127\.0\.0\.1:\d+\)\. Stop it, or/,
    );
    expect((await desk.call(['status'])).code).toBe(0);
  });

  test.each([
    [{ PORT: 'many' }, 'port (PORT) cannot be "many"'],
    [{ NIGHTSHIFT_HOME: '/dev/null/home' }, 'The home /dev/null/home cannot be used'],
    [{ NIGHTSHIFT_ENGINE: 'steam' }, 'engine (NIGHTSHIFT_ENGINE) cannot be "steam"'],
  ])('ends with 2 and one sentence when %j cannot be used', async (env, message) => {
    const server = start([process.execPath, main, 'up'], env);
    expect(await server.code).toBe(2);
    expect(server.written).toContain(`nightshift: ${message}`);
    expect(server.written).not.toContain('    at ');
  });

  test('drains as well when it is npm that is told to stop, and no server stays behind', async () => {
    const npm = start(['npm', 'start', '--prefix', fileURLToPath(new URL('../..', import.meta.url))]);
    await npm.shows('how to log in');
    npm.child.kill('SIGTERM');
    expect(await npm.code).toBe(0);
    expect(npm.written).toContain('"msg":"stopped"');
    const address = /"address":"([^"]+)"/.exec(npm.written)?.[1];
    await expect(fetch(`${address}/health`)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  });

  test('goes on when whoever read its output has gone', async () => {
    const server = up();
    await server.shows('how to log in');
    server.child.stdout?.destroy();
    server.child.stderr?.destroy();
    expect(await desk.call(['run', '--', 'true'])).toMatchObject({ code: 0 });
    expect((await desk.call(['status'])).code).toBe(0);
  });
});

describe('the launcher', () => {
  test('can be called through a symbolic link from anywhere', async () => {
    const bin = mkdtempSync(join(tmpdir(), 'nightshift-bin-'));
    symlinkSync(launcher, join(bin, 'nightshift'));
    const help = start([join(bin, 'nightshift'), '--help']);
    expect(await help.code).toBe(0);
    expect(help.written).toMatch(/^Usage: nightshift/);
    rmSync(bin, { recursive: true });
  });

  test('passes the exit code on', async () => {
    expect(await start([process.execPath, launcher, 'tasks', '--wrong']).code).toBe(2);
  });

  test('says what is missing instead of starting itself over and over', async () => {
    const program = start([process.execPath, launcher, '--version'], { NODE_OPTIONS: '--no-experimental-strip-types' });
    expect(await program.code).toBe(2);
    expect(program.written).toMatch(/npm ci/);
  });

  test.skipIf(oldNode === undefined)('runs on an old Node by means of the one that came along, and hands signals down', async () => {
    const version = start([oldNode ?? '', launcher, '--version']);
    expect(await version.code).toBe(0);
    expect(version.written).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await start([oldNode ?? '', launcher, 'show', 'x']).code).toBe(2);

    const server = start([oldNode ?? '', launcher, 'up']);
    await server.shows('how to log in');
    server.child.kill('SIGTERM');
    expect(await server.code).toBe(0);
    expect(server.written).toContain('"msg":"stopped"');
  });
});
