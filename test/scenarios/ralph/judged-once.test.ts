import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { git, write } from '../../support/git-world.ts';
import { Api, testToken } from '../../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../../support/server-process.ts';

const script = {
  name: 'judged-once',
  turns: [
    { when: { first: true }, call: { tool: 'Bash', input: { command: 'echo work > work.txt', description: 'Work' } } },
    { say: 'I am done.' },
  ],
};

/** What a gate leaves behind is ignored, and so stays. The tests take for ever the first time. */
const makefile = 'lint:\n\t@echo ran >> lint.log\ntest:\n\t@test -e begun.log || { touch begun.log; sleep 600; }\n';

test('what was judged before the server died is not asked again', { timeout: 120_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), 'nightshift-judged-once-'));
  const [home, repository] = [join(root, 'home'), join(root, 'repository')];
  for (const directory of [home, repository]) mkdirSync(directory);
  git(repository, 'init', '--quiet', '--initial-branch=main');
  write(repository, { Makefile: makefile, '.gitignore': '*.log\n' });
  git(repository, 'add', '--all');
  git(repository, 'commit', '--quiet', '-m', 'first');
  writeFileSync(join(root, 'script.json'), JSON.stringify(script));
  const begin = (): ServerProcess =>
    spawnServer(home, { NIGHTSHIFT_TOKEN: testToken, LLM_PROVIDER: 'rehearsal', NIGHTSHIFT_REHEARSAL: join(root, 'script.json') });
  let server = begin();
  try {
    let api = new Api(await server.address, testToken);
    const { id } = await api.submit({ title: 'Work', body: undefined, repository });
    const workspaces = join(home, 'workspaces');
    const trees = (): readonly string[] =>
      existsSync(workspaces) ? readdirSync(workspaces).map((name) => join(workspaces, name, 'tree')) : [];
    await until('the tests to be under way', async () => trees().some((tree) => existsSync(join(tree, 'begun.log'))));
    server.child.kill('SIGKILL');
    await server.exited;
    server = begin();
    api = new Api(await server.address, testToken);
    const task = await api.becomes(id, 'succeeded', 'failed', 'escalated');
    expect(task).toMatchObject({ status: 'succeeded', runs: [{ status: 'lost' }, { status: 'succeeded' }] });
    const { rounds } = await api.run(task.runs[1]?.id ?? '');
    const said = rounds[0]?.verdicts.map(({ gate, passed, cached }) => [gate, passed, cached]);
    expect(said).toEqual(
      expect.arrayContaining([
        ['lint', true, true],
        ['tests', true, false],
      ]),
    );
    expect(trees().map((tree) => readFileSync(join(tree, 'lint.log'), 'utf8'))).toEqual(['ran\n']);
  } finally {
    server.child.kill('SIGTERM');
    await server.exited;
    rmSync(root, { recursive: true, force: true });
  }
});
