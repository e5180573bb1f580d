import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { JournalEvent } from '../../../src/domain/event.ts';
import { readAfter } from '../../../src/store/journal.ts';
import { openStore } from '../../../src/store/open.ts';
import type { Store } from '../../../src/store/store.ts';
import { git, write } from '../../support/git-world.ts';
import { Api, testToken } from '../../support/server.ts';
import { processesWith, type ServerProcess, spawnServer, until } from '../../support/server-process.ts';

const kills = 30;
const wanted = 14;
/** In line at any time, so that every kill meets work. */
const inLine = 4;

/** Each turn of the agent brings the work one step on and shows something worth a finding; three steps make it green. */
const step = {
  tool: 'Bash',
  input: { command: 'node warn.cjs; n=$(ls | grep -c "^step-"); echo "$n" > "step-$((n+1))"', description: 'A step' },
};
const script = {
  name: 'rounds',
  turns: [
    { when: { tool: 'Bash' }, say: 'I am done.' },
    ...[{ first: true }, { said: '(round' }, { said: 'nterrupted' }].map((when) => ({ when, say: 'I take a step.', call: step })),
    { say: 'I am done.' },
  ],
};

test(`rounds, findings, tasks and notes are each there once after ${kills} kills at any moment`, { timeout: 420_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), 'nightshift-rounds-'));
  const home = join(root, 'home');
  mkdirSync(home);
  writeFileSync(join(root, 'script.json'), JSON.stringify(script));
  const env = {
    NIGHTSHIFT_TOKEN: testToken,
    LLM_PROVIDER: 'rehearsal',
    NIGHTSHIFT_REHEARSAL: join(root, 'script.json'),
    MAX_CONCURRENT_RUNS: '2',
  };
  let server: ServerProcess = spawnServer(home, env);
  try {
    const submitted: string[] = [];
    const topUp = async (api: Api, atLeast: number): Promise<void> => {
      for (let missing = atLeast - (await openAmong(api, submitted)); missing > 0; missing--) {
        const { id } = await api.submit({
          title: `Task ${submitted.length}`,
          body: undefined,
          repository: repositoryNumber(root, submitted.length),
          verify: ['test', '-f', 'step-3'],
        });
        submitted.push(id);
      }
    };
    for (let killed = 0; killed < kills; killed++) {
      const api = new Api(await server.address, testToken);
      await topUp(api, inLine);
      let looks = Math.floor(Math.random() * 60);
      await until('the moment of the next kill', async () => (await openAmong(api, submitted)) >= 0 && looks-- <= 0);
      server.child.kill('SIGKILL');
      await server.exited;
      server = spawnServer(home, env);
    }
    const api = new Api(await server.address, testToken);
    await topUp(api, Math.max(0, wanted - submitted.length));
    await until('everything to be over', async () => (await openAmong(api, submitted)) === 0, 240);
    await until('what follows to be looked at', async () => (await pendingFollowUps(home)) === 0, 60);
    server.child.kill('SIGTERM');
    expect((await server.exited).code, server.output()).toBe(0);

    const store = await openStore({ home, databaseUrl: undefined });
    const { counted, ...faults } = await accountFor(store, submitted).finally(() => store.close());
    console.log(
      `${kills} kills, ${submitted.length} tasks; ${Object.entries(counted)
        .map(([what, count]) => `${what} ${count}`)
        .join(', ')}; ${Object.entries(faults)
        .map(([what, found]) => `${what} ${found.length}`)
        .join(', ')}`,
    );
    expect(Object.fromEntries(Object.entries(faults).filter(([, found]) => found.length > 0))).toEqual({});
    expect(counted.rounds).toBeGreaterThan(submitted.length);
    expect(counted.findings).toBeGreaterThanOrEqual(submitted.length);
    expect(counted['runs lost']).toBeGreaterThan(0);
  } finally {
    server.child.kill('SIGKILL');
    await server.exited;
    await until(
      'no process to be left',
      () => processesWith(`NIGHTSHIFT_NODE=${readFileSync(join(home, 'node-id'), 'utf8').trim()}/`).length === 0,
    );
    rmSync(root, { recursive: true, force: true });
  }
});

/** Each task has one of its own, so that what is found in it is new there. */
function repositoryNumber(root: string, number: number): string {
  const directory = join(root, `repository-${number}`);
  mkdirSync(directory);
  git(directory, 'init', '--quiet', '--initial-branch=main');
  write(directory, {
    'README.md': '# Sample\n',
    'warn.cjs': `console.error('(node:41) [DEP00${10 + number}] DeprecationWarning: The part ${number} is deprecated.');\n`,
  });
  git(directory, 'add', '--all');
  git(directory, 'commit', '--quiet', '-m', 'first');
  return directory;
}

async function openAmong(api: Api, ids: readonly string[]): Promise<number> {
  const { body } = await api.call<{ items: { id: string; status: string }[] }>('GET', '/api/tasks?limit=200&source=api');
  const over = new Set(
    body.items.filter(({ status }) => ['succeeded', 'failed', 'cancelled', 'escalated'].includes(status)).map(({ id }) => id),
  );
  return ids.filter((id) => !over.has(id)).length;
}

async function pendingFollowUps(home: string): Promise<number> {
  const store = await openStore({ home, databaseUrl: undefined });
  try {
    return (await store.read.selectFrom('follow_ups').selectAll().execute()).length;
  } finally {
    await store.close();
  }
}

interface Account {
  readonly counted: Readonly<Record<'runs' | 'runs lost' | 'rounds' | 'findings' | 'tasks that followed' | 'notes', number>>;
  readonly unfinished: readonly string[];
  readonly 'rounds twice': readonly string[];
  readonly 'rounds without their event': readonly string[];
  readonly 'findings without their event': readonly string[];
  readonly 'followed up more than once': readonly string[];
  readonly 'tasks twice': readonly string[];
  readonly 'notes twice': readonly string[];
}

async function accountFor({ read, dialect }: Store, submitted: readonly string[]): Promise<Account> {
  const events = await allEvents({ read, dialect });
  const of = (type: JournalEvent['type']): readonly JournalEvent[] => events.filter((event) => event.type === type);
  const tasks = await read.selectFrom('tasks').selectAll().execute();
  const runs = await read.selectFrom('runs').selectAll().execute();
  const rounds = await read.selectFrom('rounds').selectAll().execute();
  const findings = await read.selectFrom('findings').selectAll().execute();
  const notes = await read.selectFrom('notes').selectAll().execute();
  const children = tasks.filter(({ parent_task_id: parent }) => parent !== null);
  return {
    counted: {
      runs: runs.length,
      'runs lost': runs.filter(({ status }) => status === 'lost').length,
      rounds: rounds.length,
      findings: findings.length,
      'tasks that followed': children.length,
      notes: notes.length,
    },
    unfinished: tasks.flatMap(({ id, status, reason }) =>
      submitted.includes(id) && status !== 'succeeded' ? [`${id} ${status} ${reason}`] : [],
    ),
    // A session counts its rounds on, whichever run they were in.
    'rounds twice': twice(rounds.map(({ session_id: session, number }) => `${session} ${number}`)),
    'rounds without their event': differences(
      rounds.map(({ run_id: run, number }) => `${run} ${number}`),
      of('run.round').map(({ runId, data }) => `${runId} ${data['number']}`),
    ),
    'findings without their event': differences(
      findings.map(({ run_id: run, signature }) => `${run} ${signature}`),
      of('run.finding').map(({ runId, data }) => `${runId} ${data['signature']}`),
    ),
    'followed up more than once': twice(of('task.follow-ups').map(({ data }) => String(data['runId']))),
    'tasks twice': twice(children.map(({ repository, title }) => `${repository} ${title}`)),
    'notes twice': twice(notes.map(({ repository, kind, hash }) => `${repository} ${kind} ${hash}`)),
  };
}

async function allEvents(store: Pick<Store, 'read' | 'dialect'>): Promise<readonly JournalEvent[]> {
  const found: JournalEvent[] = [];
  for (let page = await readAfter(store, '0', 1_000); page.length > 0; page = await readAfter(store, page.at(-1)?.id ?? '', 1_000))
    found.push(...page);
  return found;
}

const twice = (names: readonly string[]): readonly string[] => names.filter((name, index) => names.indexOf(name) !== index);

/** What is on one list and not, or not as often, on the other. */
const differences = (stored: readonly string[], told: readonly string[]): readonly string[] =>
  stored.toSorted().join('\n') === told.toSorted().join('\n')
    ? []
    : [...stored.filter((name) => !told.includes(name)), ...told.filter((name) => !stored.includes(name)), ...twice(told)];
