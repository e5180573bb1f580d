import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { idPrefixes } from '../../src/domain/id.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { silentLog } from '../../src/platform/log.ts';
import { openStore } from '../../src/store/open.ts';
import { insertRuns } from '../../src/store/runs.ts';
import type { Store } from '../../src/store/store.ts';
import { insertTasks } from '../../src/store/tasks.ts';
import { type CheckoutParts, type Checkouts, openCheckouts } from '../../src/workspace/checkout.ts';
import type { CommitWish } from '../../src/workspace/commit.ts';
import { type Credentials, type HostToken, openCredentials } from '../../src/workspace/credentials.ts';
import type { Failure, Result } from '../../src/workspace/failure.ts';
import { createGit, type Git } from '../../src/workspace/git.ts';
import { type Mirrors, openMirrors } from '../../src/workspace/mirror.ts';
import { parseRepository, type Repository } from '../../src/workspace/repository.ts';
import type { Workspace } from '../../src/workspace/workspace.ts';
import { createWorkspaces, type WorkspaceParts, type Workspaces } from '../../src/workspace/workspaces.ts';

const path = process.env['PATH'] ?? '/usr/bin:/bin';

/** git as a person has it: for making the repositories that tests are about. */
export function git(cwd: string, ...args: readonly string[]): string {
  return execFileSync('git', args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: path,
      HOME: cwd,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_AUTHOR_NAME: 'Ada',
      GIT_AUTHOR_EMAIL: 'ada@example.org',
      GIT_COMMITTER_NAME: 'Ada',
      GIT_COMMITTER_EMAIL: 'ada@example.org',
      GIT_ALLOW_PROTOCOL: 'file',
    },
  }).trim();
}

export type Files = Readonly<Record<string, string>>;

export function write(directory: string, files: Files): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
}

/** A directory that is removed afterwards, with everything that a server has for its workspaces. */
export class GitWorld {
  readonly root: string;
  readonly home: string;
  readonly stop = new AbortController();
  readonly clock: Clock;
  newId = createIds(systemClock);
  tokens: readonly HostToken[] = [];
  store!: Store;
  git!: Git;
  credentials!: Credentials;
  mirrors!: Mirrors;
  checkouts!: Checkouts;
  workspaces!: Workspaces;

  private constructor(clock: Clock) {
    this.clock = clock;
    this.root = mkdtempSync(join(tmpdir(), 'nightshift-git-'));
    this.home = join(this.root, 'home');
    mkdirSync(this.home);
  }

  static async open({ clock = systemClock, ...options }: WorldOptions = {}): Promise<GitWorld> {
    const world = new GitWorld(clock);
    world.store = await openStore({ home: world.home, databaseUrl: undefined });
    await world.start(options);
    return world;
  }

  /** As after a restart: everything is opened again on the same home and database. */
  async start({ worthMs = 1e9, spares = 2, ...options }: Omit<WorldOptions, 'clock'> = {}): Promise<void> {
    const { clock, home } = this;
    this.git = createGit({ clock: systemClock, path });
    this.credentials = await openCredentials({ directory: join(home, 'askpass'), tokens: () => this.tokens });
    this.mirrors = await openMirrors({
      git: this.git,
      credentials: this.credentials,
      clock,
      path,
      directory: join(home, 'mirrors'),
      home,
    });
    this.checkouts = await openCheckouts({
      git: this.git,
      clock: systemClock,
      log: silentLog,
      path,
      directory: join(home, 'spares'),
      spares,
      worthMs,
    });
    this.workspaces = createWorkspaces({
      store: this.store,
      git: this.git,
      mirrors: this.mirrors,
      checkouts: this.checkouts,
      clock,
      newId: this.newId,
      log: silentLog,
      nodeId: 'nod_here',
      directory: join(home, 'workspaces'),
      path,
      keep: { completedMs: 3_600_000, errorMs: 7_200_000 },
      minFreeBytes: 0,
      checkpoints: { perRun: 20, keepMs: 3_600_000 },
      ...options,
    });
  }

  async remove(): Promise<void> {
    await this.checkouts.stop();
    await this.store.close();
    execFileSync('rm', ['-rf', '--', this.root]);
    rmSync(this.root, { recursive: true, force: true });
  }

  /** A person's checkout with a commit of these files on `main`. */
  checkout(name: string, files: Files = { 'README.md': '# Sample\n' }): string {
    const directory = join(this.root, 'theirs', name);
    mkdirSync(directory, { recursive: true });
    git(directory, 'init', '--quiet', '--initial-branch=main');
    this.commitTo(directory, files, 'first');
    return directory;
  }

  commitTo(directory: string, files: Files, message = 'more'): string {
    write(directory, files);
    git(directory, 'add', '--all', '--force');
    git(directory, 'commit', '--quiet', '--allow-empty', '-m', message);
    return git(directory, 'rev-parse', 'HEAD');
  }

  /** A bare copy of a checkout, as a forge holds it. */
  publish(checkout: string, name: string): string {
    const bare = join(this.root, 'forge', name);
    mkdirSync(dirname(bare), { recursive: true });
    git(checkout, 'clone', '--quiet', '--bare', checkout, bare);
    return bare;
  }

  async run(taskId?: string): Promise<{ readonly taskId: string; readonly runId: string }> {
    const now = this.clock.now();
    const id = taskId ?? this.newId(idPrefixes.task);
    const runId = this.newId(idPrefixes.run);
    await this.store.write(async (tx) => {
      if (taskId === undefined) await insertTasks(tx, [task(id, now)]);
      const run = { id: runId, taskId: id, nodeId: 'nod_here', engine: 'command', attempt: 1, reason: null, summary: null };
      await insertRuns(tx, [{ ...run, status: 'running', startedAt: now, finishedAt: null }]);
    });
    return { taskId: id, runId };
  }

  async endRun(runId: string, status: 'succeeded' | 'failed' | 'lost', finishedAt = this.clock.now()): Promise<void> {
    await this.store.write(({ db }) => db.updateTable('runs').set({ status, finished_at: finishedAt }).where('id', '=', runId).execute());
  }

  async closeTask(taskId: string, status: 'succeeded' | 'failed'): Promise<void> {
    await this.store.write(({ db }) =>
      db.updateTable('tasks').set({ status, closed_at: this.clock.now() }).where('id', '=', taskId).execute(),
    );
  }

  async workspace(address: string, more: { readonly ref?: string; readonly title?: string } = {}): Promise<Workspace> {
    const ids = await this.run();
    return value(await this.open(address, ids, more));
  }

  open(
    address: string,
    ids: { readonly taskId: string; readonly runId: string },
    more: { readonly ref?: string; readonly title?: string; readonly from?: 'last-commit'; readonly history?: 'shallow' } = {},
  ): Promise<Result<Workspace>> {
    const { ref = null, title = 'Fix the test', ...rest } = more;
    return this.workspaces.open({ ...ids, title, ref, repository: repositoryAt(address), ...rest }, this.stop.signal);
  }

  wish(message = 'Fix the test'): CommitWish {
    return {
      message,
      author: { name: 'Nightshift', email: 'nightshift@example.org' },
      committer: { name: 'Nightshift', email: 'nightshift@example.org' },
      at: Date.UTC(2026, 0, 1),
    };
  }
}

interface WorldOptions
  extends Partial<Pick<WorkspaceParts, 'keep' | 'minFreeBytes' | 'checkpoints' | 'checkpointBounds'>>,
    Partial<Pick<CheckoutParts, 'spares' | 'worthMs'>> {
  readonly clock?: Clock;
}

export const repositoryAt = (address: string): Repository => value(parseRepository(address, { local: true }));

export function value<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new Error(`${result.failure.code}: ${result.failure.message}\n${result.failure.detail ?? ''}`);
}

export function failure(result: Result<unknown>): Failure {
  if (!result.ok) return result.failure;
  throw new Error('it went well, against expectation');
}

function task(id: string, now: number): Parameters<typeof insertTasks>[1][number] {
  return {
    id,
    source: 'test',
    externalRef: null,
    doneWhen: null,
    maxRounds: null,
    parentTaskId: null,
    title: 'Fix the test',
    body: null,
    repository: null,
    ref: null,
    priority: 'medium',
    status: 'running',
    reason: null,
    dedupeKey: null,
    budgetUsd: null,
    verify: null,
    engine: null,
    profile: 'default',
    tier: null,
    labels: [],
    deliverable: 'changes',
    branch: null,
    requestedBy: 'test',
    trust: 'owner',
    attempts: 0,
    maxAttempts: 3,
    losses: 0,
    waitingFor: 0,
    notBefore: null,
    cancelRequestedAt: null,
    createdAt: now,
    updatedAt: now,
    closedAt: null,
    needsApproval: false,
    helped: false,
  };
}
