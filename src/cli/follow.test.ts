import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';
import type { StreamedEvent, Task } from './api.ts';
import { parseEvents } from './sse.ts';

let desk: Desk;
beforeEach(async () => {
  desk = new Desk();
  await desk.startServer();
});
afterEach(() => desk.remove());

const idIn = (text: string): string => /tsk_\w{26}/.exec(text)?.[0] ?? '';

/** A command that says a word and then waits for a file to appear. */
const waiting = (word: string, file: string): readonly string[] => [
  'node',
  '-e',
  `console.log(${JSON.stringify(word)}); const i = setInterval(() => { if (require('fs').existsSync(${JSON.stringify(file)})) { clearInterval(i); console.log('the end'); } }, 20)`,
];

describe('run', () => {
  test('shows output while the program runs, each stream where it belongs, and ends as the task ended', async () => {
    const gate = join(desk.home, 'gate');
    const call = desk.call(['run', 'a long one', '--', ...waiting('begun', gate)]);
    await call.shows('begun');
    writeFileSync(gate, '');
    const { code, out, err } = await call;
    expect(out).toBe('begun\nthe end\n');
    expect(err).toMatch(/attempt 1 started[\s\S]*attempt 1 succeeded after[\s\S]*tsk_\w{26} succeeded after/);
    expect(code).toBe(0);
  });

  test('ends with 1 when the task failed, and says why', async () => {
    const { code, out, err } = await desk.call(['run', 'a title of its own', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3']);
    expect(out).toBe('out\n');
    expect(err).toMatch(/a title of its own\n/);
    expect(err).toMatch(/^err$/m);
    expect(err).toMatch(/attempt 1 failed after .*: sh exited with 3\.\n/);
    expect(code).toBe(1);
  });

  test('takes the fields of a task, and a check that is red makes it fail', async () => {
    const { code, err } = await desk.call([
      'run',
      'checked',
      '--engine',
      'command',
      '--body',
      'true',
      '--verify',
      'false',
      '--not-before',
      '0s',
    ]);
    expect(err).toContain('the check failed (exit 1): false');
    expect(err).toMatch(/starts at \d\d:\d\d:\d\d at the earliest/);
    expect(code).toBe(1);
  });

  test('is one JSON object a line where JSON was asked for, the task last', async () => {
    const { code, out, err } = await desk.call(['run', '--json', '--', 'echo', 'hi there']);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as StreamedEvent & { task?: Task });
    expect(lines.map(({ type }) => type)).toEqual([
      'task.submitted',
      'task.status',
      'run.started',
      'run.output',
      'task.status',
      'run.finished',
      'task',
    ]);
    expect(lines.at(-1)?.task).toMatchObject({ status: 'succeeded', title: 'echo hi there' });
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  test('leaves the task alone when Ctrl-C ends the following, and says how to go on', async () => {
    const gate = join(desk.home, 'gate');
    const call = desk.call(['run', 'a long one', '--', ...waiting('begun', gate)]);
    await call.shows('begun');
    call.pressCtrlC();
    const { code, err } = await call;
    const id = idIn(err);
    expect(err).toContain(`nightshift logs -f ${id}`);
    expect(err).toContain(`nightshift cancel ${id}`);
    expect(code).toBe(130);
    writeFileSync(gate, '');
    expect(await desk.call(['logs', '-f', id])).toMatchObject({ code: 0, out: 'begun\nthe end\n' });
  });

  test('says that the queue is paused, and that somebody called the task off', async () => {
    await desk.call(['pause']);
    const call = desk.call(['run', '--', 'true']);
    await call.shows('The queue is paused');
    await call.shows('submitted from api');
    const [task] = (await desk.json<{ items: Task[] }>('tasks')).items;
    await desk.call(['cancel', task?.id ?? '']);
    const { code, err } = await call;
    expect(err).toMatch(/· cancelled\n[\s\S]*tsk_\w{26} cancelled after/);
    expect(code).toBe(1);
  });

  test('lets no program take over the terminal, but keeps its colours', async () => {
    const script = 'process.stdout.write("\\x1b]0;owned\\x07\\x1b[32mgreen\\x1b[0m\\x1b[2J50%\\r100%")';
    const { out } = await desk.call(['run', '--', 'node', '-e', script], { terminal: 100 });
    expect(out).toBe('\x1b[32mgreen\x1b[0m50%\n100%\x1b[0m\n');
    expect((await desk.call(['run', '--', 'node', '-e', script])).out).toBe('\x1b]0;owned\x07\x1b[32mgreen\x1b[0m\x1b[2J50%\r100%');
  });
});

describe('logs', () => {
  test('shows every attempt of a task, or one run alone', async () => {
    const marker = join(desk.home, 'second');
    const program = `const fs = require('fs'); const again = fs.existsSync('${marker}'); fs.writeFileSync('${marker}', ''); console.log(again ? 'second' : 'first'); process.exit(again ? 0 : 1)`;
    const { err } = await desk.call(['run', '--', 'node', '-e', program]);
    const id = idIn(err);
    await desk.call(['retry', id]);
    const followed = await desk.call(['logs', '-f', id]);
    expect(followed).toMatchObject({ code: 0, out: 'first\nsecond\n' });
    expect(await desk.call(['logs', id])).toMatchObject({ code: 0, out: 'first\nsecond\n' });
    const { task } = await desk.json<{ task: Task }>('show', id);
    const [first, second] = task.runs.map((run) => run.id);
    expect((await desk.call(['logs', first ?? ''])).out).toBe('first\n');
    expect((await desk.call(['logs', '-f', second ?? ''])).out).toBe('second\n');
    expect((await desk.call(['show', second ?? ''])).out).toMatch(/\nrun_\w{26} {2}succeeded\n[\s\S]* {2}attempt +1\n/);
  });

  test('without -f does not wait for a task that runs', async () => {
    const gate = join(desk.home, 'gate');
    const call = desk.call(['run', 'a long one', '--', ...waiting('begun', gate)]);
    await call.shows('begun');
    const [task] = (await desk.json<{ items: Task[] }>('tasks')).items;
    expect(await desk.call(['logs', task?.id ?? ''])).toMatchObject({ code: 0, out: 'begun\n' });
    expect(await desk.call(['logs', task?.runs[0]?.id ?? ''])).toMatchObject({ code: 0, out: 'begun\n' });
    writeFileSync(gate, '');
    await call;
  });

  test('-f goes on where it was when the server is started again elsewhere with another key', async () => {
    const gate = join(desk.home, 'gate');
    const id = (await desk.call(['new', 'x', '--engine', 'command', '--body', JSON.stringify(waiting('begun', gate))])).out.trim();
    const call = desk.call(['logs', '-f', id]);
    await call.shows('begun');
    await desk.stopServer();
    await call.shows('the server does not answer');
    await desk.call(['token', 'rotate']);
    writeFileSync(gate, '');
    await desk.startServer();
    const { code, out, err } = await call;
    expect(out).toBe('begun\nbegun\nthe end\n');
    expect(err).toContain('the server answers again');
    expect(err.match(/attempt 1 started/g)).toHaveLength(2);
    expect(code).toBe(0);
  });
});

test('events survive being cut anywhere', async () => {
  const text = ': hello\nretry: 1\n\nid: 7\nevent: x\ndata: {"id":"7","data":{"text":"ü\\n\\n日"}}\n\n: still here\n\n';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 7, 1_000]) {
    const pieces = (async function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
    })();
    const events = [];
    for await (const event of parseEvents(pieces)) events.push(event);
    expect(events).toEqual([undefined, { id: '7', data: { text: 'ü\n\n日' } }, undefined]);
  }
});
