import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../support/clock.ts';
import { debianPostgres, startPostgres } from '../support/postgres-server.ts';
import { Api, type ApiTask, startTestServer, testToken } from '../support/server.ts';
import { processesWith, type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, dialects, missing, temporaryHome } from '../support/stores.ts';

const env = { NIGHTSHIFT_TOKEN: testToken, NIGHTSHIFT_ENGINE: 'command' };

function newHome(): string {
  const home = temporaryHome();
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

function startAt(home: string, more: Readonly<Record<string, string>> = {}): ServerProcess {
  const server = spawnServer(home, { ...env, ...more });
  onTestFinished(async () => {
    server.child.kill('SIGKILL');
    await server.exited;
  });
  return server;
}

const apiOf = async (server: ServerProcess): Promise<Api> => new Api(await server.address, testToken);

async function listed(api: Api): Promise<readonly ApiTask[]> {
  const found: ApiTask[] = [];
  let cursor: string | null = null;
  do {
    const page: { items: readonly ApiTask[]; nextCursor: string | null } = (
      await api.call<{ items: readonly ApiTask[]; nextCursor: string | null }>(
        'GET',
        `/api/tasks?limit=200${cursor === null ? '' : `&cursor=${cursor}`}`,
      )
    ).body;
    found.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return found;
}

describe('a disk that is full', () => {
  test('refuses with 503, loses nothing that was acknowledged, and the server goes on once there is room', async () => {
    const disk = smallDisk();
    const server = startAt(disk.home);
    const api = await apiOf(server);
    await disk.confine(server);
    await api.call('POST', '/api/queue/pause');

    const acknowledged: string[] = [];
    const refusals: { readonly status: number; readonly code: string }[] = [];
    const submit = async (i: number): Promise<void> => {
      const body = { title: `task ${i}`, body: JSON.stringify(['true', ...Array<string>(4).fill('x'.repeat(100_000))]) };
      const answer = await api.call<ApiTask & { code: string }>('POST', '/api/tasks', { body });
      if (answer.status === 201) acknowledged.push(answer.body.id);
      else refusals.push({ status: answer.status, code: answer.body.code });
    };
    for (let round = 0; refusals.length < 20 && round < 100; round++) await Promise.all(Array.from({ length: 10 }, (_, i) => submit(i)));
    for (const refusal of refusals) expect(refusal).toEqual({ status: 503, code: disk.code });
    expect(acknowledged.length).toBeGreaterThan(10);

    expect((await api.call('GET', '/health', { key: null })).status).toBe(200);
    expect((await listed(api)).map(({ id }) => id).toSorted()).toEqual(acknowledged.toSorted());
    disk.makeRoom(server);
    const before = acknowledged.length;
    await until('the first that is taken again', async () => {
      await submit(0);
      return acknowledged.length > before;
    });
    await api.call('POST', '/api/queue/resume');
    await until('all to be done', async () => (await listed(api)).every(({ status }) => status === 'succeeded'), 60);
    expect((await listed(api)).map(({ id }) => id).toSorted()).toEqual(acknowledged.toSorted());
    server.child.kill('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
  });
});

describe('a database that another process holds', () => {
  test('makes clients wait, then refuses them, and never stops the server from answering', async () => {
    const database = await createDatabase('sqlite');
    const { api, running } = await startTestServer(database);
    onTestFinished(async () => {
      await running.stop();
      await database.remove();
    });
    // It never waits: it shares this process with the server, which could not let go meanwhile.
    const intruder = new Database(join(database.home, 'nightshift.db'), { timeout: 0 });
    const seize = (): Promise<true> =>
      until('the lock', () => {
        try {
          intruder.exec('begin immediate');
          return true;
        } catch {
          return false;
        }
      });
    onTestFinished(() => void intruder.close());

    await seize();
    let answered = false;
    const patient = api.submit({ title: 'patient' }).finally(() => {
      answered = true;
    });
    for (let i = 0; i < 20; i++) expect((await api.call('GET', '/health', { key: null })).status).toBe(200);
    expect((await api.call('GET', '/api/tasks')).status).toBe(200);
    expect(answered).toBe(false);
    intruder.exec('commit');
    await api.becomes((await patient).id, 'succeeded');

    await seize();
    const refused = api.refusal('POST', '/api/tasks', { body: { title: 'too long', body: 'true' } });
    expect((await api.call('GET', '/ready', { key: null })).status).toBe(200);
    expect(await refused).toMatchObject({ status: 503, code: 'store-locked' });
    intruder.exec('commit');
    await api.becomes((await api.submit({ title: 'afterwards' })).id, 'succeeded');
    expect((await listed(api)).map(({ title }) => title)).toEqual(['afterwards', 'patient']);
  });
});

describe('a start', () => {
  /** What it says when it cannot. */
  async function refusedStart(home: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
    const server = startAt(home, more);
    const { code, signal } = await server.exited;
    expect(signal).toBeNull();
    expect(code).toBeGreaterThan(0);
    expect(server.output()).not.toContain('    at '); // no stack: it is no defect
    return server.output();
  }

  test('on a database that is damaged, no database, or newer stops with the reason, and changes nothing', async () => {
    const home = newHome();
    const file = join(home, 'nightshift.db');
    writeFileSync(file, 'These are my notes.\n'.repeat(500));
    expect(await refusedStart(home)).toMatch(/nightshift\.db: The database file is damaged.*restore a backup/s);
    expect(readFileSync(file, 'utf8')).toBe('These are my notes.\n'.repeat(500));

    const newer = newHome();
    const database = new Database(join(newer, 'nightshift.db'));
    database.exec(
      "create table schema_migrations (version integer primary key, name text not null, applied_at text); insert into schema_migrations values (7000, 'x', '')",
    );
    database.close();
    expect(await refusedStart(newer)).toContain('The database is at version 7000');
  });

  test('on a PostgreSQL that is not there stops with the reason and without the password', async () => {
    const said = await refusedStart(newHome(), { DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:1/nightshift' });
    expect(said).toContain('postgres://me:***@127.0.0.1:1/nightshift cannot be used');
    expect(said).not.toContain('hunter2');
  });

  test('that is refused leaves nothing running and gives the home back', async () => {
    const home = newHome();
    mkdirSync(join(home, 'nightshift.db'));
    expect(await refusedStart(home)).toContain('the database cannot be opened');
    rmSync(join(home, 'nightshift.db'), { recursive: true });
    await startAt(home).address;
    expect(await refusedStart(home)).toMatch(/Another Nightshift server is running on .* \(process \d+ at http/);
  });
});

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`a clock that is set, on ${dialect}`, () => {
    test('back and forward loses no work, starts none twice, and keeps times in order enough to list', async () => {
      const database = await createDatabase(dialect);
      const clock = new ManualClock();
      const { api, running } = await startTestServer(database, {}, clock);
      onTestFinished(async () => {
        await running.stop(AbortSignal.abort()); // the drain would wait by the clock that only we advance
        await database.remove();
      });
      const long = await api.submit({ title: 'long', body: 'sleep 600' });
      await api.becomes(long.id, 'running');
      const day = 86_400_000;
      const ids = [long.id];
      for (const jump of [-day, 400 * day, -800 * day, 3_600_000]) {
        clock.jump(jump);
        clock.advance(40_000); // longer than a lease
        const { id } = await api.submit({ title: `after ${jump}` });
        ids.push(id);
        await until('its end', async () => {
          clock.advance(1_000);
          return (await api.task(id)).status === 'succeeded';
        });
      }
      const later = await api.submit({ title: 'later', notBefore: new Date(clock.now() + day).toISOString() });
      expect(later.status).toBe('delayed');
      clock.jump(2 * day);
      await until('the delayed one', async () => {
        clock.advance(1_000);
        return (await api.task(later.id)).status === 'succeeded';
      });
      expect(await api.task(long.id)).toMatchObject({ status: 'running', attempts: 1 });
      expect((await api.task(long.id)).runs).toHaveLength(1);
      expect((await listed(api)).map(({ id }) => id)).toEqual([...ids, later.id].toReversed());
      for (const task of await listed(api)) expect(task.runs).toHaveLength(1);
    });
  });

  describe.skipIf(missing(dialect))(`a stop on ${dialect}`, () => {
    test('gives back what takes longer than the drain, kills it, and the next start does it again', async () => {
      const database = await createDatabase(dialect);
      const more = {
        NIGHTSHIFT_DRAIN_SECONDS: '0',
        LOG_LEVEL: 'debug',
        ...(database.databaseUrl === undefined ? {} : { DATABASE_URL: database.databaseUrl }),
      };
      const first = startAt(database.home, more);
      const api = await apiOf(first);
      const { id } = await api.submit({
        title: 'twice',
        body: '["sh", "-c", "echo $NIGHTSHIFT_RUN_ID >> ../../began; [ $(wc -l < ../../began) -gt 1 ] || sleep 600"]',
      });
      const runId = (await api.becomes(id, 'running')).runs[0]?.id ?? '';
      const began = join(database.home, 'runs', 'began');
      await until('its beginning', () => readdirSync(join(database.home, 'runs')).includes('began'));
      first.child.kill('SIGTERM');
      expect(await first.exited).toEqual({ code: 0, signal: null });
      expect(processesWith(`NIGHTSHIFT_RUN_ID=${runId}`)).toEqual([]);

      const second = startAt(database.home, more);
      const again = await apiOf(second);
      const task = await again.becomes(id, 'succeeded');
      expect(task).toMatchObject({ attempts: 1, runs: [{ id: runId, status: 'released' }, { status: 'succeeded' }] });
      expect(readFileSync(began, 'utf8').trim().split('\n')).toHaveLength(2);
      second.child.kill('SIGTERM');
      await second.exited;

      // What was logged on the way: ids on each line of a run, and the key nowhere.
      const log = readFileSync(join(database.home, 'logs', 'nightshift.log'), 'utf8');
      const lines = log
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines.filter(({ runId: of }) => of === runId).every(({ taskId }) => taskId === id)).toBe(true);
      expect(lines.filter(({ msg }) => msg === 'run finished')).toHaveLength(2);
      for (const text of [log, first.output(), second.output()]) expect(text).not.toContain(testToken);
      await database.remove();
    });
  });
}

describe.skipIf(!debianPostgres())('a PostgreSQL that is restarted under load', () => {
  test('loses no acknowledged task, and the server recovers by itself', { timeout: 120_000 }, async () => {
    const postgres = await startPostgres(debianPostgres() ?? '');
    const home = newHome();
    const { api, running, logged } = await startTestServer({ home, databaseUrl: postgres.url }, { maxConcurrentRuns: '8' });
    const acknowledged: string[] = [];
    const refusals = new Map<string, number>();
    let over = false;
    const submitters = Array.from({ length: 4 }, async (_, worker) => {
      for (let i = 0; !over; i++) {
        const answer = await api.call<ApiTask & { code: string }>('POST', '/api/tasks', {
          body: { title: `${worker}/${i}`, body: 'true' },
        });
        if (answer.status === 201) acknowledged.push(answer.body.id);
        else refusals.set(`${answer.status} ${answer.body.code}`, (refusals.get(`${answer.status} ${answer.body.code}`) ?? 0) + 1);
      }
    });
    const reader = (async () => {
      while (!over) {
        const { status } = await api.call('GET', '/api/tasks?limit=1');
        expect([200, 503]).toContain(status);
        expect((await api.call('GET', '/health', { key: null })).status).toBe(200);
      }
    })();
    for (const goal of [20, 40, 60]) {
      await until('some more tasks', () => acknowledged.length >= goal, 60);
      await postgres.restart();
    }
    await until('tasks after the last restart', () => acknowledged.length >= 80, 60);
    over = true;
    await Promise.all([...submitters, reader]);

    const tasks = await until(
      'all to be done',
      async () => {
        const all = await listed(api);
        return all.every(({ status }) => status === 'succeeded') && all;
      },
      60,
    );
    const stored = new Set(tasks.map(({ id }) => id));
    expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
    for (const { runs } of tasks) expect(runs.filter(({ status }) => status === 'succeeded')).toHaveLength(1);
    expect([...refusals.keys()].filter((key) => !/^503 store-/.test(key))).toEqual([]);
    console.log(`${acknowledged.length} acknowledged, ${tasks.length} stored, refusals: ${JSON.stringify(Object.fromEntries(refusals))}`);

    // And one that never comes back does not keep a server from stopping.
    const { id } = await api.submit({ title: 'unfinished', body: 'sleep 600' });
    await api.becomes(id, 'running');
    await postgres.stop();
    expect(await api.refusal('GET', '/api/tasks')).toMatchObject({ status: 503, code: 'store-unreachable' });
    expect(await api.refusal('POST', '/api/tasks', { body: { title: 'x', body: 'true' } })).toMatchObject({ status: 503 });
    expect((await api.call('GET', '/ready', { key: null })).status).toBe(503);
    await running.stop(AbortSignal.abort());
    expect(logged.some((line) => line.includes('it will be done again'))).toBe(true);
  });
});

interface SmallDisk {
  readonly home: string;
  /** How a commit is refused that does not fit. */
  readonly code: string;
  confine(server: ServerProcess): Promise<void>;
  makeRoom(server: ServerProcess): void;
}

/** A file system of its own where we may mount one, else a limit on the size of files, which the system enforces alike. */
function smallDisk(): SmallDisk {
  const home = newHome();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=60m', 'nightshift-test', home], { stdio: 'ignore' });
  } catch {
    const limit = (server: ServerProcess, bytes: string): unknown =>
      execFileSync('prlimit', ['--pid', String(server.child.pid), `--fsize=${bytes}:`]);
    return {
      home,
      code: 'store-io',
      confine: async (server) => void limit(server, String(8 * 2 ** 20)),
      makeRoom: (server) => void limit(server, 'unlimited'),
    };
  }
  onTestFinished(() => void execFileSync('umount', ['--lazy', home]));
  const ballast = join(home, 'ballast');
  writeFileSync(ballast, Buffer.alloc(48 * 2 ** 20));
  return { home, code: 'store-full', confine: async () => undefined, makeRoom: () => rmSync(ballast) };
}
