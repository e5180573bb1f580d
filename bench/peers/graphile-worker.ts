import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';
import { type Peer, until } from './peer.ts';

const silent = new Logger(() => () => undefined);

/**
 * `batched` is the configuration of its performance page: jobs are fetched and locked 500 ahead of need, and completions
 * are written together. Without it, a job is fetched when a slot is free.
 */
export async function graphileWorker(connectionString: string, concurrency: number, batched: boolean): Promise<Peer> {
  const pool = new pg.Pool({ connectionString, max: concurrency + 2 });
  pool.on('error', (error) => console.error(error));
  pool.on('connect', (client) => void client.on('error', (error) => console.error(error)));
  const utils = await makeWorkerUtils({ pgPool: pool, logger: silent });
  await utils.migrate();
  return {
    submitOne: (n) => utils.addJob('idle', payload(n)),
    submitBatch: (from, count) =>
      utils.addJobs(Array.from({ length: count }, (_, i) => ({ identifier: 'idle', payload: payload(from + i) }))),
    async work(onRun) {
      const runner = await run({
        preset: {
          worker: {
            connectionString,
            concurrentJobs: concurrency,
            maxPoolSize: concurrency + 2,
            logger: silent,
            ...(batched ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}),
          },
        },
        noHandleSignals: true,
        taskList: { idle: () => onRun() },
      });
      return {
        // Its slot is free, and its `job:complete` told, before the completion is stored.
        settled: () => until(async () => (await pool.query('select 1 from graphile_worker._private_jobs limit 1')).rowCount === 0),
        stop: () => runner.stop(),
      };
    },
    async close() {
      await utils.release();
      await pool.end();
    },
  };
}

const payload = (n: number): Record<string, unknown> => ({ title: `Mend the flaky test number ${n}`, body: '["true"]' });
