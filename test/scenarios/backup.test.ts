import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { restoreBackup } from '../../src/main.ts';
import { openStore } from '../../src/store/open.ts';
import { holdForRestore, takeForRestore } from '../../src/store/restoring.ts';
import { Api, startTestServer, type TestServer, testToken } from '../support/server.ts';
import { processesWith, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../support/stores.ts';

const formerToken = `ghp_${'f'.repeat(36)}`;

interface Backup {
  readonly file: string;
  readonly bytes: number;
}

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`a backup on ${dialect}`, () => {
    const databases: TestDatabase[] = [];
    const servers: TestServer[] = [];

    afterEach(async () => {
      for (const server of servers.splice(0)) await server.running.stop();
      for (const database of databases.splice(0)) {
        await database.remove();
        await rm(`${database.home}-restored`, { recursive: true, force: true });
      }
    });

    async function start(
      flags: Parameters<typeof startTestServer>[1] = {},
    ): Promise<{ api: Api; database: TestDatabase; server: TestServer }> {
      const database = await createDatabase(dialect);
      databases.push(database);
      writeFileSync(
        join(database.home, 'nightshift.yaml'),
        `# ours, before: https://ci:verysecret@git.example/\n# githubToken: ${formerToken}\nmaxConcurrentRuns: 3\ngithubToken: ghp_verysecret\nwebhooks:\n  - name: ci\n    secret: also-very-secret\n    task: { title: x }\n`,
      );
      const server = await startTestServer(database, flags);
      servers.push(server);
      return { api: server.api, database, server };
    }

    /** Where a backup of a database goes: a home that is not there yet, and on PostgreSQL an empty database. */
    async function target(): Promise<{ home: string; databaseUrl: string | undefined }> {
      const database = await createDatabase(dialect);
      databases.push(database);
      return { home: `${database.home}-restored`, databaseUrl: database.databaseUrl };
    }

    const configOf = (where: { home: string; databaseUrl: string | undefined }, flags: object = {}) =>
      loadConfig({ env: {}, flags: { ...where, token: testToken, ...flags }, cwd: databases[0]?.home ?? '/' }).config;

    const never = new AbortController().signal;

    /** Every row of every table, as text. */
    async function contents(where: Pick<TestDatabase, 'open'>): Promise<Record<string, readonly string[]>> {
      const store = await where.open();
      try {
        const tables = (await store.read.introspection.getTables()).filter(
          ({ name, schema }) => !name.startsWith('sqlite_') && schema !== 'pgboss',
        );
        const found: Record<string, readonly string[]> = {};
        for (const { name } of tables) {
          const { rows } = await sql`select * from ${sql.table(name)}`.execute(store.read);
          found[name] = rows.map((row) => JSON.stringify(row)).sort();
        }
        return found;
      } finally {
        await store.close();
      }
    }

    test('restored into an empty home is the same, table by table and file by file, without secrets, and goes on when told', async () => {
      const { api, database, server } = await start();
      const done = await api.submit({ title: 'done', body: 'echo what it printed' });
      await api.becomes(done.id, 'succeeded');
      await api.call('POST', '/api/queue/pause');
      const waiting = await api.submit({ title: 'still to do', body: 'true' });
      await api.call('PUT', '/api/budgets/day', { body: { limit: 33 } });
      expect((await api.call('POST', '/api/session', { key: null, body: { key: testToken } })).status).toBe(200);
      const { status, body } = await api.call<Backup>('POST', '/api/backups');
      expect(status).toBe(201);
      await server.running.stop();
      servers.splice(0);
      const before = await contents(database);

      const where = await target();
      await restoreBackup(configOf(where), body.file, never);
      const after = await contents({ open: () => openStore(where) });
      // What the server wrote while it stopped came after the backup, so did the line that says who made it, and nodes are
      // those of the moment.
      const { events: eventsBefore = [], audit_log: linesBefore = [], sessions: sessionsBefore, nodes: _, ...restBefore } = before;
      const { events: eventsAfter = [], audit_log: linesAfter = [], sessions: sessionsAfter, nodes: __, ...restAfter } = after;
      expect([sessionsBefore?.length, sessionsAfter?.length]).toEqual([1, 0]);
      expect(restAfter).toEqual(restBefore);
      expect(linesBefore.filter((line) => !line.includes('/api/backups'))).toEqual(linesAfter);
      expect(eventsBefore).toEqual(expect.arrayContaining([...eventsAfter]));
      expect(eventsAfter.length).toBeGreaterThan(5);
      const runId = (await runOf(database, done.id)) as string;
      expect(readFileSync(join(where.home, 'runs', runId, 'output.log'), 'utf8')).toBe(
        readFileSync(join(database.home, 'runs', runId, 'output.log'), 'utf8'),
      );
      const settings = readFileSync(join(where.home, 'nightshift.yaml'), 'utf8');
      expect(settings).toContain('maxConcurrentRuns: 3');
      expect(settings).not.toMatch(/very-?secret/);
      expect(settings).not.toContain(formerToken);
      // Wherever it is kept, others on the machine cannot read it.
      expect(statSync(body.file).mode & 0o077).toBe(0);
      expect(settings).toContain('githubToken, webhooks');
      expect(existsSync(join(where.home, 'token'))).toBe(false);

      const restored = await startTestServer({ home: where.home, databaseUrl: where.databaseUrl });
      servers.push(restored);
      expect((await restored.api.call<{ paused: boolean }>('GET', '/api/queue')).body.paused).toBe(true);
      expect((await restored.api.task(done.id)).status).toBe('succeeded');
      expect((await restored.api.task(waiting.id)).status).toBe('queued');
      await restored.api.call('POST', '/api/queue/resume');
      await restored.api.becomes(waiting.id, 'succeeded');
    });

    test('made while work comes in is of one moment: no run without its task, no task without its first event', async () => {
      const { api } = await start();
      let submitting = true;
      const load = (async () => {
        while (submitting) await Promise.all(Array.from({ length: 20 }, (_, each) => api.submit({ title: `work ${each}`, body: 'true' })));
      })();
      const { body } = await api.call<Backup>('POST', '/api/backups');
      submitting = false;
      await load;
      const where = await target();
      await restoreBackup(configOf(where), body.file, never);
      const store = await openStore(where);
      try {
        const orphans = await sql<{ many: number }>`select count(*) as many from runs where task_id not in (select id from tasks)`.execute(
          store.read,
        );
        const silent = await sql<{
          many: number;
        }>`select count(*) as many from tasks where id not in (select task_id from events where type = 'task.submitted')`.execute(
          store.read,
        );
        expect([Number(orphans.rows[0]?.many), Number(silent.rows[0]?.many)]).toEqual([0, 0]);
      } finally {
        await store.close();
      }
    });

    test('with a passphrase brings keys along, sealed', async () => {
      const { api } = await start({ backupPassphrase: 'correct horse battery' });
      const { body } = await api.call<Backup>('POST', '/api/backups');
      const where = await target();
      const wrong = restoreBackup(configOf(where, { backupPassphrase: 'wrong horse battery' }), body.file, never);
      await expect(wrong).rejects.toMatchObject({ code: 'wrong-passphrase' });
      expect(existsSync(where.home)).toBe(false);
      await restoreBackup(configOf(where, { backupPassphrase: 'correct horse battery' }), body.file, never);
      expect(readFileSync(join(where.home, 'nightshift.yaml'), 'utf8')).toContain('githubToken: ghp_verysecret');
    });
  });
}

describe.skipIf(missing('postgres'))('a database that a backup goes into', () => {
  const databases: TestDatabase[] = [];
  const never = new AbortController().signal;
  let server: TestServer | undefined;

  afterEach(async () => {
    await server?.running.stop();
    server = undefined;
    for (const database of databases.splice(0)) await database.remove();
  });

  async function create(): Promise<TestDatabase & { readonly databaseUrl: string }> {
    const database = await createDatabase('postgres');
    databases.push(database);
    return { ...database, databaseUrl: String(database.databaseUrl) };
  }
  const configFor = ({ home, databaseUrl }: { home: string; databaseUrl: string }, file: string) =>
    restoreBackup(loadConfig({ env: {}, flags: { home: join(home, 'restored'), databaseUrl }, cwd: home }).config, file, never);
  async function backedUp(): Promise<{ file: string; id: string }> {
    server = await startTestServer(await create());
    const { id } = await server.api.submit({ title: 'waits', body: 'true', needsApproval: true });
    return { file: (await server.api.call<Backup>('POST', '/api/backups')).body.file, id };
  }

  test('is closed to servers after a restore that was killed, and the next one begins anew', async () => {
    const { file, id } = await backedUp();
    const target = await create();
    await takeForRestore(target.databaseUrl);
    const halfway = await openStore({ ...target, restoring: true });
    await halfway.write(async (tx) => void (await tx.db.insertInto('settings').values({ key: 'left', value: 'behind' }).execute()));
    await halfway.close();
    await expect(target.open()).rejects.toMatchObject({ code: 'restore-unfinished' });
    await configFor(target, file);
    const store = await target.open();
    try {
      expect(await store.read.selectFrom('tasks').select('id').execute()).toEqual([{ id }]);
      expect(await store.read.selectFrom('settings').select('key').where('key', '=', 'left').execute()).toEqual([]);
    } finally {
      await store.close();
    }
  });

  test('takes one restore at a time, and what a killed one still does there comes to nothing', async () => {
    const { file, id } = await backedUp();
    const target = await create();
    const release = await holdForRestore(target.databaseUrl);
    await expect(configFor(target, file)).rejects.toMatchObject({ code: 'restore-under-way' });
    await release();
    await takeForRestore(target.databaseUrl);
    const orphan = new pg.Client({ connectionString: target.databaseUrl, application_name: 'pg_restore' });
    orphan.on('error', () => undefined);
    await orphan.connect();
    await orphan.query('begin');
    await orphan.query('create schema pgboss');
    await configFor(target, file);
    await expect(orphan.query('commit')).rejects.toThrow();
    const store = await target.open();
    expect(await store.read.selectFrom('tasks').select('id').execute()).toEqual([{ id }]);
    await store.close();
  });

  test('is as empty as before when the restore fails, and one that holds something is left alone', async () => {
    const { file, id } = await backedUp();
    const target = await create();
    // The home cannot be put where it belongs once the database is filled.
    const inTheWay = join(target.home, 'restored');
    const restoring = configFor(target, file);
    await until('the restore to have begun', () => readdirSync(target.home).some((name) => name.startsWith('.nightshift-restoring-')));
    mkdirSync(inTheWay);
    writeFileSync(join(inTheWay, 'file'), '');
    await expect(restoring).rejects.toThrow('ENOTEMPTY');
    await rm(inTheWay, { recursive: true });
    await configFor(target, file);

    const used = await create();
    const store = await used.open();
    await store.write(async (tx) => void (await tx.db.insertInto('settings').values({ key: 'kept', value: 'yes' }).execute()));
    await expect(configFor(used, file)).rejects.toMatchObject({ code: 'database-in-use' });
    expect(await store.read.selectFrom('settings').select('value').where('key', '=', 'kept').execute()).toEqual([{ value: 'yes' }]);
    await store.close();
    expect(id).toMatch(/^tsk_/);
  });
});

describe('a backup', () => {
  let database: TestDatabase;
  let server: TestServer;

  afterEach(async () => {
    await server?.running.stop();
    await database?.remove();
  });

  async function start(flags: object): Promise<void> {
    database = await createDatabase('sqlite');
    server = await startTestServer(database, flags);
  }

  const make = async (): Promise<Backup> => (await server.api.call<Backup>('POST', '/api/backups')).body;
  const list = async (): Promise<readonly Backup[]> =>
    (await server.api.call<{ items: readonly Backup[] }>('GET', '/api/backups')).body.items;

  test('is made by itself when the last one is too old, and those beyond the number to keep are removed', async () => {
    await start({});
    expect(await list()).toEqual([]);
    await server.running.stop();
    const dayAgo = Date.now() / 1_000 - 86_400;
    utimesSync(join(database.home, 'node-id'), dayAgo, dayAgo);
    server = await startTestServer(database, { keepBackups: '1' });
    const [first] = await until('the first', async () => {
      const found = await list();
      return found.length === 1 && found;
    });
    expect(first).toMatchObject({ kind: 'scheduled' });
    // Their names have seconds in them.
    const second = await make();
    const third = await until('another name', async () => {
      const made = await make();
      return made.file !== second.file && made;
    });
    // However many somebody makes by hand, those that come by themselves stay.
    expect((await list()).map(({ file }) => file)).toEqual(expect.arrayContaining([first?.file, third.file]));
    expect(await list()).toHaveLength(2);
    expect(existsSync(second.file)).toBe(false);
  });

  test('that was damaged, or is none, is refused, and so is a home that is in use; nothing is left behind', async () => {
    await start({});
    const { file } = await make();
    const home = join(database.home, 'elsewhere');
    const config = loadConfig({ env: {}, flags: { home }, cwd: database.home }).config;
    const never = new AbortController().signal;
    await expect(
      restoreBackup(loadConfig({ env: {}, flags: { home: database.home }, cwd: '/' }).config, file, never),
    ).rejects.toMatchObject({
      code: 'home-in-use',
    });
    await appendFile(file, 'x');
    await expect(restoreBackup(config, file, never)).rejects.toMatchObject({ code: 'backup-damaged' });
    const other = join(database.home, 'other.tar.gz');
    mkdirSync(join(database.home, 'nothing'));
    spawnSync('tar', ['-czf', other, '-C', join(database.home, 'nothing'), '.']);
    await expect(restoreBackup(config, other, never)).rejects.toMatchObject({ code: 'no-backup' });
    writeFileSync(join(database.home, 'nothing', 'manifest.json'), '{ "format": 1, ');
    spawnSync('tar', ['-czf', other, '-C', join(database.home, 'nothing'), '.']);
    await expect(restoreBackup(config, other, never)).rejects.toMatchObject({ code: 'no-backup' });
    writeFileSync(other, readFileSync(file).subarray(0, 2_000));
    await expect(restoreBackup(config, other, never)).rejects.toMatchObject({ code: 'backup-unreadable' });
    await expect(restoreBackup(config, database.home, never)).rejects.toMatchObject({ code: 'no-such-backup' });
    expect(existsSync(home)).toBe(false);
  });

  test('that lacks a part of it is refused: the database would be made anew, and be empty', async () => {
    await start({ backupPassphrase: 'correct horse battery' });
    const { file } = await make();
    const unpacked = join(database.home, 'unpacked');
    const home = join(database.home, 'elsewhere');
    const { config } = loadConfig({ env: {}, flags: { home, backupPassphrase: 'correct horse battery' }, cwd: database.home });
    const without = async (change: (part: string) => void, part: string): Promise<unknown> => {
      await rm(unpacked, { recursive: true, force: true });
      mkdirSync(unpacked);
      spawnSync('tar', ['-xzf', file, '-C', unpacked]);
      change(join(unpacked, part));
      const other = join(database.home, 'other.tar.gz');
      spawnSync('tar', ['-czf', other, '-C', unpacked, '.']);
      return restoreBackup(config, other, new AbortController().signal);
    };
    await expect(without(unlinkSync, 'nightshift.db')).rejects.toMatchObject({ code: 'backup-damaged' });
    await expect(without(unlinkSync, 'secrets.sealed')).rejects.toMatchObject({ code: 'backup-damaged' });
    await expect(without((part) => writeFileSync(part, 'short'), 'secrets.sealed')).rejects.toMatchObject({ code: 'wrong-passphrase' });
    expect(existsSync(home)).toBe(false);
    // What one that was killed has left, with keys in it, goes with the next; one that is under way keeps what it has.
    const [left, kept] = [join(database.home, '.nightshift-restoring-999999999-abc'), join(database.home, '.nightshift-restoring-1-abc')];
    for (const each of [left, kept]) mkdirSync(each);
    await restoreBackup(config, file, new AbortController().signal);
    expect([existsSync(left), existsSync(kept)]).toEqual([false, true]);
  });

  test('ends with the server that makes it, even when that is killed, and what it left goes with the next start', async () => {
    database = await createDatabase('sqlite');
    const env = { NIGHTSHIFT_TOKEN: testToken };
    const first = spawnServer(database.home, env);
    const api = new Api(await first.address, testToken);
    // It takes no room, and a while to be read.
    mkdirSync(join(database.home, 'runs', 'run_big'), { recursive: true });
    writeFileSync(join(database.home, 'runs', 'run_big', 'output.log'), '');
    truncateSync(join(database.home, 'runs', 'run_big', 'output.log'), 2 ** 36);
    const cut = api.call('POST', '/api/backups').catch(() => undefined);
    const unfinished = (): readonly string[] => readdirSync(join(database.home, 'backups')).filter((name) => name.endsWith('.tar.gz'));
    await until('it to be under way', () => existsSync(join(database.home, 'backups')) && unfinished().length === 1);
    first.child.kill('SIGKILL');
    await Promise.all([first.exited, cut]);
    const node = readFileSync(join(database.home, 'node-id'), 'utf8').trim();
    await until('what it started to be gone', () => processesWith(`NIGHTSHIFT_NODE=${node}/`).length === 0);
    expect(unfinished()).toHaveLength(1);
    const second = spawnServer(database.home, env);
    await second.address;
    await until('what it left to be gone', () => readdirSync(join(database.home, 'backups')).length === 0);
    second.child.kill('SIGTERM');
    await second.exited;
  });
});

describe('a home that is there already, as the volume of a container is', () => {
  let database: TestDatabase;
  let server: TestServer;

  afterEach(async () => {
    await server?.running.stop();
    await database?.remove();
  });

  const homeAt = (name: string): string => {
    const home = join(database.home, name);
    mkdirSync(join(home, 'lost+found'), { recursive: true });
    return home;
  };
  const restoreInto = (home: string, file: string): Promise<unknown> =>
    restoreBackup(loadConfig({ env: {}, flags: { home }, cwd: database.home }).config, file, new AbortController().signal);

  test('is filled where it stands, and a server takes it only when all of it is there', async () => {
    database = await createDatabase('sqlite');
    server = await startTestServer(database);
    const { id } = await server.api.submit({ title: 'waits', body: 'true', needsApproval: true });
    const { file } = (await server.api.call<Backup>('POST', '/api/backups')).body;
    await server.running.stop();

    const home = homeAt('volume');
    const { ino } = statSync(home);
    await restoreInto(home, file);
    expect(statSync(home).ino).toBe(ino);
    expect(readdirSync(home)).toEqual(expect.arrayContaining(['lost+found', 'nightshift.db']));
    expect(readdirSync(home).filter((name) => name.startsWith('.'))).toEqual([]);
    const store = await openStore({ home, databaseUrl: undefined });
    expect(await store.read.selectFrom('tasks').select('id').execute()).toEqual([{ id }]);
    await store.close();

    const cutShort = homeAt('cut-short');
    mkdirSync(join(cutShort, '.nightshift-restoring-abcdef'));
    await expect(startTestServer({ ...database, home: cutShort })).rejects.toMatchObject({ code: 'restore-unfinished' });
    expect(readdirSync(cutShort).sort()).toEqual(['.nightshift-restoring-abcdef', 'lost+found']);
  });

  test('is as empty as before when it cannot be filled', async () => {
    database = await createDatabase('sqlite');
    server = await startTestServer(database);
    const { file } = (await server.api.call<Backup>('POST', '/api/backups')).body;
    const home = homeAt('volume');
    const restoring = restoreInto(home, file);
    await until('the restore to have begun', () => readdirSync(home).some((name) => name.startsWith('.nightshift-restoring-')));
    mkdirSync(join(home, 'nightshift.db'));
    await expect(restoring).rejects.toThrow('EISDIR');
    expect(readdirSync(home).sort()).toEqual(['lost+found', 'nightshift.db']);
  });
});

async function runOf(database: TestDatabase, taskId: string): Promise<string | undefined> {
  const store = await database.open();
  try {
    return (await store.read.selectFrom('runs').select('id').where('task_id', '=', taskId).executeTakeFirst())?.id;
  } finally {
    await store.close();
  }
}
