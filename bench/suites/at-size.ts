import { durabilityOf, storeName } from '../support/bench.ts';
import { isolated } from '../support/isolated.ts';
import type { Row, Section } from '../support/report.ts';
import type { Suite } from './suite.ts';

const limitMs = 50;

/** Claims and queries share one suite because filling the tables takes longer than measuring. */
export const atSize: Suite = {
  names: ['claims', 'queries'],
  async run(bench, wanted) {
    const { dialects, notes } = await bench.stores();
    const claims: Row[] = [];
    const queries: Row[] = [];
    const fills: string[] = [];
    const largest = bench.sizes.queued.at(-1) ?? 0;
    for (const dialect of dialects) {
      bench.progress(`claims and queries on ${storeName[dialect]}, up to ${largest.toLocaleString('en')} queued tasks`);
      const figures = await isolated(bench.scope, 'measureAtSize', {
        place: await bench.place(dialect),
        queued: bench.sizes.queued,
        claims: wanted.has('claims') ? bench.sizes.claims : 0,
        querySamples: wanted.has('queries') ? bench.sizes.querySamples : 0,
      });
      fills.push(`${storeName[dialect]}: the tables were filled in ${Math.round(figures.fillSeconds)} s.`);
      for (const { queued, capacity, perSecond, claimP50, claimP99, settleP50, submitP50 } of figures.claims) {
        claims.push({
          store: storeName[dialect],
          durability: durabilityOf[dialect],
          queued,
          'claims of': capacity,
          'claimed and settled/s': perSecond,
          'claim p50 ms': claimP50,
          'claim p99 ms': claimP99,
          'settle p50 ms': settleP50,
          'submit p50 ms': submitP50,
        });
      }
      for (const { query, p50, p95, max } of figures.queries) {
        const verdict = p95 > limitMs ? `over ${limitMs} ms` : '';
        queries.push({ store: storeName[dialect], query, 'p50 ms': p50, 'p95 ms': p95, 'max ms': max, verdict });
      }
    }
    const sections: Section[] = [];
    if (claims.length > 0)
      sections.push({ title: 'Claims and settlements by length of the line', rows: claims, notes: [...notes, ...fills] });
    if (queries.length > 0) {
      const title = `Queries with ${largest.toLocaleString('en')} tasks queued and a tenth as many in other states, an event for each`;
      sections.push({ title, rows: queries, notes });
    }
    return sections;
  },
};
