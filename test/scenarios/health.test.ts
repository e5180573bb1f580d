import { closeSync, openSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { sql } from 'kysely';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { figure } from '../support/prometheus.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../support/stores.ts';

interface Examination {
  readonly healthy: boolean;
  readonly checks: readonly { readonly check: string; readonly verdict: string; readonly found: string; readonly remedy?: string }[];
}

let database: TestDatabase;
let server: TestServer;

afterEach(async () => {
  await server?.running.stop();
  await database?.remove();
});

const examine = async (): Promise<Examination> => (await server.api.call<Examination>('POST', '/api/health')).body;

for (const dialect of dialects) {
  test.skipIf(missing(dialect))(`a server on ${dialect} examines itself at its start, and tells what that came to`, async () => {
    database = await createDatabase(dialect);
    server = await startTestServer(database);
    const last = await until('the first', async () => {
      const { body } = await server.api.call<{ last: Examination | null }>('GET', '/api/health');
      return body.last ?? undefined;
    });
    expect(last.checks.map(({ check }) => check)).toEqual([
      'store',
      'migrations',
      'integrity',
      'clock',
      'disk',
      'git',
      'tools',
      'providers',
      'channels',
      'sandbox',
      'sources',
      'backups',
    ]);
    expect(last.checks.filter(({ verdict }) => verdict === 'failure')).toEqual([]);
    expect(last.healthy).toBe(true);
    const { body } = await server.api.call<string>('GET', '/metrics');
    expect(figure(body, 'last_healthcheck_status')).toBe(1);
    expect(figure(body, 'last_healthcheck_timestamp')).toBeGreaterThan(1.7e9);
  });
}

describe('an examination', () => {
  test('finds a provider that cannot be reached, and says what to do', async () => {
    database = await createDatabase('sqlite');
    server = await startTestServer(database, { llmProvider: 'compatible', llmBaseUrl: 'http://127.0.0.1:9', llmApiKey: 'k' });
    const { healthy, checks } = await examine();
    expect(healthy).toBe(false);
    expect(checks.find(({ check }) => check === 'providers')).toMatchObject({
      verdict: 'failure',
      found: 'compatible: status 503: The provider cannot be reached (ECONNREFUSED)',
      remedy: expect.stringContaining('docs/models.md'),
    });
    const { body } = await server.api.call<string>('GET', '/metrics');
    expect(figure(body, 'last_healthcheck_status')).toBe(0);
    const { items } = await until('the alert', async () => {
      const answer = await server.api.call<{ items: { name: string; title: string }[] }>('GET', '/api/alerts');
      return answer.body.items.some(({ name }) => name === 'health') && answer.body;
    });
    expect(items.find(({ name }) => name === 'health')?.title).toBe('The server is not well: providers');
  });

  test('finds a channel that nothing gets out of', async () => {
    database = await createDatabase('sqlite');
    const full = createServer((request, response) => response.writeHead(request.method === 'HEAD' ? 200 : 503).end());
    await new Promise<void>((resolve) => full.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void full.close());
    const { port } = full.address() as AddressInfo;
    server = await startTestServer(database, { alertWebhookUrl: `http://127.0.0.1:${port}` });
    await server.api.call('POST', '/api/channels/webhook/test');
    const other = await database.open();
    await other.write(
      async (tx) =>
        void (await tx.db
          .updateTable('outbox')
          .set({ created_at: Date.now() - 3_600_000 })
          .execute()),
    );
    await other.close();
    expect((await examine()).checks.find(({ check }) => check === 'channels')).toMatchObject({
      verdict: 'warning',
      found: 'webhook: 1 waiting to be sent',
      remedy: expect.stringContaining('outbox --state waiting'),
    });
  });

  test('finds a damaged database while the server goes on', async () => {
    database = await createDatabase('sqlite');
    server = await startTestServer(database);
    await server.running.stop();
    const path = join(database.home, 'nightshift.db');
    const sqlite = new Sqlite(path);
    sqlite.exec('create table ballast (text text); create index ballast_text on ballast (text)');
    for (let more = 0; more < 500; more++) sqlite.prepare('insert into ballast values (?)').run(`${more} ${'x'.repeat(500)}`);
    sqlite.pragma('wal_checkpoint(truncate)');
    const page = sqlite.prepare<[], number>("select rootpage from sqlite_master where name = 'ballast_text'").pluck().get() ?? 0;
    sqlite.close();
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.alloc(1_000, 0xff), 0, 1_000, (page - 1) * 4_096);
    closeSync(file);
    server = await startTestServer(database);
    const found = (await examine()).checks.find(({ check }) => check === 'integrity');
    expect(found).toMatchObject({ verdict: 'failure', remedy: expect.stringContaining('backup') });
    expect((await server.api.call('GET', '/health')).status).toBe(200);
  });
});

test('a database that a newer server has come to is told, with what to do', async () => {
  database = await createDatabase('sqlite');
  server = await startTestServer(database);
  const other = await database.open();
  await other.write(
    async (tx) => void (await sql`insert into schema_migrations (version, name) values (9999, 'of tomorrow')`.execute(tx.db)),
  );
  await other.close();
  // The one that was under way at the start may have looked before.
  const found = await until('an examination that sees it', async () =>
    (await examine()).checks.find(({ check, verdict }) => check === 'migrations' && verdict === 'failure'),
  );
  expect(found).toMatchObject({
    found: expect.stringContaining('9999'),
    remedy: expect.stringContaining('update this one too'),
  });
});
