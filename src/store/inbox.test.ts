import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createDatabase, dialects, missing } from '../../test/support/stores.ts';
import { deliveryBody, dropBodies, findDelivery, insertArrivals, settleDelivery } from './inbox.ts';
import { deliveryBodies } from './migrations/027-delivery-bodies.ts';

for (const dialect of dialects) {
  test.skipIf(missing(dialect))(
    `the bytes of deliveries of an older version are kept, and those it had dropped stay so, on ${dialect}`,
    async () => {
      const database = await createDatabase(dialect);
      try {
        const store = await database.open();
        const arrival = (id: string) => ({ id, source: 'github', key: id, kind: 'push', headers: {}, body: Buffer.from([0, 255, 10]) });
        await store.write((tx) => insertArrivals(tx, [arrival('dlv_new'), arrival('dlv_old'), arrival('dlv_dropped')], 0));
        await store.write(async (tx) => {
          for (const id of ['dlv_old', 'dlv_dropped']) await settleDelivery(tx, id, { state: 'done', reason: null, taskIds: [] }, 1);
          for (const statement of [
            'drop index inbox_bodies',
            `alter table inbox add column body ${dialect === 'postgres' ? 'bytea' : 'blob'}`,
            `update inbox set body = (select body from delivery_bodies where delivery = inbox.id) where id <> 'dlv_dropped'`,
            'drop table delivery_bodies',
            'alter table inbox drop column body_dropped',
            `create index inbox_bodies on inbox (settled_at) where body is not null and state in ('done', 'ignored')`,
            ...deliveryBodies.statements(dialect),
          ]) {
            await sql.raw(statement).execute(tx.db);
          }
        });
        const body = (id: string) => deliveryBody(store.read, id);
        expect([await body('dlv_new'), await body('dlv_old'), await body('dlv_dropped')]).toEqual([
          Buffer.from([0, 255, 10]),
          Buffer.from([0, 255, 10]),
          null,
        ]);
        expect(await store.write((tx) => dropBodies(tx, 2, 100))).toBe(1);
        expect([await body('dlv_new'), await body('dlv_old')]).toEqual([Buffer.from([0, 255, 10]), null]);
        expect(await findDelivery(store.read, 'dlv_old')).toMatchObject({ state: 'done', bodySize: 3 });
        await store.close();
      } finally {
        await database.remove();
      }
    },
  );
}
