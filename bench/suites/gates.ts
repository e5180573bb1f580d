import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Round } from '../../src/domain/round.ts';
import { noModelToAsk } from '../../src/gateway/ask.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { Claim } from '../../src/queue/queue.ts';
import { openGating } from '../../src/runner/gating.ts';
import type { Place } from '../../src/runner/place.ts';
import { GitWorld } from '../../test/support/git-world.ts';
import { bigRepository } from '../support/big-repository.ts';
import type { Row } from '../support/report.ts';
import { summary, timed } from '../support/stats.ts';
import type { Suite } from './suite.ts';

const small = {
  Makefile: 'test:\n\t@true\n',
  'sum.js': 'export const sum = (a, b) => a + b;\n',
};
const added = 'export function grade(n) {\n  if (n > 9) return 1;\n  return n > 5 ? 2 : 3;\n}\n';

/** How long the gates hold up a run that has changed a file: what they cost besides the commands of the repository. */
export const gates: Suite = {
  names: ['gates'],
  async run({ sizes, scope, progress }) {
    const world = await GitWorld.open();
    scope.onEnd(() => world.remove());
    progress('making the big repository; the next time it is there');
    const big = await bigRepository(sizes.big);
    const rows: Row[] = [];
    const places = [
      ['a repository of two files', world.checkout('small', small)],
      ...(big.missing === undefined ? [[`one of ${sizes.big.files.toLocaleString('en')} files`, big.path] as const] : []),
    ] as const;
    for (const [what, repository] of places) {
      progress(`gates of ${what}`);
      const [fresh, cached]: [number[], number[]] = [[], []];
      for (let round = 0; round < sizes.big.rounds; round++) {
        const judged = await judgeTwice(world, repository);
        fresh.push(judged.fresh);
        cached.push(judged.cached);
      }
      rows.push(rowOf(`${what}, files not seen before`, fresh), rowOf(`${what}, the same files again`, cached));
    }
    return [
      {
        title: 'Gates of a change of one file',
        rows,
        notes: [
          'All that is asked besides the commands of the repository, with the snapshot before it and the files put back after it; the small one has a command that does nothing.',
          ...(big.missing === undefined ? [] : [`Without a big repository. ${big.missing}`]),
        ],
      },
    ];
  },
};

async function judgeTwice(world: GitWorld, repository: string): Promise<{ readonly fresh: number; readonly cached: number }> {
  const { signal } = world.stop;
  const workspace = await world.workspace(repository);
  const gating = await openGating(
    {
      git: world.git,
      store: world.store,
      workspaces: world.workspaces,
      clock: systemClock,
      place: placeIn(workspace),
      claim: { task: { verify: null, title: 'grade', body: null, doneWhen: null, trust: 'trusted', labels: [] } } as unknown as Claim,
      runId: workspace.runId,
      byAgent: true,
      lastWords: () => '',
      patchFile: join(workspace.tree, '..', 'diff.patch'),
      ask: noModelToAsk,
      newId: (prefix) => prefix,
      record: async () => undefined,
      tell: async () => undefined,
    },
    signal,
  );
  if (!gating.ok) throw new Error(JSON.stringify(gating.outcome));
  writeFileSync(join(workspace.tree, 'grade.js'), added);
  const rounds: Round[] = [];
  const judge = (): Promise<number> =>
    timed(async () => {
      const judged = await gating.gating.judge(rounds);
      if (!judged.ok || judged.verdicts.some(({ passed }) => !passed)) throw new Error(JSON.stringify(judged));
      rounds.push({ number: rounds.length + 1, tree: judged.tree, verdicts: judged.verdicts });
    });
  const times = { fresh: await judge(), cached: await judge() };
  await world.workspaces.close(workspace.id, 'completed');
  await world.workspaces.remove(workspace.id, signal);
  return times;
}

/** No more of a place than gates look at. */
const placeIn = (workspace: NonNullable<Place['workspace']>): Place =>
  ({
    directory: workspace.tree,
    env: { PATH: process.env['PATH'] ?? '', HOME: workspace.tree, NIGHTSHIFT_RUN_ID: workspace.runId },
    workspace,
    wrap: (command: Parameters<Place['wrap']>[0]) => ({ ok: true, command }),
  }) as unknown as Place;

function rowOf(what: string, samples: readonly number[]): Row {
  const { count, p50, max } = summary(samples);
  return { what, samples: count, p50, max, unit: 'ms' };
}
