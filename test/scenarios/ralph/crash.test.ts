import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { git, write } from '../../support/git-world.ts';
import { Api, type ApiRun, testToken } from '../../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../../support/server-process.ts';

const bash = (command: string): object => ({ tool: 'Bash', input: { command, description: 'Work', timeout: 600_000 } });

const script = {
  name: 'interrupted',
  turns: [
    { when: { tool: 'Write' }, say: 'I am done.' },
    { when: { first: true }, say: 'I work.', call: { tool: 'Write', input: { file_path: '{{cwd}}/one.txt', content: '1\n' } } },
    {
      when: { said: 'You were interrupted: the server stopped while you were at work. Your last step may be half done. This is how' },
      say: 'I go on.',
      call: { tool: 'Write', input: { file_path: '{{cwd}}/two.txt', content: '2\n' } },
    },
    { when: { said: '(round 2 of' }, say: 'I try again.', call: bash('echo begun > begun.txt; sleep 600') },
    { say: 'I am done.' },
  ],
};

/** The agent has been told what is red, and works on it, when the server dies. */
test('rounds are counted on by a server that was killed between them, each of them once', { timeout: 120_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), 'nightshift-ralph-crash-'));
  const [home, repository] = [join(root, 'home'), join(root, 'repository')];
  mkdirSync(home);
  mkdirSync(repository);
  git(repository, 'init', '--quiet', '--initial-branch=main');
  write(repository, { 'README.md': '# Sample\n', '.nightshift.yaml': 'limits: { rounds: 2 }\n' });
  git(repository, 'add', '--all');
  git(repository, 'commit', '--quiet', '-m', 'first');
  writeFileSync(join(root, 'script.json'), JSON.stringify(script));
  const begin = (): ServerProcess =>
    spawnServer(home, { NIGHTSHIFT_TOKEN: testToken, LLM_PROVIDER: 'rehearsal', NIGHTSHIFT_REHEARSAL: join(root, 'script.json') });
  let server = begin();
  try {
    let api = new Api(await server.address, testToken);
    const { id } = await api.submit({
      title: 'three files',
      body: undefined,
      repository,
      maxAttempts: 1,
      verify: ['test', '-f', 'three.txt'],
    });
    const runOf = async (index: number): Promise<ApiRun> => api.run((await api.task(id)).runs[index]?.id ?? '');
    await api.becomes(id, 'running');
    await until('the second round to be under way', async () => {
      const trees = join(home, 'workspaces');
      return (await runOf(0)).rounds.length === 1 && readdirSync(trees).some((name) => existsSync(join(trees, name, 'tree', 'begun.txt')));
    });
    server.child.kill('SIGKILL');
    await server.exited;
    server = begin();
    api = new Api(await server.address, testToken);
    const task = await api.becomes(id, 'escalated', 'failed', 'succeeded', 'delayed');
    expect(task).toMatchObject({
      status: 'escalated',
      reason: { code: 'round-limit', message: expect.stringMatching(/after 2 rounds.*task \(/) },
    });
    const [first, second] = [await runOf(0), await runOf(1)];
    expect(first).toMatchObject({ status: 'lost', rounds: [{ number: 1, decision: 'continue' }] });
    expect(second).toMatchObject({
      status: 'escalated',
      sessionId: first.sessionId,
      rounds: [{ number: 2, decision: 'stop', rule: 'round-limit' }],
    });
    expect(second.filesChanged.map(({ path }) => path)).toEqual(['begun.txt', 'one.txt', 'two.txt']);
  } finally {
    server.child.kill('SIGTERM');
    await server.exited;
    rmSync(root, { recursive: true, force: true });
  }
});
