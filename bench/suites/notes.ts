import { durabilityOf, storeName } from '../support/bench.ts';
import { isolated } from '../support/isolated.ts';
import type { Row } from '../support/report.ts';
import type { Suite } from './suite.ts';

const limitMs = 50;

export const notes: Suite = {
  names: ['notes'],
  async run(bench) {
    const stores = await bench.stores();
    const { notes: count, querySamples } = bench.sizes;
    const rows: Row[] = [];
    const fills: string[] = [];
    for (const dialect of stores.dialects) {
      bench.progress(`notes on ${storeName[dialect]}`);
      const place = await bench.place(dialect);
      const { remember, queries, fillSeconds } = await isolated(bench.scope, 'measureNotes', {
        place,
        notes: count,
        samples: querySamples,
      });
      const store = storeName[dialect];
      fills.push(`${store}, ${durabilityOf[dialect]}: ${count.toLocaleString('en')} notes were stored in ${Math.round(fillSeconds)} s.`);
      for (const { query, p50, p95, max } of [{ query: 'remember one more', ...remember }, ...queries]) {
        rows.push({ store, query, 'p50 ms': p50, 'p95 ms': p95, 'max ms': max, verdict: p95 > limitMs ? `over ${limitMs} ms` : '' });
      }
    }
    return [{ title: `Notes: search and reminders with ${count.toLocaleString('en')} of them`, rows, notes: [...stores.notes, ...fills] }];
  },
};
