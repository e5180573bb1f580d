import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { missingSandbox } from '../support/sandbox.ts';
import { type ApiRun, type ApiTask, startTestServer, type TestServer } from '../support/server.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';
import { submitFor } from '../support/untrusted.ts';

async function serve(flags: Parameters<typeof startTestServer>[1]): Promise<{ database: TestDatabase; server: TestServer }> {
  const database = await createDatabase('sqlite');
  const server = await startTestServer(database, flags);
  onTestFinished(async () => {
    await server.running.stop();
    await database.remove();
  });
  return { database, server };
}

async function ended({ api }: TestServer, id: string): Promise<{ readonly task: ApiTask; readonly run: ApiRun }> {
  const task = await api.becomes(id, 'succeeded', 'failed', 'escalated', 'delayed');
  return { task, run: await api.run(task.runs.at(-1)?.id ?? '') };
}

const sh = (script: string): string => JSON.stringify(['sh', '-c', script]);

describe.skipIf(missingSandbox)('a command without a repository', () => {
  test("is run in the sandbox unless it is the owner's", async () => {
    const { database, server } = await serve({});
    const look = {
      title: 'look',
      body: sh(`test ! -e ${join(database.home, 'nightshift.db')} && test "$(id -u)" = 1000 && echo mine > here.txt`),
    };
    for (const trust of ['untrusted', 'known'] as const) {
      expect((await ended(server, await submitFor(trust, database, look))).task).toMatchObject({ status: 'succeeded', trust });
    }
    const { task } = await ended(server, (await server.api.submit(look)).id);
    expect(task).toMatchObject({ status: 'failed', reason: { code: 'exit-1' } });
  });
});

describe('where nothing is sandboxed', () => {
  test("only the owner's commands are run; others wait for a person, with what to do", async () => {
    const { database, server } = await serve({ sandbox: 'off' });
    for (const trust of ['untrusted', 'known'] as const) {
      const { task, run } = await ended(server, await submitFor(trust, database, { title: 'sneak', body: sh('echo ran') }));
      expect(task).toMatchObject({
        status: 'escalated',
        reason: { code: 'sandbox-needed', message: expect.stringContaining('NIGHTSHIFT_SANDBOX') },
      });
      expect(run).toMatchObject({ status: 'escalated' });
    }
    expect((await ended(server, (await server.api.submit({ title: 'mine' })).id)).task).toMatchObject({ status: 'succeeded' });
  });
});
