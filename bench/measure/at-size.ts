import type { Place } from '../support/bench.ts';
import { timed } from '../support/stats.ts';
import { type ClaimFigures, measureClaims } from './claims.ts';
import { Filler } from './fill.ts';
import { openQueue } from './open.ts';
import { measureQueries, type QueryFigures } from './queries.ts';

export interface AtSize {
  readonly place: Place;
  /** Lengths of the line, rising. */
  readonly queued: readonly number[];
  /** How many claims of one task to measure at each length; 0 for none. */
  readonly claims: number;
  /** How often to ask each query at the last length; 0 for never. */
  readonly querySamples: number;
}

export interface AtSizeFigures {
  readonly claims: readonly ClaimFigures[];
  readonly queries: readonly QueryFigures[];
  readonly fillSeconds: number;
}

/** Everything that must not depend on how much there is, against one database that is filled as it goes. */
export async function measureAtSize({ place, queued, claims, querySamples }: AtSize): Promise<AtSizeFigures> {
  const opened = await openQueue(place);
  const filler = new Filler(place, opened);
  const claimFigures: ClaimFigures[] = [];
  let filled = 0;
  let fillMs = 0;
  for (const size of claims > 0 ? queued : queued.slice(-1)) {
    fillMs += await timed(() => filler.queued(size - filled));
    filled = size;
    await filler.settle();
    if (claims > 0) claimFigures.push(...(await measureClaims(opened, filler, size, claims)));
  }
  let queryFigures: readonly QueryFigures[] = [];
  if (querySamples > 0) {
    fillMs += await timed(() => filler.rest(Math.ceil(filled / 10)));
    await filler.settle();
    queryFigures = await measureQueries(opened, querySamples);
  }
  await opened.close();
  return { claims: claimFigures, queries: queryFigures, fillSeconds: fillMs / 1_000 };
}
