import { get, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventStream } from '../support/event-stream.ts';
import { Api, testToken } from '../support/server.ts';
import { type ServerProcess, spawnServer } from '../support/server-process.ts';
import { createDatabase, type TestDatabase } from '../support/stores.ts';

const stuckClients = 80;
const idlers = 880;
const readers = 40;
const mebibyte = 1024 * 1024;

describe('a thousand watchers, of whom most never read', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let api: Api;

  beforeAll(async () => {
    database = await createDatabase('sqlite');
    server = spawnServer(database.home, { NIGHTSHIFT_TOKEN: testToken, NIGHTSHIFT_ENGINE: 'command', LOG_LEVEL: 'warn' });
    api = new Api(await server.address, testToken);
  });

  afterAll(async () => {
    server?.child.kill('SIGKILL');
    await server?.exited;
    await database?.remove();
  });

  const talkative = async (title: string): Promise<string> => {
    const { id } = await api.submit({ title, body: '["sh", "-c", "yes 0123456789abcdef | head -c 250000"]' });
    await api.becomes(id, 'succeeded');
    return id;
  };
  const memory = async (): Promise<number> =>
    Number(/^agent_memory_bytes (\S+)/m.exec((await api.call<string>('GET', '/metrics')).body)?.[1]);

  test('cost the server little, and the others nothing', { timeout: 120_000 }, async () => {
    const story = 24;
    for (let i = 0; i < story; i++) await talkative(`before ${i}`);
    const before = await memory();

    // These would each be sent six megabytes. The system's own buffers take four of them, and the rest has to wait.
    const stuck = await Promise.all(Array.from({ length: stuckClients }, () => neverRead(api, '/api/events?after=0')));
    const idle = await Promise.all(Array.from({ length: idlers }, () => neverRead(api, '/api/events')));
    const reading = await Promise.all(Array.from({ length: readers }, () => EventStream.open(api, '/api/events')));
    const whole = await EventStream.open(api, '/api/events?after=0');
    for (let i = 0; i < 10; i++) await api.submit({ title: `during ${i}` });
    const last = await talkative('the last one');
    const isLast = ({ type, taskId }: { type: string; taskId: string | null }): boolean => type === 'run.finished' && taskId === last;
    await Promise.all([...reading, whole].map((stream) => stream.seen('the last end', isLast)));

    // Everyone who reads got the same: everything.
    const journal = whole.events.map(({ id }) => id);
    expect(new Set(journal).size).toBe(journal.length);
    expect(whole.events.filter(({ type }) => type === 'run.finished').length).toBeGreaterThanOrEqual(story + 10);
    for (const stream of reading) {
      const from = journal.indexOf(stream.events[0]?.id ?? '');
      expect(stream.events.map(({ id }) => id).slice(0, journal.length - from)).toEqual(journal.slice(from));
      expect(stream.events.find(({ type }) => type === 'task.submitted')?.data['title']).toBe('during 0');
    }
    expect((await api.call('GET', '/health', { key: null })).status).toBe(200);
    expect((await memory()) - before).toBeLessThan(300 * mebibyte);

    server.child.kill('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(new Set(await Promise.all(reading.map(({ over }) => over)))).not.toContain('left');
    await Promise.all([...stuck, ...idle].map((leave) => leave()));
  });
});

/** A client that opens the stream and then does nothing with what comes. */
function neverRead(api: Api, path: string): Promise<() => Promise<void>> {
  return new Promise((resolve, reject) => {
    const asking = get(
      api.address + path,
      { headers: { authorization: `Bearer ${api.token}` }, agent: false },
      (response: IncomingMessage) => {
        response.pause();
        response.on('error', () => undefined); // the server cuts it off when it stops
        resolve(
          () =>
            new Promise<void>((gone) => {
              response.once('close', () => gone());
              asking.destroy();
              if (response.closed) gone();
            }),
        );
      },
    );
    asking.on('error', reject);
  });
}
