import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { validateWorkflow } from '@action-validator/core';
import { DCLinter } from 'dclint';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { dashboards, jsonOf } from '../scripts/build-grafana.ts';
import { loadConfig } from '../src/config/config.ts';
import { settings } from '../src/config/settings.ts';
import { faultsOfFly } from './support/fly.ts';
import { git } from './support/git-world.ts';
import { ask, missingAmtool, missingPromtool } from './support/prometheus.ts';
import { startTestServer, type TestServer } from './support/server.ts';
import { createDatabase, type TestDatabase } from './support/stores.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const text = (path: string): string => readFileSync(join(root, path), 'utf8');
const gitlabCiLocal = fileURLToPath(import.meta.resolve('gitlab-ci-local'));
const missingSystemd = spawnSync('systemd-analyze', ['--version']).error !== undefined;

describe('what watches a server', () => {
  let database: TestDatabase;
  let server: TestServer;
  let known: ReadonlySet<string>;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    server = await startTestServer(database, { rehearsalScript: undefined, llmProvider: 'rehearsal' });
    const scrape = (await server.api.call<string>('GET', '/metrics')).body;
    const declared = [...scrape.matchAll(/^# TYPE (\S+) (\S+)/gm)];
    known = new Set([
      ...declared.flatMap(([, name = '', type]) => (type === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name])),
      'up',
    ]);
  });

  afterAll(async () => {
    await server?.running.stop();
    await database?.remove();
  });

  /** What an expression reads: names before braces, brackets or the end of an argument, that are no functions. */
  const namesIn = (expression: string): readonly string[] =>
    [...expression.replaceAll(/\{[^}]*\}|\b(?:by|on|without)\s*\([^)]*\)|\[[^\]]*\]/g, ' ').matchAll(/\b([a-z_][a-z0-9_]*)\b(?!\s*\()/gi)]
      .map(([, name = '']) => name)
      .filter((name) => !/^(and|or|unless|bool|by|e\d+|\d.*)$/.test(name));

  test('alerts and dashboards read nothing but metrics that there are', () => {
    const rules = parse(text('deploy/prometheus/rules.yml')) as { groups: { rules: { expr: string }[] }[] };
    const asked = [
      ...rules.groups.flatMap((group) => group.rules.map(({ expr }) => expr)),
      ...dashboards.flatMap(({ panels }) => panels.flatMap(({ lines }) => Object.values(lines))),
    ].flatMap(namesIn);
    expect(asked.length).toBeGreaterThan(40);
    expect([...new Set(asked)].filter((name) => !known.has(name))).toEqual([]);
  });

  test.skipIf(missingPromtool)('each alert comes when it should, and only then', () => {
    expect(ask('promtool', ['check', 'rules', join(root, 'deploy/prometheus/rules.yml')])).toMatchObject({ ok: true });
    expect(ask('promtool', ['test', 'rules', join(root, 'deploy/prometheus/rules.test.yml')])).toMatchObject({ ok: true });
  });

  test('no alert is without a test of its own', () => {
    const rules = parse(text('deploy/prometheus/rules.yml')) as { groups: { rules: { alert: string }[] }[] };
    const tests = parse(text('deploy/prometheus/rules.test.yml')) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    const seenFiring = tests.tests.flatMap(({ alert_rule_test }) =>
      alert_rule_test.filter(({ exp_alerts }) => exp_alerts.length > 0).map(({ alertname }) => alertname),
    );
    expect(rules.groups.flatMap((group) => group.rules.map(({ alert }) => alert)).filter((alert) => !seenFiring.includes(alert))).toEqual(
      [],
    );
  });

  test('for each alert it is written down what to do', () => {
    const rules = parse(text('deploy/prometheus/rules.yml')) as { groups: { rules: { alert: string }[] }[] };
    const chapters = [...text('docs/operations/alerts.md').matchAll(/^## (\S+)$/gm)].map(([, name]) => name);
    expect(chapters).toEqual(rules.groups.flatMap((group) => group.rules.map(({ alert }) => alert)));
  });

  test.skipIf(missingAmtool)('the example for Alertmanager is one that it takes', () => {
    expect(ask('amtool', ['check-config', join(root, 'deploy/alertmanager/alertmanager.yml')])).toMatchObject({ ok: true });
  });

  test('the dashboards are those that the script writes', () => {
    for (const dashboard of dashboards) expect(text(`deploy/grafana/dashboards/${dashboard.uid}.json`)).toBe(jsonOf(dashboard));
    expect(readdirSync(join(root, 'deploy/grafana/dashboards'))).toHaveLength(dashboards.length);
  });

  test('healthcheck.sh is content with a server that answers, and with no other', async () => {
    const check = (address: string) => runToEnd(join(root, 'healthcheck.sh'), { PATH: process.env['PATH'] ?? '', NIGHTSHIFT_URL: address });
    expect(await check(server.api.address)).toMatchObject({ code: 0 });
    const deaf = await check('http://127.0.0.1:9');
    expect(deaf.code).toBe(1);
    expect(deaf.said).toContain('http://127.0.0.1:9 does not answer');
  });
});

describe('what it is deployed with', () => {
  test('compose mounts nothing that is not there, and publishes nothing beyond this machine', () => {
    const compose = parse(text('deploy/compose.yaml')) as {
      services: Record<string, { volumes?: string[]; ports?: string[]; security_opt?: string[] }>;
      volumes: Record<string, unknown>;
    };
    for (const { volumes = [], ports = [] } of Object.values(compose.services)) {
      for (const [from = ''] of volumes.map((volume) => volume.split(':'))) {
        expect(from.startsWith('./') ? existsSync(join(root, 'deploy', from)) : from in compose.volumes, from).toBe(true);
      }
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    }
  });

  test('every variable of .env.example is one that something reads', () => {
    const compose = text('deploy/compose.yaml');
    const envs = new Set<string>(Object.values(settings).flatMap((setting) => ('env' in setting ? [setting.env] : [])));
    const named = [...text('.env.example').matchAll(/^([A-Z_]+)=/gm)].map(([, name = '']) => name);
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !envs.has(name) && !compose.includes(name))).toEqual([]);
  });

  test('.env.example is taken as it is, and what is left empty in it is not set', () => {
    const env = Object.fromEntries(
      [...text('.env.example').matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
    );
    const { config } = loadConfig({ env, flags: {}, cwd: root });
    expect(config).toMatchObject({ sandbox: 'require', dailyBudgetUsd: 20, databaseUrl: undefined, llmApiKey: undefined, port: 8080 });
  });

  test('the image makes backups of the PostgreSQL beside it: pg_dump refuses a server that is newer than itself', () => {
    const clients: Readonly<Record<string, number>> = { bookworm: 15, trixie: 17 };
    const image = text('Dockerfile');
    const debian = /^ARG BASE=node:24-(\w+)-slim$/m.exec(image)?.[1] ?? '';
    const server = /image: postgres:(\d+)/.exec(text('deploy/compose.yaml'))?.[1];
    expect(image).toMatch(/apt-get install .*\bpostgresql-client\b/);
    expect(clients[debian]).toBeGreaterThanOrEqual(Number(server));
  });

  test('Fly asks for nothing at a port where nobody listens', () => {
    const fly = text('deploy/fly.toml');
    const listens = /^ {2}PORT = "(\d+)"$/m.exec(fly)?.[1];
    expect([...fly.matchAll(/^ {2}(?:internal_)?port = (\d+)$/gm)].map(([, port]) => port)).toEqual([listens]);
  });

  test('the image is given everything that is imported', () => {
    const ignored = text('.dockerignore');
    for (const folder of ['bin', 'src', 'web', 'scripts', 'demo']) expect(ignored).toContain(`!${folder}/`);
    expect(text('Dockerfile')).toMatch(/^USER nightshift$/m);
  });
});

describe('what is given to other people’s programs is what they take, as other people’s programs see it', () => {
  test.each(['ci.yml', 'health.yml'])('GitHub: %s', (name) => {
    expect(validateWorkflow(text(`.github/workflows/${name}`)).errors).toEqual([]);
    // What a tag means can be changed by others, what a commit means cannot.
    const used = [...text(`.github/workflows/${name}`).matchAll(/uses: (.+)$/gm)].map(([, action]) => action);
    expect(used.filter((action) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v[\d.]+$/.test(action ?? ''))).toEqual([]);
    expect(text(`.github/workflows/${name}`)).toMatch(/^permissions:\n {2}contents: read\n/m);
    expect(text(`.github/workflows/${name}`)).not.toContain('pull_request_target');
    expect(validateWorkflow(text(`.github/workflows/${name}`).replace('runs-on', 'run-on')).errors).not.toEqual([]);
  });

  /** As it reads a repository of somebody who tries out a pipeline; a job with a reserved name is none to it. */
  const gitlab = (pipeline: string): { readonly ok: boolean; readonly says: string } => {
    const directory = mkdtempSync(join(tmpdir(), 'nightshift-gitlab-'));
    try {
      writeFileSync(join(directory, '.gitlab-ci.yml'), pipeline);
      git(directory, 'init', '--quiet', '--initial-branch=main');
      git(directory, 'remote', 'add', 'origin', 'git@gitlab.example:nightshift/nightshift.git');
      const { status, stdout, stderr } = spawnSync(process.execPath, [gitlabCiLocal, '--preview'], { cwd: directory, encoding: 'utf8' });
      return { ok: status === 0, says: stdout + stderr };
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };

  test('GitLab', () => {
    const pipeline = text('.gitlab-ci.yml');
    const { ok, says } = gitlab(pipeline);
    expect(ok, says).toBe(true);
    for (const job of ['check', 'test', 'build-image']) expect(says).toContain(`\n${job}:\n`);
    expect(gitlab(pipeline.replace('timeout:', 'timout:')).ok).toBe(false);
    expect(gitlab(pipeline.replace('stage: image', 'stage: none')).ok).toBe(false);
    expect(gitlab(pipeline.replace('build-image:', 'image:')).ok).toBe(false);
  });

  test.skipIf(missingSystemd)('systemd', () => {
    const directory = mkdtempSync(join(tmpdir(), 'nightshift-systemd-'));
    const verify = (unit: string): string => {
      writeFileSync(join(directory, 'nightshift.service'), unit.replace(/^ExecStart=.*$/m, 'ExecStart=/bin/true'));
      const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', join(directory, 'nightshift.service')], { encoding: 'utf8' });
      return stdout + stderr;
    };
    const unit = text('deploy/nightshift.service');
    expect(verify(unit)).toBe('');
    expect(verify(unit.replace('PrivateTmp=', 'PrivatTmp='))).toContain("Unknown key 'PrivatTmp'");
    rmSync(directory, { recursive: true, force: true });
  });

  test('the unit leaves open what sandboxes are made of', () => {
    // Found by starting it: with each of these bubblewrap fails, though systemd likes the unit the better for it.
    const closing =
      /^(RestrictNamespaces|ProtectHostname|RestrictSUIDSGID|ProtectKernelTunables|ProtectKernelLogs|ProcSubset|MemoryDenyWriteExecute)=/gm;
    expect(text('deploy/nightshift.service').match(closing)).toBeNull();
  });

  test('compose', () => {
    // Of its rules those that are about taste are left out; what it is to Compose's own schema is told in any case.
    const taste = ['service-keys-order', 'services-alphabetical-order', 'top-level-properties-order', 'require-quotes-in-ports'];
    const ours = ['no-build-and-image', 'service-image-require-explicit-tag'];
    const rules = Object.fromEntries([...taste, ...ours].map((rule) => [rule, 0 as const]));
    const directory = mkdtempSync(join(tmpdir(), 'nightshift-compose-'));
    const faults = (compose: string): readonly string[] => {
      writeFileSync(join(directory, 'compose.yaml'), compose);
      const linter = new DCLinter({ rules, quiet: true, debug: false, exclude: [] });
      // Its types are lost to whoever resolves modules as Node does.
      const files: readonly { readonly messages: readonly { readonly message: string }[] }[] = linter.lintFiles(
        [join(directory, 'compose.yaml')],
        false,
      );
      return files.flatMap(({ messages }) => messages.map(({ message }) => message));
    };
    const compose = text('deploy/compose.yaml');
    expect(faults(compose)).toEqual([]);
    for (const [right, wrong] of [
      ['pids_limit:', 'pid_limit:'],
      ['service_healthy', 'service_well'],
      ['required: false', 'needed: false'],
      ['"127.0.0.1:9090:9090"', '"9090:9090"'],
    ] as const)
      expect(faults(compose.replace(right, wrong)), wrong).not.toEqual([]);
    rmSync(directory, { recursive: true, force: true });
  });

  test('Fly', () => {
    const fly = text('deploy/fly.toml');
    expect(faultsOfFly(fly)).toBe('');
    for (const [right, wrong] of [
      ['destination =', 'target ='],
      ['min_machines_running', 'machines_running'],
      ['auto_stop_machines = "off"', 'auto_stop_machines = "never"'],
      ['[[mounts]]', '[[volumes]]'],
    ] as const)
      expect(faultsOfFly(fly.replace(right, wrong)), wrong).toContain('error TS');
  });
});

async function runToEnd(
  program: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(program, [], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += String(chunk);
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}
