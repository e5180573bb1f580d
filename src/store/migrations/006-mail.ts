import type { Migration } from './migration.ts';

export const mail: Migration = {
  name: 'mail',
  statements: (dialect) => {
    const id = dialect === 'postgres' ? 'text collate "C"' : 'text';
    const bytes = dialect === 'postgres' ? 'bytea' : 'blob';
    return [
      `create table inbox (
        id ${id} primary key,
        source text not null,
        key text not null,
        kind text not null,
        headers text not null,
        body ${bytes},
        body_hash text not null,
        body_size bigint not null,
        state text not null,
        reason text,
        attempts integer not null,
        not_before bigint not null,
        holder text,
        task_ids text not null,
        received_at bigint not null,
        settled_at bigint
      )`,
      // Rows stay for ever, without their bodies: this is what recognises a duplicate years later.
      `create unique index inbox_keys on inbox (source, key)`,
      `create index inbox_waiting on inbox (state, not_before, id) where state = 'received'`,
      `create index inbox_by_state on inbox (state, id)`,
      `create index inbox_bodies on inbox (settled_at) where body is not null and state in ('done', 'ignored')`,

      `create table task_origins (
        task_id ${id} not null references tasks (id),
        source text not null,
        trigger_key text not null,
        address text not null,
        primary key (task_id, source, trigger_key)
      )`,
      `create unique index task_origins_triggers on task_origins (source, trigger_key)`,

      `create table outbox (
        id ${id} primary key,
        channel text not null,
        recipient text not null,
        kind text not null,
        key text not null,
        task_id ${id},
        body text not null,
        state text not null,
        reason text,
        revision integer not null,
        sent_revision integer,
        ref text,
        attempts integer not null,
        doubtful integer not null,
        place bigint not null,
        not_before bigint not null,
        holder text,
        created_at bigint not null,
        sent_at bigint
      )`,
      `create unique index outbox_keys on outbox (channel, key)`,
      `create index outbox_lines on outbox (state, channel, recipient, place, id) where state = 'waiting'`,
      `create index outbox_by_state on outbox (state, id)`,
    ];
  },
};
