import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../support/server-process.ts';

const program = fileURLToPath(new URL('../../bin/nightshift.js', import.meta.url));

let place: string;
let temporary: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'nightshift-cli-'));
  temporary = join(place, 'tmp');
  mkdirSync(temporary);
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function demo(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): { readonly child: ChildProcess; readonly ended: Promise<Ended>; shown(): string } {
  const child = spawn(process.execPath, [program, 'demo', ...args], {
    cwd: place,
    env: { PATH: process.env['PATH'] ?? '', HOME: place, TMPDIR: temporary, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, out, err })));
  return { child, ended, shown: () => out + err };
}

/** Processes that work in our place, or were told of it. */
const processesHere = (): readonly string[] =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .filter((pid) => [look(pid, 'environ'), look(pid, 'cmdline'), look(pid, 'cwd')].some((text) => text.includes(place)));

function look(pid: string, name: string): string {
  try {
    return name === 'cwd' ? readlinkSync(`/proc/${pid}/cwd`) : readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}

async function expectNothingLeft(): Promise<void> {
  expect(readdirSync(temporary)).toEqual([]);
  await until('no process to be left', () => processesHere().length === 0, 5);
  expect(existsSync(join(place, '.nightshift'))).toBe(false);
}

describe('the demo', () => {
  test('shows an agent that repairs a repository, and leaves nothing behind', async () => {
    const { code, out, err } = await demo().ended;
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(err).toMatch(/· Read src\/rota\.js {2}\d/);
    expect(err).toMatch(/· Bash node --test {2}failed after \d.*\n[\s\S]*· Edit src\/rota\.js {2}\d[\s\S]*· Bash node --test {2}\d/);
    expect(err).toContain('· the check passed: npm test --silent');
    expect(out).toContain('I will look at the code and run the tests.\n');
    expect(out).toMatch(/^-.*return hour >= shift\.from && hour < shift\.to;\n\+/m);
    expect(out).toMatch(/changed +src\/rota\.js \+2 −1/);
    expect(out).toMatch(/check +passed: 3 passed, 0 failed/);
    expect(out).toMatch(/The task succeeded after \d/);
    expect(out).not.toContain('git fetch');
    await expectNothingLeft();
  });

  test('gives programs one document', async () => {
    const { code, out, err } = await demo(['--json']).ended;
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const document = JSON.parse(out) as Record<string, unknown>;
    expect(document).toEqual({
      outcome: 'succeeded',
      taskId: expect.stringMatching(/^tsk_/),
      runId: expect.stringMatching(/^run_/),
      branch: `nightshift/${document['taskId']}-fix-the-failing-test`,
      commits: [expect.stringMatching(/^[0-9a-f]{40}$/)],
      filesChanged: [{ path: 'src/rota.js', kind: 'modified', additions: 2, deletions: 1, binary: false }],
      testsPassed: true,
      durationMs: expect.any(Number),
    });
    expect(document['durationMs']).toBeLessThan(60_000);
    await expectNothingLeft();
  });

  test('heeds no setting of the person who tries it', async () => {
    const hostile = join(place, 'hooks');
    mkdirSync(hostile);
    for (const hook of ['pre-commit', 'post-commit', 'reference-transaction']) {
      writeFileSync(join(hostile, hook), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    }
    writeFileSync(
      join(place, '.gitconfig'),
      `[core]\n\thooksPath = ${hostile}\n[commit]\n\tgpgSign = true\n[init]\n\ttemplateDir = ${hostile}\n\tdefaultObjectFormat = sha256\n[user]\n\tuseConfigOnly = true\n`,
    );
    writeFileSync(join(place, 'nightshift.yaml'), 'engine: command\nmaxConcurrentRuns: none\n');
    const { code, err } = await demo(['--json'], {
      PORT: 'many',
      NIGHTSHIFT_HOME: join(place, 'mine'),
      NIGHTSHIFT_URL: 'http://127.0.0.1:1',
      NIGHTSHIFT_TOKEN: 'a-key-of-somebody-else',
      NIGHTSHIFT_REHEARSAL: '/nowhere.yaml',
      DATABASE_URL: 'postgres://127.0.0.1:1/none',
      LLM_PROVIDER: 'claude',
      LLM_API_KEY: 'sk-mine',
      GIT_DIR: join(place, 'elsewhere'),
      GIT_INDEX_FILE: join(place, 'index'),
    }).ended;
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(readdirSync(place).sort()).toEqual(['.gitconfig', 'hooks', 'nightshift.yaml', 'tmp']);
    await expectNothingLeft();
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('ends on %s with everything cleaned up', async (signal) => {
    const { child, ended, shown } = demo();
    await until('the agent to be at work', () => shown().includes('Read src/rota.js'));
    child.kill(signal);
    const { code, err } = await ended;
    expect(code).toBe(130);
    expect(err).toMatch(/Stopped\.\n$/);
    await expectNothingLeft();
  });

  test('cleans up also when its reader goes away', async () => {
    const { child, ended } = demo();
    child.stdout?.destroy();
    await ended;
    await expectNothingLeft();
  });

  test('keeps its folder when asked to, and says where it is', async () => {
    const { code, out, err } = await demo(['--keep']).ended;
    expect(code).toBe(0);
    const [, folder = ''] = /Kept: (\S+) /.exec(err) ?? [];
    expect(readdirSync(temporary).map((name) => join(temporary, name))).toEqual([folder]);
    expect(readdirSync(folder).sort()).toEqual(['home', 'rota']);
    expect(out).toMatch(/get it +git fetch \S+\/home\/mirrors\/\S+ nightshift\//);
    expect(readFileSync(join(folder, 'home/logs/nightshift.log'), 'utf8')).toContain('run finished');
  });

  test('says that git is missing, and fails', async () => {
    const { code, out, err } = await demo(['--json'], { PATH: temporary }).ended;
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'git-missing', message: expect.stringContaining('apt install git') } });
    await expectNothingLeft();
  });
});
