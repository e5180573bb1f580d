import type { RaceFigures } from '../measure/race.ts';
import { batchSize, concurrency } from '../measure/race.ts';
import { type Entry, entries } from '../peers/entries.ts';
import type { Bench } from '../support/bench.ts';
import { isolated } from '../support/isolated.ts';
import type { Row } from '../support/report.ts';
import { median } from '../support/stats.ts';
import type { Suite } from './suite.ts';

export const endToEnd: Suite = {
  names: ['end-to-end'],
  async run(bench) {
    const notes: string[] = [];
    const starters: Entry[] = [];
    for (const entry of entries) {
      const why = await missing(bench, entry);
      if (why === undefined) starters.push(entry);
      else if (!notes.includes(why)) notes.push(why);
    }
    const rounds = new Map<Entry, RaceFigures[]>(starters.map((entry) => [entry, []]));
    for (let round = 0; round < bench.sizes.raceRounds; round++) {
      // Every other round runs backwards, so that a drift of the machine does not favour whoever comes first.
      for (const entry of round % 2 === 0 ? starters : [...starters].reverse()) {
        bench.progress(`end to end, round ${round + 1} of ${bench.sizes.raceRounds}: ${entry.name}`);
        rounds.get(entry)?.push(await race(bench, entry));
      }
    }
    const rows = [...rounds].map(([entry, figures]): Row => {
      const of = (pick: (figures: RaceFigures) => number): number => median(figures.map(pick));
      return {
        queue: entry.name,
        durability: entry.durability,
        'submit, one a call /s': of((each) => each.submittedOneByOne),
        'submit, in batches /s': of((each) => each.submittedInBatches),
        'work off /s': of((each) => each.workedOff),
        'end to end /s': of((each) => each.endToEnd),
        remark: entry.remark,
      };
    });
    return [
      {
        title: `No-op tasks: ${bench.sizes.raceTasks.toLocaleString('en')} tasks, ${concurrency} at a time, batches of ${batchSize}, median of ${bench.sizes.raceRounds}`,
        rows,
        notes: [
          ...notes,
          'End to end: submitted one a call while a worker takes them up, from the first submission to the last task stored as done.',
        ],
      },
    ];
  },
};

async function missing(bench: Bench, { needs }: Entry): Promise<string | undefined> {
  if (needs === 'nothing') return undefined;
  if (needs === 'postgres') return (await bench.stores()).notes[0];
  return (await bench.redis(needs.redis)).missing;
}

async function race(bench: Bench, { id, needs, share = 1 }: Entry): Promise<RaceFigures> {
  const place = await bench.place(needs === 'postgres' ? 'postgres' : 'sqlite');
  const redis = typeof needs === 'object' ? await bench.redis(needs.redis) : undefined;
  const redisPort = redis?.missing === undefined ? redis?.port : undefined;
  return isolated(bench.scope, 'measureRace', { entry: id, place, redisPort, tasks: bench.sizes.raceTasks * share });
}
