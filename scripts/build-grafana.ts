import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Writes Grafana's dashboards from the few lines below: `node scripts/build-grafana.ts`. */
interface Panel {
  readonly title: string;
  readonly unit: string;
  /** Expressions by the name that their lines have. */
  readonly lines: Readonly<Record<string, string>>;
  readonly kind?: 'stat' | 'timeseries';
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
}

const only = '{instance=~"$instance"}';
const percentile = (share: number, name: string, by: string): string =>
  `histogram_quantile(${share}, sum by (le, ${by}) (rate(${name}_bucket${only}[$__rate_interval])))`;

export const dashboards: readonly Dashboard[] = [
  {
    uid: 'nightshift-work',
    title: 'Nightshift: work',
    panels: [
      { title: 'Running', unit: 'short', kind: 'stat', lines: { runs: `sum(agent_runs_active${only})` } },
      { title: 'Waiting', unit: 'short', kind: 'stat', lines: { tasks: 'sum(max by (priority) (agent_queue_depth))' } },
      { title: 'Need a person', unit: 'short', kind: 'stat', lines: { tasks: 'sum(max by (status) (agent_tasks_needing_person))' } },
      { title: 'Left of today', unit: 'currencyUSD', kind: 'stat', lines: { dollars: 'min(daily_cost_remaining_usd)' } },
      {
        title: 'Tasks that ended, an hour',
        unit: 'short',
        lines: { '{{status}}': `sum by (status) (increase(agent_tasks_executed_total${only}[1h]))` },
      },
      {
        title: 'Share that succeeds, by source',
        unit: 'percentunit',
        lines: {
          '{{source}}':
            'sum by (source) (increase(agent_tasks_executed_total{status="succeeded"}[6h])) / sum by (source) (increase(agent_tasks_executed_total[6h]))',
        },
      },
      { title: 'Waiting, by priority', unit: 'short', lines: { '{{priority}}': 'max by (priority) (agent_queue_depth)' } },
      {
        title: 'Duration of runs',
        unit: 's',
        lines: {
          half: percentile(0.5, 'agent_task_duration_seconds', 'task_type'),
          '95 %': percentile(0.95, 'agent_task_duration_seconds', 'task_type'),
        },
      },
      {
        title: 'Tool calls a minute',
        unit: 'short',
        lines: { '{{tool}} {{status}}': `60 * sum by (tool, status) (rate(agent_tool_executions_total${only}[$__rate_interval]))` },
      },
      { title: 'Tools, 95 %', unit: 's', lines: { '{{tool}}': percentile(0.95, 'agent_tool_duration_seconds', 'tool') } },
    ],
  },
  {
    uid: 'nightshift-models',
    title: 'Nightshift: models and money',
    panels: [
      {
        title: 'Dollars an hour',
        unit: 'currencyUSD',
        lines: { '{{model}}': `sum by (model) (increase(cost_total_per_model_usd${only}[1h]))` },
      },
      { title: 'Left of today', unit: 'currencyUSD', lines: { dollars: 'min(daily_cost_remaining_usd)' } },
      {
        title: 'Calls a minute',
        unit: 'short',
        lines: {
          '{{provider}} {{status}}': `60 * sum by (provider, status) (rate(agent_llm_requests_total${only}[$__rate_interval]))`,
        },
      },
      {
        title: 'Tokens a minute',
        unit: 'short',
        lines: { '{{model}} {{type}}': `60 * sum by (model, type) (rate(agent_llm_tokens_total${only}[$__rate_interval]))` },
      },
      {
        title: 'To the first byte, 95 %',
        unit: 's',
        lines: { '{{provider}}': percentile(0.95, 'agent_llm_first_byte_seconds', 'provider') },
      },
      {
        title: 'Breakers (0 closed, 1 half open, 2 open)',
        unit: 'short',
        lines: { '{{provider}} {{model}}': `max by (provider, model) (agent_llm_breaker_state${only})` },
      },
      { title: 'Calls that wait for a provider', unit: 'short', lines: { calls: `sum(agent_llm_calls_waiting${only})` } },
      { title: 'Paid for and under way', unit: 'short', lines: { calls: `sum(agent_budget_reservations${only})` } },
    ],
  },
  {
    uid: 'nightshift-server',
    title: 'Nightshift: servers and mail',
    panels: [
      { title: 'Memory', unit: 'bytes', lines: { '{{instance}}': `agent_memory_bytes${only}` } },
      { title: 'Event loop, 99 %', unit: 's', lines: { '{{instance}}': `nodejs_eventloop_lag_p99_seconds${only}` } },
      { title: 'Free on the disk', unit: 'bytes', lines: { '{{instance}}': `agent_disk_free_bytes${only}` } },
      { title: 'Workspaces', unit: 'bytes', lines: { '{{instance}}': `agent_workspace_bytes${only}` } },
      {
        title: 'Deliveries a minute',
        unit: 'short',
        lines: { '{{source}} {{result}}': `60 * sum by (source, result) (rate(agent_deliveries_total${only}[$__rate_interval]))` },
      },
      {
        title: 'Mail that waits',
        unit: 'short',
        lines: { 'in: {{source}}': 'max by (source) (agent_inbox_waiting)', 'out: {{channel}}': 'max by (channel) (agent_outbox_waiting)' },
      },
      {
        title: 'Mail that needs a person',
        unit: 'short',
        lines: { 'in: {{source}}': 'max by (source) (agent_inbox_failed)', 'out: {{channel}}': 'max by (channel) (agent_outbox_dead)' },
      },
      { title: 'Clients on the event stream', unit: 'short', lines: { '{{instance}}': `agent_event_watchers${only}` } },
    ],
  },
];

const datasource = { type: 'prometheus', uid: 'prometheus' };

export function jsonOf({ uid, title, panels }: Dashboard): string {
  const stats = panels.filter(({ kind }) => kind === 'stat').length;
  const json = {
    uid,
    title,
    schemaVersion: 39,
    tags: ['nightshift'],
    timezone: 'browser',
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: {
      list: [
        {
          name: 'instance',
          type: 'query',
          datasource,
          query: 'label_values(agent_info, instance)',
          includeAll: true,
          multi: true,
          current: { text: 'All', value: '$__all' },
          refresh: 2,
        },
      ],
    },
    panels: panels.map((panel, index) => ({
      id: index + 1,
      title: panel.title,
      type: panel.kind ?? 'timeseries',
      datasource,
      gridPos: placeOf(index, stats),
      fieldConfig: { defaults: { unit: panel.unit }, overrides: [] },
      targets: Object.entries(panel.lines).map(([legendFormat, expr], line) => ({
        refId: String.fromCharCode(65 + line),
        datasource,
        expr,
        legendFormat,
      })),
    })),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/** Single figures side by side at the top, charts in two columns below. */
function placeOf(index: number, stats: number): { readonly x: number; readonly y: number; readonly w: number; readonly h: number } {
  if (index < stats) return { x: (index * 24) / stats, y: 0, w: 24 / stats, h: 4 };
  const chart = index - stats;
  return { x: (chart % 2) * 12, y: (stats > 0 ? 4 : 0) + Math.floor(chart / 2) * 8, w: 12, h: 8 };
}

if (import.meta.main) {
  const directory = fileURLToPath(new URL('../deploy/grafana/dashboards/', import.meta.url));
  for (const dashboard of dashboards) writeFileSync(join(directory, `${dashboard.uid}.json`), jsonOf(dashboard));
}
