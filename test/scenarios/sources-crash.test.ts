import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { GitHubServer } from '../support/github-api.ts';
import { commentPayload, deliver, webhookSecret } from '../support/github-deliveries.ts';
import { changingServer } from '../support/memory-lists.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, dialects, missing } from '../support/stores.ts';

const deliveries = 1_000;
const asking = 300;
const killsWanted = 30;
const items = 6;
const senders = 8;
const token = 'crash-test-owner-key-0123456789';

interface Listed {
  readonly id: string;
  readonly source: string;
  readonly state: string;
  readonly status: string;
  readonly title: string;
}

/**
 * The worst moments there are: right after a delivery was acknowledged, before anything was made of it; right when GitHub has
 * done what it was asked to, or a list has heard something, before anybody here hears so; and any other.
 */
for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`killed again and again while work comes in and answers go out, on ${dialect}`, () => {
    test('makes one task of each wish and gives one answer to each', { timeout: 900_000 }, async () => {
      const database = await createDatabase(dialect);
      const github = new GitHubServer();
      const apiUrl = await github.start();
      for (let issue = 1; issue <= 30; issue++) {
        github.things.set(`/repos/octo/garden/issues/${issue}`, { number: issue, title: 'x', body: 'y', user: { login: 'bob' } });
      }
      const list = await changingServer('a-key-of-the-tests');
      const todo = join(database.home, 'lists', 'TODO.md');
      mkdirSync(join(database.home, 'lists'));
      writeFileSync(todo, '# Low\n');
      writeFileSync(join(database.home, 'script.yaml'), 'name: talk\nturns:\n  - say: Done.\n');
      const env: Record<string, string> = {
        NIGHTSHIFT_TOKEN: token,
        GITHUB_WEBHOOK_SECRET: webhookSecret,
        GITHUB_TOKEN: 'ghp_a_token_of_the_tests',
        GITHUB_API_URL: apiUrl,
        NIGHTSHIFT_LEASE_SECONDS: '2',
        LLM_PROVIDER: 'rehearsal',
        NIGHTSHIFT_REHEARSAL: join(database.home, 'script.yaml'),
        TODO_FILES: todo,
        MEMORY_MCP_URL: list.url,
        MEMORY_MCP_API_KEY: 'a-key-of-the-tests',
        POLL_INTERVAL: '1',
        ...(database.databaseUrl === undefined ? {} : { DATABASE_URL: database.databaseUrl }),
      };
      let server: ServerProcess = spawnServer(database.home, env);
      let restarting: Promise<void> | undefined;
      onTestFinished(async () => {
        await restarting;
        server.child.kill('SIGKILL');
      });
      const kills = { 'after a receipt': 0, 'after a sending': 0, 'as a list heard': 0, 'at any moment': 0 };
      const killed = (): number => Object.values(kills).reduce((sum, each) => sum + each, 0);

      const kill = (moment: keyof typeof kills): boolean => {
        if (restarting || killed() >= killsWanted) return false;
        kills[moment] += 1;
        server.child.kill('SIGKILL');
        restarting = server.exited.then(async () => {
          server = spawnServer(database.home, env);
          await server.address;
          restarting = undefined;
        });
        return true;
      };
      github.mishap = ({ method, path }) => {
        const isComment = method !== 'GET' && /comments(\/\d+)?$/.test(path);
        if (!isComment || kills['after a sending'] >= killsWanted / 3 || Math.random() > 0.1) return undefined;
        return kill('after a sending') ? { kind: 'cut', done: true } : undefined;
      };
      list.interfere = ({ method, url }) => {
        if (!/update|complete|PATCH/.test(`${method}${url}`) || kills['as a list heard'] >= killsWanted / 6 || Math.random() > 0.3)
          return false;
        kill('as a list heard');
        return false;
      };

      await server.address;
      let next = 0;
      let comesAgain = 0;
      const send = async (): Promise<void> => {
        while (next < deliveries) {
          const id = ++next;
          const asks = id % Math.round(deliveries / asking) === 0 && id / Math.round(deliveries / asking) <= asking;
          const payload = asNowhere(commentPayload(asks ? '@nightshift go' : 'nice weather', { id, issue: (id % 30) + 1 }));
          const headers = { 'x-github-delivery': `delivery-${id}` };
          const post = async () => deliver(await server.address, 'issue_comment', payload, headers).catch(() => undefined);
          // A sender that hears nothing sends the same again, and one in five does so although it heard.
          await until(
            `delivery ${id}`,
            async () => {
              await restarting;
              return (await post())?.status === 200;
            },
            60,
          );
          if (id % Math.round(deliveries / (killsWanted / 3)) === 0) kill('after a receipt');
          if (id === deliveries / 2) list.change();
          if (id % 5 === 0 && (await post())?.body.duplicate) comesAgain += 1;
          if (id % Math.floor(deliveries / items) === 0) {
            const n = id / Math.floor(deliveries / items);
            // As a person adds a line while boxes above it are being ticked.
            appendFileSync(todo, `- [ ] item ${n} of the file\n\nWords of a person ${n}.\n\n`);
            list.tasks.set(`m${n}`, { id: `m${n}`, description: `item ${n} of the list`, status: 'pending', priority: 2, tags: [] });
          }
        }
      };
      await Promise.all(Array.from({ length: senders }, send));
      while (killed() < killsWanted) {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 800));
        await restarting;
        kill('at any moment');
      }

      const all = async (path: string): Promise<readonly Listed[]> => {
        await restarting;
        const found: Listed[] = [];
        let cursor: string | null = null;
        do {
          const query: string = cursor === null ? '' : `&cursor=${cursor}`;
          const response = await fetch(`${await server.address}${path}limit=200${query}`, {
            headers: { authorization: `Bearer ${token}` },
          });
          const page = (await response.json()) as { items: Listed[]; nextCursor: string | null };
          found.push(...page.items);
          cursor = page.nextCursor;
        } while (cursor !== null);
        return found;
      };
      const ended = ['succeeded', 'failed', 'escalated'];
      await until(
        'all to be said',
        async () => {
          const found = await Promise.all([all('/api/inbox?state=received&'), all('/api/outbox?state=waiting&'), all('/api/tasks?')]).catch(
            () => undefined,
          );
          if (!found || restarting) return false;
          const [received, waiting, tasks] = found;
          return (
            received.length + waiting.length === 0 &&
            tasks.length >= asking + 2 * items &&
            tasks.every(({ status }) => ended.includes(status))
          );
        },
        300,
      );

      const entries = await all('/api/inbox?');
      const dead = await all('/api/outbox?state=dead&');
      const tasks = await all('/api/tasks?');
      const said = (kind: string): readonly string[] =>
        github.comments.flatMap(({ body }) => new RegExp(`^<!-- nightshift:${kind}/(tsk_\\w+)`).exec(body)?.[1] ?? []);
      const [answers, statuses, reactions] = [said('answer'), said('status'), new Set(github.reactions.map(({ to }) => to))];
      const file = readFileSync(todo, 'utf8');
      server.child.kill('SIGTERM');
      await server.exited;
      await Promise.all([github.stop(), list.stop()]);
      await database.remove();
      rmSync(database.home, { recursive: true, force: true });

      const of = (source: string): readonly Listed[] => tasks.filter((task) => task.source === source);
      const stateOf = (state: string): number => entries.filter((each) => each.source === 'github' && each.state === state).length;
      const ids = of('github').map(({ id }) => id);
      const numbers = Array.from({ length: items }, (_, n) => n + 1);
      const succeeded = (title: string): boolean => tasks.find((task) => task.title === title)?.status === 'succeeded';
      console.log(
        `${dialect}: ${deliveries} deliveries, ${comesAgain} of them twice; killed ${killed()} times ` +
          `(${Object.entries(kills)
            .map(([moment, count]) => `${count} ${moment}`)
            .join(', ')}): ${ids.length} tasks for ${asking} wishes, ` +
          `${answers.length} answers, ${statuses.length} status comments, ${reactions.size} reactions; ` +
          `${of('todo').length} tasks of a file with ${items} items, ${file.split('[x]').length - 1} ticked; ` +
          `${of('memory').length} tasks of a list with ${items} items, whose server changed its dialect midway, ${[...list.tasks.values()].filter(({ status }) => status === 'completed').length} completed; ` +
          `${dead.length} messages given up`,
      );
      expect(killed()).toBe(killsWanted);
      expect([stateOf('done'), stateOf('ignored'), stateOf('failed')]).toEqual([asking, deliveries - asking, 0]);
      expect(ids).toHaveLength(asking);
      expect(answers.toSorted()).toEqual(ids.toSorted());
      expect(statuses.toSorted()).toEqual(ids.toSorted());
      expect(reactions.size).toBe(asking);
      expect(dead).toEqual([]);
      expect(
        of('todo')
          .map(({ title }) => title)
          .toSorted(),
      ).toEqual(numbers.map((n) => `item ${n} of the file`));
      expect(
        of('memory')
          .map(({ title }) => title)
          .toSorted(),
      ).toEqual(numbers.map((n) => `item ${n} of the list`));
      // A run that is killed again and again may end with a person; whatever came of it, the file and the list say just that.
      expect([...of('todo'), ...of('memory')].some(({ status }) => status === 'succeeded')).toBe(true);
      const lines = numbers.map(
        (n) => `- [${succeeded(`item ${n} of the file`) ? 'x' : ' '}] item ${n} of the file\n\nWords of a person ${n}.\n\n`,
      );
      expect(file.split('\n').toSorted()).toEqual(`# Low\n${lines.join('')}`.split('\n').toSorted());
      expect([...list.tasks].map(([id, { status }]) => [id, status]).toSorted()).toEqual(
        numbers.map((n) => [`m${n}`, succeeded(`item ${n} of the list`) ? 'completed' : 'blocked']),
      );
    });
  });
}

/** Its repository is one that these senders may not name, so that their tasks end at once, without a network. */
const asNowhere = (payload: ReturnType<typeof commentPayload>): unknown => ({
  ...payload,
  repository: { ...(payload as { repository: object }).repository, clone_url: '/srv/nowhere.git' },
});
