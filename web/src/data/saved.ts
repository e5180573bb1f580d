import { emptyState, type State } from './state.ts';
import { emptyTranscript, extend, type Transcript } from './transcript.ts';
import {
  type AlertView,
  type BudgetView,
  closedStatuses,
  type EventView,
  type QueueView,
  type RunView,
  type ServerView,
  type SessionView,
  type TaskView,
} from './views.ts';

/** The last state, kept in the browser for the time without a server. It goes when the person logs out. */
interface Saved {
  readonly format: 2;
  readonly asOf: number;
  readonly session: SessionView;
  readonly server: ServerView | undefined;
  readonly queue: QueueView | undefined;
  readonly budgets: readonly BudgetView[] | undefined;
  readonly alerts: readonly AlertView[] | undefined;
  readonly tasks: readonly TaskView[];
  readonly runs: readonly RunView[];
  readonly transcripts: readonly (readonly [string, readonly EventView[]])[];
}

const place = 'nightshift-state';
const address = '/offline/state.json';
const taskLimit = 500;
const runLimit = 20;
const eventLimit = 400;

/** Browsers keep this only for pages that came over a connection they trust. */
const available = (): boolean => typeof caches !== 'undefined';

export async function save(state: State, transcripts: ReadonlyMap<string, Transcript>, asOf: number): Promise<void> {
  if (!available() || !state.session) return;
  const tasks = [...state.tasks.values()].sort(
    (a, b) => Number(closedStatuses.includes(a.status)) - Number(closedStatuses.includes(b.status)) || (a.id < b.id ? 1 : -1),
  );
  const saved: Saved = {
    format: 2,
    asOf,
    session: state.session,
    server: state.server,
    queue: state.queue,
    budgets: state.budgets,
    alerts: state.alerts,
    tasks: tasks.slice(0, taskLimit),
    runs: [...state.runs.values()].slice(-runLimit),
    transcripts: [...transcripts].slice(-runLimit).map(([id, { events }]) => [id, events.slice(-eventLimit)]),
  };
  await inTurn(async () => {
    const cache = await caches.open(place);
    await cache.put(address, new Response(JSON.stringify(saved), { headers: { 'content-type': 'application/json' } }));
  });
}

let last: Promise<unknown> = Promise.resolve();

/** One after the other: what is being kept while somebody logs out must not outlive its being forgotten. */
function inTurn(action: () => Promise<unknown>): Promise<unknown> {
  last = last.then(action, action);
  return last;
}

export async function recall(): Promise<
  { readonly state: State; readonly transcripts: ReadonlyMap<string, Transcript>; readonly asOf: number } | undefined
> {
  if (!available()) return undefined;
  const found = await caches.match(address, { cacheName: place }).catch(() => undefined);
  const saved = (await found?.json().catch(() => undefined)) as Saved | undefined;
  if (saved?.format !== 2) return undefined;
  const { session, server, queue, budgets, alerts, tasks, runs, transcripts, asOf } = saved;
  return {
    asOf,
    state: {
      ...emptyState,
      session,
      server,
      queue,
      budgets,
      alerts,
      tasks: new Map(tasks.map((task) => [task.id, task])),
      runs: new Map(runs.map((run) => [run.id, run])),
      loaded: true,
    },
    transcripts: new Map(transcripts.map(([id, events]) => [id, extend(emptyTranscript, events)])),
  };
}

export async function forget(): Promise<void> {
  if (available()) await inTurn(() => caches.delete(place));
}
