import { type Bench, type Place, storeName } from '../support/bench.ts';
import type { Row } from '../support/report.ts';
import { startServerChild, waitFor } from '../support/server.ts';
import { summary } from '../support/stats.ts';
import type { Suite } from './suite.ts';

const slots = 4;

interface Task {
  readonly id: string;
  readonly runs: readonly { readonly id: string; readonly status: string }[];
}

export const restart: Suite = {
  names: ['restart'],
  async run(bench) {
    const { dialects, notes } = await bench.stores();
    const rows: Row[] = [];
    for (const dialect of dialects) {
      const health: number[] = [];
      const dispatch: number[] = [];
      for (let round = 0; round < bench.sizes.restarts; round++) {
        bench.progress(`restart after SIGKILL on ${storeName[dialect]}, round ${round + 1} of ${bench.sizes.restarts}`);
        const measured = await killAndRestart(bench, await bench.place(dialect));
        health.push(measured.healthyMs);
        dispatch.push(measured.dispatchedMs);
      }
      const [healthy, dispatched] = [summary(health), summary(dispatch)];
      rows.push({
        store: storeName[dialect],
        rounds: bench.sizes.restarts,
        'spawn → /health ms': healthy.p50,
        'worst ms': healthy.max,
        'spawn → run.started ms': dispatched.p50,
        'worst ms ': dispatched.max,
      });
    }
    return [
      {
        title: `Restart after SIGKILL with ${slots} runs under way: from the new process to the first recovered task running again`,
        rows,
        notes,
      },
    ];
  },
};

async function killAndRestart(bench: Bench, place: Place): Promise<{ readonly healthyMs: number; readonly dispatchedMs: number }> {
  const settings = { MAX_CONCURRENT_RUNS: String(slots) };
  const first = await startServerChild(bench.scope, place, settings);
  const tasks: Task[] = [];
  for (let n = 0; n < slots; n++) {
    tasks.push(await first.api<Task>('POST', '/api/tasks', { title: `long work ${n}`, body: '["sleep", "600"]', engine: 'command' }));
  }
  const runsOf = async (server: typeof first): Promise<readonly string[]> => {
    const now = await Promise.all(tasks.map(({ id }) => server.api<Task>('GET', `/api/tasks/${id}`)));
    return now.flatMap(({ runs }) => runs.filter(({ status }) => status === 'running').map(({ id }) => id));
  };
  const before = await waitFor(
    () => runsOf(first),
    (running) => running.length === slots,
  );
  await first.kill();

  const second = await startServerChild(bench.scope, place, settings);
  const after = await waitFor(
    () => runsOf(second),
    (running) => running.some((id) => !before.includes(id)),
  );
  const begun = await Promise.all(
    after.filter((id) => !before.includes(id)).map((id) => second.api<{ startedAt: string }>('GET', `/api/runs/${id}`)),
  );
  const dispatchedMs = Math.min(...begun.map(({ startedAt }) => Date.parse(startedAt))) - second.spawnedAt;
  await second.kill();
  return { healthyMs: second.healthyMs, dispatchedMs };
}
