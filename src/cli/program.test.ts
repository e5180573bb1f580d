import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';

const commands = [
  'up',
  'demo',
  'doctor',
  'config',
  'token',
  'audit',
  'new',
  'run',
  'tasks',
  'show',
  'logs',
  'cancel',
  'retry',
  'resolve',
  'priority',
  'profiles',
  'workspaces',
  'monitor',
  'status',
  'pause',
  'resume',
  'completion',
];

let desk: Desk;
beforeAll(() => {
  desk = new Desk();
});
afterAll(() => desk.remove());

describe('the command line', () => {
  test('introduces its commands, the environment it reads and its exit codes', async () => {
    const { code, out } = await desk.call(['--help']);
    expect(code).toBe(0);
    for (const command of commands) expect(out).toMatch(new RegExp(`^  ${command}[ |]`, 'm'));
    expect(out).toContain('NIGHTSHIFT_URL');
    expect(out).toMatch(/^ {2}4 +the server does not accept the API key/m);
  });

  test.each(commands)('%s explains itself, with an example and --json', async (command) => {
    const { code, out } = await desk.call([command, '--help']);
    expect(code).toBe(0);
    expect(out).toMatch(/\nExamples:\n {2}\$ \S/);
    if (command !== 'completion') expect(out).toContain('--json');
    expect((await desk.call(['help', command])).out).toBe(out);
  });

  test('tells its version', async () => {
    expect(await desk.call(['--version'])).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), err: '' });
  });

  test.each([
    [['taks'], /unknown command 'taks'[\s\S]*Did you mean tasks/],
    [['tasks', '--stauts', 'failed'], /unknown option '--stauts'[\s\S]*Did you mean --status/],
    [['tasks', '--priority', 'urgent'], /high, medium, low/],
    [['tasks', '--limit', 'some'], /--limit must be a whole number/],
    [['show'], /missing required argument 'id'/],
    [['show', 'x'], /neither a task \(tsk_…\) nor a run/],
    [['cancel', 'run_01KEXAMP0E0000000000000000'], /is a run; this wants a task/],
    [['new', 'two', 'titles'], /too many arguments/],
    [['new', 'x', '--not-before', 'soon'], /--not-before must be a time/],
    [['new', 'x', '--budget', 'much'], /--budget must be an amount/],
    [['new', 'x', '--body', 'a', '--body-file', 'b'], /not with both/],
    [['new', 'x', '--body-file', 'missing'], /cannot be read: ENOENT/],
    [['run'], /Say what to run/],
    [['tasks', '--url', 'ftp://x'], /--url must be an http/],
    [['tasks', '--timeout', 'never'], /--timeout must be a number/],
    [[], /Usage: nightshift/],
  ])('answers %j with what is wrong, and exit code 2', async (args, message) => {
    const { code, out, err } = await desk.call(args);
    expect(err).toMatch(message);
    expect(out).toBe('');
    expect(code).toBe(2);
  });

  test('says bad usage as JSON where JSON was asked for', async () => {
    const { code, err } = await desk.call(['tasks', '--json', '--wrong']);
    expect(code).toBe(2);
    expect(JSON.parse(err)).toEqual({ error: { code: 'bad-usage', exit: 2, message: expect.stringContaining('--wrong') } });
  });

  test('names the setting that cannot be used, also to a client', async () => {
    const { code, err } = await desk.call(['tasks'], { env: { PORT: 'many' } });
    expect(code).toBe(2);
    expect(err).toContain('port (PORT) cannot be "many" (from env PORT). Allowed: a port');
    expect(err).not.toContain('    at ');
  });

  test('loads neither the server nor a database to talk to a server', async () => {
    const home = mkdtempSync(join(tmpdir(), 'nightshift-cli-'));
    const spy = `data:text/javascript,${encodeURIComponent(
      `import { registerHooks } from 'node:module';
       registerHooks({ load(url, context, next) { process.stderr.write('LOADED ' + url + '\\n'); return next(url, context); } });`,
    )}`;
    const main = fileURLToPath(new URL('./main.ts', import.meta.url));
    const { stderr } = await promisify(execFile)(process.execPath, ['--import', spy, main, 'tasks', '--url', 'http://127.0.0.1:1'], {
      env: { ...process.env, NIGHTSHIFT_HOME: home },
    }).catch((error: { stderr: string }) => error);
    rmSync(home, { recursive: true });
    expect(stderr).toContain('No Nightshift server answers');
    const packages = new Set([...stderr.matchAll(/^LOADED .*node_modules\/((?:@[^/]+\/)?[^/]+)/gm)].map(([, name]) => name));
    expect([...packages].filter((name) => /sqlite|^pg|hono|kysely|prom/.test(name ?? ''))).toEqual([]);
    expect(stderr).not.toMatch(/LOADED .*\/src\/(main|server|store|queue|runner)\b/);
  });
});
