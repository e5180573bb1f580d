import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { memoryMcpServer } from '../support/memory-lists.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { temporaryHome } from '../support/stores.ts';

const token = 'two-on-a-list-owner-key-0123456789';
const items = 24;

interface Listed {
  readonly title: string;
  readonly status: string;
  readonly state: string;
}

/** Two servers that share nothing but the list; one of them is killed as the list hears it, and comes again. */
test('two Nightshifts with stores of their own do each item of one list exactly once', { timeout: 240_000 }, async () => {
  const list = await memoryMcpServer('a-key');
  const put = (n: number): unknown =>
    list.tasks.set(`m${n}`, { id: `m${n}`, description: `item ${n}`, status: 'pending', priority: (n % 10) + 1, tags: ['ui'] });
  const homes = [temporaryHome(), temporaryHome()];
  const servers: ServerProcess[] = [];
  const begin = (at: number): void => {
    const home = homes[at] as string;
    const script = join(home, 'script.yaml');
    writeFileSync(script, 'name: talk\nturns:\n  - say: Done.\n');
    servers[at] = spawnServer(home, {
      NIGHTSHIFT_TOKEN: token,
      LLM_PROVIDER: 'rehearsal',
      NIGHTSHIFT_REHEARSAL: script,
      MEMORY_MCP_URL: list.url,
      MEMORY_MCP_API_KEY: 'a-key',
      POLL_INTERVAL: '1',
      NIGHTSHIFT_LEASE_SECONDS: '2',
    });
  };
  onTestFinished(async () => {
    for (const { child, exited } of servers) {
      child.kill('SIGKILL');
      await exited;
    }
    await list.stop();
    for (const home of homes) rmSync(home, { recursive: true, force: true });
  });
  // Whoever has asked for the list hears it when the other has asked too, so that both want the same at the same moment.
  let waiting: (() => void) | undefined;
  list.hold = async ({ url }) => {
    if (url !== '/api/tasks/list') return;
    if (waiting) return waiting();
    await Promise.race([
      new Promise<void>((resolve) => {
        waiting = resolve;
      }),
      new Promise((resolve) => setTimeout(resolve, 700)),
    ]);
    waiting = undefined;
  };
  for (let n = 0; n < items / 2; n++) put(n);
  // In the middle of its claims: what it has just written stands in the list, and nobody here knows.
  let killed: Promise<void> | undefined;
  let heard = 0;
  list.interfere = ({ url }) => {
    if (killed || url !== '/api/tasks/update' || ++heard < 5) return false;
    const [victim] = servers as [ServerProcess];
    victim.child.kill('SIGKILL');
    killed = victim.exited.then(() => begin(0));
    return false;
  };
  begin(0);
  begin(1);
  await until('one to be killed', () => killed !== undefined);
  await killed;
  await servers[0]?.address;
  for (let n = items / 2; n < items; n++) put(n);

  const all = async (path: string): Promise<readonly (readonly Listed[])[]> =>
    Promise.all(
      servers.map(async ({ address }) => {
        const response = await fetch(`${await address}${path}`, { headers: { authorization: `Bearer ${token}` } });
        return ((await response.json()) as { items: Listed[] }).items;
      }),
    );
  await until('all to be done', () => [...list.tasks.values()].every(({ status }) => status === 'completed'), 150);
  const tasks = await all('/api/tasks?limit=200');
  const titles = tasks.flatMap((each) => each.map(({ title }) => title));
  const lost = (await all('/api/inbox?state=ignored&limit=200')).map(({ length }) => length);
  console.log(
    `${items} items: ${tasks.map(({ length }) => length).join(' and ')} done, one killed in between; ${lost.join(' and ')} times the other was faster`,
  );
  expect((lost[0] as number) + (lost[1] as number)).toBeGreaterThan(0);
  expect(titles.toSorted()).toEqual(Array.from({ length: items }, (_, n) => `item ${n}`).toSorted());
  expect(tasks.flat().every(({ status }) => status === 'succeeded')).toBe(true);
  expect([...list.tasks.values()].every(({ tags }) => tags.length === 2 && tags[0] === 'ui')).toBe(true);
});
