import { inboxStanding, type MailStanding, outboxStanding } from '../../store/standing.ts';
import type { Store } from '../../store/store.ts';
import { atRest, type Instruments } from './family.ts';

export interface MailMetricsParts {
  readonly store: Store;
  readonly now: () => number;
  readonly monotonic: () => number;
}

/** What has arrived and what is to leave: how much waits, for how long, and what cannot go on without a person. */
export function countMail(
  { counter, gauge }: Instruments,
  { store, now, monotonic }: MailMetricsParts,
): (source: string, result: string) => void {
  const deliveries = counter({
    name: 'agent_deliveries_total',
    help: 'Deliveries to webhooks, by source and by what was done with them',
    labelNames: ['source', 'result'],
  });
  const inbox = atRest(monotonic, () => inboxStanding(store.read));
  const outbox = atRest(monotonic, () => outboxStanding(store.read));

  count('agent_inbox_waiting', 'Deliveries that are stored and not read yet', 'source', inbox, 'received');
  count('agent_inbox_failed', 'Deliveries that could not be read and wait for a person', 'source', inbox, 'failed');
  count('agent_outbox_waiting', 'Messages that are to be sent', 'channel', outbox, 'waiting');
  count('agent_outbox_dead', 'Messages that could not be sent and wait for a person', 'channel', outbox, 'dead');
  age('agent_inbox_oldest_seconds', 'How long the oldest delivery has waited to be read', inbox, 'received');
  age('agent_outbox_oldest_seconds', 'How long the oldest message has waited to be sent', outbox, 'waiting');

  function count(name: string, help: string, label: string, read: Read, state: MailStanding['state']): void {
    gauge({
      name,
      help,
      labelNames: [label],
      async collect() {
        const standing = await read();
        this.reset();
        for (const each of standing) if (each.state === state) this.set({ [label]: each.name }, each.count);
      },
    });
  }

  function age(name: string, help: string, read: Read, state: MailStanding['state']): void {
    gauge({
      name,
      help,
      async collect() {
        const since = Math.min(...(await read()).flatMap((each) => (each.state === state ? [each.since] : [])));
        this.set(Number.isFinite(since) ? Math.max(0, now() - since) / 1_000 : 0);
      },
    });
  }

  return (source, result) => deliveries.inc({ source, result });
}

type Read = () => Promise<readonly MailStanding[]>;
