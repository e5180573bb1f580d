import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';

let desk: Desk;
beforeAll(() => {
  desk = new Desk();
});
afterAll(() => desk.remove());

describe('when no server is up', () => {
  test.each([['tasks'], ['status'], ['pause'], ['new', 'x'], ['run', '--', 'true'], ['show', 'tsk_01KAGM8R6B0000000000000000']])(
    '%s says where it looked and how to start one, with exit code 3',
    async (...args) => {
      const { code, out, err } = await desk.call([...args, ...(args.includes('--') ? [] : ['--timeout', '5'])], { env: { PORT: '1' } });
      expect(err).toContain('No Nightshift server answers at http://127.0.0.1:1 (from the settings): connection refused.');
      expect(err).toContain('Start it with `nightshift up`');
      expect(out).toBe('');
      expect(code).toBe(3);
    },
  );

  test('says it as JSON on stderr where JSON was asked for', async () => {
    const { code, out, err } = await desk.call(['tasks', '--json'], { env: { PORT: '1' } });
    expect(code).toBe(3);
    expect(out).toBe('');
    expect(JSON.parse(err)).toEqual({
      error: { code: 'server-not-reachable', exit: 3, message: expect.stringContaining('nightshift up') },
    });
  });

  test('an address that was given is what it knocks at', async () => {
    expect((await desk.call(['tasks', '--url', 'http://127.0.0.1:1/'])).err).toContain('http://127.0.0.1:1 (from --url)');
    expect((await desk.call(['tasks'], { env: { NIGHTSHIFT_URL: 'http://127.0.0.1:1' } })).err).toContain('(from NIGHTSHIFT_URL)');
  });
});

describe('when something else answers', () => {
  let stranger: Server | undefined;
  const answering = async (answer: (response: ServerResponse) => void): Promise<readonly string[]> => {
    const server = createServer((_, response) => answer(response));
    stranger = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return ['tasks', '--url', `http://127.0.0.1:${(server.address() as AddressInfo).port}`];
  };
  afterEach(async () => {
    stranger?.closeAllConnections();
    await new Promise((resolve) => stranger?.close(resolve));
  });

  test('a web page is not taken for an answer', async () => {
    const args = await answering((response) =>
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<h1>Router</h1>'),
    );
    const { code, err } = await desk.call(args);
    expect(err).toMatch(/is not a Nightshift server: it sent text\/html with status 200\.\nCheck --url/);
    expect(code).toBe(3);
  });

  test('nor is a redirection followed with the key in hand', async () => {
    const args = await answering((response) => response.writeHead(302, { location: 'http://elsewhere.example/\u009b31m' }).end());
    const { code, err } = await desk.call(args);
    expect(err).toContain('pointing to http://elsewhere.example/');
    expect(err).not.toContain('\u009b');
    expect(code).toBe(3);
  });

  test('nor a JSON error of another program', async () => {
    const args = await answering((response) => response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"nope"}'));
    expect(await desk.call(args)).toMatchObject({ code: 3, err: expect.stringContaining('not a Nightshift server') });
  });

  test('nor JSON that breaks off', async () => {
    const args = await answering((response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"items":'));
    expect((await desk.call(args)).code).toBe(3);
  });

  test('silence is called a time-out', async () => {
    const args = await answering(() => undefined);
    const { code, err } = await desk.call([...args, '--timeout', '0.1']);
    expect(err).toMatch(/gave no answer within 0\.1 s/);
    expect(code).toBe(3);
  });

  test('a server that fails is told apart from one that refuses', async () => {
    const problem = { code: 'store-full', detail: 'The disk is full. \x1b]0;owned\x07Nothing was stored.' };
    const args = await answering((response) =>
      response.writeHead(503, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem)),
    );
    const { code, err } = await desk.call(args);
    expect(err).toBe('nightshift: The disk is full. Nothing was stored.\n');
    expect(code).toBe(1);
  });
});

describe('when the server refuses', () => {
  beforeAll(async () => {
    await desk.startServer();
  });
  afterAll(() => desk.stopServer());

  test('a wrong key is named with where it came from, and exit code 4', async () => {
    const { code, err } = await desk.call(['tasks'], { env: { NIGHTSHIFT_TOKEN: 'not-the-key-of-this-server' } });
    expect(err).toMatch(/does not accept this API key \(from NIGHTSHIFT_TOKEN or the settings\)\. `nightshift token` on the server prints/);
    expect(err).not.toContain('not-the-key');
    expect(code).toBe(4);
  });

  test('a missing key is asked for', async () => {
    const elsewhere = new Desk();
    const url = (JSON.parse(readFileSync(join(desk.home, 'server.json'), 'utf8')) as { address: string }).address;
    const { code, err } = await elsewhere.call(['tasks', '--url', url]);
    expect(err).toContain('wants an API key, and none was found here');
    expect(code).toBe(4);

    writeFileSync(join(elsewhere.home, 'token'), 'not a key\nat all\n');
    expect(await elsewhere.call(['tasks', '--url', url])).toMatchObject({ code: 4, err: expect.stringContaining('does not hold a key') });
    await elsewhere.remove();
  });

  test('what is not there is said, with exit code 5', async () => {
    for (const args of [['show'], ['logs'], ['logs', '-f'], ['cancel'], ['retry']]) {
      const { code, err } = await desk.call([...args, 'tsk_01KAGM8R6B0000000000000000']);
      expect(err).toContain('There is no task tsk_01KAGM8R6B0000000000000000.');
      expect(code).toBe(5);
    }
    expect((await desk.call(['logs', 'run_01KAGM8R6B0000000000000000'])).code).toBe(5);
  });

  test('each field that it does not like is listed', async () => {
    const { code, err } = await desk.call(['new', ' ', '--depends-on', 'run_01KAGM8R6B0000000000000000', '--budget', '99999999']);
    expect(err).toContain('  title: must not be blank');
    expect(err).toContain('  dependsOn.0: must be a task id');
    expect(err).toMatch(/ {2}budgetUsd: /);
    expect(code).toBe(5);
    const { error } = JSON.parse((await desk.call(['new', ' ', '--json'])).err) as { error: unknown };
    expect(error).toMatchObject({
      code: 'invalid-request',
      exit: 5,
      status: 400,
      errors: [{ path: 'title', message: 'must not be blank' }],
    });
  });

  test('a login link opens the dashboard once, and holds no key', async () => {
    const { link } = await desk.json<{ link: string; expiresAt: string }>('token', 'link');
    const [, address = '', code] = /^(http:\/\/127\.0\.0\.1:\d+)\/#login=([\w-]+)$/.exec(link) ?? [];
    const logIn = async (): Promise<number> => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch(`${address}/api/session`, { method: 'POST', headers, body: JSON.stringify({ code }) })).status;
    };
    expect([await logIn(), await logIn()]).toEqual([200, 401]);
    expect(link).not.toContain((await desk.call(['token'])).out.trim());
  });

  test('a key that is rotated counts at once, and the old one no more', async () => {
    const before = (await desk.call(['token'])).out.trim();
    const { out } = await desk.call(['token', 'rotate']);
    expect(out.trim()).not.toBe(before);
    expect((await desk.call(['token'])).out).toBe(out);
    expect((await desk.call(['status'])).code).toBe(0);
    expect((await desk.call(['status'], { env: { NIGHTSHIFT_TOKEN: before } })).code).toBe(4);
  });

  interface Key {
    readonly name: string;
    readonly secret: string;
    readonly expiresAt: string | null;
    readonly oldSecretUntil: string | null;
  }

  test('a key is made, listed, rotated and revoked, and each time takes effect at once', async () => {
    const works = async (key: string): Promise<number> => (await desk.call(['tasks'], { env: { NIGHTSHIFT_TOKEN: key } })).code;
    const made = await desk.call(['token', 'create', 'ci', '--role', 'operator', '--scope', 'tasks,runs:read', '--expires', '30d']);
    expect(made).toMatchObject({ code: 0, err: expect.stringMatching(/^ci \(operator, for tasks, runs:read\), until 2.*shown once/) });
    const secret = made.out.trim();
    expect(await works(secret)).toBe(0);
    expect((await desk.call(['queue'], { env: { NIGHTSHIFT_TOKEN: secret } })).code).toBe(2);
    expect(await desk.call(['status'], { env: { NIGHTSHIFT_TOKEN: secret } })).toMatchObject({
      code: 5,
      err: expect.stringContaining('queue:read'),
    });
    const rotated = await desk.json<Key>('token', 'rotate', 'ci', '--grace', '1h');
    expect([await works(secret), await works(rotated.secret), rotated.oldSecretUntil !== null]).toEqual([0, 0, true]);
    const again = await desk.json<Key>('token', 'rotate', 'ci', '--grace', '0s');
    expect([await works(rotated.secret), await works(again.secret)]).toEqual([4, 0]);
    expect((await desk.call(['token', 'list'])).out).toMatch(/^ci\tactive\toperator\t\S+\t\S+\ttasks runs:read$/m);
    expect(await desk.call(['token', 'revoke', 'ci'])).toMatchObject({ code: 0, out: 'ci  revoked\n' });
    expect(await works(again.secret)).toBe(4);
    expect((await desk.call(['token', 'revoke', 'ci'])).code).toBe(5);
    expect((await desk.json<Key>('token', 'create', 'for-ever', '--expires', 'never')).expiresAt).toBeNull();
    expect(await desk.call(['token', 'create', 'x', '--expires', 'soon'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--expires'),
    });
  });

  test('what was done is on the audit log, one object a line', async () => {
    await desk.call(['pause']);
    await desk.call(['resume']);
    const { out } = await desk.call(['audit', '--json', '--limit', '2']);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { action: string; user: string; outcome: string });
    expect(lines.map(({ action, user, outcome }) => [action, user, outcome])).toEqual([
      ['POST /api/queue/resume', 'owner', 'done'],
      ['POST /api/queue/pause', 'owner', 'done'],
    ]);
    expect((await desk.call(['audit', '--all'])).out).toMatch(/\towner\t127\.0\.0\.1\tdone\tPOST \/api\/queue\/pause$/m);
  });
});

describe('the key', () => {
  test('is not there before the first start, and nobody else may read it afterwards', async () => {
    const fresh = new Desk();
    expect(await fresh.call(['token'])).toMatchObject({ code: 1, err: expect.stringContaining('nightshift token rotate') });
    const { token, file } = await fresh.json<{ token: string; file: string }>('token', 'rotate');
    expect(readFileSync(file, 'utf8')).toBe(`${token}\n`);
    const { checks } = await fresh
      .call(['doctor', '--json'], { env: { PORT: '1' } })
      .then(({ out }) => JSON.parse(out) as { checks: { check: string; verdict: string }[] });
    expect(checks.find(({ check }) => check === 'key')).toMatchObject({ verdict: 'ok' });

    chmodSync(file, 0o644);
    const { code, out } = await fresh.call(['doctor'], { env: { PORT: '1' } });
    expect(out).toMatch(/✗ key .*can be read by others \(mode 644\)\n.*chmod 600/);
    expect(code).toBe(1);
    await fresh.remove();
  });

  test('that the environment sets is changed there', async () => {
    const env = { NIGHTSHIFT_TOKEN: 'a-key-of-sixteen-characters' };
    expect((await desk.call(['token'], { env })).out).toBe('a-key-of-sixteen-characters\n');
    expect(await desk.call(['token', 'rotate'], { env })).toMatchObject({ code: 2, err: expect.stringContaining('env NIGHTSHIFT_TOKEN') });
  });
});
