import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { startTestServer, type TestServer } from '../../test/support/server.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import type { noteSchema } from './views/notes.ts';

type Note = z.infer<typeof noteSchema>;

const shop = 'https://git.example/acme/shop';

for (const dialect of dialects)
  describe.skipIf(missing(dialect))(`notes through the API on ${dialect}`, () => {
    let database: TestDatabase;
    let server: TestServer;
    beforeAll(async () => {
      database = await createDatabase(dialect);
      server = await startTestServer(database);
    });
    afterAll(async () => {
      await server.running.stop();
      await database.remove();
    });

    const post = (body: object) => server.api.call<Note>('POST', '/api/notes', { body });
    const items = async (query = ''): Promise<readonly Note[]> =>
      (await server.api.call<{ items: Note[] }>('GET', `/api/notes${query}`)).body.items;
    const titles = async (query: string): Promise<readonly string[]> => (await items(query)).map(({ title }) => title);

    test('are made, shown, changed and deleted by people', async () => {
      const { status, body, headers } = await post({
        title: 'Redis',
        text: 'The tests need Redis.',
        repository: `${shop}.git`,
        tags: ['tests'],
      });
      expect(status).toBe(201);
      expect(headers.get('location')).toBe(`/api/notes/${body.id}`);
      expect(body).toMatchObject({
        kind: 'learning',
        repository: shop,
        trust: 'trusted',
        tags: ['tests'],
        importance: 5,
        times: 1,
        supersededBy: null,
        origin: { kind: 'person', name: 'owner', taskId: null, runId: null },
      });
      expect((await server.api.call('GET', `/api/notes/${body.id}`)).body).toEqual(body);

      const again = await post({ title: 'Redis', text: 'The tests need Redis.', repository: shop });
      expect([again.status, again.body.id, again.body.times]).toEqual([200, body.id, 2]);

      const change = { text: 'The tests need Valkey.', repository: null, importance: 9 };
      const changed = await server.api.call<Note>('PATCH', `/api/notes/${body.id}`, { body: change });
      expect(changed.body).toMatchObject({ ...change, title: 'Redis', tags: ['tests'], times: 2 });
      expect(await titles('?q=valkey')).toEqual(['Redis']);

      expect((await server.api.call('DELETE', `/api/notes/${body.id}`)).status).toBe(204);
      expect(await server.api.refusal('GET', `/api/notes/${body.id}`)).toMatchObject({ status: 404, code: 'no-such-note' });
      expect(await server.api.refusal('DELETE', `/api/notes/${body.id}`)).toMatchObject({ status: 404, code: 'no-such-note' });
      expect(await server.api.refusal('PATCH', `/api/notes/${body.id}`, { body: change })).toMatchObject({ status: 404 });
    });

    test('are listed and searched page by page, within a repository, beside all repositories, by kind', async () => {
      for (let i = 1; i <= 5; i++) await post({ title: `Cache ${i}`, text: 'warm the cache first', repository: shop });
      await post({ title: 'Cache everywhere', text: 'warm it', kind: 'investigation' });
      await post({ title: 'Elsewhere', text: 'warm the cache first', repository: 'git@git.example:acme/other.git' });
      expect(await titles(`?repository=${encodeURIComponent(`${shop}.git`)}`)).toHaveLength(5);
      expect(await titles('?global=true')).toEqual(['Cache everywhere']);
      expect(await titles('?kind=investigation&q=cache')).toEqual(['Cache everywhere']);
      expect(await titles('?q=cache%20everywhere')).toEqual(['Cache everywhere']);
      // Where no note has all words, those with some of them are better than none.
      expect(await titles('?q=everywhere%20elsewhere')).toHaveLength(2);
      for (const query of ['', 'q=cache&', 'q=everywhere%20cache%20nowhere&']) {
        const seen: string[] = [];
        let cursor = '';
        do {
          const { body } = await server.api.call<{ items: Note[]; nextCursor: string | null }>(
            'GET',
            `/api/notes?${query}limit=3${cursor}`,
          );
          seen.push(...body.items.map(({ id }) => id));
          cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`;
        } while (cursor !== '');
        expect([new Set(seen).size, seen.length]).toEqual([7, 7]);
      }
      expect(await titles(`?q=${encodeURIComponent('" OR ( NEAR *')}`)).toEqual([]);
    });

    test('are refused when they make no sense', async () => {
      const bad = async (body: object): Promise<readonly [number, string]> => {
        const { status, code } = await server.api.refusal('POST', '/api/notes', { body });
        return [status, code];
      };
      expect(await bad({ title: 't', text: ' ' })).toEqual([400, 'invalid-request']);
      expect(await bad({ title: 't', text: 'x'.repeat(16_001) })).toEqual([400, 'invalid-request']);
      expect(await bad({ title: 't', text: 'x', kind: 'poem' })).toEqual([400, 'invalid-request']);
      expect(await bad({ title: 't', text: 'x', repository: 'nowhere' })).toEqual([422, 'invalid-repository']);
      const one = await post({ title: 'One', text: 'one' });
      const two = await post({ title: 'Two', text: 'two' });
      const twin = { title: 'One', text: 'one' };
      expect(await server.api.refusal('PATCH', `/api/notes/${two.body.id}`, { body: twin })).toMatchObject({
        status: 409,
        code: 'same-note',
      });
      expect(await server.api.refusal('PATCH', `/api/notes/${one.body.id}`, { body: {} })).toMatchObject({ status: 400 });
      expect(await server.api.refusal('GET', '/api/notes?cursor=bm90ZXM6eA')).toMatchObject({ status: 400, code: 'bad-cursor' });
      expect(await server.api.refusal('GET', '/api/notes/tsk_01KEXAMPLE000000000000000')).toMatchObject({ status: 404 });
    });
  });
