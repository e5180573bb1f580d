import { afterEach, describe, expect, test } from 'vitest';
import { EventStream } from '../support/event-stream.ts';
import { commentPayload, deliver, webhookSecret } from '../support/github-deliveries.ts';
import { Api, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../support/stores.ts';

const submitters = 48;
const deliverers = 24;
const watchers = 60;
const questions = 20;

for (const dialect of dialects)
  describe.skipIf(missing(dialect))(`a server on ${dialect} that is asked for more than it can do`, () => {
    let database: TestDatabase;
    let server: ServerProcess;

    afterEach(async () => {
      server?.child.kill('SIGKILL');
      await server?.exited;
      await database?.remove();
    });

    test('says that it is alive and ready while the flood goes on, and loses nothing of what it took', { timeout: 120_000 }, async () => {
      database = await createDatabase(dialect);
      server = spawnServer(database.home, {
        ...(database.databaseUrl === undefined ? {} : { DATABASE_URL: database.databaseUrl }),
        NIGHTSHIFT_TOKEN: testToken,
        NIGHTSHIFT_ENGINE: 'command',
        GITHUB_WEBHOOK_SECRET: webhookSecret,
        LOG_LEVEL: 'warn',
      });
      const address = await server.address;
      const api = new Api(address, testToken);
      const streams = await Promise.all(Array.from({ length: watchers }, () => EventStream.open(api, '/api/events')));

      let over = false;
      const answers = { submitted: [] as number[], delivered: [] as number[] };
      const endlessly = async (ask: () => Promise<{ readonly status: number }>, statuses: number[]): Promise<void> => {
        while (!over) statuses.push((await ask()).status);
      };
      const flood = [
        ...Array.from({ length: submitters }, () => endlessly(() => submit(address), answers.submitted)),
        ...Array.from({ length: deliverers }, () =>
          endlessly(() => deliver(address, 'issue_comment', commentPayload('just talk')), answers.delivered),
        ),
      ];
      try {
        await until('the flood', () => answers.submitted.length > submitters && answers.delivered.length > deliverers);
        for (const path of ['/health', '/ready']) {
          const before = { submitted: answers.submitted.length, delivered: answers.delivered.length, seen: streams[0]?.events.length ?? 0 };
          // Nothing ends the flood but these answers: without them the test would wait in vain.
          for (let asked = 0; asked < questions; asked++) expect((await fetch(address + path)).status, path).toBe(200);
          await until('the flood to have gone on', () => answers.submitted.length > before.submitted);
          await until('deliveries to have gone on', () => answers.delivered.length > before.delivered);
          await until('watchers to be told meanwhile', () => streams.every(({ events }) => events.length > before.seen));
        }
      } finally {
        over = true;
        await Promise.all(flood);
        await Promise.all(streams.map((stream) => stream.leave()));
      }
      expect([...new Set(answers.submitted)]).toEqual([201]);
      expect([...new Set(answers.delivered)]).toEqual([200]);
      await until('each task to stand in line, or to have been done', async () => {
        const { body } = await api.call<{ open: { count: number }[] }>('GET', '/api/queue');
        const open = body.open.reduce((sum, { count }) => sum + count, 0);
        return open + doneIn((await api.call<string>('GET', '/metrics')).body) === answers.submitted.length;
      });
    });
  });

let made = 0;
const submit = (address: string): Promise<Response> =>
  fetch(`${address}/api/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${testToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ title: `One of many: ${++made}`, body: '["true"]' }),
  }).then(async (answer) => {
    await answer.arrayBuffer();
    return answer;
  });

const doneIn = (scrape: string): number =>
  [...scrape.matchAll(/^agent_tasks_executed_total\{[^}]*\} (\S+)$/gm)].reduce((sum, [, value]) => sum + Number(value), 0);
