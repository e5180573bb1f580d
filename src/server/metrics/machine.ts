import { statfs } from 'node:fs/promises';
import { collectDefaultMetrics, type Registry } from 'prom-client';
import type { Instruments } from './family.ts';

export interface MachineMetricsParts {
  readonly version: string;
  readonly store: string;
  /** Where the server keeps what it has. */
  readonly home: string;
  readonly runs: () => number;
  readonly capacity: number;
  readonly watchers: () => number;
  /** Null until it has been measured. */
  readonly workspaceBytes: () => number | null;
  readonly lastExamination: () => { readonly at: number; readonly healthy: boolean } | null;
  /** How old the newest backup is; null when there is none. */
  readonly backupAgeMs: () => Promise<number | null>;
}

/** Gauges that prom-client names like counters. What they say is in the metrics without the ending, by type. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** This process and the machine it is on. */
export function describeMachine(registry: Registry, { gauge }: Instruments, parts: MachineMetricsParts): void {
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
  const figure = (name: string, help: string, value: () => number | null): void => {
    gauge({
      name,
      help,
      collect() {
        const now = value();
        if (now === null) this.reset();
        else this.set(now);
      },
    });
  };
  gauge({ name: 'agent_info', help: 'Always 1', labelNames: ['version', 'store'] }).set({ version: parts.version, store: parts.store }, 1);
  figure('agent_memory_bytes', 'Resident memory of the server', () => process.memoryUsage.rss());
  figure('agent_workspace_bytes', 'What workspaces take on the disk of this node', parts.workspaceBytes);
  figure('agent_runs_active', 'Runs on this node right now', parts.runs);
  figure('agent_runs_capacity', 'Runs that this node takes on at the same time', () => parts.capacity);
  figure('agent_event_watchers', 'Clients waiting on the event stream', parts.watchers);

  figure('last_healthcheck_timestamp', 'When the server was examined last, in seconds since 1970; absent before that', () => {
    const last = parts.lastExamination();
    return last && last.at / 1_000;
  });
  figure('last_healthcheck_status', '1 when the last examination found nothing that fails, 0 when it did; absent before that', () => {
    const last = parts.lastExamination();
    return last && Number(last.healthy);
  });
  gauge({
    name: 'agent_backup_age_seconds',
    help: 'How old the newest backup of this node is; absent without one',
    async collect() {
      const ms = await parts.backupAgeMs();
      if (ms === null) this.reset();
      else this.set(ms / 1_000);
    },
  });
  const size = gauge({ name: 'agent_disk_bytes', help: "Size of the disk that the server's home is on" });
  gauge({
    name: 'agent_disk_free_bytes',
    help: "What is free of the disk that the server's home is on",
    async collect() {
      const { bavail, blocks, bsize } = await statfs(parts.home);
      this.set(bavail * bsize);
      size.set(blocks * bsize);
    },
  });
}
