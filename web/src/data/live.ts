import { legible } from '../text/legible.ts';
import { type Answer, call, get, type Refusal } from './api.ts';
import { forget, recall, save } from './saved.ts';
import { messagesOf } from './sse.ts';
import { emptyState, type State, unknownTasks, withEvents, withTasks } from './state.ts';
import { emptyTranscript, extend, type Transcript } from './transcript.ts';
import type { AlertView, BudgetView, EventView, Page, QueueView, RunView, SessionView, SnapshotView, TaskView } from './views.ts';

/**
 * The one store behind all pages: a snapshot, and then every event of the server through one stream. A stream that breaks is
 * opened again after the last event that came, so nothing is missed; where that cannot be (another journal, too long away)
 * everything is fetched anew.
 */

let state: State = emptyState;
let transcripts: ReadonlyMap<string, Transcript> = new Map();
const watchers = new Set<() => void>();
/** Runs whose transcript somebody looks at, and whether all of it is here: what came before the stream, and what the stream brings. */
const open = new Map<string, 'whole' | 'partial'>();

export const currentState = (): State => state;
export const currentTranscripts = (): ReadonlyMap<string, Transcript> => transcripts;

export function subscribe(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function set(change: Partial<State>): void {
  state = { ...state, ...change };
  told();
}

function told(): void {
  saveSoon();
  for (const watcher of watchers) watcher();
}

/* The connection */

const silenceMs = 40_000;
/** Longer than this and it is cheaper to look at everything than to hear of it piece by piece. */
const longAwayMs = 30 * 60_000;
const backoffMs = { first: 400, longest: 8_000 };

let position: string | undefined;
let lastHeard = Date.now();
let stream: AbortController | undefined;
let hurry: () => void = () => undefined;
let started = false;

/** Begins to live. What was kept from the last time is there until the server has answered, and says from when it is. */
export function start(firstRun: string | undefined): void {
  if (started) return;
  started = true;
  // Its page is not drawn yet, and waits for it.
  if (firstRun !== undefined) open.set(firstRun, 'partial');
  addEventListener('online', () => hurry());
  // A stream may seem to be there for long after the network has gone.
  addEventListener('offline', () => stream?.abort());
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && hurry());
  void keepUp(takeKept());
}

async function takeKept(): Promise<void> {
  // What an older version kept may have another form; then there is nothing to begin with.
  const kept = await recall().catch(() => undefined);
  if (!kept || state.session !== undefined) return;
  transcripts = kept.transcripts;
  lastHeard = kept.asOf;
  set({ ...kept.state, connection: state.connection });
}

async function keepUp(recalled: Promise<void>): Promise<void> {
  let failures = 0;
  for (;;) {
    const before = signIns;
    const outcome = await follow();
    if (outcome === 'signed-out' && signIns === before) {
      // Who may not look any more keeps nothing either.
      signedOut();
      await forget();
      await signedIn();
      failures = 0;
      continue;
    }
    if (outcome === 'was-live') {
      // A proxy may end a stream that is quite well; that it is lost is said when the next one does not come.
      failures = 0;
      set({ connection: { kind: 'connecting' } });
    } else {
      await recalled;
      set({ connection: { kind: 'lost', since: lastHeard } });
    }
    failures += 1;
    const wait = Math.min(backoffMs.longest, backoffMs.first * 2 ** Math.min(failures - 1, 10)) * (0.75 + Math.random() / 2);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, wait);
      hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** One life of the stream, until it ends. */
async function follow(): Promise<'was-live' | 'no-answer' | 'signed-out'> {
  const cut = new AbortController();
  stream = cut;
  let guard = setTimeout(() => cut.abort(), silenceMs);
  const heard = (): void => {
    clearTimeout(guard);
    guard = setTimeout(() => cut.abort(), silenceMs);
    lastHeard = Date.now();
  };
  let live = false;
  try {
    // Pages keep showing what was before until the new snapshot is there.
    if (position !== undefined && Date.now() - lastHeard > longAwayMs) position = undefined;
    const resumed = position !== undefined;
    if (!resumed) {
      const refused = await takeSnapshot();
      if (refused) return refused.status === 401 ? 'signed-out' : 'no-answer';
    }
    const response = await fetch('/api/events', {
      headers: { accept: 'text/event-stream', 'last-event-id': position ?? '' },
      signal: cut.signal,
      credentials: 'same-origin',
    });
    if (response.status === 401) return 'signed-out';
    // A restored backup has another journal, and our place is none of it.
    if (response.status === 400) position = undefined;
    if (!response.ok || !response.body) return 'no-answer';
    live = true;
    heard();
    set({ connection: { kind: 'live' } });
    if (resumed) countSoon();
    for (const [id, how] of open) if (how === 'partial') void loadTranscript(id);
    for await (const messages of messagesOf(response.body, heard)) {
      take(messages.map(({ data }) => JSON.parse(legible(data)) as EventView));
      position = messages.at(-1)?.id ?? position;
    }
  } catch {
    // Cut off, here or there. The next try tells how things are.
  } finally {
    clearTimeout(guard);
    cut.abort();
  }
  return live ? 'was-live' : 'no-answer';
}

/** How often somebody signed in: a refusal that is older than that says nothing. */
let signIns = 0;
let letIn: () => void = () => undefined;
/** Tabs have one session: whoever comes in by one of them is in by all. */
const otherTabs = new BroadcastChannel('nightshift-signed-in');
otherTabs.onmessage = () => letIn();
const signedIn = (): Promise<void> =>
  new Promise((resolve) => {
    letIn = resolve;
  });

export async function signIn(credential: { readonly key: string } | { readonly code: string }): Promise<Answer<SessionView>> {
  const answer = await call<SessionView>('POST', '/session', credential);
  if (answer.ok) {
    signIns += 1;
    set({ session: answer.value });
    letIn();
    hurry();
    otherTabs.postMessage(null);
  }
  return answer;
}

/** Whoever logs out wants nothing of it to stay on this device; without an answer the session goes on, and so does the page. */
export async function signOut(): Promise<Answer<undefined>> {
  const answer = await call<undefined>('DELETE', '/session');
  if (!answer.ok && answer.refusal.status !== 401) return answer;
  signedOut();
  await forget();
  stream?.abort();
  return { ok: true, value: undefined };
}

function signedOut(): void {
  state = { ...emptyState, session: null, snapshot: state.snapshot };
  transcripts = new Map();
  meanwhile.clear();
  position = undefined;
  told();
}

/* What there is */

async function takeSnapshot(): Promise<Refusal | undefined> {
  const shown = [...open.keys()].at(-1);
  const answer = await get<SnapshotView>(shown === undefined ? '/snapshot' : `/snapshot?run=${encodeURIComponent(shown)}`);
  if (!answer.ok) return answer.refusal;
  const { position: reached, tasks, run, ...rest } = answer.value;
  position = reached;
  lastHeard = Date.now();
  followed.clear();
  stepsBrought.clear();
  if (run) keepRun(run);
  // What was kept from the last time may be out of date in ways that nobody tells of any more.
  state = withTasks({ ...state, ...rest, tasks: new Map(), loaded: true, snapshot: state.snapshot + 1 }, tasks);
  meanwhile.clear();
  for (const id of open.keys()) {
    open.set(id, 'partial');
    void loadTranscript(id);
  }
  told();
  return undefined;
}

let pending: EventView[] = [];
let framed = false;

/** Events come in faster than a screen can show them: one change a frame. A hidden page has no frames, and little to draw. */
function take(events: readonly EventView[]): void {
  pending.push(...events);
  if (framed) return;
  framed = true;
  setTimeout(() => {
    framed = false;
    const batch = pending;
    pending = [];
    state = withEvents(state, batch);
    for (const id of new Set([...open.keys(), ...meanwhile.keys()])) {
      const own = batch.filter(({ runId }) => runId === id);
      if (own.length === 0) continue;
      const waiting = meanwhile.get(id);
      if (waiting) waiting.push(...own);
      else putTranscript(id, extend(transcripts.get(id) ?? emptyTranscript, own));
    }
    told();
    wanted(unknownTasks(state, batch));
    if (batch.some(({ type }) => type.startsWith('task.') || type.startsWith('queue.') || type.startsWith('node.'))) countSoon();
    if (batch.some(({ type }) => /^(?:budget\.|run\.(?:tool-finished|usage|finished))/.test(type))) spendSoon();
    if (batch.some(({ type }) => type.startsWith('alert.'))) alertsSoon();
    for (const { type, runId } of batch) {
      if (runId !== null && state.runs.has(runId) && /^run\.(usage|verified|round|finished)$/.test(type)) runSoon(runId);
    }
  }, 16);
}

/** One at a time, at most once in `ms` (since `last`, to begin with), and once more after the last wish. */
function throttled(ms: number, action: () => Promise<unknown>, last = Number.NEGATIVE_INFINITY): () => void {
  let due = false;
  let again = false;
  const wish = (): void => {
    again = true;
    if (due) return;
    due = true;
    setTimeout(
      async () => {
        again = false;
        last = performance.now();
        await action();
        due = false;
        if (again) wish();
      },
      Math.max(50, last + ms - performance.now()),
    );
  };
  return wish;
}

/** The server counts: it alone knows of tasks that were never shown here. */
const countSoon = throttled(2_000, async () => {
  const answer = await get<QueueView>('/queue');
  if (answer.ok) set({ queue: answer.value });
});

interface Budgets {
  readonly items: readonly BudgetView[];
}

const spendSoon = throttled(3_000, async () => {
  const answer = await get<Budgets>('/budgets');
  if (answer.ok) set({ budgets: answer.value.items });
});

export async function setBudget(scope: BudgetView['scope'], limit: number | null): Promise<Answer<unknown>> {
  const answer = await call<Budgets>('PUT', `/budgets/${scope}`, { limit });
  if (answer.ok) set({ budgets: answer.value.items });
  return answer;
}

interface Alerts {
  readonly items: readonly AlertView[];
}

export async function fetchAlerts(): Promise<void> {
  const answer = await get<Alerts>('/alerts');
  if (answer.ok) set({ alerts: answer.value.items });
}

const alertsSoon = throttled(1_000, fetchAlerts);

/** For so many minutes; for none, it is told again. */
export async function silenceAlert(name: string, minutes: number): Promise<Answer<unknown>> {
  const path = `/alerts/${encodeURIComponent(name)}/silence`;
  const answer = await (minutes > 0 ? call<unknown>('PUT', path, { minutes }) : call<unknown>('DELETE', path));
  if (answer.ok) await fetchAlerts();
  return answer;
}

const missing = new Set<string>();

function wanted(ids: readonly string[]): void {
  for (const id of ids) missing.add(id);
  if (missing.size > 0) fetchMissing();
}

const few = 6;

/** Tasks that events told of. A few are fetched one by one; of many, the newest pages, as far back as the oldest of them. */
const fetchMissing = throttled(150, async () => {
  const ids = [...missing].sort();
  missing.clear();
  const oldest = ids[0];
  if (oldest === undefined) return;
  if (ids.length <= few) {
    const answers = await Promise.all(ids.map((id) => get<TaskView>(`/tasks/${id}`)));
    addTasks(answers.flatMap((answer) => (answer.ok ? [answer.value] : [])));
    return;
  }
  let cursor: string | null = null;
  for (let page = 0; page < 50; page++) {
    const answer: Answer<Page<TaskView>> = await get(`/tasks?limit=200${cursor === null ? '' : `&cursor=${cursor}`}`);
    if (!answer.ok) return;
    addTasks(answer.value.items);
    cursor = answer.value.nextCursor;
    if (cursor === null || (answer.value.items.at(-1)?.id ?? '') < oldest) return;
  }
});

export function addTasks(tasks: readonly TaskView[]): void {
  if (tasks.length === 0) return;
  state = withTasks(state, tasks);
  told();
}

/** For what events do not tell, and for what is not here yet. */
export async function fetchTask(id: string): Promise<Answer<TaskView>> {
  const answer = await get<TaskView>(`/tasks/${encodeURIComponent(id)}`);
  if (answer.ok) addTasks([answer.value]);
  return answer;
}

/** Something a person does to a task; the answer is the task as it is then. */
export async function act(method: 'POST' | 'PATCH', path: string, body?: unknown): Promise<Answer<TaskView>> {
  const answer = await call<TaskView>(method, path, body);
  if (answer.ok) addTasks([answer.value]);
  return answer;
}

export async function setPaused(paused: boolean): Promise<Answer<QueueView>> {
  const answer = await call<QueueView>('POST', paused ? '/queue/pause' : '/queue/resume');
  if (answer.ok) set({ queue: answer.value });
  return answer;
}

/* Runs */

/** Those that are as the server has them: they came since the snapshot, and no event told that they are out of date. */
const followed = new Set<string>();

function keepRun(run: RunView): void {
  followed.add(run.id);
  const runs = new Map(state.runs);
  runs.delete(run.id);
  state = { ...state, runs: runs.set(run.id, run) };
}

async function fetchRun(id: string): Promise<Answer<RunView>> {
  const answer = await get<RunView>(`/runs/${encodeURIComponent(id)}`);
  if (answer.ok) {
    keepRun(answer.value);
    told();
  }
  return answer;
}

const runTimers = new Map<string, () => void>();
function runSoon(id: string): void {
  // Until it has come anew; should it not come, whoever opens its page asks again.
  followed.delete(id);
  let soon = runTimers.get(id);
  if (!soon) {
    soon = throttled(1_000, () => fetchRun(id));
    runTimers.set(id, soon);
  }
  soon();
}

/** A run and its task, for its page; why there is none, if there is none. */
export async function bringRun(id: string): Promise<Refusal | undefined> {
  const known = followed.has(id) ? state.runs.get(id) : undefined;
  if (known && state.tasks.has(known.taskId)) return undefined;
  const run = await fetchRun(id);
  if (!run.ok) return run.refusal;
  const task = await fetchTask(run.value.taskId);
  return task.ok ? undefined : task.refusal;
}

/** Shows a run's transcript from its beginning for as long as somebody looks. */
export function openTranscript(id: string): () => void {
  if (!open.has(id)) open.set(id, 'partial');
  // What happens after the history comes by the stream, which goes on from the snapshot; before there is one, some would be missed.
  if (open.get(id) === 'partial' && position !== undefined) void loadTranscript(id);
  return () => open.delete(id);
}

/** What happens while a run's history is read comes after it. One that is not in here any more is read in vain: it belongs to the time before. */
const meanwhile = new Map<string, EventView[]>();

async function loadTranscript(id: string): Promise<void> {
  if (meanwhile.has(id)) return;
  const news: EventView[] = [];
  meanwhile.set(id, news);
  const isNew = !transcripts.has(id);
  let whole = emptyTranscript;
  const ended = await eachOfHistory(id, '', (events) => {
    whole = extend(whole, events);
    if (isNew && meanwhile.get(id) === news) putTranscript(id, whole);
  });
  if (meanwhile.get(id) !== news) return;
  meanwhile.delete(id);
  whole = extend(whole, news);
  if (ended && open.has(id)) open.set(id, 'whole');
  // Of what was cut off, what was kept is better than a part.
  if (isNew || ended) putTranscript(id, whole);
}

/** What a run did last, for whoever shows it from now on; what it does next comes by the stream. */
export async function bringStep(id: string): Promise<void> {
  if (stepsBrought.has(id)) return;
  stepsBrought.add(id);
  const ended = await eachOfHistory(id, '&last=20', (events) => {
    const { steps } = withEvents({ ...state, steps: new Map() }, events);
    const step = steps.get(id);
    if (step && (state.steps.get(id)?.at ?? '') < step.at) set({ steps: new Map(state.steps).set(id, step) });
  });
  if (!ended) stepsBrought.delete(id);
}

/** Since the snapshot. */
const stepsBrought = new Set<string>();

/** What a run did so far, in batches, and whether that was all: a connection may be cut off on the way. */
async function eachOfHistory(id: string, query: string, take: (events: readonly EventView[]) => void): Promise<boolean> {
  try {
    const response = await fetch(`/api/runs/${encodeURIComponent(id)}/events?follow=false${query}`, { credentials: 'same-origin' });
    if (!response.ok || !response.body) return false;
    for await (const messages of messagesOf(response.body)) take(messages.map(({ data }) => JSON.parse(legible(data)) as EventView));
    return true;
  } catch {
    return false;
  }
}

const transcriptLimit = 20;

function putTranscript(id: string, transcript: Transcript): void {
  if (transcripts.get(id) === transcript) return;
  const next = new Map(transcripts);
  next.delete(id);
  next.set(id, transcript);
  // Those looked at longest ago go first; they can be read again.
  for (const old of next.keys()) if (next.size > transcriptLimit && !open.has(old)) next.delete(old);
  transcripts = next;
  scheduleTold();
}

let telling = false;
function scheduleTold(): void {
  if (telling) return;
  telling = true;
  setTimeout(() => {
    telling = false;
    told();
  }, 16);
}

/* Keeping it for later */

const saveSoon = throttled(
  2_000,
  async () => {
    // What was kept is not replaced by what was only recalled.
    if (state.connection.kind === 'live') await save(state, transcripts, Date.now()).catch(() => undefined);
  },
  // The page is drawn first.
  performance.now(),
);
