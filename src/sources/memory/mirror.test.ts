import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { documentedServer, type ListServer, memoryMcpServer } from '../../../test/support/memory-lists.ts';
import { startTestServer, type TestServer } from '../../../test/support/server.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../../test/support/stores.ts';

const key = 'gh-token';

describe.each(dialects)('notes mirrored to a Memory-MCP server, on %s', (dialect) => {
  describe.skipIf(missing(dialect))('by a server', () => {
    let database: TestDatabase;
    let list: ListServer;
    let server: TestServer;
    const begin = async (make: typeof memoryMcpServer, notes?: 'on'): Promise<void> => {
      list = await make(key);
      server = await startTestServer(database, {
        memoryMcpUrl: list.url,
        memoryMcpApiKey: key,
        ...(notes === undefined ? {} : { memoryMcpNotes: notes }),
      });
    };
    beforeEach(async () => {
      database = await createDatabase(dialect);
    });
    afterEach(async () => {
      await server.running.stop();
      await list.stop();
      await database.remove();
    });

    const add = async (title: string, text: string): Promise<string> =>
      (await server.api.call<{ id: string }>('POST', '/api/notes', { body: { title, text } })).body.id;
    const letters = async (): Promise<readonly { state: string; reason: { code: string } | null }[]> =>
      (await server.api.call<{ items: { state: string; reason: { code: string } | null }[] }>('GET', '/api/outbox?channel=memory-notes'))
        .body.items;

    test('that was told to: each note, its changes, and that it was deleted', async () => {
      await begin(memoryMcpServer, 'on');
      const id = await add('Redis', 'The tests need Redis.');
      const copies = () => list.notes.filter((note) => note.key === `nightshift/${id}`).map(({ value }) => value);
      await expect.poll(copies, { timeout: 10_000 }).toEqual(['Redis\nThe tests need Redis.']);
      await server.api.call('PATCH', `/api/notes/${id}`, { body: { text: 'The tests need Valkey.' } });
      await expect.poll(() => copies().at(-1), { timeout: 10_000 }).toBe('Redis\nThe tests need Valkey.');
      await server.api.call('DELETE', `/api/notes/${id}`);
      await expect.poll(() => copies().at(-1), { timeout: 10_000 }).toBe('(deleted in Nightshift)');
    });

    test('whose dialect has no place for notes: a person is told, and tasks go on', async () => {
      await begin(documentedServer, 'on');
      await add('Redis', 'The tests need Redis.');
      await expect.poll(letters, { timeout: 10_000 }).toMatchObject([{ state: 'dead', reason: { code: 'memory-unsupported' } }]);
    });

    test('that was not told to: nothing leaves', async () => {
      await begin(memoryMcpServer);
      await add('Redis', 'The tests need Redis.');
      expect(await letters()).toEqual([]);
    });
  });
});
