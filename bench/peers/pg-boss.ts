import pg from 'pg';
import { PgBoss } from 'pg-boss';
import { type Peer, until } from './peer.ts';

const queue = 'idle';

/**
 * Woken by NOTIFY, fetching again at once while batches come back full. A batch is run together and stored as done
 * together, so `batchSize` is both what is in hand and how much one statement carries.
 */
export async function pgBoss(connectionString: string, batchSize: number): Promise<Peer> {
  const boss = new PgBoss({ connectionString, max: 18, useListenNotify: true, schedule: false });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue(queue, { notify: true });
  const pool = new pg.Pool({ connectionString, max: 1 });
  return {
    submitOne: (n) => boss.send(queue, payload(n)),
    submitBatch: (from, count) =>
      boss.insert(
        queue,
        Array.from({ length: count }, (_, i) => ({ data: payload(from + i) })),
      ),
    async work(onRun) {
      await boss.work(
        queue,
        { batchSize, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 0.5 },
        async (jobs) => {
          for (const _ of jobs) onRun();
        },
      );
      return {
        settled: () =>
          until(
            async () =>
              (await pool.query(`select 1 from pgboss.job where name = $1 and state < 'completed' limit 1`, [queue])).rowCount === 0,
          ),
        stop: () => boss.offWork(queue),
      };
    },
    async close() {
      await boss.stop({ graceful: false });
      await pool.end();
    },
  };
}

const payload = (n: number): Record<string, unknown> => ({ title: `Mend the flaky test number ${n}`, body: '["true"]' });
