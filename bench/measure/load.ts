import { createHmac, randomUUID } from 'node:crypto';
import { Agent, type ClientRequest, request } from 'node:http';
import { nightshiftWithRunner } from '../peers/nightshift.ts';
import type { Place } from '../support/bench.ts';
import { concurrently, type Summary, summary } from '../support/stats.ts';
import { Filler } from './fill.ts';
import { openQueue } from './open.ts';

interface Server {
  readonly address: string;
  readonly token: string;
}

/** Tasks of a busy month, put straight into the tables before a server is started on them. */
export async function fillTasks({ place, tasks }: { readonly place: Place; readonly tasks: number }): Promise<null> {
  const opened = await openQueue(place);
  const filler = new Filler(place, opened);
  await filler.rest(tasks);
  await filler.settle();
  await opened.close();
  return null;
}

/** So many clients at once, each asking again at its answer, or after it has looked at it for a while. */
export async function measureApi(load: Server & { readonly clients: number; readonly seconds: number; readonly thinkMs: number }): Promise<{
  readonly perSecond: number;
  readonly failures: Failures;
  readonly routes: readonly (Summary & { readonly route: string })[];
}> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.clients });
  const { items } = JSON.parse((await ask(load, agent, 'GET', '/api/tasks?limit=200')).body) as { items: { id: string }[] };
  const some = (n: number): string => items[n % items.length]?.id ?? '';
  const routes: readonly (readonly [name: string, share: number, method: string, path: (n: number) => string])[] = [
    ['GET /api/tasks', 3, 'GET', () => '/api/tasks?limit=50'],
    ['GET /api/tasks?status=failed', 1, 'GET', () => '/api/tasks?status=failed&limit=50'],
    ['GET /api/tasks/:id', 3, 'GET', (n) => `/api/tasks/${some(n)}`],
    ['GET /api/queue', 1, 'GET', () => '/api/queue'],
    ['GET /api/budgets', 1, 'GET', () => '/api/budgets'],
    ['POST /api/tasks', 1, 'POST', () => '/api/tasks'],
  ];
  const turns = routes.flatMap((route) => Array.from({ length: route[1] }, () => route));
  const samples = new Map<string, number[]>(routes.map(([name]) => [name, []]));
  const measureFrom = performance.now() + 2_000;
  const end = measureFrom + load.seconds * 1_000;
  const failures: Failures = {};
  const client = async (first: number): Promise<void> => {
    if (load.thinkMs > 0) await pause((first / load.clients) * load.thinkMs);
    for (let n = first; performance.now() < end; n++) {
      const [name, , method, path] = turns[(n * 7) % turns.length] as (typeof routes)[number];
      const start = performance.now();
      const answer = await ask(load, agent, method, path(n), method === 'POST' ? taskBody(n) : undefined);
      const ms = performance.now() - start;
      if (start >= measureFrom && isAnswer(failures, name, answer)) samples.get(name)?.push(ms);
      if (load.thinkMs > 0) await pause(load.thinkMs);
    }
  };
  await Promise.all(Array.from({ length: load.clients }, (_, n) => client(n)));
  agent.destroy();
  const all = [...samples.values()].flat();
  return {
    perSecond: all.length / load.seconds,
    failures,
    routes: [{ route: 'all', ...summary(all) }, ...[...samples].map(([route, each]) => ({ route, ...summary(each) }))],
  };
}

/** From an event's time stamp to its arrival at each of so many watchers, which share this one process. */
export async function measureWatchers(
  load: Server & { readonly watchers: number; readonly seconds: number; readonly perSecond: number },
): Promise<{
  readonly delays: Summary;
  readonly missed: number;
  readonly rssBefore: number;
  readonly rssWith: number;
  readonly rssAfter: number;
}> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const rss = async (): Promise<number> => (await readMetrics(load, agent, {}))?.rssMiB ?? Number.NaN;
  const rssBefore = await rss();
  const delays: number[] = [];
  const watchers: ClientRequest[] = [];
  await concurrently(load.watchers, 50, async () => void watchers.push(await watch(load, (at) => delays.push(Date.now() - at))));
  delays.length = 0;
  const rssWith = await rss();
  let submitted = 0;
  const start = performance.now();
  while (performance.now() - start < load.seconds * 1_000) {
    const { status } = await ask(load, agent, 'POST', '/api/tasks', taskBody(submitted));
    if (status === 201) submitted += 1;
    await pause(Math.max(0, start + (submitted * 1_000) / load.perSecond - performance.now()));
  }
  await pause(1_000);
  for (const watcher of watchers) watcher.destroy();
  await pause(2_000);
  const rssAfter = await rss();
  agent.destroy();
  return { delays: summary(delays), missed: submitted * load.watchers - delays.length, rssBefore, rssWith, rssAfter };
}

export interface Sample {
  readonly minute: number;
  readonly tasks: number;
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly heapTakenMiB: number;
  readonly externalMiB: number;
  readonly descriptors: number;
  readonly resources: number;
  readonly loopP99Ms: number;
  readonly watchers: number;
}

export interface Endured {
  readonly samples: readonly Sample[];
  readonly submitted: number;
  readonly done: number;
  readonly deliveries: number;
  readonly watched: number;
  readonly failures: Failures;
}

/** A process's memory while tasks that do nothing go through the queue and the whole runner, as fast as they will. */
export async function manyTasks({ place, tasks }: { readonly place: Place; readonly tasks: number }): Promise<{
  readonly seconds: number;
  readonly samples: readonly { readonly tasks: number; readonly rssMiB: number; readonly heapMiB: number }[];
}> {
  const peer = await nightshiftWithRunner(place, 16);
  const samples: { tasks: number; rssMiB: number; heapMiB: number }[] = [];
  let done = 0;
  let given = 0;
  const work = await peer.work(() => {
    done += 1;
  });
  const start = performance.now();
  while (done < tasks) {
    const { rss, heapUsed } = process.memoryUsage();
    samples.push({ tasks: done, rssMiB: rss / 2 ** 20, heapMiB: heapUsed / 2 ** 20 });
    // A line that grows would look like a leak.
    while (given < Math.min(tasks, done + mostOpen)) {
      const to = Math.min(given + 100, tasks);
      await peer.submitBatch(given, to - given);
      given = to;
    }
    await pause(100);
  }
  const seconds = (performance.now() - start) / 1_000;
  await work.stop();
  await peer.close();
  return { seconds, samples };
}

const waveMs = 1_000;
const sampleMs = 2_000;
/** No more is given than is worked off: a line that grows would look like a leak. */
const mostOpen = 200;

/** Tasks that run, watchers that come and go, and bursts of signed deliveries, for as long as asked. */
export async function endure(
  load: Server & {
    readonly webhookSecret: string;
    readonly seconds: number;
    /** It is over when so many are done, if that is sooner. */
    readonly tasks: number;
    readonly watchers: number;
    readonly burst: number;
  },
): Promise<Endured> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const samples: Sample[] = [];
  const start = performance.now();
  let submitted = 0;
  let deliveries = 0;
  let watched = 0;
  const failures: Failures = {};
  let done = 0;
  const over = (): boolean => performance.now() - start > load.seconds * 1_000 || done >= load.tasks;

  const working = async (): Promise<void> => {
    while (!over()) {
      const answer = await ask(load, agent, 'GET', '/api/queue');
      const known = isAnswer(failures, 'GET /api/queue', answer);
      const { open } = JSON.parse(known ? answer.body : '{"open":[]}') as { open: { count: number }[] };
      const waiting = known ? open.reduce((sum, each) => sum + each.count, 0) : mostOpen;
      await concurrently(Math.max(0, mostOpen - waiting), 16, async (n) => {
        const given = await ask(load, agent, 'POST', '/api/tasks', taskBody(submitted + n));
        if (isAnswer(failures, 'POST /api/tasks', given)) submitted += 1;
      });
      await pause(200);
    }
  };
  const posting = async (): Promise<void> => {
    for (let wave = 0; !over(); wave++) {
      // A burst, and then quiet, as services do when something happens there.
      if (wave % 5 === 0) {
        await concurrently(load.burst, 64, async () => {
          if (isAnswer(failures, 'POST /webhook/github', await deliver(load, agent))) deliveries += 1;
        });
      }
      await pause(waveMs);
    }
  };
  const watching = async (): Promise<void> => {
    let open: ClientRequest[] = [];
    while (!over()) {
      const fresh: ClientRequest[] = [];
      await concurrently(load.watchers, 50, async () => void fresh.push(await watch(load, () => undefined)));
      watched += fresh.length;
      // Some leave in order, some by the cable.
      for (const each of open) each.destroy();
      open = fresh;
      await pause(5 * waveMs);
    }
    for (const each of open) each.destroy();
  };
  const sampling = async (): Promise<void> => {
    while (!over()) {
      const metrics = await readMetrics(load, agent, failures);
      if (metrics) {
        done = metrics.tasks;
        samples.push({ ...metrics, minute: (performance.now() - start) / 60_000 });
      }
      await pause(sampleMs);
    }
  };
  await Promise.all([working(), posting(), watching(), sampling()]);
  agent.destroy();
  return { samples, submitted, done, deliveries, watched, failures };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const taskBody = (n: number): string => JSON.stringify({ title: `Mend the flaky test number ${n}`, body: '["true"]', engine: 'command' });

interface Answer {
  /** 0 when there was none; then `body` says why. */
  readonly status: number;
  readonly body: string;
}

/** By what was asked and how it was answered: a bare number of failures helps nobody. */
type Failures = Record<string, number>;

function isAnswer(failures: Failures, asked: string, { status, body }: Answer): boolean {
  if (status >= 200 && status < 400) return true;
  const what = `${asked}: ${status === 0 ? body : `${status} ${/"code":"([^"]+)"/.exec(body)?.[1] ?? ''}`}`;
  failures[what] = (failures[what] ?? 0) + 1;
  return false;
}

function ask(
  { address, token }: Server,
  agent: Agent,
  method: string,
  path: string,
  body?: string,
  headers: Readonly<Record<string, string>> = { authorization: `Bearer ${token}` },
): Promise<Answer> {
  return new Promise((resolve) => {
    const lost = ({ code, message }: NodeJS.ErrnoException): void => resolve({ status: 0, body: code ?? message });
    const outgoing = request(
      `${address}${path}`,
      { method, agent, headers: { ...headers, 'content-type': 'application/json' } },
      (answer) => {
        let said = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          said += chunk;
        });
        answer.once('end', () => resolve({ status: answer.statusCode ?? 0, body: said }));
        answer.once('error', lost);
      },
    );
    outgoing.once('error', lost);
    outgoing.end(body);
  });
}

function deliver(load: Server & { readonly webhookSecret: string }, agent: Agent): Promise<Answer> {
  const body = JSON.stringify({
    action: 'created',
    comment: { body: `${randomUUID()} ${'x'.repeat(9_000)}` },
    repository: { full_name: 'octo/garden' },
  });
  return ask(load, agent, 'POST', '/webhook/github', body, {
    'x-github-event': 'issue_comment',
    'x-github-delivery': randomUUID(),
    'x-hub-signature-256': `sha256=${createHmac('sha256', load.webhookSecret).update(body).digest('hex')}`,
  });
}

/** Resolves when the stream is open. `submitted` is told the time stamp of each task that was. */
function watch({ address, token }: Server, submitted: (at: number) => void): Promise<ClientRequest> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${address}/api/events`, { agent: false, headers: { authorization: `Bearer ${token}` } }, (answer) => {
      answer.on('error', () => undefined); // it is left in the middle
      let rest = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (!line.startsWith('data: ') || !line.includes('"task.submitted"')) continue;
          submitted(Date.parse((JSON.parse(line.slice(6)) as { at: string }).at));
        }
      });
      resolve(outgoing);
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
}

async function readMetrics(server: Server, agent: Agent, failures: Failures): Promise<Omit<Sample, 'minute'> | undefined> {
  const answer = await ask(server, agent, 'GET', '/metrics');
  if (!isAnswer(failures, 'GET /metrics', answer)) return undefined;
  const { body } = answer;
  const sum = (name: string): number =>
    [...body.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce((total, [, value]) => total + Number(value), 0);
  return {
    tasks: sum('agent_tasks_executed_total'),
    rssMiB: sum('process_resident_memory_bytes') / 2 ** 20,
    heapMiB: sum('nodejs_heap_size_used_bytes') / 2 ** 20,
    heapTakenMiB: sum('nodejs_heap_size_total_bytes') / 2 ** 20,
    externalMiB: sum('nodejs_external_memory_bytes') / 2 ** 20,
    descriptors: sum('process_open_fds'),
    resources: sum('nodejs_active_resources'),
    loopP99Ms: sum('nodejs_eventloop_lag_p99_seconds') * 1_000,
    watchers: sum('agent_event_watchers'),
  };
}
