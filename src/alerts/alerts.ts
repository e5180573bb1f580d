import { type Alert, judge, type Trouble } from '../domain/alert.ts';
import type { NewEvent } from '../domain/event.ts';
import { noticeFor } from '../domain/notice.ts';
import type { Outbox } from '../outbox/outbox.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { type Regular, regularly } from '../platform/regularly.ts';
import { alertsSeenBy, forgetAlert, listAlerts, saveAlert, silences } from '../store/alerts.ts';
import { append } from '../store/journal.ts';
import { listNodes } from '../store/nodes.ts';
import type { Store, Tx } from '../store/store.ts';
import type { Condition } from './condition.ts';

export interface AlertParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly node: string;
  readonly outbox: Pick<Outbox, 'put'>;
  /** The channels that each alert goes to. */
  readonly channels: readonly string[];
  readonly conditions: readonly Condition[];
}

/** With the outbox, which sends at once, well within the half minute in which people want to know. */
const lookEveryMs = 10_000;

interface Seen {
  readonly condition: Condition;
  readonly trouble: Trouble | null;
}

/**
 * Looks at every condition now and then, and tells people once of what lasts and once when it is over. What is known is in
 * the store, so a restart repeats nothing, and of several nodes that see the same one speaks.
 */
export function watchOver(parts: AlertParts): Regular {
  const { clock, log } = parts;
  return regularly(
    clock,
    lookEveryMs,
    async () => lookAround(parts),
    (error) => log.warn({ err: error }, 'alerts could not be looked after; trying again'),
  );
}

export async function lookAround(parts: AlertParts): Promise<void> {
  const { store, log } = parts;
  const looks = await Promise.allSettled(parts.conditions.map(async (condition) => ({ condition, trouble: await condition.look() })));
  const seen = looks.flatMap((look, index): readonly Seen[] => {
    if (look.status === 'fulfilled') {
      const { condition, trouble } = look.value;
      return trouble === undefined ? [] : [{ condition, trouble }];
    }
    log.warn({ err: look.reason, alert: parts.conditions[index]?.name }, 'a condition could not be looked at');
    return [];
  });
  // Nearly always there is nothing to say, and then nothing is written.
  if (seen.every(({ trouble }) => trouble === null) && (await listAlerts(store.read)).length === 0) return;
  await store.write(async (tx) => {
    await tx.lock('alerts');
    await weigh(parts, tx, seen);
    await forgetOrphans(parts, tx);
  });
}

async function weigh(parts: AlertParts, tx: Tx, seen: readonly Seen[]): Promise<void> {
  const { clock, node } = parts;
  const now = clock.now();
  const known = new Map((await alertsSeenBy(tx.db, node)).map((alert) => [keyOf(alert), alert]));
  const silent = new Set((await silences(tx.db, now)).map(({ name }) => name));
  for (const { condition, trouble } of seen) {
    const { name, severity, forMs, scope } = condition;
    const owner = { name, node: scope === 'node' ? node : '' };
    const before = known.get(keyOf(owner));
    const { alert, tell } = judge(before, trouble, { ...owner, severity, forMs }, now);
    if (alert && tell === 'raised' && silent.has(name)) {
      // Nobody has been told, so they are when the silence ends and it is still there.
      await saveAlert(tx, { ...alert, raisedAt: null });
      continue;
    }
    if (alert) await saveAlert(tx, alert);
    else if (before) await forgetAlert(tx, owner);
    const about = alert ?? before;
    if (tell !== null && about)
      await announce(parts, tx, about, tell === 'resolved' ? `It lasted ${lengthOf(now - about.since)}.` : null, now);
  }
}

/** What nobody looks after: its condition is switched off, or its node is no more. Nobody would ever see that it is over. */
async function forgetOrphans(parts: AlertParts, tx: Tx): Promise<void> {
  const { conditions, clock, node } = parts;
  const others = (await listNodes(tx.db)).filter(({ id }) => id !== node);
  const watchers = [
    { id: node, alerts: conditions.map(({ name }) => name) },
    // Each goes by its own settings, and one that has not said which those are may look after everything.
    ...others.map(({ id, report }) => ({ id, alerts: report?.alerts })),
  ];
  for (const alert of await listAlerts(tx.db)) {
    const mayLook = watchers.filter(({ id }) => alert.node === '' || alert.node === id);
    if (mayLook.some(({ alerts }) => alerts === undefined || alerts.includes(alert.name))) continue;
    await forgetAlert(tx, alert);
    // What was opened somewhere must be closed there.
    if (alert.raisedAt !== null) await announce(parts, tx, alert, 'Nobody looks at it any more.', clock.now());
  }
}

/**
 * Under one key from the first word to the last, so that services which can close what was opened do. `over` is what is said
 * when it is over.
 */
async function announce({ outbox, channels }: AlertParts, tx: Tx, alert: Alert, over: string | null, now: number): Promise<void> {
  const { name, node, severity, title, raisedAt } = alert;
  const resolved = over !== null;
  const type = resolved ? 'alert.resolved' : 'alert.raised';
  const event: NewEvent = { type, data: { name, node, severity, title } };
  await append(tx, [event], now);
  const key = `alert:${name}:${node}:${raisedAt}`;
  await outbox.put(
    tx,
    channels.map((channel) => noticeFor(channel, key, { severity, title, text: over ?? alert.text, resolved, at: now })),
  );
}

const keyOf = ({ name, node }: Pick<Alert, 'name' | 'node'>): string => `${name}\n${node}`;

function lengthOf(ms: number): string {
  const minutes = Math.max(1, Math.round(ms / 60_000));
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 6) / 10} h`;
}
