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
import { type Api, startTestServer, type TestServer, testToken } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';

interface Alert {
  readonly status: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

describe.skipIf(missingPromtool || missingAmtool)('a real Prometheus and a real Alertmanager', () => {
  let database: TestDatabase;
  let server: TestServer;
  let api: Api;
  let receiver: Server;
  const programs: ChildProcess[] = [];
  const received: Alert[] = [];
  let prometheus: string;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    server = await startTestServer(database);
    ({ api } = server);
    receiver = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      received.push(...(JSON.parse(body) as { alerts: Alert[] }).alerts);
      response.end();
    }).listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const alertmanager = await freePort();
    const port = await freePort();
    prometheus = `http://127.0.0.1:${port}`;
    const at = (name: string): string => join(database.home, name);
    mkdirSync(at('monitoring'));
    const folder = (name: string): string => join(at('monitoring'), name);
    writeFileSync(folder('token'), testToken, { mode: 0o600 });
    writeFileSync(folder('rules.yml'), impatient(readFileSync(rulesFile, 'utf8')));
    writeFileSync(
      folder('prometheus.yml'),
      stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: ['rules.yml'],
        alerting: { alertmanagers: [{ static_configs: [{ targets: [`127.0.0.1:${alertmanager}`] }] }] },
        scrape_configs: [
          {
            job_name: 'nightshift',
            authorization: { credentials_file: 'token' },
            static_configs: [{ targets: [new URL(api.address).host] }],
          },
        ],
      }),
    );
    writeFileSync(
      folder('alertmanager.yml'),
      stringify({
        route: { receiver: 'here', group_by: ['alertname'], group_wait: '0s', group_interval: '1s' },
        receivers: [
          {
            name: 'here',
            webhook_configs: [{ url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`, send_resolved: true }],
          },
        ],
      }),
    );
    programs.push(
      spawn(
        'prometheus-alertmanager',
        [
          `--config.file=${folder('alertmanager.yml')}`,
          `--storage.path=${folder('alerts')}`,
          `--web.listen-address=127.0.0.1:${alertmanager}`,
          '--cluster.listen-address=',
        ],
        { stdio: 'ignore' },
      ),
      spawn(
        'prometheus',
        [`--config.file=${folder('prometheus.yml')}`, `--storage.tsdb.path=${folder('series')}`, `--web.listen-address=127.0.0.1:${port}`],
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

  const ask = async (query: string): Promise<readonly { readonly metric: object; readonly value: readonly [number, string] }[]> => {
    const answer = await fetch(`${prometheus}/api/v1/query?${new URLSearchParams({ query })}`).catch(() => undefined);
    if (!answer?.ok) return [];
    return ((await answer.json()) as { data: { result: [] } }).data.result;
  };

  test('scrape the server, and tell a receiver of what waits for a person, and that it is over', async () => {
    await until('a scrape', async () => (await ask('up{job="nightshift"} == 1')).length === 1, 60);
    const { id } = await api.submit({ title: 'asks first', body: 'true', needsApproval: true });
    const raised = await until('the alert', () => received.find(({ labels }) => labels['alertname'] === 'PersonNeeded'), 60);
    expect(raised).toMatchObject({
      status: 'firing',
      labels: { severity: 'info', status: 'awaiting-approval' },
      annotations: { summary: '1 task waits for a person (awaiting-approval)' },
    });
    await api.call('POST', `/api/tasks/${id}/approve`);
    await api.becomes(id, 'succeeded');
    await until(
      'word that it is over',
      () => received.find(({ status, labels }) => status === 'resolved' && labels['alertname'] === 'PersonNeeded'),
      60,
    );
    const [counted] = await until(
      'the count',
      async () => {
        const found = await ask('tasks_executed_total');
        return found.length === 1 && found[0]?.value[1] === '1' && found;
      },
      30,
    );
    expect(counted).toBeDefined();
  });
});

const rulesFile = fileURLToPath(new URL('../../deploy/prometheus/rules.yml', import.meta.url));

/** The rules as they are, but none waits before it speaks. */
function impatient(rules: string): string {
  const parsed = parse(rules) as { groups: { rules: { for?: string }[] }[] };
  for (const { rules: list } of parsed.groups) for (const rule of list) delete rule.for;
  return stringify(parsed);
}
