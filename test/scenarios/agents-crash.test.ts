import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { RunResult } from '../../src/domain/result.ts';
import type { Run } from '../../src/domain/run.ts';
import type { WorkspaceRecord } from '../../src/domain/workspace.ts';
import { readAfter } from '../../src/store/journal.ts';
import { openStore } from '../../src/store/open.ts';
import { findResult } from '../../src/store/results.ts';
import { runsOfTasks } from '../../src/store/runs.ts';
import type { Store } from '../../src/store/store.ts';
import { listTasks } from '../../src/store/tasks.ts';
import { listWorkspaces } from '../../src/store/workspaces.ts';
import { type GitHttpServer, serveGit } from '../support/git-http.ts';
import { git, write } from '../support/git-world.ts';
import { processesWith, type ServerProcess, spawnServer, until } from '../support/server-process.ts';

/** Of every six, one hits the server before it is ready, when it tidies up after the one before. */
const kills = 36;
const killsAtWork = 30;
const wanted = 50;
/** People's own, on this machine: nothing is pushed to them. */
const localRepositories = 2;
const capacity = 3;
/** In line at any time, so that every kill meets work. */
const inLine = 6;
const token = 'agents-crash-owner-key-0123456789';

const script = {
  name: 'crash',
  turns: [
    { say: 'I write it.', call: { tool: 'Write', input: { file_path: '{{cwd}}/result.txt', content: '{{prompt}}\n' } } },
    { say: 'Done.' },
  ],
};

test(`agents whose server is killed ${kills} times bring each task to exactly one commit`, { timeout: 420_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), 'nightshift-agents-'));
  const home = join(root, 'home');
  mkdirSync(home);
  writeFileSync(join(root, 'script.json'), JSON.stringify(script));
  const local = Array.from({ length: localRepositories }, (_, index) => repository(join(root, `repository-${index}`)));
  const forge = await serveForge(root, local[0] as string);
  const sources = [...local, forge.url];
  const env = {
    NIGHTSHIFT_TOKEN: token,
    MAX_CONCURRENT_RUNS: String(capacity),
    LLM_PROVIDER: 'rehearsal',
    NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
  };
  let server: ServerProcess = spawnServer(home, env);
  let survivors = 0;
  let atWork = 0;
  const began = performance.now();
  try {
    const submitted: string[] = [];
    const topUp = async (address: string, open: number, atLeast: number): Promise<void> => {
      for (let missing = atLeast - open; missing > 0; missing--) {
        const title = `Task ${submitted.length}`;
        submitted.push(await submit(address, { title, repository: sources[submitted.length % sources.length], verify: ['true'] }));
      }
    };
    await topUp(await server.address, 0, inLine);
    for (let killed = 0; killed < kills; killed++) {
      if (killed % 6 === 5) {
        await server.firstOutput;
      } else {
        const address = await server.address;
        survivors += oldBoots(home);
        await topUp(address, await openTasks(address), inLine);
        let looks = Math.floor(Math.random() * 130); // a run takes about as long
        await until('the moment of the next kill', async () => (await openTasks(address)) >= 0 && looks-- <= 0);
        atWork += 1;
      }
      server.child.kill('SIGKILL');
      await server.exited;
      server = spawnServer(home, env);
    }
    const killing = performance.now() - began;
    const address = await server.address;
    await topUp(address, submitted.length, wanted);
    await until('everything to be over', async () => (await openTasks(address)) === 0, 240);
    server.child.kill('SIGTERM');
    expect((await server.exited).code, server.output()).toBe(0);
    await until('no process to be left', () => processesWith(`NIGHTSHIFT_NODE=${nodeOf(home)}/`).length === 0);

    const store = await openStore({ home, databaseUrl: undefined });
    const account = await accountFor(store, home, forge, submitted).finally(() => store.close());
    const { counted, ...faults } = account;
    console.log(
      `${kills} kills, ${atWork} of them at work, ${submitted.length} tasks over ${sources.length} repositories; ` +
        `${Object.entries(counted)
          .map(([what, count]) => `${what} ${count}`)
          .join(', ')}; processes of an earlier start met ${survivors}; ` +
        Object.entries(faults)
          .map(([what, found]) => `${what} ${found.length}`)
          .join(', ') +
        `; ${Math.round(killing / 1_000)} s of killing, then ${Math.round((performance.now() - began - killing) / 1_000)} s to the end of all`,
    );
    expect(Object.fromEntries(Object.entries(faults).filter(([, found]) => found.length > 0))).toEqual({});
    expect(survivors).toBe(0);
    expect(atWork).toBeGreaterThanOrEqual(killsAtWork);
    expect(submitted.length).toBeGreaterThanOrEqual(wanted);
    expect(counted['runs lost']).toBeGreaterThan(0);
  } finally {
    server.child.kill('SIGKILL');
    await server.exited;
    await until('no process to be left', () => processesWith(`NIGHTSHIFT_NODE=${nodeOf(home)}/`).length === 0);
    await forge.server.stop();
    rmSync(root, { recursive: true, force: true });
  }
});

function repository(directory: string): string {
  mkdirSync(directory);
  git(directory, 'init', '--quiet', '--initial-branch=main');
  write(directory, { 'README.md': '# Sample\n', 'src/index.js': 'export {};\n' });
  git(directory, 'add', '--all');
  git(directory, 'commit', '--quiet', '-m', 'first');
  return directory;
}

interface Forge {
  readonly server: GitHttpServer;
  readonly url: string;
  readonly directory: string;
  /** Each update of a branch that arrived, in order, as git's own hook was told of it. */
  readonly updates: () => readonly { readonly branch: string; readonly commit: string }[];
}

/** A repository on another machine, as far as the server can tell: it is pushed to, and writes down each push. */
async function serveForge(root: string, source: string): Promise<Forge> {
  const directory = join(root, 'forge', 'sample.git');
  mkdirSync(join(root, 'forge'));
  git(root, 'clone', '--quiet', '--bare', source, directory);
  const log = join(root, 'pushes');
  writeFileSync(log, '');
  writeFileSync(join(directory, 'hooks', 'post-receive'), `#!/bin/sh\nexec cat >> ${log}\n`, { mode: 0o755 });
  const server = await serveGit(join(root, 'forge'));
  const updates = (): { branch: string; commit: string }[] =>
    lines(readFileSync(log, 'utf8')).map((line) => {
      const [, commit = '', branch = ''] = line.split(' ');
      return { branch, commit };
    });
  return { server, url: `${server.origin}/sample.git`, directory, updates };
}

const nodeOf = (home: string): string => readFileSync(join(home, 'node-id'), 'utf8').trim();

/** How many earlier starts of the server still have a process, now that the present one answers. */
function oldBoots(home: string): number {
  const name = `NIGHTSHIFT_NODE=${nodeOf(home)}/`;
  const boots = new Set<string>();
  for (const pid of processesWith(name)) {
    try {
      for (const variable of readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')) if (variable.startsWith(name)) boots.add(variable);
    } catch {} // it has just ended
  }
  return Math.max(0, boots.size - 1);
}

interface Account {
  readonly counted: Readonly<Record<string, number>>;
  readonly unfinished: readonly string[];
  readonly 'without exactly one commit': readonly string[];
  readonly 'not pushed exactly once': readonly string[];
  readonly 'succeeded twice': readonly string[];
  readonly 'sessions in two hands': readonly string[];
  readonly 'workspaces left active': readonly string[];
  readonly 'files left over': readonly string[];
}

async function accountFor(store: Store, home: string, forge: Forge, submitted: readonly string[]): Promise<Account> {
  const tasks = (await listTasks(store.read, {}, { before: null, limit: 500 })).items;
  const runs = await runsOfTasks(store.read, submitted);
  const all = [...runs.values()].flat();
  const results = new Map<string, RunResult>();
  for (const { id } of all) results.set(id, await findResult(store.read, id));
  const workspaces = await listWorkspaces(store.read);
  const resumed = await notices(store);
  const branches = branchesIn(join(home, 'mirrors'));
  return {
    counted: {
      runs: all.length,
      'runs lost': all.filter(({ status }) => status === 'lost').length,
      'sessions resumed': resumed.filter((text) => text.includes('with the session')).length,
      'workspaces resumed': resumed.length,
      commits: [...branches.values()].flat().length,
      pushes: forge.updates().length,
      'workspaces kept': workspaces.length,
    },
    unfinished: submitted.flatMap((id) => {
      const task = tasks.find((each) => each.id === id);
      return task?.status === 'succeeded' ? [] : [`${id} ${task?.status} ${task?.reason?.code} ${task?.reason?.message}`];
    }),
    'without exactly one commit': submitted.flatMap((id) => {
      const succeeded = runs.get(id)?.findLast(({ status }) => status === 'succeeded');
      const commits = (succeeded && results.get(succeeded.id)?.commits) ?? [];
      const found = [...branches].filter(([branch]) => branch.includes(id));
      const fine = found.length === 1 && commits.length === 1 && found[0]?.[1].join() === `${commits[0]} ${id}`;
      return fine ? [] : [`${id}: the run has ${commits.join()}, the mirror ${JSON.stringify(found)}`];
    }),
    'not pushed exactly once': tasks.flatMap(({ id, repository }) => {
      const updates = forge.updates().filter(({ branch }) => branch.includes(id));
      const commit = results.get(runs.get(id)?.findLast(({ status }) => status === 'succeeded')?.id ?? '')?.commits[0];
      const wanted = repository === forge.url ? [commit] : [];
      return JSON.stringify(updates.map((update) => update.commit)) === JSON.stringify(wanted) ? [] : [`${id}: ${JSON.stringify(updates)}`];
    }),
    'succeeded twice': submitted.filter((id) => (runs.get(id) ?? []).filter(({ status }) => status === 'succeeded').length !== 1),
    'sessions in two hands': sharedSessions(all, results),
    'workspaces left active': workspaces.filter(({ status }) => status === 'active' || status === 'cleaning').map(({ id }) => id),
    'files left over': leftovers(home, workspaces),
  };
}

/** Beyond the base: each commit with the tasks that it says it is for, by branch. */
function branchesIn(mirrors: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const name of readdirSync(mirrors).filter((each) => each.endsWith('.git'))) {
    const mirror = join(mirrors, name);
    for (const branch of lines(git(mirror, 'for-each-ref', '--format=%(refname)', 'refs/heads'))) {
      const format = '--format=%H %(trailers:key=Nightshift-Task,valueonly,separator=%x20)';
      found.set(branch, lines(git(mirror, 'log', format, branch, '^refs/upstream/heads/main')));
    }
  }
  return found;
}

/** Two runs with the same session whose times overlap, or that are of different tasks. */
function sharedSessions(runs: readonly Run[], results: ReadonlyMap<string, RunResult>): readonly string[] {
  const sessions = Map.groupBy(
    runs.filter(({ id }) => (results.get(id)?.sessionId ?? null) !== null),
    ({ id }) => results.get(id)?.sessionId,
  );
  return [...sessions].flatMap(([session, users]) => {
    const inOrder = users.toSorted((a, b) => a.startedAt - b.startedAt);
    return inOrder.some((run, index) => {
      const next = inOrder[index + 1];
      return next && (next.taskId !== run.taskId || next.startedAt < (run.finishedAt ?? Number.POSITIVE_INFINITY));
    })
      ? [`${session}`]
      : [];
  });
}

function leftovers(home: string, workspaces: readonly WorkspaceRecord[]): readonly string[] {
  const kept = new Set(workspaces.map(({ id }) => id));
  const under = (name: string): string[] => readdirSync(join(home, name)).map((each) => `${name}/${each}`);
  return [
    ...under('workspaces').filter((path) => !kept.has(path.slice('workspaces/'.length))),
    ...under('sessions'),
    ...under('sockets'),
    ...under('runs').filter((path) => readdirSync(join(home, path)).includes('work')),
    ...under('mirrors').filter((path) => /\.new-|\.damaged-/.test(path)),
    ...under('spares').filter((path) => path.includes('making-')),
  ];
}

async function notices(store: Store): Promise<readonly string[]> {
  const found: string[] = [];
  for (let page = await readAfter(store, '0', 1_000); page.length > 0; page = await readAfter(store, page.at(-1)?.id ?? '', 1_000)) {
    found.push(
      ...page.flatMap(({ type, data }) =>
        type === 'run.notice' && String(data['text']).startsWith('Goes on') ? [String(data['text'])] : [],
      ),
    );
  }
  return found;
}

async function submit(address: string, wish: object): Promise<string> {
  const answer = await fetch(`${address}/api/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(wish),
  });
  if (answer.status !== 201) throw new Error(`not accepted (${answer.status}): ${await answer.text()}`);
  return ((await answer.json()) as { id: string }).id;
}

async function openTasks(address: string): Promise<number> {
  const answer = await fetch(`${address}/api/queue`, { headers: { authorization: `Bearer ${token}` } });
  const { open } = (await answer.json()) as { open: readonly { count: number }[] };
  return open.reduce((sum, { count }) => sum + count, 0);
}

const lines = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '');
