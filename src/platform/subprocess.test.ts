import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { processesWith, until } from '../../test/support/server-process.ts';
import { temporaryHome } from '../../test/support/stores.ts';
import { systemClock } from './clock.ts';
import { startReaper } from './reaper.ts';
import { type RunningCommand, start, sweep } from './subprocess.ts';

let cwd: string;
let marker: string;
let env: Readonly<Record<string, string>>;

beforeEach(() => {
  cwd = temporaryHome();
  marker = randomUUID();
  env = { PATH: process.env['PATH'] ?? '', NIGHTSHIFT_TEST_MARKER: marker };
});

afterEach(async () => {
  await sweep((variable) => variable === `NIGHTSHIFT_TEST_MARKER=${marker}`);
  rmSync(cwd, { recursive: true, force: true });
});

const alive = (): readonly number[] => processesWith(`NIGHTSHIFT_TEST_MARKER=${marker}`);
const never = new AbortController().signal;
const run = (argv: readonly string[], signal = never, clock = systemClock): RunningCommand => start({ argv, cwd, env }, clock, signal);
async function text(bytes: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
const written = (name: string): string => readFileSync(join(cwd, name), 'utf8').trim();

describe('a program', () => {
  test('tells how it ended, and both its outputs', async () => {
    const command = run(['sh', '-c', 'echo out; echo err >&2; exit 3']);
    expect(await Promise.all([text(command.stdout), text(command.stderr), command.exit])).toEqual([
      'out\n',
      'err\n',
      { kind: 'exited', code: 3 },
    ]);
    expect(await run(['sh', '-c', 'kill -KILL $$']).exit).toEqual({ kind: 'killed', signal: 'SIGKILL' });
  });

  test('gets its arguments as they are, without a shell, and nothing but its own environment', async () => {
    process.env['NIGHTSHIFT_TEST_SECRET'] = 'inherited';
    expect(await text(run(['printf', '%s|', '$HOME', '*', 'a b', '', '"', 'ü']).stdout)).toBe('$HOME|*|a b||"|ü|');
    expect((await text(run(['env']).stdout)).trim().split('\n').toSorted()).toEqual(
      Object.entries(env)
        .map(([name, value]) => `${name}=${value}`)
        .toSorted(),
    );
    delete process.env['NIGHTSHIFT_TEST_SECRET'];
  });

  test('that cannot be started says why', async () => {
    writeFileSync(join(cwd, 'no-permission'), '#!/bin/sh\n', { mode: 0o600 });
    mkdirSync(join(cwd, 'folder'));
    for (const argv of [['no-such-program'], ['./no-permission'], ['./folder'], [''], ['true', 'a\0b']]) {
      expect(await run(argv).exit, argv[0]).toEqual({ kind: 'not-started', host: false, message: expect.stringMatching(/./) });
    }
    const nowhere = start({ argv: ['true'], cwd: join(cwd, 'nowhere'), env }, systemClock, never);
    expect(await nowhere.exit).toMatchObject({ kind: 'not-started' });
  });

  test('that is stopped is asked first, and may tidy up', async () => {
    const stop = new AbortController();
    const command = run(['sh', '-c', 'trap "echo tidied; exit 0" TERM; echo ready; while :; do sleep 0.01; done'], stop.signal);
    let said = '';
    for await (const chunk of command.stdout) {
      said += chunk.toString();
      if (said === 'ready\n') stop.abort();
    }
    expect(said).toBe('ready\ntidied\n');
    expect(await command.exit).toEqual({ kind: 'exited', code: 0 });
  });

  test('that does not listen is killed after a grace, with its children', async () => {
    const stop = new AbortController();
    const clock = new ManualClock();
    const command = run(['sh', '-c', 'trap "" TERM; (trap "" TERM; sleep 600) & echo ready; wait; sleep 600'], stop.signal, clock);
    await command.stdout[Symbol.asyncIterator]().next();
    stop.abort();
    expect(alive().length).toBeGreaterThan(1);
    clock.advance(1_500);
    expect(await command.exit).toEqual({ kind: 'killed', signal: 'SIGKILL' });
    await until('all to be gone', () => alive().length === 0);
    expect(clock.pending).toBe(0);
  });

  test('leaves nothing of its group behind when it ends', async () => {
    const command = run(['sh', '-c', 'sleep 600 & sleep 600 & exit 0']);
    expect(await command.exit).toEqual({ kind: 'exited', code: 0 });
    await until('the children to be gone', () => alive().length === 0);
  });
});

describe('the sweep', () => {
  test('finds what moved to a session of its own, and nothing else', async () => {
    const bystander = spawn('sleep', ['600'], { env: { NIGHTSHIFT_TEST_MARKER: `${marker}-not` }, stdio: 'ignore' });
    const command = run([
      'sh',
      '-c',
      'setsid sh -c "echo \\$\\$ > daemon; sleep 600 & wait" >/dev/null 2>&1 & while [ ! -s daemon ]; do sleep 0.01; done',
    ]);
    await command.exit;
    await until('the daemon', () => alive().includes(Number(written('daemon'))));
    expect(await sweep((variable) => variable === `NIGHTSHIFT_TEST_MARKER=${marker}`)).toBeGreaterThanOrEqual(2);
    expect(alive().filter((pid) => pid !== bystander.pid)).toEqual([]);
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
    bystander.kill('SIGKILL');
    await once(bystander, 'exit');
  });

  test('keeps up with a tree that keeps growing', async () => {
    run(['sh', '-c', 'setsid sh -c "while :; do setsid sleep 600 & sleep 0.005; done" & sleep 600']);
    await until('a few', () => alive().length > 5);
    await until('none', async () => {
      await sweep((variable) => variable === `NIGHTSHIFT_TEST_MARKER=${marker}`);
      return alive().length === 0;
    });
  });
});

describe('the reaper', () => {
  test('kills what carries the marker once its owner is gone, however it went', async () => {
    const owner = spawn(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `import { startReaper } from ${JSON.stringify(new URL('./reaper.ts', import.meta.url).href)};
         import { spawn } from 'node:child_process';
         startReaper({ name: 'NIGHTSHIFT_TEST_MARKER', value: '${marker}' });
         spawn('setsid', ['sleep', '600'], { env: { PATH: process.env.PATH, NIGHTSHIFT_TEST_MARKER: '${marker}' }, stdio: 'ignore', detached: true });
         spawn('sleep', ['600'], { env: { PATH: process.env.PATH, NIGHTSHIFT_TEST_MARKER: '${marker}' }, stdio: 'ignore' });
         setInterval(() => {}, 1_000);`,
      ],
      { stdio: 'ignore' },
    );
    await until('both', () => alive().length === 2);
    owner.kill('SIGKILL');
    await until('none', () => alive().length === 0);
  });

  test('ends by itself when there is nothing left to do', async () => {
    await startReaper({ name: 'NIGHTSHIFT_TEST_MARKER', value: marker }).stop();
    expect(alive()).toEqual([]);
  });
});
