import { createMemory } from '../../src/knowledge/memory/memory.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { createLog } from '../../src/platform/log.ts';
import { Dispatcher } from '../../src/queue/dispatcher.ts';
import type { Claim } from '../../src/queue/queue.ts';
import type { Engine } from '../../src/runner/engines/engine.ts';
import { equip } from '../../src/runner/equip.ts';
import { runTask } from '../../src/runner/run-task.ts';
import { type Opened, openQueue, wish } from '../measure/open.ts';
import type { Place } from '../support/bench.ts';
import type { Peer } from './peer.ts';

/** The queue and its dispatcher; what they run does nothing, as with the peers. */
export async function nightshift(place: Place, concurrency: number): Promise<Peer> {
  const opened = await openQueue(place);
  return peerOf(opened, concurrency, async (claim, onRun) => {
    onRun();
    await opened.queue.settle({ taskId: claim.task.id, runId: claim.run.id, outcome: { kind: 'succeeded' } });
  });
}

/** The same with everything that a real run has around it: its directory, its output file, the look for leftover processes. */
export async function nightshiftWithRunner(place: Place, concurrency: number): Promise<Peer> {
  const opened = await openQueue(place);
  let ran = (): void => undefined;
  const idle: Engine = {
    name: 'command',
    converses: false,
    refuses: () => undefined,
    async *run() {
      ran();
      yield { type: 'outcome', outcome: { kind: 'succeeded' } };
    },
  };
  const equipment = await equip(
    {
      store: opened.store,
      queue: opened.queue,
      clock: systemClock,
      newId: createIds(systemClock),
      log: createLog('silent', []),
      nodeId: 'nod_bench',
      nodeMarker: {},
      engines: new Map([[idle.name, idle]]),
      happened: async () => undefined,
      memory: createMemory({ clock: systemClock, newId: createIds(systemClock) }),
    },
    {
      home: place.home,
      owner: { home: place.home, path: '/usr/bin:/bin' },
      sandbox: 'off',
      providers: [],
      models: { llmModel: undefined, llmModelLight: undefined, llmModelDeep: undefined, fallback: undefined, patienceMs: 0 },
      gitToken: async () => undefined,
      hooks: [],
      maxRounds: 8,
      noteTokens: 2_000,
      timeoutMs: 60_000,
      keepRunsMs: null,
      checkpoints: { everyCalls: 25, perRun: 50, keepMs: 3_600_000 },
      quota: { bytes: 2 ** 30, files: 1_000_000 },
      repositories: [],
      network: {},
      limits: { day: null, ceiling: null, proactive: null, run: null, conversation: null },
      prices: {},
      onBooked: () => undefined,
      onDelivered: () => undefined,
    },
  );
  const close = async (): Promise<void> => {
    await equipment.stop();
    await opened.close();
  };
  return peerOf({ ...opened, close }, concurrency, (claim, onRun, signal) => {
    ran = onRun;
    return runTask(equipment.runner, claim, signal).then(() => undefined);
  });
}

function peerOf(opened: Opened, concurrency: number, run: (claim: Claim, onRun: () => void, signal: AbortSignal) => Promise<void>): Peer {
  const { store, queue, close } = opened;
  return {
    submitOne: (n) => queue.submit(wish(n)),
    submitBatch: (from, count) =>
      store.write((tx) =>
        queue.enqueue(
          tx,
          Array.from({ length: count }, (_, i) => wish(from + i)),
        ),
      ),
    async work(onRun) {
      const dispatcher = new Dispatcher({
        queue,
        store,
        clock: systemClock,
        log: createLog('warn', [{ write: (line) => void process.stderr.write(line) }]),
        node: 'nod_bench',
        capacity: concurrency,
        run: async (claim, signal) => {
          await run(claim, onRun, signal);
          return 'ran';
        },
      });
      dispatcher.start();
      const drain = (): Promise<void> => dispatcher.drain(60_000);
      return { settled: drain, stop: drain };
    },
    close,
  };
}
