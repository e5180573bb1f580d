import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../../test/support/cli.ts';
import { until } from '../../../test/support/server-process.ts';
import { displayWidth, oneLine } from '../legible.ts';
import { pageOf, type Seen } from './page.ts';

const program = fileURLToPath(new URL('../../../bin/nightshift.js', import.meta.url));
let desk: Desk;

beforeAll(async () => {
  desk = new Desk();
  await desk.startServer({ engine: 'command', healthcheckInterval: '0' });
});

afterAll(() => desk.remove());

const json = async (...args: readonly string[]): Promise<{ readonly id: string }> => desk.json(...args);

interface Paper {
  /** All that came out of the terminal so far. */
  shown(): string;
  type(keys: string): void;
  readonly pid: () => Promise<number>;
  readonly device: () => Promise<string>;
  readonly ended: Promise<unknown>;
}

/** The program on a terminal of its own, which says afterwards in which state it was left. */
function onTerminal(): Paper {
  const file = join(desk.home, 'on-terminal.sh');
  writeFileSync(file, `stty rows 24 cols 90\necho "device $(tty) pid $$"\n"$NODE" "$PROGRAM" monitor\necho "left with $?"\nstty -a\n`);
  const child = spawn('script', ['--quiet', '--flush', '--return', '--command', `sh ${file}`, '/dev/null'], {
    env: {
      ...{ PATH: process.env['PATH'] ?? '', HOME: desk.home, NIGHTSHIFT_HOME: desk.home, TERM: 'xterm-256color', SHELL: '/bin/sh' },
      ...{ NODE: process.execPath, PROGRAM: program },
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let shown = '';
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
  });
  const told = async (what: RegExp): Promise<string> => until(String(what), () => what.exec(shown)?.[1]);
  return {
    shown: () => shown,
    type: (keys) => void child.stdin.write(keys),
    pid: async () => Number(await told(/pid (\d+)/)),
    device: () => told(/device (\S+)/),
    ended: new Promise((resolve) => child.once('exit', resolve)),
  };
}

/** What is on the page in the end: each piece where it was put. */
function screenOf(shown: string): readonly string[] {
  const lines: string[] = [];
  for (const piece of shown
    .split('\x1b[')
    .map((each, at, all) => (/^\d+;1H/.test(each) ? [each, ...untilNextPlace(all.slice(at + 1))].join('\x1b[') : ''))) {
    const [, row, text = ''] = /^(\d+);1H(.*)$/s.exec(piece) ?? [];
    if (row !== undefined) lines[Number(row) - 1] = oneLine(text).trimEnd();
  }
  return lines;
}

/** Colours stay with the text that they are in. */
function untilNextPlace(pieces: readonly string[]): readonly string[] {
  const next = pieces.findIndex((each) => /^(\d+;1H|\?|\d*J)/.test(each));
  return next < 0 ? pieces : pieces.slice(0, next);
}

describe.each([
  ['q', (paper: Paper) => paper.type('q')],
  ['Ctrl-C', (paper: Paper) => paper.type('\x03')],
  [
    'SIGTERM',
    async (paper: Paper) => {
      const shell = await paper.pid();
      const children = readFileSync(`/proc/${shell}/task/${shell}/children`, 'latin1').trim().split(' ');
      process.kill(Number(children[0]), 'SIGTERM');
    },
  ],
])('on a terminal, left by %s', (_, leave) => {
  test('it shows what goes on as it happens, and the terminal is as it was afterwards', async () => {
    const paper = onTerminal();
    await until('the page', () => screenOf(paper.shown()).some((line) => line?.startsWith('nightshift  working')));
    const { id } = await json('new', 'Watch me work', '--body', 'sleep 60');
    await until('the task', () => screenOf(paper.shown()).some((line) => /running +medium Watch me work/.test(line ?? '')));
    expect(screenOf(paper.shown())).toContainEqual(expect.stringMatching(/^1 running · 0 waiting · 0 need a person/));
    await json('cancel', id);
    await until('its end', () => screenOf(paper.shown()).some((line) => /Watch me work: .*cancelled/.test(line ?? '')));
    await leave(paper);
    await paper.ended;
    const [during = '', after = ''] = paper.shown().split('\x1b[?1049l');
    expect(during).toContain('\x1b[?1049h');
    expect(after).toContain('left with 0');
    expect(after).toMatch(/[^-]icanon/);
    expect(after).toMatch(/[^-]echo\b/);
    expect(during.lastIndexOf('\x1b[?25h')).toBeGreaterThan(during.lastIndexOf('\x1b[?25l'));
    // Never the whole page for one line of it.
    expect(during).not.toContain('\x1b[2J');
  });
});

test('it fills another size as soon as the terminal has it', async () => {
  const paper = onTerminal();
  await until('the foot', () => screenOf(paper.shown())[23] === 'q: leave');
  const sized = spawn('stty', ['-F', await paper.device(), 'rows', '40', 'cols', '60'], { stdio: 'ignore' });
  await new Promise((resolve) => sized.once('exit', resolve));
  await until('the new foot', () => screenOf(paper.shown().split('\x1b[2J')[1] ?? '')[39] === 'q: leave');
  paper.type('q');
  await paper.ended;
});

test('elsewhere it says a line for each change', async () => {
  const call = desk.call(['monitor', '--json']);
  await call.shows('"running":0');
  const { id } = await json('new', 'Ask first', '--body', 'true', '--needs-approval');
  await call.shows('"needsPerson":1');
  await json('deny', id);
  await call.shows(/"needsPerson":1[\s\S]*"needsPerson":0/);
  call.pressCtrlC();
  const { code, out } = await call;
  expect(code).toBe(0);
  const lines = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { at: string; needsPerson: number });
  expect(lines.map(({ needsPerson }) => needsPerson)).toEqual([0, 1, 0]);

  const plain = desk.call(['monitor']);
  await plain.shows('\tworking\t0 running\t0 waiting\t0 need a person\t');
  plain.pressCtrlC();
  expect((await plain).out).not.toContain('\x1b');
});

test('without a server it says so', async () => {
  expect(await desk.call(['monitor', '--url', 'http://127.0.0.1:9'])).toMatchObject({ code: 3, out: '' });
});

describe('the page', () => {
  const task = { priority: 'high', status: 'escalated', updatedAt: new Date(0).toISOString() };
  const seen = {
    address: 'http://127.0.0.1:8080',
    answers: false,
    queue: { paused: true, open: [{ status: 'escalated', priority: 'high', count: 99 }], nodes: [] },
    running: [],
    needing: Array.from({ length: 99 }, (_, at) => ({ ...task, id: `tsk_${at}`, title: `夜勤 ${'long '.repeat(40)}\x1b[2J` })),
    today: { spent: 19, reserved: 0.5, limit: 20 },
    alerts: [{ name: 'budget', severity: 'critical', title: 'x'.repeat(300), raisedAt: 'now' }],
    healthy: false,
  } as unknown as Seen;
  const news = Array.from({ length: 50 }, () => ({
    at: new Date(0).toISOString(),
    about: '界'.repeat(40),
    text: 'y'.repeat(300),
    style: undefined,
  }));

  test.each([
    [80, 24],
    [20, 5],
    [40, 12],
    [200, 60],
    [10, 1],
  ])('of %i columns and %i rows is never larger than that, whatever is on it', (columns, rows) => {
    const lines = pageOf(seen, news, { columns, rows, now: 60_000, paint: (_, text) => text });
    expect(lines).toHaveLength(rows);
    for (const line of lines) expect(displayWidth(line), line).toBeLessThanOrEqual(columns);
    expect(lines.join('')).not.toContain('\x1b');
  });
});
