import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Api } from '../support/server.ts';
import { spawnServer, until } from '../support/server-process.ts';
import { temporaryHome } from '../support/stores.ts';

const token = 'full-disk-owner-key-0123456789';
/** A file system of its own, for this process and its children alone; an ordinary user needs a namespace for it. */
const unshare = ['unshare', process.getuid?.() === 0 ? '-m' : '-rm'];
const possible = spawnSync(unshare[0] as string, [...unshare.slice(1), 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;
if (!possible && process.env['NIGHTSHIFT_TEST_NOTHING_SKIPPED']) throw new Error('no file system can be mounted here');

interface Waiting {
  readonly channel: string;
  readonly reason: { readonly code: string; readonly message: string } | null;
}

test.skipIf(!possible)(
  'on a full disk a TODO file is ticked in its place, and what does not fit is not begun',
  { timeout: 90_000 },
  async () => {
    const home = temporaryHome();
    const lists = join(home, 'lists');
    mkdirSync(lists);
    const many = `${'- [x] Done long ago\n'.repeat(500)}`;
    writeFileSync(join(home, 'good.md'), `- [ ] Mend the gate\n${many}`);
    writeFileSync(join(home, 'bad.md'), `- [ ] Paint the gate\n${many}`);
    writeFileSync(join(home, 'script.yaml'), 'name: talk\nturns:\n  - say: Done.\n');
    writeFileSync(
      join(home, 'nightshift.yaml'),
      `todoFiles: [{ path: lists/good.md }, { path: lists/bad.md, notes: true, repository: /srv/nowhere.git }]\n`,
    );
    const fill =
      'mount -t tmpfs -o size=64k tmpfs lists && cp good.md bad.md lists/ && head -c 100000 /dev/zero 2>/dev/null >lists/filler; exec "$@"';
    const env = { NIGHTSHIFT_TOKEN: token, LLM_PROVIDER: 'rehearsal', NIGHTSHIFT_REHEARSAL: join(home, 'script.yaml') };
    const server = spawnServer(home, env, (argv) => [...unshare, 'sh', '-c', fill, 'sh', ...argv]);
    onTestFinished(async () => {
      server.child.kill('SIGKILL');
      await server.exited;
      rmSync(home, { recursive: true, force: true });
    });
    const api = new Api(await server.address, token);
    const there = `/proc/${server.child.pid}/root${lists}`;
    expect(() => writeFileSync(join(there, 'more'), 'x'.repeat(5_000))).toThrow('ENOSPC');
    rmSync(join(there, 'more'), { force: true });

    await until('it to be ticked', () => readFileSync(join(there, 'good.md'), 'utf8').startsWith('- [x] Mend'), 60);
    const refused = await until(
      'the note to be refused',
      async () =>
        (await api.call<{ items: readonly Waiting[] }>('GET', '/api/outbox?state=waiting')).body.items.find(
          ({ reason }) => reason !== null,
        ),
      60,
    );
    expect(refused).toMatchObject({ channel: 'todo', reason: { code: 'unwritable', message: expect.stringContaining('ENOSPC') } });
    expect(readFileSync(join(there, 'good.md'), 'utf8')).toBe(`- [x] Mend the gate\n${many}`);
    expect(readFileSync(join(there, 'bad.md'), 'utf8')).toBe(`- [ ] Paint the gate\n${many}`);
    expect(readdirSync(there).sort()).toEqual(['bad.md', 'filler', 'good.md']);
  },
);
