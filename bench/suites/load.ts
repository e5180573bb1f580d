import type { Endured, Sample } from '../measure/load.ts';
import { type Bench, storeName } from '../support/bench.ts';
import { isolated } from '../support/isolated.ts';
import type { Row, Section } from '../support/report.ts';
import { startServerChild, token } from '../support/server.ts';
import { slopeOf } from '../support/slope.ts';
import { summary } from '../support/stats.ts';
import type { Suite } from './suite.ts';

const webhookSecret = 'a webhook secret of the bench';
const clients = 200;
/** Slopes are of so many windows after the beginning, in which caches fill: samples next to each other tell nearly the same. */
const windows = 20;
/** More than a machine of two cores would take by itself, so that there are many tasks in little time. */
const runsAtOnce = '16';
const settledShare = 1 / 3;

export const load: Suite = {
  names: ['load', 'load-api', 'load-watchers', 'load-tasks', 'load-leaks'],
  async run(bench, wanted) {
    const parts = { 'load-api': api, 'load-watchers': watchers, 'load-tasks': manyTasks, 'load-leaks': endurance };
    const sections: Section[] = [];
    for (const [name, measure] of Object.entries(parts)) {
      if (wanted.has('load') || wanted.has(name)) sections.push(await measure(bench));
    }
    return sections;
  },
};

async function api(bench: Bench): Promise<Section> {
  const { apiTasks: tasks, apiSeconds: seconds } = bench.sizes.load;
  const { dialects, notes } = await bench.stores();
  const rows: Row[] = [];
  const failed: string[] = [];
  for (const dialect of dialects) {
    const place = await bench.place(dialect);
    bench.progress(`${tasks.toLocaleString('en')} tasks into ${storeName[dialect]}`);
    await isolated(bench.scope, 'fillTasks', { place, tasks });
    const server = await startServerChild(bench.scope, place, { NIGHTSHIFT_BACKUP_HOURS: '0' });
    await server.api('POST', '/api/queue/pause');
    for (const thinkMs of [1_000, 0]) {
      bench.progress(`${clients} clients of ${storeName[dialect]}`);
      const asked = { address: server.address, token, clients, seconds, thinkMs };
      const { perSecond, failures, routes } = await isolated(bench.scope, 'measureApi', asked);
      failed.push(...failuresOf(storeName[dialect], failures));
      for (const { route, count, p50, p95, p99 } of routes) {
        rows.push({
          store: storeName[dialect],
          clients: thinkMs > 0 ? `${clients}, a second between` : `${clients}, at once again`,
          route,
          answers: count,
          'p50 ms': p50,
          'p95 ms': p95,
          'p99 ms': p99,
          'answers/s': route === 'all' ? perSecond : null,
          failures: route === 'all' ? sumOf(failures) : null,
        });
      }
    }
    await server.stop();
  }
  return {
    title: `The API under ${clients} clients, with ${tasks.toLocaleString('en')} tasks in the store`,
    rows,
    notes: [...notes, ...failed],
  };
}

async function watchers(bench: Bench): Promise<Section> {
  const { watchers: count, watchSeconds: seconds } = bench.sizes.load;
  const { dialects, notes } = await bench.stores();
  const rows: Row[] = [];
  for (const dialect of dialects) {
    bench.progress(`${count} watchers of ${storeName[dialect]}`);
    const server = await startServerChild(bench.scope, await bench.place(dialect), { NIGHTSHIFT_BACKUP_HOURS: '0' });
    await server.api('POST', '/api/queue/pause');
    const asked = { address: server.address, token, watchers: count, seconds, perSecond: 5 };
    const { delays, missed, rssBefore, rssWith, rssAfter } = await isolated(bench.scope, 'measureWatchers', asked);
    rows.push({
      store: storeName[dialect],
      watchers: count,
      arrivals: delays.count,
      missed,
      'p50 ms': delays.p50,
      'p95 ms': delays.p95,
      'max ms': delays.max,
      'MiB before': rssBefore,
      'with them': rssWith,
      'after they left': rssAfter,
    });
    await server.stop();
  }
  return {
    title: 'From an event to everybody who watches, five events a second',
    rows,
    notes: [...notes, 'All watchers share one process on the same machine, so part of the delay is theirs.'],
  };
}

async function manyTasks(bench: Bench): Promise<Section> {
  const tasks = bench.sizes.load.runnerTasks;
  const { dialects, notes } = await bench.stores();
  const rows: Row[] = [];
  for (const dialect of dialects) {
    bench.progress(`${tasks.toLocaleString('en')} tasks through the runner on ${storeName[dialect]}`);
    const { seconds, samples } = await isolated(bench.scope, 'manyTasks', { place: await bench.place(dialect), tasks });
    const settled = samples.slice(Math.floor(samples.length * settledShare));
    const figure = (what: string, of: (sample: (typeof samples)[number]) => number): Row => {
      const points = lowest(settled, of, { tasks: (sample) => sample.tasks });
      return {
        store: storeName[dialect],
        what,
        tasks,
        'tasks/s': tasks / seconds,
        first: points[0]?.value ?? null,
        last: points.at(-1)?.value ?? null,
        'slope in 100,000 tasks': told(slopeOf(points.map((point) => [point.tasks / 100_000, point.value]))),
      };
    };
    rows.push(
      figure('resident memory, MiB', ({ rssMiB }) => rssMiB),
      figure('heap used, MiB', ({ heapMiB }) => heapMiB),
    );
  }
  return {
    title: `Memory over ${tasks.toLocaleString('en')} tasks that do nothing, each with its run, directory, output and events`,
    rows,
    notes: [...notes, 'Slopes as below, over the last two thirds.'],
  };
}

async function endurance(bench: Bench): Promise<Section> {
  const { minutes, endureTasks: tasks, churn, burst } = bench.sizes.load;
  const { dialects, notes } = await bench.stores();
  const rows: Row[] = [];
  const failed: string[] = [];
  for (const dialect of dialects) {
    bench.progress(`load on ${storeName[dialect]} for ${minutes} minutes`);
    const place = await bench.place(dialect);
    const settings = {
      GITHUB_WEBHOOK_SECRET: webhookSecret,
      NIGHTSHIFT_BACKUP_HOURS: '0',
      LOG_LEVEL: 'warn',
      MAX_CONCURRENT_RUNS: runsAtOnce,
      // As the image and the unit have it: what malloc keeps for itself would look like a leak.
      MALLOC_ARENA_MAX: '2',
    };
    const server = await startServerChild(bench.scope, place, settings);
    const asked = { address: server.address, token, webhookSecret, seconds: minutes * 60, tasks, watchers: churn, burst };
    const endured = await isolated(bench.scope, 'endure', asked);
    rows.push(...rowsOf(storeName[dialect], endured));
    failed.push(...failuresOf(storeName[dialect], endured.failures));
    await server.stop();
  }
  return {
    title: `Under load for ${minutes} minutes or ${tasks.toLocaleString('en')} tasks: tasks that run, ${churn} watchers that come and go every five seconds, bursts of ${burst} signed deliveries`,
    rows,
    notes: [
      ...notes,
      ...failed,
      `Slopes are of the lowest of ${windows} windows in the last two thirds of the time, by least squares, with the interval that holds the`,
      'true one in 95 of 100 cases. One that reaches over zero is no leak that this time could show; the longer it runs, the narrower it is.',
    ],
  };
}

function rowsOf(store: string, { samples, submitted, done, deliveries, watched, failures }: Endured): readonly Row[] {
  const settled = samples.slice(Math.floor(samples.length * settledShare));
  const figure = (what: string, unit: string, of: (sample: Sample) => number): Row => {
    const all = settled.map(of);
    const points = lowest(settled, of, { minute: (sample) => sample.minute, tasks: (sample) => sample.tasks });
    const hour = slopeOf(points.map(({ minute, value }) => [minute / 60, value]));
    const tasks = slopeOf(points.map(({ tasks: count, value }) => [count / 100_000, value]));
    return {
      store,
      what,
      unit,
      first: points[0]?.value ?? null,
      last: points.at(-1)?.value ?? null,
      max: summary(all).max,
      'slope an hour': told(hour),
      'slope in 100,000 tasks': told(tasks),
    };
  };
  const counted = (what: string, count: number): Row => ({ store, what, unit: '', first: null, last: count });
  return [
    counted('tasks given', submitted),
    counted('tasks done', done),
    counted('deliveries', deliveries),
    counted('watchers that came', watched),
    counted('requests that failed', sumOf(failures)),
    figure('resident memory', 'MiB', ({ rssMiB }) => rssMiB),
    figure('heap used', 'MiB', ({ heapMiB }) => heapMiB),
    figure('heap taken', 'MiB', ({ heapTakenMiB }) => heapTakenMiB),
    figure('memory outside the heap', 'MiB', ({ externalMiB }) => externalMiB),
    figure('open descriptors', '', ({ descriptors }) => descriptors),
    figure('active resources', '', ({ resources }) => resources),
    figure('event loop delay p99', 'ms', ({ loopP99Ms }) => loopP99Ms),
  ];
}

const sumOf = (failures: Endured['failures']): number => Object.values(failures).reduce((sum, each) => sum + each, 0);

const failuresOf = (store: string, failures: Endured['failures']): readonly string[] =>
  Object.entries(failures).map(([what, times]) => `${store}: failed ${times} times: ${what}`);

const told = ({ perUnit, within }: ReturnType<typeof slopeOf>): string =>
  Number.isFinite(within) ? `${perUnit >= 0 ? '+' : '−'}${Math.abs(perUnit).toFixed(1)} ± ${within.toFixed(1)}` : 'too short';

/** Of each window the lowest, with the means of what it is held against: what the next collection gives back is no leak, and hides one. */
function lowest<Each, Against extends string>(
  samples: readonly Each[],
  of: (sample: Each) => number,
  against: Readonly<Record<Against, (sample: Each) => number>>,
): readonly (Readonly<Record<Against, number>> & { readonly value: number })[] {
  const size = Math.max(1, Math.floor(samples.length / windows));
  return Array.from({ length: Math.floor(samples.length / size) }, (_, at) => {
    const window = samples.slice(at * size, (at + 1) * size);
    const mean = (each: (sample: Each) => number): number => window.reduce((sum, sample) => sum + each(sample), 0) / window.length;
    const means = Object.fromEntries(Object.entries<(sample: Each) => number>(against).map(([name, each]) => [name, mean(each)]));
    return { ...(means as Record<Against, number>), value: Math.min(...window.map(of)) };
  });
}
