import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { JournalEvent } from '../domain/event.ts';
import type { LedgerEntry } from '../domain/spending.ts';
import { isClosed, priorities, type TaskStatus } from '../domain/task.ts';
import type { Store } from '../store/store.ts';
import { countOpen, sourcesOf } from '../store/tasks.ts';
import { type CallMetricsParts, countCalls } from './call-metrics.ts';

export interface Metrics {
  readonly contentType: string;
  render(): Promise<string>;
  /** Told of each event of the journal, once. */
  observe(events: readonly JournalEvent[]): Promise<void>;
  /** Told of each model call of this node once it is in the ledger. */
  booked(entry: LedgerEntry): void;
  /** Something was delivered: `stored`, a `duplicate`, or why it was refused. */
  delivery(source: string, result: string): void;
}

/** Counting a million open tasks takes a moment; a scrape within this time gets the last count. */
const depthAgeMs = 5_000;

export function createMetrics(
  store: Store,
  node: string,
  now: () => number,
  live: { readonly runs: () => number; readonly watchers: () => number },
  calls: Omit<CallMetricsParts, 'store'>,
): Metrics {
  /** Runs under way that this node started. Every node reads every event, and each counts its own. */
  const mine = new Set<string>();
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });

  const executed = new Counter({
    name: 'agent_tasks_executed_total',
    help: 'Tasks that ended, by how and by where they came from',
    labelNames: ['status', 'source'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'agent_task_duration_seconds',
    help: 'Duration of runs',
    labelNames: ['task_type'],
    buckets: [1, 5, 10, 30, 60, 300, 600, 1800],
    registers: [registry],
  });
  const deliveries = new Counter({
    name: 'agent_deliveries_total',
    help: 'Deliveries to webhooks, by source and by what was done with them',
    labelNames: ['source', 'result'],
    registers: [registry],
  });
  let counted = Number.NEGATIVE_INFINITY;
  new Gauge({
    name: 'agent_queue_depth',
    help: 'Open tasks that wait, by priority',
    labelNames: ['priority'],
    registers: [registry],
    async collect() {
      if (now() - counted < depthAgeMs) return;
      counted = now();
      const depth = new Map<string, number>(priorities.map((priority) => [priority, 0]));
      for (const { priority, status, count } of await countOpen(store.read)) {
        if (status !== 'running') depth.set(priority, (depth.get(priority) ?? 0) + count);
      }
      for (const [priority, count] of depth) this.set({ priority }, count);
    },
  });
  gauge('agent_memory_bytes', 'Resident memory of the server', () => process.memoryUsage.rss());
  gauge('agent_runs_active', 'Runs on this node right now', live.runs);
  gauge('agent_event_watchers', 'Clients waiting on the event stream', live.watchers);

  const booked = countCalls(registry, { store, ...calls });

  function gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  }

  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    booked,
    delivery: (source, result) => deliveries.inc({ source, result }),
    async observe(events) {
      const ended: JournalEvent[] = [];
      for (const event of events) {
        const { type, runId, data } = event;
        if (type === 'run.started' && data['node'] === node && runId !== null) mine.add(runId);
        if (type === 'task.status' && runId !== null && mine.has(runId) && isClosed(data['to'] as TaskStatus)) ended.push(event);
        if (type === 'run.finished' && runId !== null && mine.delete(runId)) {
          duration.observe({ task_type: 'run' }, Number(data['durationMs']) / 1_000);
        }
      }
      const sources = await sourcesOf(
        store.read,
        ended.flatMap(({ taskId }) => taskId ?? []),
      );
      for (const { taskId, data } of ended) executed.inc({ status: String(data['to']), source: sources.get(taskId ?? '') ?? 'unknown' });
    },
  };
}
