import type { JournalEvent } from '../../domain/event.ts';
import { recoveryKinds } from '../../domain/recovery.ts';
import { isClosed, needsPerson, priorities, type TaskStatus } from '../../domain/task.ts';
import { longestRun } from '../../store/standing.ts';
import type { Store } from '../../store/store.ts';
import { countOpen, sourcesOf } from '../../store/tasks.ts';
import { atRest, boundedLabel, type Instruments } from './family.ts';

export interface TaskMetricsParts {
  readonly store: Store;
  readonly now: () => number;
  readonly monotonic: () => number;
}

/** Counts tasks, from the events of runs that this node started. */
export function countTasks(
  { counter, gauge, histogram }: Instruments,
  { store, now, monotonic }: TaskMetricsParts,
): (events: readonly JournalEvent[]) => Promise<void> {
  const ended = counter({
    name: 'agent_tasks_executed_total',
    help: 'Tasks that ended, by how and by where they came from',
    labelNames: ['status', 'source'],
  });
  const succeeded = counter({ name: 'tasks_executed_total', help: 'Tasks that succeeded' });
  const failed = counter({ name: 'tasks_failed_total', help: 'Tasks that failed' });
  const recoveries = counter({
    name: 'agent_recoveries_total',
    help: 'Runs that went wrong, by what followed from that',
    labelNames: ['plan'],
  });
  for (const plan of recoveryKinds) recoveries.inc({ plan }, 0);
  const escalations = counter({ name: 'agent_escalations_total', help: 'Tasks that were put before a person' });
  const byType = histogram({
    name: 'agent_task_duration_seconds',
    help: 'Duration of runs',
    labelNames: ['task_type'],
    buckets: [1, 5, 10, 30, 60, 300, 600, 1800],
  });
  const duration = histogram({
    name: 'task_execution_duration_seconds',
    help: 'Duration of runs, with the buckets that clients in Python have by default',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  });
  const open = atRest(monotonic, () => countOpen(store.read));
  gauge({
    name: 'agent_queue_depth',
    help: 'Open tasks that wait, by priority',
    labelNames: ['priority'],
    async collect() {
      const depth = new Map<string, number>(priorities.map((priority) => [priority, 0]));
      for (const { priority, status, count } of await open()) {
        if (status !== 'running') depth.set(priority, (depth.get(priority) ?? 0) + count);
      }
      for (const [priority, count] of depth) this.set({ priority }, count);
    },
  });
  gauge({
    name: 'agent_tasks_needing_person',
    help: 'Tasks that wait for a person, by why',
    labelNames: ['status'],
    async collect() {
      for (const status of needsPerson) this.set({ status }, 0);
      for (const { status, count } of await open()) if (needsPerson.includes(status)) this.inc({ status }, count);
    },
  });
  gauge({
    name: 'current_tasks_in_progress',
    help: 'Tasks that are being worked on, on all nodes',
    async collect() {
      this.set((await open()).reduce((sum, { status, count }) => sum + (status === 'running' ? count : 0), 0));
    },
  });
  const oldest = atRest(monotonic, () => longestRun(store.read));
  gauge({
    name: 'agent_longest_run_seconds',
    help: 'How long the run under way has lasted that began first; 0 when there is none',
    async collect() {
      const since = await oldest();
      this.set(since === null ? 0 : Math.max(0, now() - since) / 1_000);
    },
  });

  const labelOf = boundedLabel();
  return async (events) => {
    const over = events.filter(({ type, data }) => type === 'task.status' && isClosed(data['to'] as TaskStatus));
    const sources = await sourcesOf(
      store.read,
      over.flatMap(({ taskId }) => taskId ?? []),
    );
    for (const { taskId, data } of over) {
      const status = data['to'] as TaskStatus;
      ended.inc({ status, source: labelOf(sources.get(taskId ?? '') ?? null) });
      if (status === 'succeeded') succeeded.inc();
      if (status === 'failed') failed.inc();
    }
    for (const { type, data } of events) {
      if (type === 'task.recovery') recoveries.inc({ plan: String(data['plan']) });
      if (type === 'task.status' && data['to'] === 'escalated') escalations.inc();
      if (type !== 'run.finished') continue;
      const seconds = Number(data['durationMs']) / 1_000;
      byType.observe({ task_type: 'run' }, seconds);
      duration.observe(seconds);
    }
  };
}
