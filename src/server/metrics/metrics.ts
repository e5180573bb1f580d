import { Registry } from 'prom-client';
import type { JournalEvent } from '../../domain/event.ts';
import type { LedgerEntry } from '../../domain/spending.ts';
import { type CallMetricsParts, countCalls } from './calls.ts';
import { instrumentsOf } from './family.ts';
import { countGates } from './gates.ts';
import { describeMachine, type MachineMetricsParts } from './machine.ts';
import { countMail } from './mail.ts';
import { countTasks, type TaskMetricsParts } from './tasks.ts';
import { countTools } from './tools.ts';

export interface Metrics {
  readonly contentType: string;
  render(): Promise<string>;
  /** Told of each event of the journal, once. */
  observe(events: readonly JournalEvent[]): Promise<void>;
  /** Told of each model call of this node once it is in the ledger. */
  booked(entry: LedgerEntry): void;
  /** Something was delivered: `stored`, a `duplicate`, `replayed`, or why it was refused. */
  delivery(source: string, result: string): void;
}

export type MetricsParts = TaskMetricsParts &
  Omit<CallMetricsParts, 'store'> & { readonly node: string; readonly machine: Omit<MachineMetricsParts, 'store'> };

export function createMetrics(parts: MetricsParts): Metrics {
  const registry = new Registry();
  const instruments = instrumentsOf(registry);
  describeMachine(registry, instruments, { ...parts.machine, store: parts.store.dialect });
  const tasks = countTasks(instruments, parts);
  const tool = countTools(instruments);
  const gate = countGates(instruments);
  const delivery = countMail(instruments, parts);
  const ours = eventsOfNode(parts.node);
  const booked = countCalls(instruments, parts);
  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    booked,
    delivery,
    async observe(events) {
      const own = events.filter(ours);
      for (const event of own) {
        tool(event);
        gate(event);
      }
      await tasks(own);
    },
  };
}

/** Every node reads every event, and each counts what happens in the runs that it started. */
function eventsOfNode(node: string): (event: JournalEvent) => boolean {
  const underWay = new Set<string>();
  return ({ type, runId, data }) => {
    if (runId === null) return false;
    if (type === 'run.started' && data['node'] === node) underWay.add(runId);
    return type === 'run.finished' ? underWay.delete(runId) : underWay.has(runId);
  };
}
