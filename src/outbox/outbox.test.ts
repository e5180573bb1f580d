import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../test/support/clock.ts';
import { until } from '../../test/support/server-process.ts';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import type { Message, MessageState } from '../domain/mail.ts';
import { createIds } from '../platform/ids.ts';
import { silentLog } from '../platform/log.ts';
import { readAfter } from '../store/journal.ts';
import { enrol, removeNode } from '../store/nodes.ts';
import { findMessage, listMessages } from '../store/outbox.ts';
import type { Store } from '../store/store.ts';
import type { Finding, Sending } from './channel.ts';
import { createOutbox, type Outbox } from './outbox.ts';

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`the outbox on ${dialect}`, () => {
    let database: TestDatabase;
    let clock: ManualClock;
    let store: Store;
    const undo: (() => unknown)[] = [];
    /** What arrived on the other side, in order. */
    let arrived: string[];
    let answer: (message: Message) => Sending | Promise<Sending>;
    let search: ((message: Message) => Finding) | undefined;
    let finds: number;

    const said = ({ recipient, body, ref }: Message): string => `${recipient}: ${body}${ref === null ? '' : ` (${ref})`}`;
    const arrives = (message: Message): Sending => {
      arrived.push(said(message));
      return { kind: 'sent', ref: message.ref ?? `ref-of-${message.key}` };
    };
    const retry = (more: Partial<Extract<Sending, { kind: 'retry' }>> = {}): Sending => ({
      kind: 'retry',
      code: 'away',
      message: 'nobody answers',
      doubtful: false,
      ...more,
    });

    async function open(node: string, given?: Store): Promise<Outbox> {
      // News of a commit reaches other processes on PostgreSQL only; on SQLite there is but one.
      const another = given ?? (dialect === 'sqlite' ? store : await database.open());
      await another.write((tx) => enrol(tx, { id: node, address: null }, clock.now()));
      const outbox = createOutbox({
        store: another,
        clock,
        newId: createIds(clock),
        chance: () => 0.5,
        log: silentLog,
        node,
        channels: [
          { name: 'other', send: async (message) => arrives(message) },
          {
            name: 'test',
            send: async (message) => answer(message),
            find: async (message) => {
              finds += 1;
              return search?.(message) ?? { kind: 'absent' };
            },
          },
        ],
      });
      if (another !== store && another !== given) undo.push(() => another.close());
      undo.push(() => outbox.stop());
      return outbox;
    }

    const put = (outbox: Outbox, recipient: string, body: string, key = body): Promise<void> =>
      store.write((tx) => outbox.put(tx, [{ channel: 'test', recipient, kind: 'note', key, body }]));
    const all = (state?: MessageState): Promise<readonly Message[]> => listMessages(store.read, { state }, { before: null, limit: 500 });
    const one = async (): Promise<Message> => (await all())[0] as Message;
    const count = (state: MessageState, wanted: number): Promise<readonly Message[]> =>
      until(`${wanted} ${state}`, async () => {
        const found = await all(state);
        return found.length === wanted && found;
      });

    beforeEach(async () => {
      database = await createDatabase(dialect);
      clock = new ManualClock();
      arrived = [];
      finds = 0;
      search = undefined;
      answer = arrives;
      store = await database.open();
      undo.push(() => store.close());
    });

    afterEach(async () => {
      for (const step of undo.splice(0).reverse()) await step();
      await database.remove();
    });

    test('lets time pass between two texts under one key, says only the newest, and does not keep the last word back', async () => {
      const outbox = await open('nod_a');
      const edit = (body: string, pauseMs?: number): Promise<void> =>
        store.write((tx) =>
          outbox.put(tx, [{ channel: 'test', recipient: 'ann', kind: 'note', key: 'progress', body, ...(pauseMs ? { pauseMs } : {}) }]),
        );
      const statusOf = async (): Promise<Message> => (await all()).find(({ key }) => key === 'progress') as Message;
      await outbox.start();
      await edit('queued', 5_000);
      await count('sent', 1);
      await edit('working', 5_000);
      await edit('verifying', 5_000);
      clock.advance(4_000);
      expect(await statusOf()).toMatchObject({ state: 'waiting', notBefore: clock.now() + 1_000 });
      // It holds nobody up meanwhile.
      await put(outbox, 'ann', 'something else');
      await count('sent', 1);
      await until('the newest to be sent', async () => {
        clock.advance(1_000);
        return (await all('sent')).length === 2;
      });
      // While one is on its way, the next is put.
      let meanwhile: Promise<void> | undefined;
      answer = (message) => {
        meanwhile ??= edit('and more', 5_000);
        return meanwhile.then(() => arrives(message));
      };
      clock.advance(6_000);
      await edit('delivering', 5_000);
      await until('the next to wait', async () => arrived.length === 4 && (await statusOf()).notBefore === clock.now() + 5_000);
      await edit('done');
      await count('sent', 2);
      expect(arrived).toEqual([
        'ann: queued',
        'ann: something else',
        ...['verifying', 'delivering', 'done'].map((body) => `ann: ${body} (ref-of-progress)`),
      ]);
    });

    test('sends through other channels while one hangs, however much waits there', async () => {
      let goOn = (): void => undefined;
      const hanging = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      answer = async (message) => {
        await hanging;
        return arrives(message);
      };
      const outbox = await open('nod_a');
      for (let i = 0; i < 30; i++) await put(outbox, `somebody ${i}`, 'words', `words ${i}`);
      await outbox.start();
      await store.write((tx) =>
        outbox.put(tx, [{ channel: 'other', recipient: 'owner', kind: 'alert', key: 'alert', body: 'the first one hangs' }]),
      );
      await count('sent', 1);
      expect(arrived).toEqual(['owner: the first one hangs']);
      goOn();
      await count('sent', 31);
    });

    test('sends nothing of a transaction that was undone', async () => {
      const outbox = await open('nod_a');
      await outbox.start();
      const undone = store.write(async (tx) => {
        await outbox.put(tx, [{ channel: 'test', recipient: 'ann', kind: 'note', key: 'k', body: 'never' }]);
        throw new Error('changed my mind');
      });
      await expect(undone).rejects.toThrow('changed my mind');
      await put(outbox, 'ann', 'but this');
      await count('sent', 1);
      expect(arrived).toEqual(['ann: but this']);
    });

    test('keeps the order to each recipient, and a recipient who cannot be reached holds up nobody else', async () => {
      let reachable = false;
      answer = (message) => (message.recipient === 'bob' && !reachable ? retry({ afterMs: 5_000 }) : arrives(message));
      const outbox = await open('nod_a');
      for (let i = 0; i < 20; i++) for (const who of ['ann', 'bob', 'cid']) await put(outbox, who, String(i), `${who}${i}`);
      await outbox.start();
      await count('sent', 40);
      expect(arrived.filter((each) => each.startsWith('bob'))).toEqual([]);
      for (const who of ['ann', 'cid'])
        expect(arrived.filter((each) => each.startsWith(who))).toEqual(Array.from({ length: 20 }, (_, i) => `${who}: ${i}`));
      reachable = true;
      await until('the rest', async () => {
        clock.advance(2_000);
        return (await all('sent')).length === 60;
      });
      expect(arrived.filter((each) => each.startsWith('bob'))).toEqual(Array.from({ length: 20 }, (_, i) => `bob: ${i}`));
    });

    test('sends only the newest text of a message, and corrects one that is out', async () => {
      const outbox = await open('nod_a');
      for (const text of ['queued', 'running', 'done']) await put(outbox, 'ann', text, 'status');
      await put(outbox, 'ann', 'the answer');
      await put(outbox, 'ann', 'done in 5 s', 'status');
      await outbox.start();
      await count('sent', 2);
      await put(outbox, 'ann', 'once more', 'status');
      await until('the correction', () => arrived.length === 3);
      await count('sent', 2);
      await put(outbox, 'ann', 'once more', 'status'); // nothing new
      await put(outbox, 'ann', 'end');
      await count('sent', 3);
      expect(arrived).toEqual(['ann: done in 5 s', 'ann: the answer', 'ann: once more (ref-of-status)', 'ann: end']);
    });

    test('sends a text that was changed while the old one was on its way', async () => {
      const outbox = await open('nod_a');
      answer = async (message) => {
        if (message.body === 'old') await put(outbox, 'ann', 'new', 'status');
        return arrives(message);
      };
      await outbox.start();
      await put(outbox, 'ann', 'old', 'status');
      await until('both', () => arrived.length === 2);
      await count('sent', 1);
      expect(arrived).toEqual(['ann: old', 'ann: new (ref-of-status)']);
    });

    test('waits as long as the other side says, for one message or for all', async () => {
      let calls = 0;
      answer = (message) => {
        calls += 1;
        return calls === 1 ? retry({ afterMs: 60_000, wholeChannel: true }) : arrives(message);
      };
      const outbox = await open('nod_a');
      await outbox.start();
      await put(outbox, 'ann', 'a');
      await until('the first try', async () => (await one()).reason !== null);
      await put(outbox, 'bob', 'b');
      for (let i = 0; i < 29; i++) {
        await until('a look', () => clock.pending > 0);
        clock.advance(2_000);
      }
      expect(calls).toBe(1);
      await until('the end of the rest', async () => {
        clock.advance(1_000);
        return (await all('sent')).length === 2;
      });
      expect([...arrived].sort()).toEqual(['ann: a', 'bob: b']);
    });

    test('gives up what is refused, goes on with the next, and sends it again when asked to', async () => {
      answer = (message) => (message.body === 'bad' ? { kind: 'refused', code: 'gone', message: 'deleted' } : arrives(message));
      const outbox = await open('nod_a');
      await put(outbox, 'ann', 'bad');
      await put(outbox, 'ann', 'good');
      await outbox.start();
      await count('sent', 1);
      const [dead] = (await count('dead', 1)) as [Message];
      expect(dead).toMatchObject({ body: 'bad', reason: { code: 'gone', message: 'deleted' } });
      expect((await readAfter(store, '0', 100)).map(({ type }) => type)).toContain('outbox.dead');

      // A person decides, and until then a new text does not set it going again.
      await put(outbox, 'ann', 'better', 'bad');
      await count('dead', 1);
      expect(await outbox.resend(dead.id)).toMatchObject({ ok: true, message: { state: 'waiting' } });
      await count('sent', 2);
      expect(arrived).toEqual(['ann: good', 'ann: better']);
      expect(await outbox.resend(dead.id)).toMatchObject({ ok: false, status: 409 });
      expect(await outbox.resend('msg_nothing')).toMatchObject({ ok: false, status: 404 });
    });

    test('gives up after a hundred tries', async () => {
      answer = () => retry();
      const outbox = await open('nod_a');
      await outbox.start();
      await put(outbox, 'ann', 'a');
      await until('the end', async () => {
        clock.advance(30 * 60_000);
        return (await one()).state === 'dead';
      });
      expect(await one()).toMatchObject({ attempts: 100, reason: { code: 'away' } });
    });

    test('does not send what was discarded, and cannot hold back what is under way', async () => {
      let release = (): void => undefined;
      const onItsWay = new Promise<void>((resolve) => {
        release = resolve;
      });
      let sending = false;
      answer = async (message) => {
        sending = true;
        await onItsWay;
        return arrives(message);
      };
      const outbox = await open('nod_a');
      await outbox.start();
      await put(outbox, 'ann', 'first');
      await until('it to be under way', () => sending);
      await put(outbox, 'ann', 'second');
      const [second, first] = (await all()) as [Message, Message];
      expect(await outbox.discard(first.id)).toMatchObject({ ok: false, status: 409 });
      expect(await outbox.discard(second.id)).toMatchObject({ ok: true, message: { state: 'discarded' } });
      release();
      await count('sent', 1);
      expect(arrived).toEqual(['ann: first']);
    });

    describe('after a death between sending and storing it', () => {
      async function dieWhileSending(): Promise<void> {
        let sent = false;
        answer = async (message) => {
          arrives(message);
          sent = true;
          return new Promise<Sending>(() => undefined);
        };
        let dead = false;
        let writing = 0;
        const dying: Store = Object.assign(Object.create(store) as Store, {
          async write(change: Parameters<Store['write']>[0]) {
            if (dead) return new Promise(() => undefined);
            writing += 1;
            return store.write(change).finally(() => {
              writing -= 1;
            });
          },
        });
        const first = await open('nod_dead', dying);
        await put(first, 'ann', 'hello', 'greeting');
        await first.start();
        await until('it to be out', () => sent);
        // A look that it is in the middle of would put it back on the list of nodes.
        dead = true;
        await until('its last change', () => writing === 0);
        // The process is gone: it takes nothing more, nobody hears the answer, and the node is struck off.
        undo.pop();
        void first.stop();
        await store.write((tx) => removeNode(tx, 'nod_dead'));
        answer = arrives;
      }

      test('what arrived is found and not said again', async () => {
        await dieWhileSending();
        search = () => ({ kind: 'found', ref: 'comment-7' });
        await (await open('nod_b')).start();
        await count('sent', 1);
        expect(finds).toBe(1);
        expect(arrived).toEqual(['ann: hello', 'ann: hello (comment-7)']);
        expect((await one()).ref).toBe('comment-7');
      });

      test('what did not arrive is sent', async () => {
        await dieWhileSending();
        arrived = [];
        await (await open('nod_b')).start();
        await count('sent', 1);
        expect(arrived).toEqual(['ann: hello']);
      });

      test('nothing is sent while nobody can tell', async () => {
        await dieWhileSending();
        arrived = [];
        let tells = false;
        search = () =>
          tells
            ? { kind: 'found', ref: 'comment-7' }
            : { kind: 'retry', code: 'away', message: 'no answer', doubtful: false, afterMs: 1_000 };
        await (await open('nod_b')).start();
        await until('a few looks', () => {
          clock.advance(1_000);
          return finds > 3;
        });
        expect(arrived).toEqual([]);
        tells = true;
        await until('the end', async () => {
          clock.advance(1_000);
          return (await one()).state === 'sent';
        });
        expect(arrived).toEqual(['ann: hello (comment-7)']);
      });

      test('the other messages to the same recipient wait, those to others do not', async () => {
        await dieWhileSending();
        const outbox = await open('nod_b');
        await put(outbox, 'ann', 'later');
        await outbox.start();
        await count('sent', 2);
        expect(arrived).toEqual(['ann: hello', 'ann: hello', 'ann: later']);
      });
    });

    test('two nodes send nothing twice', async () => {
      const outboxes = [await open('nod_a'), await open('nod_b')];
      for (const outbox of outboxes) await outbox.start();
      const first = outboxes[0] as Outbox;
      await Promise.all(Array.from({ length: 100 }, (_, i) => put(first, `person ${i % 10}`, String(i))));
      await until('all', async () => {
        clock.advance(100);
        return (await all('sent')).length === 100;
      });
      expect(arrived).toHaveLength(100);
      expect(new Set(arrived).size).toBe(100);
      expect(finds).toBe(0);
    });

    test('lets the next one go when the first of a line is discarded, and one that is sent again waits behind the others', async () => {
      let reachable = false;
      answer = (message) => (reachable ? arrives(message) : retry({ afterMs: 60_000 }));
      const outbox = await open('nod_a');
      await outbox.start();
      for (const text of ['a', 'b', 'c']) await put(outbox, 'ann', text);
      await until('the first try', async () => (await all()).some(({ body, reason }) => body === 'a' && reason !== null));
      const [first] = (await all()).filter(({ body }) => body === 'a') as [Message];
      reachable = true;
      expect(await outbox.discard(first.id)).toMatchObject({ ok: true });
      await count('sent', 2);
      expect(await outbox.resend(first.id)).toMatchObject({ ok: true });
      await count('sent', 3);
      expect(arrived).toEqual(['ann: b', 'ann: c', 'ann: a']);
    });

    test('keeps its order whatever is put, sent and discarded at the same time', async () => {
      const outboxes = [await open('nod_a'), await open('nod_b')];
      for (const outbox of outboxes) await outbox.start();
      const people = ['ann', 'bob', 'cid'];
      await Promise.all(
        outboxes.map(async (outbox, from) => {
          for (let n = 0; n < 20; n++) {
            await store.write((tx) =>
              outbox.put(
                tx,
                people.map((who) => ({
                  channel: 'test',
                  recipient: `${who} of ${from}`,
                  kind: 'note',
                  key: `${who}${from}/${n}`,
                  body: n,
                })),
              ),
            );
            if (n % 5 === 0) for (const { id } of (await all('waiting')).slice(0, 2)) await outbox.discard(id);
          }
        }),
      );
      await until('all to be gone', async () => {
        clock.advance(100);
        return (await all('waiting')).length === 0;
      });
      const discarded = (await all('discarded')).length;
      expect(arrived).toHaveLength(120 - discarded);
      for (const who of people.flatMap((each) => [`${each} of 0`, `${each} of 1`])) {
        const numbers = arrived.flatMap((each) => (each.startsWith(`${who}: `) ? Number(each.slice(who.length + 2)) : []));
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      }
    });

    test('stores together what ends together', async () => {
      let writes = 0;
      const counting: Store = Object.assign(Object.create(store) as Store, {
        write: (change: Parameters<Store['write']>[0]) => {
          writes += 1;
          return store.write(change);
        },
      });
      const outbox = await open('nod_a', counting);
      await store.write((tx) =>
        outbox.put(
          tx,
          Array.from({ length: 160 }, (_, n) => ({ channel: 'test', recipient: `person ${n}`, kind: 'note', key: String(n), body: 'x' })),
        ),
      );
      await outbox.start();
      await count('sent', 160);
      expect(writes).toBeLessThan(100);
    });

    test('a message can be looked at', async () => {
      const outbox = await open('nod_a');
      await put(outbox, 'ann', 'hello', 'greeting');
      const message = await one();
      expect(await findMessage(store.read, message.id)).toEqual(message);
      expect(message).toMatchObject({ channel: 'test', recipient: 'ann', kind: 'note', key: 'greeting', state: 'waiting', revision: 1 });
    });
  });
}
