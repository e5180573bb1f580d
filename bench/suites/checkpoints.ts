import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Checkpoint } from '../../src/domain/checkpoint.ts';
import { GitWorld, value } from '../../test/support/git-world.ts';
import { bigRepository } from '../support/big-repository.ts';
import type { Row, Section } from '../support/report.ts';
import { summary, timed } from '../support/stats.ts';
import type { Suite } from './suite.ts';

const changedFiles = 10;

/** What it takes to make one while an agent works, and to go back to it, in workspaces of several sizes. */
export const checkpoints: Suite = {
  names: ['checkpoints'],
  async run({ sizes, scope, progress }) {
    const sections: Section[] = [];
    for (const files of sizes.checkpoints.files) {
      const title = `Checkpoints of a workspace with ${files.toLocaleString('en')} files`;
      progress(`making a repository with ${files} files; the next time it is there`);
      const repository = await bigRepository({ files, historyMiB: 8 });
      if (repository.missing !== undefined) {
        sections.push({ title, rows: [], notes: [`Skipped. ${repository.missing}`] });
        continue;
      }
      const world = await GitWorld.open({ checkpoints: { perRun: 1_000, keepMs: 3_600_000 } });
      scope.onEnd(() => world.remove());
      const workspace = value(await world.open(repository.path, await world.run()));
      const made: Checkpoint[] = [];
      const keep = (): Promise<number> =>
        timed(async () => {
          const wish = { kind: 'calls', note: 'bench', session: null, gates: [] } as const;
          made.push(value(await world.workspaces.checkpoints.keep(workspace, wish, world.stop.signal)));
        });
      const first = [await keep()];
      const [same, changed]: [number[], number[]] = [[], []];
      for (let round = 0; round < sizes.checkpoints.rounds; round++) {
        progress(`checkpoints among ${files} files, round ${round + 1} of ${sizes.checkpoints.rounds}`);
        same.push(await keep());
        for (let n = 0; n < changedFiles; n++) appendFileSync(join(workspace.tree, `src/${n}/file-${n * 100}.txt`), `round ${round}\n`);
        writeFileSync(join(workspace.tree, `new-${round}.txt`), `${round}\n`);
        changed.push(await keep());
      }
      await world.endRun(workspace.runId, 'failed');
      const rewound: number[] = [];
      for (const to of made.slice(-2 * sizes.checkpoints.rewinds).filter((_, index) => index % 2 === 0)) {
        rewound.push(await timed(() => world.workspaces.checkpoints.rewind(to.runId, to.id, 'bench', world.stop.signal)));
      }
      const rowOf = (what: string, samples: readonly number[]): Row => {
        const { count, p50, max } = summary(samples);
        return { what, samples: count, p50, max, unit: 'ms' };
      };
      sections.push({
        title,
        rows: [
          rowOf('the first', first),
          rowOf('nothing has changed', same),
          rowOf(`${changedFiles} files have changed and one is new`, changed),
          rowOf('a rewind, with what it replaces kept', rewound),
        ],
        notes: ['Each with its ref and its row on disk, in a workspace that somebody may be changing.'],
      });
    }
    return sections;
  },
};
