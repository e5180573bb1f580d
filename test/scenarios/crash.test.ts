import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { JournalEvent } from '../../src/domain/event.ts';
import type { Task } from '../../src/domain/task.ts';
import { readAfter } from '../../src/store/journal.ts';
import { runsOfTasks } from '../../src/store/runs.ts';
import type { Store } from '../../src/store/store.ts';
import { dependenciesOfMany, listTasks } from '../../src/store/tasks.ts';
import { processesWith, type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, dialects, missing, temporaryHome } from '../support/stores.ts';

const kills = 30;
const wanted = 1_000;
const submitters = 4;
const token = 'crash-test-owner-key-0123456789';

/** A quick one, a slower one, one that fails once in a while, and one that leaves a daemon in a session of its own. */
const commands: readonly (readonly string[])[] = [
  ['true'],
  ['true'],
  ['sleep', '0.05'],
  ['sleep', '0.4'],
  ['setsid', '--fork', 'sleep', '600'],
];

/** A server that is killed and started again, again and again, at the same home. */
class MortalServer {
  readonly home: string;
  private server: ServerProcess | undefined;
  private readonly env: Readonly<Record<string, string>>;

  constructor(home: string, env: Readonly<Record<string, string>>) {
    this.home = home;
    this.env = { NIGHTSHIFT_TOKEN: token, MAX_CONCURRENT_RUNS: '6', NIGHTSHIFT_LEASE_SECONDS: '2', ...env };
  }

  get address(): Promise<string> {
    if (!this.server) throw new Error('not started');
    return this.server.address;
  }

  get nodeId(): string {
    return readFileSync(join(this.home, 'node-id'), 'utf8').trim();
  }

  start(): void {
    this.server = spawnServer(this.home, this.env);
  }

  /** Resolves when it has said anything at all, which is before it is ready. */
  async stirring(): Promise<void> {
    await this.server?.firstOutput;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    this.server?.child.kill(signal);
    return (await this.server?.exited)?.code ?? null;
  }
}

interface Acknowledged {
  readonly id: string;
  readonly dependsOn: readonly string[];
}

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`killed ${kills} times on ${dialect}`, () => {
    test('loses no acknowledged task, completes none twice, and leaves no process behind', { timeout: 300_000 }, async () => {
      const database = await createDatabase(dialect);
      const env: Record<string, string> = database.databaseUrl === undefined ? {} : { DATABASE_URL: database.databaseUrl };
      const servers = (dialect === 'postgres' ? [database.home, temporaryHome()] : [database.home]).map(
        (home) => new MortalServer(home, env),
      );
      const alive = new Set(servers);
      for (const server of servers) server.start();
      await Promise.all(servers.map((server) => server.address));

      const acknowledged: Acknowledged[] = [];
      let unanswered = 0;
      let killed = 0;
      const enough = (): boolean => acknowledged.length >= wanted && killed >= kills;

      async function submit(worker: number): Promise<void> {
        for (let i = 0; !enough(); i++) {
          const server = pick([...alive]);
          const dependsOn =
            Math.random() < 0.4 ? [...new Set([recent(acknowledged), recent(acknowledged)].flatMap((each) => each?.id ?? []))] : [];
          try {
            const answer = await fetch(`${await server.address}/api/tasks`, {
              method: 'POST',
              headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
              body: JSON.stringify({ title: `task ${worker}/${i}`, engine: 'command', body: JSON.stringify(pick(commands)), dependsOn }),
              signal: AbortSignal.timeout(10_000),
            });
            if (answer.status === 201) acknowledged.push({ id: ((await answer.json()) as { id: string }).id, dependsOn });
            else if (answer.status !== 503)
              throw Object.assign(new Error(`unexpected answer ${answer.status}: ${await answer.text()}`), { unexpected: true });
          } catch (error) {
            if (error instanceof Error && 'unexpected' in error) throw error;
            unanswered += 1;
            // Once enough is in, do not outrun the killer; and while everything is down, look again a little later.
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
          if (acknowledged.length > (wanted * (killed + 2)) / kills)
            await until('the next kill', () => enough() || acknowledged.length <= (wanted * (killed + 2)) / kills);
        }
      }

      async function killer(): Promise<void> {
        for (; killed < kills; killed++) {
          const goal = acknowledged.length + Math.ceil(Math.random() * (wanted / kills));
          await until('some more tasks', () => acknowledged.length >= Math.min(goal, (wanted * (killed + 1)) / kills), 120);
          const server = pick([...alive]);
          await server.kill();
          if (alive.size > 1 && killed === Math.floor(kills / 2)) {
            alive.delete(server); // for good: its work has to be taken over by the other
            continue;
          }
          server.start();
          if (Math.random() < 0.25) {
            await server.stirring();
            killed += 1;
            await server.kill();
            server.start();
          }
          await server.address;
        }
      }

      await Promise.all([killer(), ...Array.from({ length: submitters }, (_, worker) => submit(worker))]);
      const survivor = pick([...alive]);
      await until('everything to be over', async () => (await openTasks(await survivor.address)) === 0, 120);
      for (const server of alive) expect(await server.kill('SIGTERM')).toBe(0);
      const nodeIds = servers.map((server) => server.nodeId);
      await until('no process to be left', () => nodeIds.every((id) => processesWith(`NIGHTSHIFT_NODE=${id}/`).length === 0));

      const store = await database.open();
      try {
        const account = await accountFor(store, acknowledged);
        console.log(
          `${dialect}: ${killed} kills, ${acknowledged.length} tasks acknowledged (${acknowledged.filter(({ dependsOn }) => dependsOn.length > 0).length} with dependencies), ` +
            `${unanswered} requests unanswered, ${account.stored} tasks stored, ${account.runs} runs of which ${account.lostRuns} lost with their server, ` +
            `${account.events} events; missing ${account.missing.length}, unfinished ${account.unfinished.length}, completed twice ${account.twice.length}, ` +
            `begun before a dependency ended ${account.early.length}, processes left 0`,
        );
        expect(account.missing).toEqual([]);
        expect(account.unfinished).toEqual([]);
        expect(account.twice).toEqual([]);
        expect(account.early).toEqual([]);
        expect(account.lostRuns).toBeGreaterThan(0);
        expect(killed).toBeGreaterThanOrEqual(kills);
        expect(acknowledged.length).toBeGreaterThanOrEqual(wanted);
      } finally {
        await store.close();
        await database.remove();
        for (const { home } of servers) rmSync(home, { recursive: true, force: true });
      }
    });
  });
}

interface Account {
  readonly stored: number;
  readonly runs: number;
  readonly lostRuns: number;
  readonly events: number;
  readonly missing: readonly string[];
  readonly unfinished: readonly string[];
  readonly twice: readonly string[];
  readonly early: readonly string[];
}

/** Reads the whole store and holds it against what was promised. Tasks whose acknowledgement got lost must be finished as well. */
async function accountFor(store: Store, acknowledged: readonly Acknowledged[]): Promise<Account> {
  const tasks = await allTasks(store);
  const ids = [...tasks.keys()];
  const runs = await runsOfTasks(store.read, ids);
  const dependencies = await dependenciesOfMany(store.read, ids);
  const events = await allEvents(store);
  const succeededAt = new Map<string, number[]>();
  const startedAt = new Map<string, number>();
  for (const [index, { type, taskId, data }] of events.entries()) {
    if (taskId === null) continue;
    if (type === 'task.status' && data['to'] === 'succeeded') succeededAt.set(taskId, [...(succeededAt.get(taskId) ?? []), index]);
    if (type === 'run.started' && !startedAt.has(taskId)) startedAt.set(taskId, index);
  }
  const all = [...runs.values()].flat();
  return {
    stored: tasks.size,
    runs: all.length,
    lostRuns: all.filter(({ status }) => status === 'lost').length,
    events: events.length,
    missing: acknowledged.filter(({ id }) => !tasks.has(id)).map(({ id }) => id),
    unfinished: [...tasks.values()]
      .filter(({ status }) => status !== 'succeeded')
      .map(({ id, status, reason }) => `${id} ${status} ${reason?.message ?? ''}`),
    twice: ids.filter(
      (id) => runs.get(id)?.filter(({ status }) => status === 'succeeded').length !== 1 || succeededAt.get(id)?.length !== 1,
    ),
    early: ids.filter((id) =>
      (dependencies.get(id) ?? []).some((parent) => (succeededAt.get(parent)?.[0] ?? Number.POSITIVE_INFINITY) > (startedAt.get(id) ?? 0)),
    ),
  };
}

async function allTasks(store: Store): Promise<ReadonlyMap<string, Task>> {
  const found = new Map<string, Task>();
  let before: string | null = null;
  do {
    const page = await listTasks(store.read, {}, { before, limit: 500 });
    for (const task of page.items) found.set(task.id, task);
    before = page.next;
  } while (before !== null);
  return found;
}

async function allEvents(store: Store): Promise<readonly JournalEvent[]> {
  const found: JournalEvent[] = [];
  for (let page = await readAfter(store, '0', 1_000); page.length > 0; page = await readAfter(store, found.at(-1)?.id ?? '0', 1_000))
    found.push(...page);
  return found;
}

async function openTasks(address: string): Promise<number | undefined> {
  const answer = await fetch(`${address}/api/queue`, { headers: { authorization: `Bearer ${token}` } });
  const { open } = (await answer.json()) as { open: readonly { count: number }[] };
  return open.reduce((sum, { count }) => sum + count, 0);
}

const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)] as T;
const recent = <T>(from: readonly T[]): T | undefined => from.at(-1 - Math.floor(Math.random() * 50));
