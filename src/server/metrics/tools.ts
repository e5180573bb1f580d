import type { JournalEvent } from '../../domain/event.ts';
import { boundedLabel, type Instruments } from './family.ts';

/** Counts what agents do with their tools, in the runs of this node. */
export function countTools({ counter, histogram }: Instruments): (event: JournalEvent) => void {
  const executions = counter({
    name: 'agent_tool_executions_total',
    help: 'Tool calls of agents',
    labelNames: ['tool', 'status'],
  });
  const duration = histogram({
    name: 'agent_tool_duration_seconds',
    help: 'Duration of tool calls of agents',
    labelNames: ['tool'],
    buckets: [0.1, 0.5, 1, 2, 5, 10, 30],
  });
  // A model may call any tool by any name.
  const labelOf = boundedLabel();
  return ({ type, data }) => {
    if (type !== 'run.tool-finished') return;
    const tool = labelOf(String(data['tool']).slice(0, 100));
    executions.inc({ tool, status: data['failed'] === true ? 'failed' : 'success' });
    duration.observe({ tool }, Number(data['durationMs']) / 1_000);
  };
}
