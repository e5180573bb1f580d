import { Queue, Worker } from 'bullmq';
import type { Peer } from './peer.ts';

const name = 'idle';

export async function bullmq(port: number, concurrency: number): Promise<Peer> {
  const connection = { host: '127.0.0.1', port };
  const queue = new Queue(name, { connection });
  await queue.obliterate({ force: true });
  return {
    submitOne: (n) => queue.add(name, payload(n)),
    submitBatch: (from, count) => queue.addBulk(Array.from({ length: count }, (_, i) => ({ name, data: payload(from + i) }))),
    async work(onRun) {
      let run = 0;
      let completed = 0;
      let whenEven = (): void => undefined;
      const worker = new Worker(
        name,
        async () => {
          run += 1;
          onRun();
        },
        { connection: { ...connection, maxRetriesPerRequest: null }, concurrency },
      );
      worker.on('completed', () => {
        completed += 1;
        if (completed === run) whenEven();
      });
      worker.on('error', (error) => console.error(error));
      await worker.waitUntilReady();
      return {
        settled: () =>
          new Promise<void>((resolve) => {
            whenEven = resolve;
            if (completed === run) resolve();
          }),
        stop: () => worker.close(),
      };
    },
    close: () => queue.close(),
  };
}

const payload = (n: number): Record<string, unknown> => ({ title: `Mend the flaky test number ${n}`, body: '["true"]' });
