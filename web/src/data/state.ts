import { tellingPart } from '../text/tool.ts';
import {
  type AlertView,
  type BudgetView,
  closedStatuses,
  type EventView,
  type Priority,
  type QueueView,
  type RunStatus,
  type RunView,
  type ServerView,
  type SessionView,
  type TaskStatus,
  type TaskView,
} from './views.ts';

/** How things stand between us and the server. */
type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** Since when nothing has come in: what is shown is from then. */
  | { readonly kind: 'lost'; readonly since: number };

/** What a run did last, in one line. */
interface Step {
  readonly at: string;
  readonly text: string;
  readonly tone: 'plain' | 'code' | 'bad';
}

const families = ['alert', 'inbox', 'outbox', 'note'] as const;
/** Events of one kind begin alike. */
type Family = (typeof families)[number];
const familyOf = ({ type }: EventView): Family | undefined => families.find((each) => type.startsWith(`${each}.`));

/** Everything the pages show, but for transcripts. Replaced, never changed. */
export interface State {
  readonly connection: Connection;
  /** Null: signed out. Undefined: not known yet. */
  readonly session: SessionView | null | undefined;
  readonly server: ServerView | undefined;
  readonly queue: QueueView | undefined;
  readonly budgets: readonly BudgetView[] | undefined;
  readonly alerts: readonly AlertView[] | undefined;
  readonly tasks: ReadonlyMap<string, TaskView>;
  readonly runs: ReadonlyMap<string, RunView>;
  readonly steps: ReadonlyMap<string, Step>;
  /** The last event of each kind that tells pages to look again at what they list by themselves. */
  readonly heard: Readonly<Partial<Record<Family, string>>>;
  /** The first snapshot has come, from the server or from what was kept. */
  readonly loaded: boolean;
  /** Which snapshot this is: with a new one, whatever was fetched beside the one before is gone. */
  readonly snapshot: number;
}

export const emptyState: State = {
  connection: { kind: 'connecting' },
  session: undefined,
  server: undefined,
  queue: undefined,
  budgets: undefined,
  alerts: undefined,
  tasks: new Map(),
  runs: new Map(),
  steps: new Map(),
  heard: {},
  loaded: false,
  snapshot: 0,
};

/**
 * Adds what the server answered. An answer may be older than an event that overtook it on the way, so the newer of the two
 * stays; `updatedAt` says which that is.
 */
export function withTasks(state: State, fetched: readonly TaskView[]): State {
  const tasks = new Map(state.tasks);
  for (const task of fetched) {
    const known = tasks.get(task.id);
    if (!known || known.updatedAt <= task.updatedAt) tasks.set(task.id, known ? { ...task, body: longer(known.body, task.body) } : task);
  }
  return { ...state, tasks };
}

/** Lists cut bodies short, and a body never changes. */
const longer = (a: string | null, b: string | null): string | null => ((a?.length ?? 0) > (b?.length ?? 0) ? a : b);

/** What happened, in order. Events of tasks that are not here change nothing; `unknownTasks` names them. */
export function withEvents(state: State, events: readonly EventView[]): State {
  let tasks: Map<string, TaskView> | undefined;
  let steps: Map<string, Step> | undefined;
  let { heard } = state;
  for (const event of events) {
    const family = familyOf(event);
    if (family) heard = { ...heard, [family]: event.id };
    const task = event.taskId === null ? undefined : (tasks ?? state.tasks).get(event.taskId);
    const changed = task && taskAfter(task, event);
    if (changed && changed !== task) {
      tasks ??= new Map(state.tasks);
      tasks.set(changed.id, changed);
    }
    if (event.runId === null) continue;
    const step = stepOf(event);
    if (step) {
      steps ??= new Map(state.steps);
      steps.set(event.runId, step);
    } else if (event.type === 'run.finished') {
      steps ??= new Map(state.steps);
      steps.delete(event.runId);
    }
  }
  if (!tasks && !steps && heard === state.heard) return state;
  return { ...state, heard, ...(tasks ? { tasks } : {}), ...(steps ? { steps } : {}) };
}

export const unknownTasks = (state: State, events: readonly EventView[]): readonly string[] => [
  ...new Set(
    events.flatMap(({ taskId, type }) =>
      taskId !== null && /^(task\.|run\.started)/.test(type) && !state.tasks.has(taskId) ? [taskId] : [],
    ),
  ),
];

function taskAfter(task: TaskView, { type, at, runId, data }: EventView): TaskView {
  // The task was fetched after this happened, and has it already.
  if (at < task.updatedAt) return task;
  switch (type) {
    case 'task.status': {
      const to = data['to'] as TaskStatus;
      const reopened = closedStatuses.includes(task.status) && !closedStatuses.includes(to);
      return {
        ...task,
        status: to,
        reason: data['reason'] as TaskView['reason'],
        notBefore: typeof data['notBefore'] === 'number' ? new Date(data['notBefore']).toISOString() : task.notBefore,
        cancelRequestedAt: reopened ? null : task.cancelRequestedAt,
        closedAt: closedStatuses.includes(to) ? at : null,
        updatedAt: at,
      };
    }
    case 'task.priority':
      return { ...task, priority: data['to'] as Priority, updatedAt: at };
    case 'task.dependencies':
      return { ...task, dependsOn: data['dependsOn'] as string[], updatedAt: at };
    case 'task.cancel-requested':
      return { ...task, cancelRequestedAt: task.cancelRequestedAt ?? at };
    case 'run.started':
      return { ...task, attempts: Number(data['attempt']), runs: withRun(task.runs, runId, 'running') };
    case 'run.finished':
      return { ...task, runs: withRun(task.runs, runId, data['status'] as RunStatus) };
    default:
      return task;
  }
}

function withRun(runs: TaskView['runs'], id: string | null, status: RunStatus): TaskView['runs'] {
  if (id === null) return runs;
  return runs.some((run) => run.id === id) ? runs.map((run) => (run.id === id ? { id, status } : run)) : [...runs, { id, status }];
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim().slice(0, 240);

/** The one line that tells where a run stands. */
function stepOf({ type, at, data }: EventView): Step | undefined {
  const step = (text: string, tone: Step['tone'] = 'plain'): Step | undefined => (text === '' ? undefined : { at, text, tone });
  switch (type) {
    case 'run.started':
      return step('Preparing a place to work');
    case 'run.session':
      return step('The agent is at work');
    case 'run.text':
      return step(oneLine(String(data['text'])));
    case 'run.thinking':
      return step('Thinking');
    case 'run.tool-started':
      return step(oneLine(`${String(data['tool'])} ${tellingPart(data['input'])}`), 'code');
    case 'run.output':
      return step(oneLine(String(data['text']).trimEnd().split('\n').at(-1) ?? ''), 'code');
    case 'run.notice':
      return step(oneLine(String(data['text'])));
    case 'run.retry':
      return step(`The model did not answer (${data['status'] ?? 'no connection'}); trying again`, 'bad');
    case 'run.error':
      return step(oneLine(String(data['message'])), 'bad');
    case 'run.verified':
      return data['passed'] === true ? step('The check passed') : step('The check failed', 'bad');
    case 'run.round':
      if (data['decision'] !== 'finish') return step('Gates are red', 'bad');
      return (data['excused'] as readonly unknown[]).length > 0
        ? step('Not all gates are green; delivering the work')
        : step('The gates are green; delivering the work');
    default:
      return undefined;
  }
}

/** How many open tasks there are of each status, by the server's own count. */
export function countsOf(queue: QueueView | undefined): Readonly<Record<'running' | 'waiting' | 'needy', number>> {
  const sum = (of: (status: TaskStatus) => boolean): number =>
    (queue?.open ?? []).filter(({ status }) => of(status)).reduce((all, { count }) => all + count, 0);
  return {
    running: sum((status) => status === 'running'),
    waiting: sum((status) => status === 'queued' || status === 'blocked' || status === 'delayed'),
    needy: sum((status) => status === 'awaiting-approval' || status === 'escalated' || status === 'over-budget'),
  };
}
