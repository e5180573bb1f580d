import type { Migration } from './migration.ts';

export const mailLines: Migration = {
  name: 'mail-lines',
  statements: () => [
    // Whether a message is the first that waits for its recipient: finding those by comparing all that wait takes the
    // square of a backlog. The hash of a body recognises it when the body itself has been dropped.
    `alter table outbox add column leads integer not null default 0`,
    `alter table outbox add column body_hash text not null default ''`,
    `update outbox set leads = 1 where state = 'waiting' and not exists (
      select 1 from outbox as earlier where earlier.state = 'waiting' and earlier.channel = outbox.channel
        and earlier.recipient = outbox.recipient
        and (earlier.place < outbox.place or (earlier.place = outbox.place and earlier.id < outbox.id))
    )`,
    `create index outbox_leading on outbox (channel, not_before, id) where state = 'waiting' and leads = 1`,
    // A column that the condition names already must not lead: PostgreSQL leaves it out of the search, and so reads all.
    `drop index outbox_lines`,
    `create index outbox_lines on outbox (channel, recipient, place, id) where state = 'waiting'`,
    `drop index inbox_waiting`,
    `create index inbox_waiting on inbox (not_before, id) where state = 'received'`,
    `create index outbox_bodies on outbox (sent_at) where state = 'sent' and body <> 'null'`,
  ],
};
