import { rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { missingSandbox, openTestSandbox } from '../../test/support/sandbox.ts';
import { temporaryHome } from '../../test/support/stores.ts';
import { isPrivate } from '../platform/address.ts';
import { silentLog } from '../platform/log.ts';
import { type Egress, parseRule, type Rule, startEgress } from './egress.ts';

describe('rules of egress', () => {
  test.each([
    ['registry.npmjs.org', { host: 'registry.npmjs.org', port: 443 }],
    ['*.Example.org:8443', { host: '*.example.org', port: 8443 }],
  ])('%s is one', (text, rule) => expect(parseRule(text)).toEqual({ ok: true, rule }));

  test.each([
    '',
    '*',
    '*.com',
    'a b',
    'http://a.org',
    'a.org:0',
    'a.org:99999',
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.1',
    '[::1]',
    '::1',
    'a..b',
    '-a.org',
    'a.*.org',
  ])('%j is none', (text) => expect(parseRule(text).ok).toBe(false));
});

test.each([
  '127.0.0.1',
  '10.1.2.3',
  '172.31.0.1',
  '192.168.1.1',
  '169.254.169.254',
  '100.100.100.200',
  '168.63.129.16',
  '0.0.0.0',
  '224.0.0.1',
  '255.255.255.255',
  '::1',
  '::',
  'fe80::1',
  'fd00:ec2::254',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '2001:db8::1',
  'ff02::1',
])('%s is not public', (address) => expect(isPrivate(address)).toBe(true));
test.each(['8.8.8.8', '1.1.1.1', '172.32.0.1', '2606:4700::1111'])('%s is public', (address) => expect(isPrivate(address)).toBe(false));

describe('egress', () => {
  const base = temporaryHome();
  const refused: string[] = [];
  const asked: string[] = [];
  /** What stands for the public network here. */
  const upstream = createHttpServer((incoming, response) => response.end(`${incoming.headers.host} ${incoming.url}`));
  let port = 0;
  let egress: Egress;
  const answers: Record<string, readonly string[]> = {
    'allowed.example': ['127.0.0.1'],
    'deep.allowed.example': ['127.0.0.1'],
    'turned.example': ['127.0.0.1', '10.0.0.1'],
    'metadata.example': ['169.254.169.254'],
    'gone.example': [],
  };

  beforeAll(async () => {
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', () => resolve()));
    port = (upstream.address() as { port: number }).port;
    const rules: Rule[] = ['allowed.example', '*.allowed.example', 'turned.example', 'metadata.example', 'gone.example'].map((host) => ({
      host,
      port,
    }));
    egress = await startEgress({
      socket: join(base, 'egress.sock'),
      rules,
      log: silentLog,
      onRefused: ({ host, why }) => refused.push(`${host}: ${why}`),
      async resolve(host) {
        asked.push(host);
        return answers[host] ?? [];
      },
      isForbidden: (address) => address !== '127.0.0.1' && isPrivate(address),
    });
  });
  afterAll(async () => {
    await egress.stop();
    upstream.close();
    rmSync(base, { recursive: true, force: true });
  });

  const talk = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      let answer = '';
      const client = connect({ path: egress.socket }, () => client.write(text));
      client.on('data', (data) => {
        answer += String(data);
      });
      client.on('error', reject).on('close', () => resolve(answer));
    });
  const tunnel = (authority: string): Promise<string> =>
    talk(`CONNECT ${authority} HTTP/1.1\r\nHost: x\r\n\r\nGET /path HTTP/1.1\r\nHost: inside\r\nConnection: close\r\n\r\n`);

  test('carries connections to what is on the list', async () => {
    for (const host of ['allowed.example', 'ALLOWED.example.', 'deep.allowed.example']) {
      const answer = await tunnel(`${host}:${port}`);
      expect(answer).toMatch(/^HTTP\/1.1 200 Connection Established/);
      expect(answer).toContain('inside /path');
    }
  });

  test('carries plain requests to what is on the list, under the name that was judged', async () => {
    const answer = await talk(
      `GET http://allowed.example:${port}/a?b=c HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization: x\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toContain(`allowed.example:${port} /a?b=c`);
  });

  test.each([
    ['another host', 'other.example', 'not on the'],
    ['a name that only ends alike', 'notallowed.example', 'not on the'],
    ['a name that begins alike', 'allowed.example.evil.example', 'not on the'],
    ['an address', '127.0.0.1', 'only names'],
    ['an address in hexadecimal', '0x7f000001', 'only names'],
    ['an address as a number', '2130706433', 'only names'],
    ['a short address', '127.1', 'only names'],
    ['an IPv6 address', '[::1]', 'only names'],
    ['an IPv4 address in IPv6', '[::ffff:127.0.0.1]', 'only names'],
    ['localhost', 'localhost', 'not on the'],
    ['a listed name with one private address among its own', 'turned.example', '10.0.0.1'],
    ['a listed name that leads to metadata', 'metadata.example', '169.254.169.254'],
    ['a listed name without an address', 'gone.example', 'no address'],
    ['a name with a user', 'allowed.example@evil.example', 'names no host'],
  ])('refuses %s, and says so', async (_, host, why) => {
    refused.length = 0;
    const answers = [
      await tunnel(`${host}:${port}`),
      await talk(`GET http://${host}:${port}/ HTTP/1.1\r\nHost: allowed.example\r\nConnection: close\r\n\r\n`),
    ];
    for (const answer of answers) expect(answer).toMatch(/^HTTP\/1.1 403 /);
    expect(answers[0]).toContain(why);
    expect(refused).toHaveLength(2);
  });

  test('refuses another port of a listed host', async () => {
    expect(await tunnel('allowed.example:1')).toMatch(/^HTTP\/1.1 403 /);
  });

  test('refuses a request that is not for a proxy, and garbage', async () => {
    expect(await talk('GET / HTTP/1.1\r\nHost: allowed.example\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 403 /);
    expect(await talk('GET ftp://allowed.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 403 /);
    expect(await talk('\0\0\0\r\n\r\n')).toBe('');
  });

  test('asks for an address once per connection, and goes to the one that was judged', async () => {
    asked.length = 0;
    await tunnel(`allowed.example:${port}`);
    expect(asked).toEqual(['allowed.example']);
  });

  test('with the real list, leads nobody to the machine itself', async () => {
    const strict = await startEgress({
      socket: join(base, 'strict.sock'),
      rules: [{ host: 'allowed.example', port }],
      log: silentLog,
      resolve: async () => ['127.0.0.1'],
    });
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const client = connect({ path: strict.socket }, () => client.write(`CONNECT allowed.example:${port} HTTP/1.1\r\nHost: x\r\n\r\n`));
      client.on('data', (data) => {
        text += String(data);
      });
      client.on('close', () => resolve(text));
    });
    await strict.stop();
    expect(answer).toContain('not on the public network');
  });

  test('survives a host that answers nonsense', async () => {
    const odd = createServer((socket) => socket.end('HTTP/1.1 000 Nothing\r\ncontent-length: 0\r\n\r\n'));
    await new Promise<void>((resolve) => odd.listen(0, '127.0.0.1', () => resolve()));
    const { port: oddPort } = odd.address() as { port: number };
    const one = await startEgress({
      socket: join(base, 'odd.sock'),
      rules: [{ host: 'allowed.example', port: oddPort }],
      log: silentLog,
      resolve: async () => ['127.0.0.1'],
      isForbidden: () => false,
    });
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const client = connect({ path: one.socket }, () =>
        client.write(`GET http://allowed.example:${oddPort}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
      );
      client.on('data', (data) => {
        text += String(data);
      });
      client.on('close', () => resolve(text));
    });
    await one.stop();
    odd.close();
    expect(answer).toMatch(/^HTTP\/1.1 502 /);
  });

  test('answers when the host does not', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', () => resolve()));
    const { port: dead } = closed.address() as { port: number };
    await new Promise<void>((resolve) => closed.close(() => resolve()));
    const one = await startEgress({
      socket: join(base, 'dead.sock'),
      rules: [{ host: 'allowed.example', port: dead }],
      log: silentLog,
      resolve: async () => ['127.0.0.1'],
      isForbidden: () => false,
    });
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const client = connect({ path: one.socket }, () => client.write(`CONNECT allowed.example:${dead} HTTP/1.1\r\nHost: x\r\n\r\n`));
      client.on('data', (data) => {
        text += String(data);
      });
      client.on('close', () => resolve(text));
    });
    await one.stop();
    expect(answer).toMatch(/^HTTP\/1.1 502 /);
  });

  describe.skipIf(missingSandbox !== undefined)('from inside a sandbox', () => {
    const fetching = (url: string): string =>
      `fetch('${url}').then(async (r) => console.log(r.status, await r.text()), (e) => console.log('failed', e.cause?.code ?? e.message))`;

    test('reaches what is allowed with the usual variables, and nothing else', async () => {
      const box = await openTestSandbox();
      onTestFinished(() => box.remove());
      const profile = { egressSocket: egress.socket };
      expect((await box.node(fetching(`http://allowed.example:${port}/x`), { profile })).stdout).toContain('200');
      expect((await box.node(fetching('http://other.example/'), { profile })).stdout).toMatch(/403|failed/);
      // Without the proxy, straight to the server that stands for the public one.
      expect(
        (
          await box.sh(
            `exec 2>&1; env -u http_proxy -u HTTP_PROXY ${process.execPath} -e "require('net').connect(${port}, '127.0.0.1').on('error', (e) => console.log(e.code)).on('connect', () => console.log('CONNECTED'))"`,
            { profile },
          )
        ).stdout,
      ).toBe('ECONNREFUSED\n');
    });

    test('passes on the exit code, and the signal', async () => {
      const box = await openTestSandbox();
      onTestFinished(() => box.remove());
      const profile = { egressSocket: egress.socket };
      expect((await box.sh('exit 75', { profile })).code).toBe(75);
      expect((await box.sh('kill -9 $$', { profile })).code).toBe(137);
      expect((await box.run(['/no/such/program'], { profile })).code).toBe(127);
    });
  });
});
