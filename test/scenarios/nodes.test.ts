import { rmSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { QueueView } from '../../src/server/views.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/server-process.ts';
import { createDatabase, missing, temporaryHome } from '../support/stores.ts';

describe.skipIf(missing('postgres'))('several nodes on one PostgreSQL', () => {
  test('each tells of all what they have to work with', async () => {
    const database = await createDatabase('postgres');
    onTestFinished(() => database.remove());
    const start = async (home: string): Promise<TestServer> => {
      const server = await startTestServer({ home, databaseUrl: database.databaseUrl });
      onTestFinished(() => server.running.stop());
      return server;
    };
    const other = temporaryHome();
    onTestFinished(() => rmSync(other, { recursive: true, force: true }));
    const servers = [await start(database.home), await start(other)];

    for (const { api } of servers) {
      let nodes: QueueView['nodes'] = [];
      await until('the first heartbeat of both', async () => {
        nodes = (await api.call<QueueView>('GET', '/api/queue')).body.nodes;
        return nodes.length === 2 && nodes.every(({ machine }) => machine !== null);
      });
      expect(nodes.map(({ address }) => address).toSorted()).toEqual(servers.map(({ api: { address } }) => address).toSorted());
      for (const { machine, breakers } of nodes) {
        expect(breakers).toEqual([]);
        expect(machine?.memoryFreeBytes).toBeGreaterThan(0);
        expect(machine?.memoryBytes).toBeGreaterThanOrEqual(machine?.memoryFreeBytes ?? Number.POSITIVE_INFINITY);
        expect(machine?.diskBytes).toBeGreaterThanOrEqual(machine?.diskFreeBytes ?? Number.POSITIVE_INFINITY);
        expect(machine?.cpus).toBeGreaterThan(0);
      }
    }
  });
});
