import { mkdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';
import { afterEach, describe, expect, test } from 'vitest';
import { startPushService } from '../support/push-service.ts';
import { Api } from '../support/server.ts';
import { type ServerProcess, spawnServer, until } from '../support/server-process.ts';
import { temporaryHome } from '../support/stores.ts';

/**
 * Killed when the other side has what was sent, and before anybody here knows so. Each channel then says it again in the way
 * in which the other side sees that it is the same, or, where there is none, with a word that it is. (GitHub: github.test.ts;
 * lists: sources-crash.test.ts.)
 */

const token = 'said-once-owner-key-0123456789';
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

interface Said {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A server that can be killed, and starts again as it was. */
function killable(env: Record<string, string>, within?: Parameters<typeof spawnServer>[2], home = temporaryHome()) {
  const begin = (): ServerProcess =>
    spawnServer(home, { NIGHTSHIFT_TOKEN: token, NIGHTSHIFT_LEASE_SECONDS: '2', LLM_PROVIDER: 'rehearsal', ...env }, within);
  let server = begin();
  let killed = 0;
  let restarted: Promise<void> = Promise.resolve();
  undo.push(async () => {
    await restarted;
    server.child.kill('SIGKILL');
    await server.exited;
    rmSync(home, { recursive: true, force: true });
  });
  const kill = (): void => {
    killed += 1;
    server.child.kill('SIGKILL');
    restarted = server.exited.then(() => {
      server = begin();
    });
  };
  return {
    home,
    kill,
    killed: () => killed,
    async api(): Promise<Api> {
      await restarted;
      return new Api(await server.address, token);
    },
    /** Until nothing waits to be said; killed once more then, since what was said must stay said. */
    async settled(channel: string): Promise<void> {
      const sent = async (): Promise<boolean> => {
        await restarted;
        const { body } = await new Api(await server.address, token).call<{ items: readonly { state: string }[] }>(
          'GET',
          `/api/outbox?channel=${channel}`,
        );
        return body.items.length > 0 && body.items.every(({ state }) => state === 'sent');
      };
      await until('all to be sent', () => sent().catch(() => false), 60);
      kill();
      await until('all to stand as sent', () => sent().catch(() => false), 60);
    },
  };
}

/** Takes what is posted, and has the sender killed with the first. */
async function hook(): Promise<{ readonly url: string; readonly got: Said[]; first: () => void }> {
  const got: Said[] = [];
  const taken = { url: '', got, first: (): void => undefined };
  const http = createServer(async (request, response) => {
    if (request.method === 'HEAD') return void response.end(); // whether anybody is there
    got.push({ headers: request.headers, body: await text(request) });
    if (got.length > 1) return void response.end('ok');
    taken.first();
    request.socket.destroy();
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  undo.push(() => {
    http.closeAllConnections();
    http.close();
  });
  return Object.assign(taken, { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/hook` });
}

const alert = async (server: ReturnType<typeof killable>, channel: string): Promise<void> => {
  await (await server.api()).call('POST', `/api/channels/${channel}/test`).catch(() => undefined); // it is killed over it
  await server.settled(channel);
  expect(server.killed()).toBe(2);
};
const field = (said: Said | undefined, name: string): unknown => (JSON.parse(said?.body ?? '{}') as Record<string, unknown>)[name];

describe('killed between sending and knowing it', { timeout: 120_000 }, () => {
  test('a web hook hears it again under the same key', async () => {
    const other = await hook();
    const server = killable({ ALERT_WEBHOOK_URL: other.url });
    other.first = server.kill;
    await alert(server, 'webhook');
    expect(other.got).toHaveLength(2);
    expect(other.got[0]?.headers['idempotency-key']).toMatch(/^test:.+#1$/);
    expect(other.got[1]?.headers['idempotency-key']).toBe(other.got[0]?.headers['idempotency-key']);
    expect(other.got[1]?.body).toBe(other.got[0]?.body);
  });

  test('PagerDuty hears it again under the same key', async () => {
    const other = await hook();
    // Its address is its own; what goes there goes to us.
    const redirect = `const { fetch } = globalThis; globalThis.fetch = (to, how) => fetch(String(to).replace('https://events.pagerduty.com/v2/enqueue', ${JSON.stringify(other.url)}), how);`;
    const server = killable({ PAGERDUTY_ROUTING_KEY: 'a-routing-key' }, ([node = '', ...args]) => [
      node,
      '--import',
      `data:text/javascript,${encodeURIComponent(redirect)}`,
      ...args,
    ]);
    other.first = server.kill;
    await alert(server, 'pagerduty');
    expect(other.got).toHaveLength(2);
    expect(field(other.got[0], 'dedup_key')).toMatch(/^test:/);
    expect(field(other.got[1], 'dedup_key')).toBe(field(other.got[0], 'dedup_key'));
  });

  test('Slack, which knows no keys, hears that it may have heard it', async () => {
    const other = await hook();
    const server = killable({ SLACK_WEBHOOK_URL: other.url });
    other.first = server.kill;
    await alert(server, 'slack');
    expect(other.got.map(({ body }) => body.includes('Sent again'))).toEqual([false, true]);
  });

  test('a mailbox gets it again under the same id', async () => {
    const mails: string[] = [];
    let first = (): void => undefined;
    const smtp = new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS', 'AUTH'],
      onData(stream, _session, done) {
        void text(stream).then((mail) => {
          if (mails.push(mail) === 1) first();
          else done(null);
        });
      },
    });
    smtp.on('error', () => undefined);
    await new Promise<void>((resolve) => smtp.listen(0, '127.0.0.1', resolve));
    undo.push(() => new Promise<void>((resolve) => smtp.close(() => resolve())));
    const port = (smtp.server.address() as AddressInfo).port;
    const server = killable({ ALERT_EMAIL: 'owner@example.org', SMTP_URL: `smtp://127.0.0.1:${port}` });
    first = server.kill;
    await alert(server, 'email');
    const ids = mails.map((mail) => /^Message-ID: (.+)$/im.exec(mail)?.[1]);
    expect(ids).toEqual([expect.stringContaining('@nightshift'), ids[0]]);
  });

  test('a browser shows it once: it comes again with the same tag', async () => {
    const service = await startPushService();
    undo.push(() => service.close());
    const server = killable({ NIGHTSHIFT_PUSH_SERVICES: service.origin });
    const { subscription, notes } = service.subscribe();
    const api = await server.api();
    const signedIn = await api.call('POST', '/api/session', { body: { key: token }, key: null });
    const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
    const headers = { cookie, origin: api.address, 'sec-fetch-site': 'same-origin' };
    expect((await api.call('PUT', '/api/push', { key: null, headers, body: subscription })).status).toBe(204);
    service.taken = () => {
      if (notes.length === 1) server.kill();
    };
    const asked = api.submit({ title: 'Drop the old tables', needsApproval: true }).catch(() => undefined);
    await until('it to come again', () => notes.length === 2, 60);
    await asked;
    await server.settled('push');
    expect(server.killed()).toBe(2);
    expect(notes.map(({ tag }) => tag)).toEqual([notes[0]?.tag, notes[0]?.tag]);
  });

  test.each([
    ['ticked', '- [x] Mend the gate\n- [ ] #later\n'],
    ['noted', '- [ ] Mend the gate\n  > Nightshift: '],
  ])('an item of a TODO file is %s once', async (kind, expected) => {
    const home = temporaryHome();
    const file = join(home, 'lists', 'TODO.md');
    const before = '- [ ] Mend the gate\n- [ ] #later\n';
    mkdirSync(join(home, 'lists'));
    writeFileSync(file, before);
    writeFileSync(join(home, 'script.yaml'), 'name: talk\nturns:\n  - say: Done.\n');
    const where = kind === 'noted' ? ', repository: /srv/nowhere.git' : '';
    writeFileSync(join(home, 'nightshift.yaml'), `todoFiles: [{ path: lists/TODO.md, notes: true${where} }]\n`);
    let changes = 0;
    const server = killable({ NIGHTSHIFT_REHEARSAL: join(home, 'script.yaml') }, undefined, home);
    const watching = watch(join(home, 'lists'), () => {
      if (readFileSync(file, 'utf8') !== before && ++changes === 1) server.kill();
    });
    undo.push(() => watching.close());
    await until('it to be written', () => changes > 0, 60);
    await server.settled('todo');
    const end = readFileSync(file, 'utf8');
    expect(end.startsWith(expected)).toBe(true);
    expect(end.split('Nightshift:').length - 1).toBe(kind === 'noted' ? 1 : 0);
    expect(end.endsWith('- [ ] #later\n')).toBe(true);
  });
});
