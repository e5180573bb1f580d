import type { Migration } from './migration.ts';

export const push: Migration = {
  name: 'push',
  statements: (dialect) => {
    const id = dialect === 'postgres' ? 'text collate "C"' : 'text';
    return [
      // A browser is told for as long as it is signed in, so what ends its session ends this.
      `create table push_subscriptions (
        session_id ${id} primary key references sessions (id) on delete cascade,
        endpoint text not null,
        p256dh text not null,
        auth text not null,
        mark text not null,
        created_at bigint not null
      )`,
      `create unique index push_subscriptions_endpoint on push_subscriptions (endpoint)`,
    ];
  },
};
