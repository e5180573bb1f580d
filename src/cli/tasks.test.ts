import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';
import type { Page, QueueState, Task } from './api.ts';
import { timeOf } from './task-flags.ts';

let desk: Desk;
beforeAll(async () => {
  desk = new Desk();
  await desk.startServer({ engine: 'command' });
  await desk.call(['pause']);
});
afterAll(() => desk.remove());

const submit = (...args: readonly string[]): Promise<Task> => desk.json<Task>('new', '--body', 'true', ...args);

describe('new', () => {
  test('passes on every field', async () => {
    const first = await submit('first');
    const task = await submit(
      ...['every field', '--repository', '/srv/shop', '--ref', 'main', '--priority', 'high', '--depends-on', first.id],
      ...['--not-before', '2099-01-01T00:00:00Z', '--dedupe-key', 'k1', '--budget', '2.50', '--verify', 'npm test', '--engine', 'command'],
      ...['--done-when', 'it says two', '--rounds', '4'],
    );
    expect(task).toMatchObject({
      title: 'every field',
      body: 'true',
      repository: '/srv/shop',
      ref: 'main',
      priority: 'high',
      dependsOn: [first.id],
      notBefore: '2099-01-01T00:00:00.000Z',
      dedupeKey: 'k1',
      budgetUsd: 2.5,
      verify: ['npm', 'test'],
      doneWhen: 'it says two',
      maxRounds: 4,
      engine: 'command',
      status: 'blocked',
    });
    expect((await desk.call(['show', task.id])).out).toMatch(/done when\s+it says two/);
  });

  test('prints the id alone where a script listens, and says when the task was there already', async () => {
    const first = await desk.call(['new', 'once', '--body', 'true', '--dedupe-key', 'k2']);
    expect(first).toEqual({ code: 0, out: expect.stringMatching(/^tsk_\w{26}\n$/), err: '' });
    const again = await desk.call(['new', 'once', '--body', 'true', '--dedupe-key', 'k2']);
    expect(again).toEqual({ code: 0, out: first.out, err: expect.stringContaining('open already') });
  });

  test('reads the body from a file or from standard input', async () => {
    writeFileSync(join(desk.home, 'body.txt'), 'echo "from a file"');
    expect((await desk.json<Task>('new', 'a', '--body-file', 'body.txt')).body).toBe('echo "from a file"');
    for (const flags of [
      ['--body-file', '-'],
      ['--body', '-'],
    ]) {
      const { out } = await desk.call(['new', 'a', ...flags, '--json'], { stdin: ['echo ', 'ü'] });
      expect((JSON.parse(out) as Task).body).toBe('echo ü');
    }
  });

  test('takes a title that looks like an option', async () => {
    const { out } = await desk.call(['new', '--json', '--body', 'true', '--', '--help']);
    expect((JSON.parse(out) as Task).title).toBe('--help');
  });

  test('understands delays and local times', () => {
    const now = Date.UTC(2026, 0, 1);
    expect(timeOf('90m', now)).toBe('2026-01-01T01:30:00.000Z');
    expect(timeOf('+2d', now)).toBe('2026-01-03T00:00:00.000Z');
    expect(timeOf('2026-05-01T08:00', now)).toBe(new Date(2026, 4, 1, 8).toISOString());
    expect(timeOf('2026-05-01T08:00+02:00', now)).toBe('2026-05-01T06:00:00.000Z');
    for (const wrong of ['soon', '5', '12 parsecs', '2026-99-99', '']) expect(() => timeOf(wrong, now)).toThrow('--not-before');
  });
});

describe('tasks', () => {
  test('is a table on a terminal, and plain fields in a pipe', async () => {
    const { id } = await submit('Fix the login', '--priority', 'high');
    const table = await desk.call(['tasks', '--priority', 'high'], { terminal: 80, env: { NO_COLOR: '1' } });
    expect(table.out).toMatch(/^ID +STATUS +PRIORITY +AGE +TITLE\n/);
    expect(table.out).toMatch(new RegExp(`^${id}  queued +high +\\d+s +Fix the login$`, 'm'));
    expect(table.out).not.toContain('\x1b');
    expect((await desk.call(['tasks'], { terminal: 80 })).out).toContain('\x1b[');
    const { out } = await desk.call(['tasks', '--limit', '1']);
    expect(out.split('\t')).toEqual([id, 'queued', 'high', expect.stringMatching(/^\d{4}-.*Z$/), 'Fix the login\n']);
  });

  test('cuts what is wider than the terminal', async () => {
    await submit(`日本語${'x'.repeat(300)}`);
    const { out } = await desk.call(['tasks', '--limit', '1'], { terminal: 100, env: { NO_COLOR: '1' } });
    expect(out.split('\n')[1]).toMatch(/日本語x+…$/);
    expect(out.split('\n')[1]?.length).toBeLessThanOrEqual(100);
  });

  test('filters, and lists page after page with --all', async () => {
    const marked = [];
    for (let i = 0; i < 5; i++) marked.push((await submit(`of shop2 ${i}`, '--repository', '/srv/shop2', '--priority', 'low')).id);
    const low = await desk.json<Page<Task>>(
      'tasks',
      '--repository',
      '/srv/shop2',
      '--priority',
      'low',
      '--status',
      'queued,running',
      '--source',
      'api',
    );
    expect(low.items.map(({ id }) => id)).toEqual(marked.toReversed());
    expect(low.nextCursor).toBeNull();
    const some = await desk.json<Page<Task>>('tasks', '--repository', '/srv/shop2', '--limit', '2');
    expect(some.items).toHaveLength(2);
    expect(some.nextCursor).not.toBeNull();
    expect((await desk.call(['tasks', '--limit', '2'])).err).toContain('--all');
    const all = await desk.json<Page<Task>>('tasks', '--all');
    expect(all.items.map(({ id }) => id)).toEqual(expect.arrayContaining(marked));
    expect(all.nextCursor).toBeNull();
    expect(await desk.call(['tasks', '--status', 'finished'])).toMatchObject({ code: 5, err: expect.stringContaining('status') });
  });

  test('shows a title that would command the terminal as the words it holds', async () => {
    const { id } = await submit('harmless', '--body', 'echo "\x1b]0;owned\x07\x1b[2Jhi"');
    const database = new Sqlite(join(desk.home, 'nightshift.db'));
    database.prepare('update tasks set title = ? where id = ?').run('evil\x1b[2J\x1b]52;c;AAAA\x07 title\nsecond\u009b31m line', id);
    database.close();
    for (const terminal of [{}, { terminal: 200, env: { NO_COLOR: '1' } }]) {
      for (const args of [
        ['tasks', '--limit', '1'],
        ['show', id],
      ]) {
        const { out } = await desk.call(args, terminal);
        expect(out).toContain('evil title second line');
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        expect(out).not.toMatch(/[\x1b\x07\u009b]/);
      }
    }
    const { out } = await desk.call(['show', id, '--json']);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(out).not.toMatch(/[\x1b\x07\u009b]/);
    expect((JSON.parse(out) as { task: Task }).task.title).toContain('\u009b31m');
  });
});

describe('what is done to tasks', () => {
  test('is done to each that is named, and refusals are told one by one', async () => {
    const [one, two] = [await submit('one'), await submit('two')];
    expect(await desk.call(['cancel', one.id])).toEqual({ code: 0, out: `${one.id}  cancelled\n`, err: '' });
    const mixed = await desk.call(['cancel', one.id, two.id]);
    expect(mixed).toMatchObject({ code: 5, out: `${two.id}  cancelled\n`, err: expect.stringContaining(one.id) });
    const { code, out } = await desk.call(['retry', one.id, 'tsk_01KAGM8R6B0000000000000000', '--json']);
    expect(code).toBe(5);
    expect(JSON.parse(out)).toMatchObject({
      items: [{ id: one.id, status: 'queued' }],
      refused: [{ id: 'tsk_01KAGM8R6B0000000000000000', code: 'no-such-task' }],
    });
    expect((await desk.call(['priority', one.id, 'low'])).out).toBe(`${one.id}  priority low\n`);
    expect((await desk.json<Page<Task>>('tasks', '--status', 'queued', '--priority', 'low')).items.map(({ id }) => id)).toContain(one.id);
  });

  test('show tells on one page', async () => {
    const parent = await submit('the parent');
    const child = await submit('the child', '--depends-on', parent.id, '--verify', 'npm test', '--budget', '3');
    await desk.call(['cancel', parent.id]);
    const { out } = await desk.call(['show', child.id]);
    expect(out).toMatch(new RegExp(`^the child\n${child.id} {2}failed\n`));
    expect(out).toMatch(/ {2}reason +.+\(dependency-failed\)\n/);
    expect(out).toMatch(/ {2}verify +npm test\n {2}budget +\$3\.00\n/);
    expect(out).toMatch(new RegExp(`Depends on\n {2}${parent.id} {2}cancelled +the parent\n`));
    expect(out).toMatch(/Recently\n.* submitted from api, medium priority, blocked\n/);
    const told = await desk.json<Record<string, unknown>>('show', child.id);
    expect(told).toMatchObject({
      task: { id: child.id },
      runs: [],
      dependencies: [{ id: parent.id }],
      events: [{ type: 'task.submitted' }, {}],
    });
  });

  test('status, pause and resume tell how the queue stands', async () => {
    const { out, err } = await desk.call(['status'], { terminal: 100, env: { NO_COLOR: '1' } });
    expect(out).toMatch(/^paused, \d+ open tasks, 1 node, http:\/\/127\.0\.0\.1:\d+\n\nSTATUS +HIGH +MEDIUM +LOW\nqueued +\d+ +\d+ +\d+\n/);
    expect(err).toContain('nightshift resume');
    expect(await desk.json<QueueState>('status')).toMatchObject({ paused: true, nodes: [{ address: expect.stringMatching(/^http/) }] });
    expect(await desk.json<QueueState>('resume')).toMatchObject({ paused: false });
    expect((await desk.call(['pause'])).out).toMatch(/^Paused: nothing more is started/);
  });
});
