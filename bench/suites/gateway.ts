import { openStreams, type Target } from '../measure/streams.ts';
import { startWay, type Way, type WayPart } from '../peers/way.ts';
import { type Bench, durabilityOf, storeName } from '../support/bench.ts';
import { isolated } from '../support/isolated.ts';
import { watchMemory } from '../support/memory.ts';
import type { Row, Section } from '../support/report.ts';
import type { Suite } from './suite.ts';

const openAtOnce = 500;
const requestBytes = 100_000;

export const gateway: Suite = {
  names: ['gateway'],
  async run(bench) {
    return [await passing(bench), await held(bench), await money(bench)];
  },
};

async function passing(bench: Bench): Promise<Section> {
  const model = await startWay(bench.scope, { kind: 'model' });
  const pipe = await startWay(bench.scope, { kind: 'pipe', to: model.url });
  const own = await startWay(bench.scope, { kind: 'gateway', to: model.url, place: await bench.place('sqlite') });
  const targets: readonly Target[] = [
    { ...at(model), name: 'direct' },
    { ...at(pipe), name: 'a pipe of node:http' },
    { ...at(own), name: 'Nightshift' },
  ];
  const rows: Row[] = [];
  for (const { width, streams, rounds } of bench.sizes.streams) {
    bench.progress(`model streams, ${width} at once`);
    const figures = await isolated(bench.scope, 'measureStreams', { targets, streams, width, rounds });
    const [direct] = figures;
    for (const { name, firstByte, perSecond } of figures) {
      const added = name === 'direct' || !direct ? null : firstByte.p50 - direct.firstByte.p50;
      rows.push({
        'at once': width,
        way: name,
        streams: firstByte.count,
        'first byte p50 ms': firstByte.p50,
        'p99 ms': firstByte.p99,
        'added p50 ms': added,
        'streams/s': perSecond,
      });
    }
  }
  for (const way of [own, pipe, model]) await way.stop();
  return {
    title: 'Streams through the gateway: 20 KB asked, 25 events answered as fast as they are read',
    rows,
    notes: [
      'Client, model and each way have a process of their own and take turns. Nightshift reserves before a call and books after it, on SQLite:',
      'its first byte waits for one durable commit, which calls of one moment share. The pipe does nothing but pass on.',
    ],
  };
}

async function held(bench: Bench): Promise<Section> {
  bench.progress(`${openAtOnce} open streams`);
  const model = await startWay(bench.scope, { kind: 'model' });
  const parts: readonly (readonly [string, WayPart])[] = [
    ['a pipe of node:http', { kind: 'pipe', to: model.url }],
    ['Nightshift', { kind: 'gateway', to: model.url, place: await bench.place('sqlite') }],
  ];
  const rows: Row[] = [];
  for (const [name, part] of parts) {
    const way = await startWay(bench.scope, part);
    const target = { ...at(way), name };
    // Once before it counts, so that what a process only allocates once is not taken for a stream's.
    (await openStreams(target, 50, requestBytes)).letGo();
    const before = await memoryOf(way);
    const streams = await openStreams(target, openAtOnce, requestBytes);
    const during = await memoryOf(way);
    rows.push({ way: name, 'before MiB': before, 'open MiB': during, 'KiB a stream': ((during - before) * 1_024) / openAtOnce });
    streams.letGo();
    await way.stop();
  }
  await model.stop();
  return { title: `Memory with ${openAtOnce} open streams, each asked with ${requestBytes / 1_000} KB`, rows };
}

async function money(bench: Bench): Promise<Section> {
  const { dialects, notes } = await bench.stores();
  const rows: Row[] = [];
  for (const dialect of dialects) {
    for (const width of [1, 32]) {
      bench.progress(`reservations on ${storeName[dialect]}, ${width} at once`);
      const place = await bench.place(dialect);
      const { reserved, booked, perSecond } = await isolated(bench.scope, 'measureReservations', {
        place,
        calls: bench.sizes.reservations * (width === 1 ? 1 : 4),
        width,
      });
      rows.push({
        store: storeName[dialect],
        durability: durabilityOf[dialect],
        'at once': width,
        'reserve p50 ms': reserved.p50,
        'p99 ms': reserved.p99,
        'book p50 ms': booked.p50,
        'calls/s': perSecond,
      });
    }
  }
  return { title: 'Money of a call: reserved before it, in the ledger after it, both on disk', rows, notes };
}

const at = ({ url, key }: Way): Pick<Target, 'url' | 'key'> => ({ url, key });

/** What is held, not what merely has not been collected yet. */
async function memoryOf(way: Way): Promise<number> {
  await way.collect();
  return watchMemory(way.pid).stop();
}
