import { startBareAgent } from '../peers/bare-agent.ts';
import type { Bench } from '../support/bench.ts';
import { watchMemory } from '../support/memory.ts';
import { type ModelEndpoint, settingsFor, startModel } from '../support/model.ts';
import type { Row } from '../support/report.ts';
import { makeSmallRepository } from '../support/repositories.ts';
import { startServerChild } from '../support/server.ts';
import { median } from '../support/stats.ts';
import type { Suite } from './suite.ts';

/** A little of everything that agents do most: looking, writing, running something. */
const script = {
  name: 'bench',
  turns: [
    { say: 'I look around.', call: { tool: 'Bash', input: { command: 'ls -R . | head -50', description: 'List files' } } },
    { call: { tool: 'Read', input: { file_path: '{{cwd}}/src/file-1.txt' } } },
    { say: 'I write it.', call: { tool: 'Write', input: { file_path: '{{cwd}}/result.txt', content: 'Done by the agent.\n'.repeat(50) } } },
    { call: { tool: 'Bash', input: { command: 'wc -l result.txt src/*.txt', description: 'Count lines' } } },
    { say: 'It is done.' },
  ],
};
const prompt = 'Write the result';

interface Figures {
  readonly wallMs: number;
  readonly peakMiB: number;
}

export const concurrentRuns: Suite = {
  names: ['concurrent-runs'],
  async run(bench) {
    const { sizes, scope } = bench;
    const model = await startModel(scope, script);
    const rows: Row[] = [];
    for (const { runs, rounds } of sizes.concurrent) {
      const ours: Figures[] = [];
      const bare: Figures[] = [];
      for (let round = 0; round < rounds; round++) {
        bench.progress(`${runs} at a time, round ${round + 1} of ${rounds}`);
        ours.push(await throughNightshift(bench, model, runs));
        bare.push(await withBareSdk(bench, model, runs));
      }
      rows.push(rowOf(runs, rounds, ours, bare));
    }
    return [
      {
        title: 'The same conversation so many times at once: four tools, five answers',
        rows,
        notes: [
          'Nightshift: from the first POST to the last task stored as succeeded, with fetch, checkout, sandbox, journal, diff and commit.',
          'Bare SDK: from query() to the last result, in directories that were made before. Memory is the highest sum of PSS, all processes.',
        ],
      },
    ];
  },
};

function rowOf(runs: number, rounds: number, ours: readonly Figures[], bare: readonly Figures[]): Row {
  const [wall, bareWall] = [ours, bare].map((all) => median(all.map(({ wallMs }) => wallMs))) as [number, number];
  const [peak, barePeak] = [ours, bare].map((all) => median(all.map(({ peakMiB }) => peakMiB))) as [number, number];
  return {
    'at once': runs,
    rounds,
    'Nightshift ms': wall,
    'bare SDK ms': bareWall,
    'time ×': wall / bareWall,
    'Nightshift MiB': peak,
    'bare SDK MiB': barePeak,
    'memory ×': peak / barePeak,
  };
}

async function throughNightshift(bench: Bench, model: ModelEndpoint, runs: number): Promise<Figures> {
  const repository = makeSmallRepository(bench.scope);
  const settings = { ...settingsFor(model), MAX_CONCURRENT_RUNS: String(runs) };
  const server = await startServerChild(bench.scope, await bench.place('sqlite'), settings);
  const submit = (): Promise<{ readonly id: string }> =>
    server.api('POST', '/api/tasks', { title: prompt, repository, engine: 'claude', verify: ['true'] });
  // The other side has its SDK loaded as well, and directories to work in.
  await server.settled((await submit()).id);
  const memory = watchMemory(server.pid);
  const began = performance.now();
  const tasks = await Promise.all(Array.from({ length: runs }, submit));
  for (const { id } of tasks) {
    const status = await server.settled(id);
    if (status !== 'succeeded') throw new Error(`a task ended as ${status}`);
  }
  const wallMs = performance.now() - began;
  const peakMiB = memory.stop();
  await server.stop();
  return { wallMs, peakMiB };
}

async function withBareSdk({ scope }: Bench, model: ModelEndpoint, runs: number): Promise<Figures> {
  const directories = Array.from({ length: runs }, () => makeSmallRepository(scope));
  const agent = await startBareAgent(scope, model);
  const memory = watchMemory(agent.pid);
  const { calledAt, ended } = agent.begin(directories, prompt);
  await ended;
  const wallMs = performance.now() - (await calledAt);
  const peakMiB = memory.stop();
  await agent.stop();
  return { wallMs, peakMiB };
}
