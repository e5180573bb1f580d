import { rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { GitHubServer } from '../support/github-api.ts';
import { commentPayload, deliver, webhookSecret } from '../support/github-deliveries.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, dialects, missing } from '../support/stores.ts';

const deliveries = 120;
const killsWanted = 12;
const token = 'crash-test-owner-key-0123456789';

/**
 * The worst moments there are: right after a delivery was acknowledged, before anything was made of it; and right when
 * GitHub has done what it was asked to, before anybody hears so.
 */
for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`killed while it talks with GitHub, on ${dialect}`, () => {
    test('makes one task of each delivery and gives one answer to each', { timeout: 240_000 }, async () => {
      const database = await createDatabase(dialect);
      const github = new GitHubServer();
      const apiUrl = await github.start();
      for (let issue = 1; issue <= 10; issue++) {
        github.things.set(`/repos/octo/garden/issues/${issue}`, { number: issue, title: 'x', body: 'y', user: { login: 'bob' } });
      }
      const env: Record<string, string> = {
        NIGHTSHIFT_TOKEN: token,
        GITHUB_WEBHOOK_SECRET: webhookSecret,
        GITHUB_TOKEN: 'ghp_a_token_of_the_tests',
        GITHUB_API_URL: apiUrl,
        NIGHTSHIFT_LEASE_SECONDS: '2',
        ...(database.databaseUrl === undefined ? {} : { DATABASE_URL: database.databaseUrl }),
      };
      let server: ServerProcess = spawnServer(database.home, env);
      let restarting: Promise<void> | undefined;
      let kills = { afterReceipt: 0, afterSending: 0 };

      const killNow = (): void => {
        if (restarting) return;
        server.child.kill('SIGKILL');
        restarting = server.exited.then(async () => {
          server = spawnServer(database.home, env);
          await server.address;
          restarting = undefined;
        });
      };
      github.mishap = ({ method, path }) => {
        const isComment = method !== 'GET' && /comments(\/\d+)?$/.test(path);
        if (!isComment || restarting || kills.afterSending >= killsWanted / 2 || Math.random() > 0.1) return undefined;
        kills = { ...kills, afterSending: kills.afterSending + 1 };
        killNow();
        return { kind: 'cut', done: true };
      };

      const acknowledged = new Set<number>();
      await server.address;
      for (let id = 1; id <= deliveries; id++) {
        const payload = commentPayload('@nightshift go', { id, issue: (id % 10) + 1 });
        const key = `delivery-${id}`;
        // A sender that hears nothing sends the same again, and one in five does so although it heard.
        await until(`delivery ${id}`, async () => {
          await restarting;
          const answer = await deliver(await server.address, 'issue_comment', payload, { 'x-github-delivery': key }).catch(() => undefined);
          return answer?.status === 200;
        });
        acknowledged.add(id);
        if (id % 20 === 0 && kills.afterReceipt < killsWanted / 2) {
          kills = { ...kills, afterReceipt: kills.afterReceipt + 1 };
          killNow();
        }
        if (id % 5 === 0)
          await deliver(await server.address, 'issue_comment', payload, { 'x-github-delivery': key }).catch(() => undefined);
      }

      const list = async (path: string): Promise<readonly Record<string, unknown>[]> => {
        await restarting;
        const items: Record<string, unknown>[] = [];
        let cursor: string | null = null;
        do {
          const query: string = cursor === null ? '' : `&cursor=${cursor}`;
          const response = await fetch(`${await server.address}${path}limit=200${query}`, {
            headers: { authorization: `Bearer ${token}` },
          });
          const page = (await response.json()) as { items: Record<string, unknown>[]; nextCursor: string | null };
          items.push(...page.items);
          cursor = page.nextCursor;
        } while (cursor !== null);
        return items;
      };
      await until(
        'all to be said',
        async () => {
          const found = await Promise.all([
            list('/api/inbox?state=received&'),
            list('/api/outbox?state=waiting&'),
            list('/api/tasks?'),
          ]).catch(() => undefined);
          if (!found || restarting) return false;
          const [received, waiting, tasks] = found;
          return received.length === 0 && waiting.length === 0 && tasks.length > 0 && tasks.every(({ status }) => status === 'escalated');
        },
        120,
      );

      const entries = await list('/api/inbox?');
      const tasks = await list('/api/tasks?');
      const said = (kind: string): readonly string[] =>
        github.comments.flatMap(({ body }) => new RegExp(`^<!-- nightshift:${kind}/(tsk_\\w+)`).exec(body)?.[1] ?? []);
      const [answers, statuses] = [said('answer'), said('status')];
      server.child.kill('SIGTERM');
      await server.exited;
      await github.stop();
      await database.remove();
      rmSync(database.home, { recursive: true, force: true });

      const ids = tasks.map(({ id }) => id as string).sort();
      expect(entries.length).toBe(acknowledged.size);
      expect(entries.filter(({ state }) => state !== 'done')).toEqual([]);
      expect(ids).toHaveLength(deliveries);
      expect(answers.toSorted()).toEqual(ids);
      expect(statuses.toSorted()).toEqual(ids);
      expect(kills.afterReceipt + kills.afterSending).toBe(killsWanted);
      console.log(
        `${dialect}: ${deliveries} deliveries, ${kills.afterReceipt} kills after a receipt, ${kills.afterSending} after a sending: ` +
          `${ids.length} tasks, ${answers.length} answers, ${statuses.length} status comments, none twice`,
      );
    });
  });
}
