import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { freePort } from '../support/ports.ts';
import { missingAmtool, missingPromtool } from '../support/prometheus.ts';
import { type Api, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';

/** What a receiver was sent: where, and the text of it. */
interface Told {
  readonly path: string;
  readonly body: string;
}

describe.skipIf(missingPromtool || missingAmtool)('a real Prometheus and a real Alertmanager', () => {
  let database: TestDatabase;
  let server: TestServer;
  let api: Api;
  let receiver: Server;
  const programs: ChildProcess[] = [];
  const told: Told[] = [];
  let prometheus: string;
  let alertmanager: string;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    server = await startTestServer(database, { metricsPort: '0', metricsToken });
    ({ api } = server);
    receiver = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      told.push({ path: request.url ?? '', body });
      response.writeHead(request.url === '/pagerduty' ? 202 : 200).end('ok');
    }).listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const ports = [await freePort(), await freePort()] as const;
    prometheus = `http://127.0.0.1:${ports[0]}`;
    alertmanager = `http://127.0.0.1:${ports[1]}`;
    const folder = join(database.home, 'monitoring');
    const put = (name: string, content: string): string => {
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    mkdirSync(folder);
    const receiving = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
    put('slack-webhook', `${receiving}/slack`);
    put('pagerduty-key', 'a-routing-key');
    put('rules.yml', impatient(deployed('prometheus/rules.yml')));
    const scraping = elsewhere(deployed('prometheus/prometheus.yml'), {
      'nightshift:9464': new URL(server.running.metricsAddress ?? '').host,
      'alertmanager:9093': `127.0.0.1:${ports[1]}`,
      '/run/secrets/metrics-token': put('metrics-token', metricsToken),
      ': 15s': ': 1s',
    });
    const telling = elsewhere(deployed('alertmanager/alertmanager.yml'), {
      '/etc/alertmanager': folder,
      'group_wait: 10s': 'group_wait: 0s',
      'group_interval: 5m': 'group_interval: 1s',
    });
    programs.push(
      spawn(
        'prometheus-alertmanager',
        [
          `--config.file=${put('alertmanager.yml', `global: { pagerduty_url: "${receiving}/pagerduty" }\n${telling}`)}`,
          `--storage.path=${join(folder, 'alerts')}`,
          `--web.listen-address=127.0.0.1:${ports[1]}`,
          '--cluster.listen-address=',
        ],
        { stdio: 'ignore' },
      ),
      spawn(
        'prometheus',
        [
          `--config.file=${put('prometheus.yml', scraping)}`,
          `--storage.tsdb.path=${join(folder, 'series')}`,
          `--web.listen-address=127.0.0.1:${ports[0]}`,
        ],
        { stdio: 'ignore' },
      ),
    );
  });

  afterAll(async () => {
    for (const program of programs) {
      const ended = once(program, 'exit');
      program.kill('SIGTERM');
      await ended;
    }
    receiver?.close();
    await server?.running.stop();
    await database?.remove();
  });

  const ask = async (
    query: string,
  ): Promise<readonly { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] }[]> => {
    const answer = await fetch(`${prometheus}/api/v1/query?${new URLSearchParams({ query })}`).catch(() => undefined);
    if (!answer?.ok) return [];
    return ((await answer.json()) as { data: { result: [] } }).data.result;
  };

  const heard = (path: string, ...words: readonly string[]): Told | undefined =>
    told.find((each) => each.path === path && words.every((word) => each.body.includes(word)));

  test('as they are deployed, tell the team of a warning and of its end, wake somebody for what is urgent, and nobody for the rest', async () => {
    await until('a scrape', async () => (await ask('up{job="nightshift"} == 1')).length === 1, 60);
    const { id } = await api.submit({ title: 'asks first', body: 'true', needsApproval: true });
    await api.call('PUT', '/api/budgets/day', { body: { limit: 1 } });
    await until('word of the warning', () => heard('/slack', 'FIRING', 'BudgetNearlySpent', '1.00 dollars are left'), 60);
    await until('the alert that is nobody’s', async () => (await ask('ALERTS{alertname="PersonNeeded"}')).length === 1, 60);
    await api.call('PUT', '/api/budgets/day', { body: { limit: 20 } });
    await until('word that it is over', () => heard('/slack', 'RESOLVED', 'BudgetNearlySpent'), 60);
    await api.call('POST', `/api/tasks/${id}/approve`);
    await api.becomes(id, 'succeeded');
    await until('the count', async () => (await ask('tasks_executed_total == 1')).length === 1, 30);

    const [target] = await ask('up{job="nightshift"}');
    await server.running.stop();
    await until('word to whoever is woken', () => heard('/pagerduty', 'trigger', 'a-routing-key', 'ServerDown'), 60);
    await until('word to the team', () => heard('/slack', 'FIRING', 'ServerDown'), 60);
    const warning = (alertname: string, instance: string) => ({ labels: { alertname, instance, severity: 'warning' } });
    const raised = await fetch(`${alertmanager}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([warning('OfTheSame', target?.metric['instance'] ?? ''), warning('OfAnother', 'another:9464')]),
    });
    expect(raised.status).toBe(200);
    await until('word of another server', () => heard('/slack', 'OfAnother'), 60);
    expect(heard('/slack', 'OfTheSame')).toBeUndefined();
    expect(told.filter(({ body }) => body.includes('PersonNeeded'))).toEqual([]);
    expect(told.filter(({ path, body }) => path === '/pagerduty' && body.includes('BudgetNearlySpent'))).toEqual([]);
  });
});

const metricsToken = 'for-prometheus-alone-0123';
const deployed = (path: string): string => readFileSync(fileURLToPath(new URL(`../../deploy/${path}`, import.meta.url)), 'utf8');

/** A file as it is deployed, but for what is elsewhere here. What is not in it any more is not replaced unnoticed. */
function elsewhere(file: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((text, [from, to]) => {
    expect(text).toContain(from);
    return text.replaceAll(from, to);
  }, file);
}

/** The rules as they are, but none waits before it speaks. */
function impatient(rules: string): string {
  const parsed = parse(rules) as { groups: { rules: { for?: string }[] }[] };
  for (const { rules: list } of parsed.groups) for (const rule of list) delete rule.for;
  return stringify(parsed);
}
