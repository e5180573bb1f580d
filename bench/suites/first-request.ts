import { startBareAgent } from '../peers/bare-agent.ts';
import type { Bench } from '../support/bench.ts';
import { type ModelEndpoint, settingsFor, startModel } from '../support/model.ts';
import { rowOf } from '../support/report.ts';
import { makeSmallRepository } from '../support/repositories.ts';
import { type ServerChild, startServerChild } from '../support/server.ts';
import { summary } from '../support/stats.ts';
import type { Suite } from './suite.ts';

/** Nothing is to be done: what is measured ends where the conversation begins. */
const script = { name: 'bench', turns: [{ say: 'There is nothing to do.' }] };

export const firstRequest: Suite = {
  names: ['first-request'],
  async run(bench) {
    const { scope, sizes } = bench;
    const model = await startModel(scope, script);
    const repository = makeSmallRepository(scope);
    const first: number[] = [];
    const later: number[] = [];
    const bare: number[] = [];
    let server: ServerChild | undefined;
    for (let sample = 0; sample < sizes.firstRequests; sample++) {
      bench.progress(`first model request, ${sample + 1} of ${sizes.firstRequests}`);
      // A few new servers on the way, so that what only their first task pays is seen as well.
      if (sample % sizes.tasksPerServer === 0) {
        await server?.stop();
        server = await startServerChild(scope, await bench.place('sqlite'), settingsFor(model));
        first.push(await fromTask(server, model, repository));
      }
      later.push(await fromTask(server as ServerChild, model, repository));
      bare.push(await fromQuery(bench, model, repository));
    }
    await server?.stop();
    return [
      {
        title: 'From work accepted to the first model request, a small repository',
        rows: [
          rowOf('Nightshift: POST /api/tasks answered with 201', later),
          rowOf('the same, the first task after a start', first),
          rowOf('bare SDK: query() called, cold', bare),
          { what: 'Nightshift ÷ bare SDK', samples: null, p50: summary(later).p50 / summary(bare).p50, p95: null, unit: '×' },
        ],
        notes: [
          'One of each in turn. Nightshift fetches, checks out and enters a sandbox meanwhile; the bare SDK works in the directory itself.',
        ],
      },
    ];
  },
};

async function fromTask(server: ServerChild, model: ModelEndpoint, repository: string): Promise<number> {
  const called = model.nextCall();
  const { id } = await server.api<{ id: string }>('POST', '/api/tasks', { title: 'Nothing to do', repository, engine: 'claude' });
  const accepted = performance.now();
  const at = await called;
  await server.settled(id);
  return at - accepted;
}

async function fromQuery({ scope }: Bench, model: ModelEndpoint, directory: string): Promise<number> {
  const agent = await startBareAgent(scope, model);
  const called = model.nextCall();
  const { calledAt, ended } = agent.begin([directory], 'Nothing to do');
  const milliseconds = (await called) - (await calledAt);
  await ended;
  await agent.stop();
  return milliseconds;
}
