import { join } from 'node:path';
import Database from 'better-sqlite3';
import pg from 'pg';
import { type Priority, priorities, rankOf, type TaskStatus } from '../../src/domain/task.ts';
import { createIds } from '../../src/platform/ids.ts';
import type { Place } from '../support/bench.ts';
import type { Opened } from './open.ts';

interface FilledTask {
  readonly id: string;
  readonly priority: Priority;
  readonly status: TaskStatus;
  readonly repository: string;
  readonly dedupeKey: string | null;
  readonly rank: number;
  readonly notBefore: number | null;
  readonly createdAt: number;
  readonly closedAt: number | null;
}

/** One task every so often, so that a million of them came over some hours. */
const everyMs = 20;
const beganAgoMs = 24 * 3_600_000;
const chunk = 10_000;
const lineChunk = 2_000;

export const repositoryOf = (n: number): string => `https://example.org/team/project-${n}.git`;
/** Every tenth task is for this one; the others share a thousand. */
export const bigRepository = repositoryOf(0);

/** Puts tasks straight into the tables, far faster than they could be submitted, and keeps where the next ones go on. */
export class Filler {
  private made = 0;
  private readonly began = Date.now() - beganAgoMs;
  private readonly newId = createIds({ now: () => this.began + this.made * everyMs, monotonic: () => 0, after: () => () => undefined });

  private readonly place: Place;
  private readonly opened: Opened;

  constructor(place: Place, opened: Opened) {
    this.place = place;
    this.opened = opened;
  }

  /** Tasks that stand in line, in PostgreSQL with their jobs. */
  async queued(count: number): Promise<void> {
    await this.insert(count, () => 'queued');
  }

  /** Tasks in the other states of a busy month, with the runs of those that ended and an event for every task. */
  async rest(count: number): Promise<void> {
    await this.insert(count, (n) => (n % 20 < 12 ? 'succeeded' : n % 20 < 15 ? 'failed' : n % 20 < 19 ? 'delayed' : 'blocked'));
    await this.execute(`insert into runs (id, task_id, node_id, engine, attempt, status, summary, started_at, finished_at)
      select 'run_' || substr(id, 5), id, 'nod_0', 'command', 1, status, 'true exited with 0', created_at, created_at + 5
      from tasks where status in ('succeeded', 'failed')`);
    await this.execute(`insert into events (at, type, task_id, data)
      select created_at, 'task.submitted', id, '{"title":"Mend the flaky test","source":"api","priority":"medium","status":"queued"}' from tasks`);
  }

  /** What a database that has run for a while has had done to it; and it is on the disk, which the first who stores something would wait for. */
  async settle(): Promise<void> {
    if (this.place.dialect === 'postgres') {
      await this.execute('vacuum analyze');
      await this.execute('checkpoint');
      return;
    }
    const database = this.openSqlite();
    database.pragma('synchronous = full');
    database.pragma('wal_checkpoint(truncate)');
    database.close();
  }

  async execute(statement: string): Promise<void> {
    if (this.place.dialect === 'sqlite') {
      const database = this.openSqlite();
      database.exec(statement);
      database.close();
      return;
    }
    const client = new pg.Client({ connectionString: this.place.databaseUrl });
    await client.connect();
    await client.query(statement);
    await client.end();
  }

  private async insert(count: number, statusOf: (n: number) => TaskStatus): Promise<void> {
    for (let left = count; left > 0; left -= chunk) {
      const tasks = Array.from({ length: Math.min(chunk, left) }, () => this.make(statusOf(this.made)));
      if (this.place.dialect === 'sqlite') this.insertIntoSqlite(tasks);
      else await this.insertIntoPostgres(tasks);
    }
  }

  private make(status: TaskStatus): FilledTask {
    const n = this.made++;
    const createdAt = this.began + n * everyMs;
    const priority = priorities[n % priorities.length] as Priority;
    const closed = status === 'succeeded' || status === 'failed';
    return {
      id: this.newId('tsk'),
      priority,
      status,
      repository: n % 10 === 0 ? bigRepository : repositoryOf(1 + (n % 999)),
      dedupeKey: n % 10 === 1 ? `github:issue:${n}` : null,
      rank: rankOf(priority, createdAt),
      notBefore: status === 'delayed' ? Date.now() + (n % 2 === 0 ? -n : n) : null,
      createdAt,
      closedAt: closed ? createdAt + 5 : null,
    };
  }

  private insertIntoSqlite(tasks: readonly FilledTask[]): void {
    const database = this.openSqlite();
    const statement = database.prepare(`insert into tasks (${columns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ${constants})`);
    database.transaction(() => {
      for (const task of tasks) statement.run(...values(task));
    })();
    database.close();
  }

  private async insertIntoPostgres(tasks: readonly FilledTask[]): Promise<void> {
    const rows = tasks.map(values);
    const types = ['text', 'text', 'text', 'text', 'text', 'bigint', 'bigint', 'bigint', 'bigint', 'bigint'];
    const client = new pg.Client({ connectionString: this.place.databaseUrl });
    await client.connect();
    await client.query(
      `insert into tasks (${columns}) select v.*, ${constants} from unnest(${types.map((type, i) => `$${i + 1}::${type}[]`).join(', ')}) v`,
      types.map((_, i) => rows.map((row) => row[i])),
    );
    await client.end();
    const queued = tasks.filter(({ status }) => status === 'queued').map(({ id, rank }) => ({ taskId: id, rank }));
    for (let from = 0; from < queued.length; from += lineChunk) {
      await this.opened.store.write((tx) => this.opened.line.offer(tx, queued.slice(from, from + lineChunk)));
    }
  }

  /** Without syncs: what is filled in need not survive. The connection that measures keeps its own setting. */
  private openSqlite(): Database.Database {
    const database = new Database(join(this.place.home, 'nightshift.db'), { timeout: 5_000 });
    database.pragma('synchronous = off');
    return database;
  }
}

const columns = `id, priority, status, repository, dedupe_key, rank, not_before, created_at, updated_at, closed_at,
  source, title, body, requested_by, trust, attempts, max_attempts, losses, waiting_for`;
const constants = `'api', 'Mend the flaky test in the payment module', '["npm", "test"]', 'owner', 'owner', 0, 3, 0, 0`;

const values = (task: FilledTask): readonly (string | number | null)[] => [
  task.id,
  task.priority,
  task.status,
  task.repository,
  task.dedupeKey,
  task.rank,
  task.notBefore,
  task.createdAt,
  task.createdAt,
  task.closedAt,
];
