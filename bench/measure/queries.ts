import { latest, readAfter } from '../../src/store/journal.ts';
import { calledOff, liveRunsOf, runsOfTasks } from '../../src/store/runs.ts';
import {
  countOpen,
  dependenciesOfMany,
  dueTasks,
  findOpenByKey,
  findTask,
  firstInLine,
  listTasks,
  nextDue,
  type TaskFilter,
} from '../../src/store/tasks.ts';
import { type Summary, summary, timed } from '../support/stats.ts';
import { bigRepository, repositoryOf } from './fill.ts';
import type { Opened } from './open.ts';

export interface QueryFigures extends Summary {
  readonly query: string;
}

/** A query that is far over the limit need not be asked a hundred times to show it. */
const patienceMs = 3_000;
const fewest = 5;

/** Every kind of question that the server asks of large tables. */
export async function measureQueries({ store }: Opened, samples: number): Promise<readonly QueryFigures[]> {
  const db = store.read;
  const sample = await sampleIds(db);
  const anyId = (n: number): string => sample[(n * 7919) % sample.length] as string;
  const page = sample.slice(0, 50);
  const list = (filter: TaskFilter, before: (n: number) => string | null = () => null) => {
    return (n: number) => listTasks(db, filter, { before: before(n), limit: 50 });
  };
  const end = await latest(store);
  const middle = await positionNear(store, anyId(1));

  const queries: Record<string, (n: number) => Promise<unknown>> = {
    findTask: (n) => findTask(db, anyId(n)),
    'listTasks, no filter': list({}),
    'listTasks, no filter, deep cursor': list({}, anyId),
    'listTasks, status': list({ status: ['queued'] }),
    'listTasks, status, deep cursor': list({ status: ['queued'] }, anyId),
    'listTasks, two statuses': list({ status: ['queued', 'failed'] }),
    'listTasks, status without a match': list({ status: ['escalated'] }),
    'listTasks, status + priority': list({ status: ['queued'], priority: 'low' }),
    'listTasks, status + priority, deep cursor': list({ status: ['queued'], priority: 'low' }, anyId),
    'listTasks, priority': list({ priority: 'high' }),
    'listTasks, repository (0.1 %)': (n) => list({ repository: repositoryOf(1 + (n % 999)) })(n),
    'listTasks, repository (10 %)': list({ repository: bigRepository }),
    'listTasks, repository + status': list({ repository: bigRepository, status: ['failed'] }),
    'listTasks, source without a match': list({ source: 'telegram' }),
    'listTasks, source without a match, deep cursor': list({ source: 'telegram' }, anyId),
    'listTasks, repository + source without a match': list({ repository: bigRepository, source: 'telegram' }),
    countOpen: () => countOpen(db),
    'firstInLine (16)': () => firstInLine(db, 16),
    'dueTasks (500)': () => dueTasks(db, Date.now(), 500),
    nextDue: () => nextDue(db),
    findOpenByKey: (n) => findOpenByKey(db, [`github:issue:${1 + 10 * n}`]),
    'runsOfTasks (50)': () => runsOfTasks(db, page),
    'dependenciesOfMany (50)': () => dependenciesOfMany(db, page),
    liveRunsOf: () => liveRunsOf(db, 'nod_bench'),
    calledOff: () => calledOff(db, 'nod_bench'),
    'journal: latest': () => latest(store),
    'journal: readAfter the beginning (500)': () => readAfter(store, '0', 500),
    'journal: readAfter the middle (500)': () => readAfter(store, middle, 500),
    'journal: readAfter the end': () => readAfter(store, end, 500),
    'journal: readAfter, one task': (n) => readAfter(store, '0', 500, { taskId: anyId(n) }),
    'journal: readAfter, unknown run': () => readAfter(store, '0', 500, { runId: 'run_0' }),
  };

  const figures: QueryFigures[] = [];
  for (const [query, ask] of Object.entries(queries)) figures.push({ query, ...(await measure(ask, samples)) });
  return figures;
}

async function measure(ask: (n: number) => Promise<unknown>, samples: number): Promise<Summary> {
  const took: number[] = [];
  let spent = await timed(() => ask(0));
  for (let n = 1; n <= samples && (n <= fewest || spent < patienceMs); n++) {
    const ms = await timed(() => ask(n));
    took.push(ms);
    spent += ms;
  }
  return summary(took);
}

/** Ids from all over the table, found by stepping through it. */
async function sampleIds(db: Opened['store']['read']): Promise<readonly string[]> {
  const { count } = await db
    .selectFrom('tasks')
    .select((row) => row.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  const rows = await db.selectFrom('tasks').select('id').orderBy('id').execute();
  const step = Math.max(1, Math.floor(Number(count) / 1_000));
  return rows.filter((_, i) => i % step === 0).map(({ id }) => id);
}

async function positionNear(store: Opened['store'], taskId: string): Promise<string> {
  return (await readAfter(store, '0', 1, { taskId }))[0]?.id ?? '0';
}
