import { durabilityOf, storeName } from '../support/bench.ts';
import { isolated } from '../support/isolated.ts';
import type { Row } from '../support/report.ts';
import { startServerChild, token } from '../support/server.ts';
import type { Suite } from './suite.ts';

const concurrencies = [1, 16, 64];
/** The rate at which SPEC wants a durable acknowledgement within 20 ms at p99. */
const steadyRate = 500;

export const submissions: Suite = {
  names: ['submissions'],
  async run(bench) {
    const { dialects, notes } = await bench.stores();
    const rows: Row[] = [];
    for (const dialect of dialects) {
      const place = await bench.place(dialect);
      const server = await startServerChild(bench.scope, place);
      await server.api('POST', '/api/queue/pause');
      const loads = [
        ...concurrencies.map((connections) => ({ connections, asked: `${connections} at a time` })),
        { connections: 64, perSecond: steadyRate, asked: `${steadyRate}/s, whatever the answers take` },
      ];
      for (const { asked, ...load } of loads) {
        bench.progress(`submissions over HTTP on ${storeName[dialect]}, ${asked}`);
        const seconds = bench.sizes.submitSeconds;
        const result = await isolated(bench.scope, 'loadOverHttp', {
          address: server.address,
          token,
          seconds,
          warmUpSeconds: seconds / 3,
          ...load,
        });
        rows.push({
          store: storeName[dialect],
          durability: durabilityOf[dialect],
          asked,
          'submissions/s': result.perSecond,
          'p50 ms': result.p50,
          'p99 ms': result.p99,
          'max ms': result.max,
          failures: result.failures,
        });
      }
      await server.stop();
    }
    return [{ title: 'Durable submissions: POST /api/tasks, queue paused, client on the same machine', rows, notes }];
  },
};
