import { writers } from '../measure/events.ts';
import { durabilityOf, storeName } from '../support/bench.ts';
import { isolated } from '../support/isolated.ts';
import type { Row } from '../support/report.ts';
import type { Suite } from './suite.ts';

export const events: Suite = {
  names: ['events'],
  async run(bench) {
    const { dialects, notes } = await bench.stores();
    const rows: Row[] = [];
    for (const dialect of dialects) {
      bench.progress(`event append on ${storeName[dialect]}`);
      const { fresh, alone, together, togetherPerSecond } = await isolated(bench.scope, 'measureEvents', {
        place: await bench.place(dialect),
        events: bench.sizes.events,
      });
      const store = { store: storeName[dialect], durability: durabilityOf[dialect] };
      rows.push({ ...store, writers: 1, when: 'just started', 'p50 ms': fresh.p50, 'p95 ms': fresh.p95, 'events/s': 1_000 / fresh.p50 });
      rows.push({ ...store, writers: 1, when: 'later', 'p50 ms': alone.p50, 'p95 ms': alone.p95, 'events/s': 1_000 / alone.p50 });
      rows.push({ ...store, writers, when: 'later', 'p50 ms': together.p50, 'p95 ms': together.p95, 'events/s': togetherPerSecond });
    }
    return [
      {
        title: 'Event append: one event in a transaction of its own, acknowledged when on disk',
        rows,
        notes: [
          ...notes,
          'A single writer cannot be faster than the disk sync named at the head. SQLite writes its log file over and over once it has',
          'grown to 16 MB, which is the cheaper kind of sync; until then, just after a start, it pays for the other.',
        ],
      },
    ];
  },
};
