import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { temporaryHome } from '../../test/support/stores.ts';
import { createLog, prettyTarget, rotatingFile } from './log.ts';

const day = 86_400_000;

let directory: string;
let path: string;
let now: number;

beforeEach(() => {
  directory = temporaryHome();
  path = join(directory, 'logs', 'nightshift.log');
  now = Date.now();
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const files = (): readonly string[] => readdirSync(join(directory, 'logs')).sort();
const content = (): string =>
  files()
    .map((name) => readFileSync(join(directory, 'logs', name), 'utf8'))
    .sort()
    .join('');

describe('a log line', () => {
  const lines: string[] = [];
  const log = createLog('info', [{ write: (line) => void lines.push(line) }]);
  const written = (): Record<string, unknown> => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown>;

  test('is JSON with time, level and what it is about', () => {
    log.child({ taskId: 'tsk_1', runId: 'run_1' }).info({ attempt: 2 }, 'run started');
    expect(written()).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      taskId: 'tsk_1',
      runId: 'run_1',
      attempt: 2,
      msg: 'run started',
    });
    expect(lines.at(-1)?.endsWith('\n')).toBe(true);
  });

  test('hides secrets wherever they usually stand', () => {
    log.info(
      { token: 's1', config: { databaseUrl: 's2', apiKey: 's3' }, request: { headers: { authorization: 's4', cookie: 's5' } } },
      'x',
    );
    expect(lines.at(-1)).not.toMatch(/s[1-5]"/);
    expect(written()['config']).toEqual({ databaseUrl: '[secret]', apiKey: '[secret]' });
  });

  test('has of an error its message, its code and its causes, and not what a driver hung on it', () => {
    const cause = Object.assign(new Error('duplicate key'), { code: '23505', query: 'insert …', parameters: ['s6'], detail: 's7' });
    log.error({ err: new Error('no', { cause }) }, 'x');
    expect(written()['err']).toEqual({
      name: 'Error',
      message: 'no',
      stack: expect.stringContaining('log.test'),
      cause: { name: 'Error', message: 'duplicate key', code: '23505' },
    });
  });

  test('below the level is not written', () => {
    const before = lines.length;
    log.debug('x');
    expect(lines).toHaveLength(before);
  });

  test('looks well on a terminal, and cannot steer it', () => {
    let shown = '';
    const target = prettyTarget({ write: (text) => (shown += text) });
    createLog('info', [target]).warn({ runId: 'run_1', said: 'a\u001b[2Jb\u009bc\r\n' }, 'evil \u0007title');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of our own are taken away
    const plain = shown.replaceAll(/\u001b\[\d+m/g, '');
    expect(plain).toMatch(/^\d\d:\d\d:\d\d warn {2}evil \\u0007title runId=run_1 said=a\\u001b\[2Jb\\u009bc\\u000d\\u000a\n$/);
  });
});

describe('the log file', () => {
  test('is made with its directory, for its owner alone, and goes on where it ended', () => {
    rotatingFile(path, () => now).write('one\n');
    rotatingFile(path, () => now).write('two\n');
    expect(content()).toBe('one\ntwo\n');
    expect((statSync(path).mode & 0o777).toString(8)).toBe('600');
  });

  test('is set aside before it would grow beyond its size, and no line is lost', () => {
    const file = rotatingFile(path, () => now, 100);
    const lines = Array.from({ length: 20 }, (_, i) => `${String(i).padStart(2, '0')} ${'ü'.repeat(10)}\n`);
    for (const line of lines) {
      now += 1_000;
      file.write(line);
    }
    expect(files().length).toBeGreaterThan(4);
    for (const name of files()) expect(statSync(join(directory, 'logs', name)).size).toBeLessThanOrEqual(100);
    expect(content()).toBe(lines.join(''));
  });

  test('takes a line that is longer than a whole file', () => {
    const file = rotatingFile(path, () => now, 10);
    file.write('short\n');
    now += 1;
    file.write(`${'long'.repeat(10)}\n`);
    expect(content()).toBe(`${'long'.repeat(10)}\nshort\n`);
  });

  test('is set aside when it is a week old, and removed when its last line is', () => {
    const file = rotatingFile(path, () => now);
    const lastWrittenAt = (ms: number): void => utimesSync(path, ms / 1_000, ms / 1_000);
    file.write('first week\n');
    lastWrittenAt(now + 6 * day);
    now += 7 * day + 1;
    file.write('second week\n');
    expect(content()).toBe('first week\nsecond week\n');
    expect(files()).toHaveLength(2);
    lastWrittenAt(now + 6 * day);
    now += 7 * day + 1;
    file.write('third week\n');
    expect(content()).toBe('second week\nthird week\n');
    expect(files()).toHaveLength(2);
  });

  test('lets other files in its directory alone', () => {
    mkdirSync(join(directory, 'logs'));
    const other = join(directory, 'logs', 'other.log');
    writeFileSync(other, 'mine');
    utimesSync(other, 0, 0);
    rotatingFile(path, () => now).write('x\n');
    expect(files()).toContain('other.log');
  });

  test('that cannot be written drops lines and says how many, but stops nobody', () => {
    const file = rotatingFile(path, () => now);
    rmSync(join(directory, 'logs'), { recursive: true });
    file.write('lost\n');
    file.write('lost too\n');
    expect(file.dropped()).toBe(2);
    mkdirSync(join(directory, 'logs'));
    file.write('back\n');
    expect(content()).toBe('back\n');
  });
});
