import type { Migration } from './migration.ts';

export const deliveryBodies: Migration = {
  name: 'delivery-bodies',
  statements: (dialect) => {
    const id = dialect === 'postgres' ? 'text collate "C"' : 'text';
    const bytes = dialect === 'postgres' ? 'bytea' : 'blob';
    return [
      // Apart from the row: SQLite writes a row anew as a whole, and each delivery is taken and settled after it was stored.
      `create table delivery_bodies (delivery ${id} primary key references inbox (id), body ${bytes} not null)`,
      `insert into delivery_bodies select id, body from inbox where body is not null`,
      `alter table inbox add column body_dropped integer not null default 0`,
      `update inbox set body_dropped = 1 where body is null`,
      `drop index inbox_bodies`,
      `alter table inbox drop column body`,
      `create index inbox_bodies on inbox (settled_at) where body_dropped = 0 and state in ('done', 'ignored')`,
    ];
  },
};
