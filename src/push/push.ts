import { createHmac } from 'node:crypto';
import type { OutgoingMessage } from '../domain/mail.ts';
import type { PushNote, PushSubscription } from '../domain/push.ts';
import { dependencyFailed, type Task, type TaskStatus } from '../domain/task.ts';
import type { Channel, Sending } from '../outbox/channel.ts';
import type { Outbox } from '../outbox/outbox.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { type Regular, regularly } from '../platform/regularly.ts';
import { findSubscription, forgetSubscription, listEnding, listSubscriptions, saveSubscription } from '../store/push.ts';
import { runsOfTasks } from '../store/runs.ts';
import type { Store, Tx } from '../store/store.ts';
import { encrypted, isPublicKey } from './encrypt.ts';
import { postTo, whyNotTold } from './post.ts';
import { authorisation, type PushKey } from './vapid.ts';

/** Tells browsers what waits for a person, also when no page is open. */
export interface Push {
  /** What browsers subscribe with. */
  readonly publicKey: string;
  readonly channel: Channel;
  /** Why it cannot be, or undefined when it is. */
  subscribe(sessionId: string, given: GivenSubscription): Promise<string | undefined>;
  unsubscribe(sessionId: string): Promise<void>;
  isSubscribed(sessionId: string): Promise<boolean>;
}

type GivenSubscription = Pick<PushSubscription, 'endpoint' | 'p256dh' | 'auth'>;

export interface PushParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly key: PushKey;
  /** Whoever is signed in is so under this key; a rotated one ends every subscription. */
  readonly ownerKey: () => string;
  /** Whom push services may write to about us. */
  readonly contact: string;
  /** Origins of push services of one's own, which may be at private addresses. */
  readonly ownServices: readonly string[];
}

const channelName = 'push';

export function createPush(parts: PushParts): Push {
  const { store, clock, key, contact, ownServices } = parts;

  async function send(recipient: string, note: PushNote, signal: AbortSignal): Promise<Sending> {
    const subscription = await findSubscription(store.read, recipient, clock.now());
    // Signed out, or signed in anew since: nobody is to be told this way any more.
    if (!subscription || subscription.mark !== markOf(parts)) return nobody;
    const { endpoint, p256dh, auth } = subscription;
    const body = encrypted(Buffer.from(JSON.stringify(note)), { p256dh, auth });
    const headers = { authorization: authorisation(key, { endpoint, contact, now: clock.now() }), topic: topicOf(note) };
    const answer = await postTo({ endpoint, ownServices }, { headers, body }, signal);
    // Refused once is refused for ever: one dead letter says why, and the dashboard subscribes anew when it is opened.
    if (answer === 'gone' || answer.kind === 'refused') await store.write((tx) => forgetSubscription(tx, recipient, endpoint));
    return answer === 'gone' ? nobody : answer;
  }

  return {
    publicKey: key.publicKey,
    channel: { name: channelName, send: ({ recipient, body }, signal) => send(recipient, body as PushNote, signal) },
    async subscribe(sessionId, given) {
      const why = whyNotTold(given.endpoint, ownServices);
      if (why !== undefined) return why;
      if (!isPublicKey(given.p256dh)) return 'p256dh is no public key of the curve P-256';
      await store.write((tx) => saveSubscription(tx, { sessionId, ...given, mark: markOf(parts) }, clock.now()));
      return undefined;
    },
    unsubscribe: (sessionId) => store.write((tx) => forgetSubscription(tx, sessionId)),
    isSubscribed: async (sessionId) => (await findSubscription(store.read, sessionId, clock.now()))?.mark === markOf(parts),
  };
}

/** It has been dealt with: there is nobody to tell, and nothing for a person to mend. */
const nobody: Sending = { kind: 'sent', ref: null };

const markOf = ({ ownerKey, key }: Pick<PushParts, 'ownerKey' | 'key'>): string =>
  createHmac('sha256', ownerKey()).update(`nightshift push ${key.publicKey}`).digest('base64url');

/** Of what waits at the push service for a browser that is away, the last of a task is enough. */
const topicOf = ({ tag }: PushNote): string => createHmac('sha256', 'topic').update(tag).digest('base64url').slice(0, 32);

/** To be called in the transaction in which tasks came to where they are: each browser is told once of each such moment. */
export function tellBrowsers(parts: Pick<PushParts, 'key' | 'ownerKey' | 'clock'>, outbox: Pick<Outbox, 'put'>) {
  return async (tx: Tx, tasks: readonly Task[]): Promise<void> => {
    const worth = tasks.filter(({ status, reason }) => told.includes(status) && reason?.code !== dependencyFailed);
    if (worth.length === 0) return;
    const subscriptions = await listSubscriptions(tx.db, markOf(parts), parts.clock.now());
    if (subscriptions.length === 0) return;
    const runs = await runsOfTasks(
      tx.db,
      worth.map(({ id }) => id),
    );
    await outbox.put(
      tx,
      worth.flatMap((task) => {
        const note = noteOf(task, runs.get(task.id)?.at(-1)?.id);
        return subscriptions.map(({ sessionId }): OutgoingMessage => {
          const key = `${sessionId}/${task.id}/${task.status}/${task.updatedAt}`;
          return { channel: channelName, recipient: sessionId, kind: 'notification', key, body: note, taskId: task.id };
        });
      }),
    );
  };
}

const lookEveryMs = 3_600_000;
const aheadMs = 24 * 3_600_000;
const endsSoon: PushNote = {
  title: 'This browser is signed out within a day',
  text: 'Then it is told nothing more. Open the link that `nightshift token link` prints here, and it is again.',
  path: '/settings',
  tag: 'session',
};

/** Tells each browser once, about a day before its session ends: what is told no more is not missed otherwise. */
export function tellOfEnds(parts: PushParts & { readonly log: Log }, outbox: Pick<Outbox, 'put'>): Regular {
  const { store, clock, log } = parts;
  return regularly(
    clock,
    lookEveryMs,
    async () => {
      const ending = await listEnding(store.read, markOf(parts), clock.now(), aheadMs);
      if (ending.length === 0) return;
      await store.write((tx) =>
        outbox.put(
          tx,
          // The same words under the same key are said once.
          ending.map(({ sessionId }) => ({
            ...{ channel: channelName, recipient: sessionId, kind: 'notification', body: endsSoon },
            key: `${sessionId}/ends`,
          })),
        ),
      );
    },
    (error) => log.warn({ err: error }, 'browsers could not be told that they are signed out soon; trying again in an hour'),
  );
}

const told: readonly TaskStatus[] = ['awaiting-approval', 'escalated', 'over-budget', 'failed'];

const headings: Partial<Record<TaskStatus, string>> = {
  'awaiting-approval': 'Needs approval',
  escalated: 'Needs you',
  'over-budget': 'Over its budget',
  failed: 'Failed',
};

/** Short, for it has to fit into one message with room for what encryption adds. */
const noteOf = (task: Task, runId: string | undefined): PushNote => ({
  title: cut(`${headings[task.status]}: ${task.title}`, 200),
  text: cut(task.reason?.message ?? 'It waits for you to approve it.', 400),
  path: task.status === 'failed' && runId !== undefined ? `/runs/${runId}` : `/tasks/${task.id}`,
  tag: task.id,
});

const cut = (text: string, limit: number): string => (text.length <= limit ? text : `${text.slice(0, limit - 1).toWellFormed()}…`);
