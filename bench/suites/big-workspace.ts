import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GitWorld, git } from '../../test/support/git-world.ts';
import { bigRepository } from '../support/big-repository.ts';
import type { Row } from '../support/report.ts';
import { summary, timed } from '../support/stats.ts';
import type { Suite } from './suite.ts';

/** As the server sets them. */
const spares = { spares: 4, worthMs: 250 };

export const bigWorkspace: Suite = {
  names: ['big-workspace'],
  async run({ sizes, scope, progress }) {
    const { files, historyMiB, rounds } = sizes.big;
    const title = `A workspace of a repository with ${files.toLocaleString('en')} files and ${historyMiB.toLocaleString('en')} MiB of history`;
    progress('making the big repository; the next time it is there');
    const repository = await bigRepository(sizes.big);
    if (repository.missing !== undefined) return [{ title, rows: [], notes: [`Skipped. ${repository.missing}`] }];

    const world = await GitWorld.open(spares);
    scope.onEnd(() => world.remove());
    const directory = mkdtempSync(join(tmpdir(), 'nightshift-bench-clones-'));
    scope.onEnd(() => rmSync(directory, { recursive: true, force: true }));
    const open = async (): Promise<number> => {
      const ids = await world.run();
      let id = '';
      const milliseconds = await timed(async () => {
        const opened = await world.open(repository.path, ids);
        if (!opened.ok) throw new Error(opened.failure.message);
        id = opened.value.id;
      });
      await world.workspaces.close(id, 'completed');
      await world.workspaces.remove(id, world.stop.signal);
      return milliseconds;
    };
    const clone = async (): Promise<number> => {
      const into = join(directory, 'clone');
      const milliseconds = await timed(async () => git(directory, 'clone', '--quiet', '--depth', '1', `file://${repository.path}`, into));
      rmSync(into, { recursive: true });
      return milliseconds;
    };

    progress('the first workspace of the big repository');
    const first = [await open()];
    const withSpare: number[] = [];
    const without: number[] = [];
    const cloned: number[] = [];
    for (let round = 0; round < rounds; round++) {
      progress(`workspaces of the big repository, round ${round + 1} of ${rounds}`);
      cloned.push(await clone());
      await world.checkouts.settled();
      withSpare.push(await open());
      await world.checkouts.settled();
      // The spare that was just made is taken out of the way, and nothing makes another.
      await world.start({ spares: 0 });
      without.push(await open());
      await world.start(spares);
      await open();
    }
    await world.checkouts.settled();
    const rowOf = (what: string, samples: readonly number[]): Row => {
      const { count, p50, max } = summary(samples);
      return { what, samples: count, p50, max, unit: 'ms', 'of the clone': `${((100 * p50) / summary(cloned).p50).toFixed(1)} %` };
    };
    return [
      {
        title,
        rows: [
          rowOf('git clone --depth 1 file://…', cloned),
          rowOf('workspace, with a spare ready', withSpare),
          rowOf('workspace, without a spare', without),
          rowOf('workspace, the very first: with the whole history fetched', first),
        ],
        notes: [
          'Opening: fetch, checkout, the repository of the agent, its row. One of each in turn; spares are made meanwhile, not within.',
        ],
      },
    ];
  },
};
