import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { MessageView } from '../../src/server/views.ts';
import { type PushService, startPushService } from '../support/push-service.ts';
import { startTestServer, type TestServer, testToken } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../support/stores.ts';

for (const dialect of dialects)
  describe.skipIf(missing(dialect))(`browsers that want to be told, on ${dialect}`, () => {
    let database: TestDatabase;
    let service: PushService;
    let world: TestServer;

    const begin = async (flags: Parameters<typeof startTestServer>[1] = {}): Promise<void> => {
      world = await startTestServer(database, { pushServices: service.origin, ...flags });
    };
    beforeEach(async () => {
      database = await createDatabase(dialect);
      service = await startPushService();
      await begin();
    });
    afterEach(async () => {
      await world.running.stop();
      await service.close();
      await database.remove();
    });

    /** A browser that signs in with a key, and what it sends then. */
    async function browser(key = testToken) {
      const signedIn = await world.api.call('POST', '/api/session', { body: { key }, key: null });
      const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
      const headers = { cookie, origin: world.api.address, 'sec-fetch-site': 'same-origin' };
      return (method: string, path: string, body?: unknown) => world.api.call(method, path, { key: null, headers, body });
    }
    const asks = () => world.api.submit({ title: 'Drop the old tables', needsApproval: true });
    const messages = async () => (await world.api.call<{ items: MessageView[] }>('GET', '/api/outbox?channel=push')).body.items;

    test('hear once of what needs approval and of what failed, wherever they are signed in', async () => {
      const [here, there] = [service.subscribe(), service.subscribe()];
      for (const { subscription } of [here, there]) {
        const own = await browser();
        expect((await own('PUT', '/api/push', subscription)).status).toBe(204);
        expect((await own('GET', '/api/push')).body).toMatchObject({ subscribed: true, publicKey: expect.stringMatching(/^B[\w-]{86}$/) });
      }
      const { id } = await asks();
      const { id: failing } = await world.api.submit({ title: 'Build it', body: 'false', maxAttempts: 1 });
      const failed = await world.api.becomes(failing, 'failed', 'escalated');
      for (const { notes } of [here, there]) {
        await until('both to have come', () => notes.length >= 2);
        expect(notes).toHaveLength(2);
        expect(notes).toContainEqual({
          title: 'Needs approval: Drop the old tables',
          text: 'It waits for you to approve it.',
          path: `/tasks/${id}`,
          tag: id,
        });
        const path = failed.status === 'failed' ? `/runs/${failed.runs[0]?.id}` : `/tasks/${failing}`;
        expect(notes).toContainEqual(expect.objectContaining({ path, tag: failing, title: expect.stringContaining(': Build it') }));
      }
      await until('all to be sent', async () => (await messages()).every(({ state }) => state === 'sent'));
      expect(await messages()).toHaveLength(4);
      expect(service.asked[0]?.contact).toBe('https://nightshift.example');
    });

    test('hear of it later when the push service was out of order, and once', async () => {
      const { subscription, notes } = service.subscribe();
      await (await browser())('PUT', '/api/push', subscription);
      service.answers(503, 201);
      await asks();
      await until('it to come', () => notes.length === 1);
      expect(service.asked.map(({ status }) => status)).toEqual([503, 201]);
    });

    test('hear once, a day before, that they are signed out, and not when they signed in for a day anyway', async () => {
      const { subscription, notes } = service.subscribe();
      await (await browser())('PUT', '/api/push', subscription);
      const brief = service.subscribe();
      const signedIn = await browser();
      await signedIn('PUT', '/api/push', brief.subscription);
      await world.running.stop();
      const store = await database.open();
      const [first = '', second = ''] = (
        await store.read.selectFrom('sessions').select('id').orderBy('created_at').orderBy('id').execute()
      ).map(({ id }) => id);
      const soon = Date.now() + 20 * 3_600_000;
      await store.write(async (tx) => {
        await tx.db
          .updateTable('sessions')
          .set({ expires_at: soon, created_at: soon - 7 * 86_400_000 })
          .where('id', '=', first)
          .execute();
        await tx.db
          .updateTable('sessions')
          .set({ expires_at: soon, created_at: soon - 86_400_000 })
          .where('id', '=', second)
          .execute();
      });
      await store.close();
      await begin();
      await until('it to come', () => notes.length === 1);
      expect(notes).toMatchObject([{ title: 'This browser is signed out within a day', tag: 'session' }]);
      await world.running.stop();
      await begin();
      await asks();
      await until('what comes after it', () => notes.length > 1);
      expect(notes).toHaveLength(2);
      await until('the other to be told of the same', () => brief.notes.length > 0);
      expect(brief.notes).toHaveLength(1);
    });

    test.each([404, 410])('are forgotten when the push service says %d, without a dead letter', async (status) => {
      const own = await browser();
      await own('PUT', '/api/push', service.subscribe().subscription);
      service.answers(status);
      await asks();
      await until('it to be forgotten', async () => !(await subscribed(own)));
      await until('it to be settled', async () => (await messages()).every(({ state }) => state === 'sent'));
      await asks();
      expect(service.asked).toHaveLength(1);
    });

    test('are forgotten when the push service will not have it, with one dead letter that says why', async () => {
      const own = await browser();
      await own('PUT', '/api/push', service.subscribe().subscription);
      service.answers(403);
      await asks();
      await until('it to be forgotten', async () => !(await subscribed(own)));
      await asks();
      expect(service.asked).toHaveLength(1);
      expect((await messages()).map(({ state, reason }) => [state, reason?.code])).toEqual([['dead', 'http-403']]);
    });

    test('of one key are ten at most, so that nobody takes the place of the others', async () => {
      const key = (await world.api.call<{ secret: string }>('POST', '/api/keys', { body: { name: 'one', role: 'viewer' } })).body.secret;
      const owner = await browser();
      await owner('PUT', '/api/push', service.subscribe().subscription);
      const theirs: Browser[] = [];
      for (let each = 0; each < 11; each++) {
        const own = await browser(key);
        await own('PUT', '/api/push', service.subscribe().subscription);
        theirs.push(own);
      }
      expect(await Promise.all(theirs.map(subscribed))).toEqual([false, ...Array(10).fill(true)]);
      expect(await subscribed(owner)).toBe(true);
    });

    test('hear nothing after they have signed out, said so, or signed in anew elsewhere', async () => {
      const { subscription, notes } = service.subscribe();
      const first = await browser();
      await first('PUT', '/api/push', subscription);
      const second = await browser();
      await second('PUT', '/api/push', subscription);
      expect(await subscribed(first)).toBe(false);
      await asks();
      await until('it to come', () => notes.length > 0);
      await second('DELETE', '/api/push');
      await asks();
      await second('PUT', '/api/push', subscription);
      await second('DELETE', '/api/session');
      await asks();
      await until('all to be settled', async () => (await messages()).every(({ state }) => state === 'sent'));
      expect(notes).toHaveLength(1);
    });

    test('hear nothing more when the key that let them in is revoked', async () => {
      const key = (await world.api.call<{ id: string; secret: string }>('POST', '/api/keys', { body: { name: 'one', role: 'viewer' } }))
        .body;
      const { subscription, notes } = service.subscribe();
      expect((await (await browser(key.secret))('PUT', '/api/push', subscription)).status).toBe(204);
      await world.api.call('POST', `/api/keys/${key.id}/revoke`);
      await asks();
      expect(await messages()).toEqual([]);
      expect(notes).toEqual([]);
    });

    test('cannot make the server call whom they like', async () => {
      const own = await browser();
      const { keys } = service.subscribe().subscription;
      for (const endpoint of [
        'http://push.example/abc',
        'https://127.0.0.1/abc',
        'https://[::1]/abc',
        'https://2130706433/abc',
        'https://push.example:8443/abc',
        'https://user:word@push.example/abc',
        'file:///etc/passwd',
        'http://127.0.0.1:1/abc',
      ]) {
        expect((await own('PUT', '/api/push', { endpoint, keys })).status, endpoint).toBe(422);
      }
      expect((await own('PUT', '/api/push', { endpoint: 'https://localhost/abc', keys })).status).toBe(204);
      await asks();
      await until('it to be refused', async () => (await messages()).some(({ state }) => state === 'dead'));
      expect((await messages())[0]?.reason).toMatchObject({ code: 'not-public' });
      const point = { ...keys, p256dh: `BA${'A'.repeat(85)}` };
      expect((await own('PUT', '/api/push', { endpoint: `${service.origin}/abc`, keys: point })).status).toBe(422);
      const { subscription } = service.subscribe();
      expect(await world.api.refusal('PUT', '/api/push', { body: subscription })).toMatchObject({ status: 409, code: 'no-session' });
    });

    test('are known again after a restart, by a key that is nobody else’s to read', async () => {
      const { subscription, notes } = service.subscribe();
      await (await browser())('PUT', '/api/push', subscription);
      const file = join(world.config.home, 'push-key');
      const before = readFileSync(file, 'utf8');
      expect(statSync(file).mode & 0o777).toBe(0o600);
      await world.running.stop();
      await begin();
      await asks();
      await until('it to come', () => notes.length === 1);
      expect(readFileSync(file, 'utf8')).toBe(before);
    });
  });

type Browser = (method: string, path: string) => Promise<{ readonly body: unknown }>;
const subscribed = async (own: Browser): Promise<boolean> => ((await own('GET', '/api/push')).body as { subscribed: boolean }).subscribed;
