import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Calling, Desk } from '../../test/support/cli.ts';
import { freePort } from '../../test/support/ports.ts';
import { checkSandbox } from '../main.ts';
import { nodeVersion } from './doctor.ts';

interface Report {
  readonly healthy: boolean;
  readonly checks: readonly { readonly check: string; readonly verdict: string; readonly found: string; readonly remedy?: string }[];
}

let desk: Desk;
beforeEach(() => {
  desk = new Desk();
});
afterEach(() => desk.remove());

async function examine(
  calling: Calling = {},
): Promise<Report & { readonly code: number; of(check: string): Report['checks'][number] | undefined }> {
  const { code, out } = await desk.call(['doctor', '--json'], calling);
  const report = JSON.parse(out) as Report;
  return { ...report, code, of: (wanted) => report.checks.find(({ check }) => check === wanted) };
}

/** A PATH on which there is only this. */
function pathWith(...programs: readonly string[]): string {
  const folder = join(desk.home, 'path');
  mkdirSync(folder);
  for (const program of programs) writeFileSync(join(folder, program), '#!/bin/sh\n', { mode: 0o755 });
  return folder;
}

describe('doctor', () => {
  test('is content with a server that is up', async () => {
    await desk.startServer();
    const { code, healthy, checks } = await examine({ env: { PATH: pathWith('git'), LLM_PROVIDER: 'rehearsal' } });
    // Whether sandboxes work here is the machine's affair; a new server has neither models nor anybody to tell.
    const expected = ['sandbox', 'providers', 'channels'];
    expect(checks.filter(({ check, verdict }) => verdict !== 'ok' && !expected.includes(check))).toEqual([]);
    expect(checks.map(({ check }) => check)).toContain('integrity');
    expect({ code, healthy }).toEqual({ code: 0, healthy: true });
    expect((await desk.call(['doctor'])).out).toMatch(/✓ server +version \d/);
  });

  test('finds a server that is down, and looks at its database itself', async () => {
    await desk.startServer();
    await desk.stopServer();
    const { code, of } = await examine({ env: { PORT: '1' } });
    expect(of('server')).toMatchObject({ verdict: 'failure', remedy: expect.stringContaining('nightshift up') });
    expect(of('database')).toMatchObject({ verdict: 'ok', found: expect.stringMatching(/nightshift\.db, version \d+$/) });
    expect(code).toBe(1);
  });

  test('finds nothing wrong with the disk before the first start has made a home', async () => {
    const { of } = await examine({ env: { NIGHTSHIFT_HOME: join(desk.home, 'not', 'yet'), PORT: '1' } });
    expect(of('home')?.verdict).toBe('warning');
    expect(of('disk')).toMatchObject({ verdict: expect.not.stringContaining('failure'), found: expect.stringContaining('GB free') });
  });

  test('finds a home that is no directory', async () => {
    const file = join(desk.home, 'a-file');
    writeFileSync(file, '');
    expect((await examine({ env: { PORT: '1', NIGHTSHIFT_HOME: file } })).of('home')).toMatchObject({
      verdict: 'failure',
      found: `${file} is no directory`,
    });
  });

  test('finds a database that is no database, and one that is damaged', async () => {
    writeFileSync(join(desk.home, 'nightshift.db'), 'x'.repeat(8_192));
    expect((await examine({ env: { PORT: '1' } })).of('database')).toMatchObject({
      verdict: 'failure',
      remedy: expect.stringContaining('backup'),
    });
  });

  test('finds a PostgreSQL that does not answer, without showing its password', async () => {
    const { of } = await examine({ env: { PORT: '1', DATABASE_URL: 'postgres://user:hunter2@127.0.0.1:1/db' } });
    expect(of('database')).toMatchObject({
      verdict: 'failure',
      found: expect.stringMatching(/user:\*\*\*@.*ECONNREFUSED/),
      remedy: expect.stringContaining('DATABASE_URL'),
    });
    expect(JSON.stringify(of('database'))).not.toContain('hunter2');
  });

  test('tells what the lack of a program costs', async () => {
    const { code, of } = await examine({ env: { PATH: pathWith(), PORT: '1' } });
    expect(of('git')).toMatchObject({ verdict: 'failure', remedy: expect.stringContaining('apt install git') });
    expect(code).toBe(1);
  });

  test('tells whether agents are in a sandbox, and what it costs when they are not', async () => {
    const off = (await examine({ env: { NIGHTSHIFT_SANDBOX: 'off' } })).of('sandbox');
    expect(off).toMatchObject({ verdict: 'warning', remedy: expect.stringContaining('auto or require') });
    expect(off?.found).toMatch(/switched off.*Work from people who are not trusted is refused/);
    const { verdict, found } = await checkSandbox('auto');
    expect((await examine()).of('sandbox')).toMatchObject({ verdict, found: expect.stringContaining(found) });
  });

  test('names the model provider, and says how to get one', async () => {
    const model = async (env: Readonly<Record<string, string>>) => (await examine({ env })).of('model');
    expect((await examine()).of('providers')).toMatchObject({ verdict: 'warning', remedy: expect.stringContaining('LLM_API_KEY') });
    expect(await model({ LLM_PROVIDER: 'rehearsal' })).toMatchObject({ verdict: 'ok', found: expect.stringContaining('rehearsal') });
    const claude = await model({
      LLM_API_KEY: 'sk-hunter2',
      LLM_BASE_URL: `https://u:hunter3@127.0.0.1:${await freePort()}`,
      LLM_MODEL: 'some-model',
    });
    expect(claude).toMatchObject({ verdict: 'ok', found: expect.stringMatching(/^claude at https:.*127\.0\.0\.1.*some-model/) });
    expect(JSON.stringify(claude)).not.toMatch(/hunter/);
    expect(await model({ LLM_PROVIDER: 'claude' })).toMatchObject({ verdict: 'failure', found: expect.stringContaining('no key') });
    expect(await model({ LLM_PROVIDER: 'rehearsal', NIGHTSHIFT_REHEARSAL: '/nowhere.yaml' })).toMatchObject({ verdict: 'failure' });
  });

  test('tries the providers and the channels also where no server is up, and tells nobody anything', async () => {
    const asked: string[] = [];
    const other = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(request.method === 'HEAD' ? 405 : 401).end('{"error":{"message":"invalid x-api-key"}}');
    });
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const there = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const nobody = `127.0.0.1:${await freePort()}`;
    const channels = { SLACK_WEBHOOK_URL: `http://${nobody}/hunter2`, SMTP_URL: `smtp://${nobody}`, ALERT_EMAIL: 'a@b.example' };

    const refused = await examine({ env: { LLM_API_KEY: 'sk-hunter2', LLM_BASE_URL: there, ...channels } });
    expect(refused.of('providers')).toMatchObject({ verdict: 'failure', found: 'claude: status 401: invalid x-api-key' });
    expect(refused.of('channels')).toMatchObject({
      verdict: 'failure',
      found: expect.stringMatching(/^slack: Slack cannot be reached \(ECONNREFUSED\); email: .*ESOCKET/),
    });
    expect(JSON.stringify(refused.checks)).not.toContain('hunter2');

    const env = { LLM_API_KEY: 'sk-hunter2', LLM_BASE_URL: `http://${nobody}`, ...channels, ALERT_WEBHOOK_URL: `${there}/alerts` };
    const unreached = await examine({ env });
    expect(unreached.of('providers')?.found).toContain('ECONNREFUSED');
    // One of three that answers is enough to be told.
    expect(unreached.of('channels')).toMatchObject({ verdict: 'warning', found: expect.not.stringContaining('webhook') });
    expect(asked).toEqual(['GET /v1/models?limit=1', 'HEAD /alerts']);
  });

  test('minds who else can read the home', async () => {
    await desk.startServer();
    chmodSync(desk.home, 0o755);
    expect((await examine()).of('home')).toMatchObject({ verdict: 'warning', remedy: `chmod 700 ${desk.home}` });
  });

  test('knows which versions of Node are too old', () => {
    expect(['20.19.0', '22.17.1'].map((version) => nodeVersion(version).verdict)).toEqual(['failure', 'failure']);
    expect(['22.18.0', '24.0.0'].map((version) => nodeVersion(version).verdict)).toEqual(['ok', 'ok']);
  });
});

describe('config', () => {
  test('tells each value and where it came from, and masks secrets', async () => {
    writeFileSync(join(desk.home, 'nightshift.yaml'), 'maxConcurrentRuns: 3\n');
    const env = {
      PORT: '9000',
      DATABASE_URL: 'postgres://u:hunter2@db/x',
      NIGHTSHIFT_TOKEN: 'a-key-of-sixteen-characters',
      LLM_API_KEY: 'sk-secret',
    };
    const plain = await desk.call(['config'], { env });
    expect(plain.out).toMatch(/^port\t9000\tenv PORT\tPORT$/m);
    expect(plain.out).toMatch(/^maxConcurrentRuns\t3\t.*nightshift\.yaml\tMAX_CONCURRENT_RUNS$/m);
    const table = await desk.call(['config'], { env, terminal: 120 });
    const json = await desk.call(['config', '--json'], { env });
    expect(JSON.parse(json.out)).toMatchObject({
      settings: { port: { value: '9000', origin: 'env PORT' }, token: { value: '********' }, engine: { value: null } },
    });
    for (const { code, out } of [plain, table, json]) {
      expect(out).not.toMatch(/hunter2|sixteen|sk-secret/);
      expect(code).toBe(0);
    }
  });

  test('names an unknown key', async () => {
    writeFileSync(join(desk.home, 'nightshift.yaml'), 'ports: 1\n');
    expect(await desk.call(['config'])).toMatchObject({ code: 2, err: expect.stringContaining('unknown key "ports"') });
  });
});
