import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { type GitHttpServer, serveGit } from '../support/git-http.ts';
import { git, write } from '../support/git-world.ts';
import { missingSandbox } from '../support/sandbox.ts';
import { type ApiRun, type ApiTask, startTestServer, type TestServer } from '../support/server.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';
import { submitFor } from '../support/untrusted.ts';

/** The whole server; the loopback stands for the network. */
describe.skipIf(missingSandbox)('what a repository is allowed to reach', () => {
  const outside = createServer((incoming, response) => response.end(`${incoming.headers.host}${incoming.url}\n`));
  let port: number;
  let database: TestDatabase;
  let server: TestServer;
  let forge: GitHttpServer;
  let allowed: string;
  let other: string;

  beforeAll(async () => {
    await new Promise<void>((resolve) => outside.listen(0, '127.0.0.1', () => resolve()));
    ({ port } = outside.address() as AddressInfo);
    database = await createDatabase('sqlite');
    const root = join(database.home, 'theirs');
    for (const name of ['allowed', 'other']) {
      mkdirSync(join(root, name), { recursive: true });
      git(join(root, name), 'init', '--quiet', '--initial-branch=main');
      write(join(root, name), { 'README.md': '# Sample\n' });
      git(join(root, name), 'add', '--all');
      git(join(root, name), 'commit', '--quiet', '-m', 'first');
      git(join(root, name), 'clone', '--quiet', '--bare', '.', join(root, 'forge', `${name}.git`));
    }
    forge = await serveGit(join(root, 'forge'));
    [allowed, other] = [`${forge.origin}/allowed.git`, `${forge.origin}/other.git`];
    const script = {
      name: 'network',
      turns: [
        { say: 'I ask.', call: { tool: 'Bash', input: { command: reach('agent.txt', 'allowed.example'), description: 'Ask' } } },
        { say: 'Asked.' },
      ],
    };
    writeFileSync(join(database.home, 'script.json'), JSON.stringify(script));
    const rules = [{ match: `${forge.origin}/allowed`, egress: [`allowed.example:${port}`] }];
    writeFileSync(join(database.home, 'nightshift.yaml'), JSON.stringify({ repositories: rules }));
    server = await startTestServer(
      database,
      { llmProvider: 'rehearsal', rehearsalScript: join(database.home, 'script.json') },
      systemClock,
      { resolve: async () => ['127.0.0.1'], isForbidden: (address) => address !== '127.0.0.1' },
    );
  });
  afterAll(async () => {
    await server.running.stop();
    await forge.stop();
    outside.close();
    await database.remove();
  });

  /** Writes into a file what came back, or the code of curl. */
  const reach = (file: string, host: string, path = '/x'): string =>
    `curl --silent --show-error --max-time 20 http://${host}:${port}${path} >> ${file} 2>&1 || echo "curl $?" >> ${file}`;

  async function ended(id: string): Promise<{ task: ApiTask; run: ApiRun; notices: readonly string[] }> {
    const task = await server.api.becomes(id, 'succeeded', 'failed', 'escalated', 'delayed');
    const run = await server.api.run(task.runs.at(-1)?.id ?? '');
    const store = await database.open();
    const events = await store.read
      .selectFrom('events')
      .selectAll()
      .where('run_id', '=', run.id)
      .where('type', '=', 'run.notice')
      .execute();
    await store.close();
    return { task, run, notices: events.map(({ data }) => (JSON.parse(data) as { text: string }).text) };
  }
  const sh = (repository: string, ...lines: readonly string[]): Promise<ApiTask> =>
    server.api.submit({ title: 'reach', repository, verify: ['true'], body: JSON.stringify(['sh', '-c', lines.join('\n')]) });

  test('is reached by an agent and its tools, beside the model', async () => {
    const { id } = await server.api.submit({ title: 'reach', engine: 'claude', repository: allowed, verify: ['true'] });
    const { task, run } = await ended(id);
    expect(task).toMatchObject({ status: 'succeeded' });
    expect(run.diff).toContain(`+allowed.example:${port}/x`);
  });

  test('is all that is reached: the rest is refused, and the first of what was refused are told', async () => {
    const { id } = await sh(
      allowed,
      reach('got.txt', 'allowed.example'),
      reach('got.txt', 'other.example'),
      reach('got.txt', 'other.example'),
      reach('got.txt', '127.0.0.1'),
      `curl --silent --noproxy '*' --max-time 5 http://127.0.0.1:${port}/direct >> got.txt || echo "curl $?" >> got.txt`,
      `for i in $(seq 30); do curl --silent -o /dev/null http://no$i.example:${port}/; done`,
    );
    const { task, run, notices } = await ended(id);
    expect(task).toMatchObject({ status: 'succeeded' });
    expect(run.diff).toContain(`+allowed.example:${port}/x`);
    expect(run.diff).toContain('not on the repository');
    expect(run.diff).not.toContain('/direct');
    expect(notices.filter((text) => text.includes('other.example'))).toHaveLength(1);
    expect(notices).toHaveLength(20);
    expect(notices.at(-1)).toContain('only in the log');
    expect(readdirSync(join(database.home, 'sockets'))).toEqual([]);
  });

  test('is for that repository alone', async () => {
    const { id } = await sh(other, reach('got.txt', 'allowed.example'));
    const { run } = await ended(id);
    expect(run.diff).toMatch(/\+curl: \(\d+\)/);
    expect(run.diff).not.toContain(`+allowed.example:${port}/x`);
  });

  test('is never reached by work of somebody who is not trusted', async () => {
    const body = JSON.stringify(['sh', '-c', reach('got.txt', 'allowed.example')]);
    const { run } = await ended(await submitFor('untrusted', database, { title: 'reach', repository: allowed, verify: ['true'], body }));
    expect(run.diff).toMatch(/\+curl: \(\d+\)/);
    expect(run.diff).not.toContain(`+allowed.example:${port}/x`);
    expect(existsSync(join(database.home, 'sockets', `${run.id.slice(-10)}.net`))).toBe(false);
  });
});
