import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, dialects, missing, type TestDatabase } from '../../test/support/stores.ts';
import type { Message } from '../domain/mail.ts';
import { enrol, removeNode } from './nodes.ts';
import {
  discardMessage,
  findMessage,
  holdLines,
  listMessages,
  markDead,
  markSent,
  nextMessage,
  postponeMessage,
  putMessages,
  releaseMessages,
  resendMessage,
  takeMessages,
} from './outbox.ts';
import type { Store } from './store.ts';

const recipients = ['ann', 'bob'] as const;
const nodes = ['nod_a', 'nod_b'] as const;

/** Keys belong to one recipient each, as an address does to a comment. */
const key = fc.nat(3);
const node = fc.nat(nodes.length - 1);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('put'), key, pause: fc.constantFrom(0, 5_000) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('take'), node, limit: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('sent'), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('postpone'), which: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('dead'), which: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('resend'), key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('discard'), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash'), node }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('later'), ms: fc.constantFrom(1, 3_000, 5_000) }) },
);
type Step =
  | { readonly do: 'put'; readonly key: number; readonly pause: number }
  | { readonly do: 'take'; readonly node: number; readonly limit: number }
  | { readonly do: 'sent' | 'postpone' | 'dead'; readonly which: number }
  | { readonly do: 'resend' | 'discard'; readonly key: number }
  | { readonly do: 'crash'; readonly node: number }
  | { readonly do: 'later'; readonly ms: number };

for (const dialect of dialects) {
  describe.skipIf(missing(dialect))(`lines of messages on ${dialect}`, () => {
    let database: TestDatabase;
    let store: Store;
    let round = 0;

    beforeAll(async () => {
      database = await createDatabase(dialect);
      store = await database.open();
      await store.write(async (tx) => {
        for (const id of nodes) await enrol(tx, { id, address: null }, 0);
      });
    });

    afterAll(async () => {
      await store?.close();
      await database?.remove();
    });

    /** Plays the steps in a channel of their own, and then sends whatever waits. */
    async function play(steps: readonly Step[]): Promise<void> {
      const channel = `channel-${++round}`;
      const idOf = (each: number): string => `msg_${round}_${each}`;
      let now = 1_000_000;
      let texts = 0;
      const inHand: { readonly message: Message; readonly node: string }[] = [];
      /** What was never said, by recipient, in the order in which it is to be said. */
      const unsaid = new Map<string, string[]>(recipients.map((who) => [who, []]));
      const said = new Set<string>();
      const out: string[] = [];
      const without = (who: string, id: string): void =>
        void unsaid.set(
          who,
          (unsaid.get(who) ?? []).filter((each) => each !== id),
        );

      async function take(by: string, limit: number): Promise<number> {
        const taken = await store.write((tx) => takeMessages(tx, by, channel, limit, now));
        for (const message of taken) {
          expect(inHand.map((each) => each.message.id)).not.toContain(message.id);
          if (!said.has(message.id)) expect(message.id).toBe(unsaid.get(message.recipient)?.[0]);
          inHand.push({ message, node: by });
        }
        return taken.length;
      }

      /** Those that one node says were sent are marked in one go. */
      async function sent(all: readonly (typeof inHand)[number][]): Promise<void> {
        for (const by of new Set(all.map(({ node }) => node))) {
          const messages = all.flatMap(({ message, node }) => (node === by ? message : []));
          await store.write(async (tx) => {
            await holdLines(tx, messages);
            await markSent(
              tx,
              messages.map((message) => ({ message, ref: 'ref' })),
              by,
              now,
            );
          });
          for (const { id, revision, recipient } of messages) {
            out.push(`${id} ${revision}`);
            said.add(id);
            without(recipient, id);
          }
        }
      }

      async function one(next: Step): Promise<void> {
        switch (next.do) {
          case 'put': {
            const recipient = recipients[next.key % 2] as string;
            const id = idOf(next.key);
            const { key: name, pause: pauseMs } = { key: `key ${next.key}`, pause: next.pause };
            const fresh = (await findMessage(store.read, id)) === undefined;
            const message = { id, channel, recipient, kind: 'note', key: name, pauseMs, body: ++texts };
            await store.write((tx) => putMessages(tx, [message], now));
            if (fresh) unsaid.get(recipient)?.push(id);
            return;
          }
          case 'take':
            await take(nodes[next.node] as string, next.limit);
            return;
          case 'later':
            now += next.ms;
            return;
          case 'crash': {
            const gone = nodes[next.node] as string;
            await store.write((tx) => releaseMessages(tx, gone));
            for (let at = inHand.length; at-- > 0; ) if (inHand[at]?.node === gone) inHand.splice(at, 1);
            return;
          }
          case 'resend': {
            const id = idOf(next.key);
            const done = await store.write((tx) => resendMessage(tx, id, ['dead', 'discarded'], now));
            const message = await findMessage(store.read, id);
            if (done && message && !said.has(id)) unsaid.get(message.recipient)?.push(id);
            return;
          }
          case 'discard': {
            const id = idOf(next.key);
            const done = await store.write((tx) => discardMessage(tx, id, ['waiting', 'dead']));
            if (done) without(recipients[next.key % 2] as string, id);
            return;
          }
          default:
            return finish(next.do, next.which);
        }
      }

      async function finish(how: 'sent' | 'postpone' | 'dead', which: number): Promise<void> {
        if (inHand.length === 0) return;
        const at = which % inHand.length;
        if (how === 'sent') return sent(which % 2 === 0 ? inHand.splice(at, 1) : inHand.splice(0));
        const [{ message, node: by }] = inHand.splice(at, 1) as [(typeof inHand)[number]];
        const reason = { code: 'away', message: 'nobody answers' };
        await store.write(async (tx) => {
          await holdLines(tx, [message]);
          if (how === 'dead') await markDead(tx, message, by, reason);
          else await postponeMessage(tx, message.id, by, { reason, notBefore: now + 2_000, doubtful: false, ref: message.ref });
        });
        if (how === 'dead') without(message.recipient, message.id);
      }

      for (const next of steps) await one(next);
      for (;;) {
        await sent(inHand.splice(0));
        if ((await take('nod_a', 10)) > 0) continue;
        const due = await nextMessage(store.read, channel, now);
        if (due === null) break;
        now = due;
      }
      expect(await listMessages(store.read, { channel, state: 'waiting' }, { before: null, limit: 10 })).toEqual([]);
      expect(new Set(out).size).toBe(out.length);
      const all = await listMessages(store.read, { channel, state: 'sent' }, { before: null, limit: 10 });
      expect(all.filter(({ revision, sentRevision }) => revision !== sentRevision)).toEqual([]);
    }

    test('whatever happens, all that waits goes out, once, and in the order of its line', { timeout: 120_000 }, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step as fc.Arbitrary<Step>, { minLength: 20, maxLength: 80 }), (steps) => play(steps)),
        { numRuns: dialect === 'sqlite' ? 150 : 50 },
      );
    });

    const put = (each: number, pause = 0): Step => ({ do: 'put', key: each, pause });
    const take: Step = { do: 'take', node: 0, limit: 3 };
    const later: Step = { do: 'later', ms: 5_000 };
    const end = (how: 'sent' | 'dead'): Step => ({ do: how, which: 0 });

    test('an edit that was given up, and is sent again by hand, goes out', () =>
      play([put(0), take, end('sent'), put(0, 5_000), later, take, end('dead'), { do: 'resend', key: 0 }]));

    test('one that was discarded in the hands of a node that was taken for dead goes out when it is sent again', async () => {
      const message = { id: 'msg_frozen', channel: 'frozen', recipient: 'ann', kind: 'note', key: 'k', body: 'x' };
      await store.write((tx) => putMessages(tx, [message], 0));
      expect(await store.write((tx) => takeMessages(tx, 'nod_a', 'frozen', 1, 0))).toHaveLength(1);
      await store.write((tx) => removeNode(tx, 'nod_a'));
      expect(await store.write((tx) => discardMessage(tx, message.id, ['waiting']))).toBe(true);
      await store.write((tx) => enrol(tx, { id: 'nod_a', address: null }, 0));
      expect(await store.write((tx) => resendMessage(tx, message.id, ['discarded'], 0))).toBe(true);
      expect(await store.write((tx) => takeMessages(tx, 'nod_b', 'frozen', 1, 0))).toHaveLength(1);
    });

    test('a correction in its line that becomes an edit that may pause goes out', () =>
      play([put(0), take, end('sent'), put(2), put(0), put(0, 5_000)]));

    test('an edit that becomes one that may pause lets go of the line that it leads', () =>
      play([put(0), take, end('sent'), put(0), put(2), put(0, 5_000), { do: 'discard', key: 0 }]));
  });
}
