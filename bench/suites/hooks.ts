import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Provider } from '../../src/gateway/providers/provider.ts';
import { rehearsalProvider } from '../../src/gateway/providers/rehearsal.ts';
import { parseScript } from '../../src/gateway/rehearsal/script.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { claudeEngine } from '../../src/runner/engines/claude.ts';
import { hooksAtWork } from '../../src/runner/hooks/at-work.ts';
import { commandHook } from '../../src/runner/hooks/command.ts';
import type { About, Hook } from '../../src/runner/hooks/hook.ts';
import { createHooks } from '../../src/runner/hooks/registry.ts';
import { investigator } from '../../src/runner/investigate/investigator.ts';
import { openStore } from '../../src/store/open.ts';
import { perform, rehearse } from '../../test/support/stage.ts';
import { startBareAgent } from '../peers/bare-agent.ts';
import type { Bench } from '../support/bench.ts';
import { startModel } from '../support/model.ts';
import { rowOf } from '../support/report.ts';
import type { Suite } from './suite.ts';

/** What one use of a tool takes, from one answer of the model to the next question, with more and more that listens. */
export const hooks: Suite = {
  names: ['hooks'],
  async run(bench) {
    const { scope, sizes } = bench;
    const home = mkdtempSync(join(tmpdir(), 'nightshift-bench-hooks-'));
    scope.onEnd(() => rmSync(home, { recursive: true, force: true }));
    const store = await openStore({ home, databaseUrl: undefined });
    scope.onEnd(() => store.close());
    const ours = investigator({ store, clock: systemClock, note: async () => undefined }) as unknown as Hook;
    const inCode = (on: 'pre-tool' | 'tool-complete'): Hook => ({ id: `code-${on}`, on, timeoutMs: 10_000, run: () => true });
    const program = (on: 'pre-tool' | 'tool-complete'): Hook =>
      commandHook(
        { id: `program-${on}`, on, timeoutMs: 10_000, argv: ['/bin/true'] },
        { clock: systemClock, directory: home, env: { PATH: process.env['PATH'] ?? '' } },
      );
    const ways: readonly (readonly [string, readonly Hook[]])[] = [
      ['Nightshift, no hooks at all', []],
      ['the same with its own investigation', [ours]],
      ['and a function asked before each tool', [ours, inCode('pre-tool')]],
      ['and a program told of each tool', [ours, program('tool-complete')]],
      ['and a program asked before each tool', [ours, program('pre-tool')]],
    ];
    const samples = new Map<string, number[]>();
    const add = (what: string, times: readonly number[]): unknown => samples.set(what, [...(samples.get(what) ?? []), ...times]);
    for (let round = 0; round < sizes.toolUses.rounds; round++) {
      bench.progress(`hooks, round ${round + 1} of ${sizes.toolUses.rounds}`);
      add('bare SDK', await bare(bench));
      for (const [what, list] of ways) add(what, await withHooks(bench, list));
    }
    return [
      {
        title: 'One use of a tool (Bash, `true`), from one question to the model to the next',
        rows: [...samples].map(([what, times]) => rowOf(what, times)),
        notes: ['The first use of each conversation is left out. All of it is the same program; what differs is who is asked and told.'],
      },
    ];
  },
};

const script = (uses: number): object => ({
  name: 'bench',
  turns: [...Array.from({ length: uses }, () => ({ call: { tool: 'Bash', input: { command: 'true' } } })), { say: 'Done.' }],
});

const between = (arrivals: readonly number[]): readonly number[] =>
  arrivals.slice(2).map((at, index) => at - (arrivals[index + 1] as number));

async function bare({ scope, sizes }: Bench): Promise<readonly number[]> {
  const model = await startModel(scope, script(sizes.toolUses.uses));
  const directory = mkdtempSync(join(tmpdir(), 'nightshift-bench-hooks-'));
  scope.onEnd(() => rmSync(directory, { recursive: true, force: true }));
  const agent = await startBareAgent(scope, model);
  const arrivals: number[] = [];
  const { ended } = agent.begin([directory], 'Use the tools');
  let over = false;
  const end = ended.finally(() => {
    over = true;
  });
  end.catch(() => undefined); // awaited below
  while (!over) {
    const arrival = await Promise.race([model.nextCall(), end.then(() => undefined)]);
    if (arrival !== undefined) arrivals.push(arrival);
  }
  await end;
  await agent.stop();
  return between(arrivals);
}

async function withHooks({ scope, sizes }: Bench, list: readonly Hook[]): Promise<readonly number[]> {
  const arrivals: number[] = [];
  const rehearsal = rehearsalProvider([parseScript(JSON.stringify(script(sizes.toolUses.uses)), 'bench')], systemClock);
  const provider: Provider = {
    name: rehearsal.name,
    answer(request, signal) {
      if (request.endpoint === 'messages') arrivals.push(performance.now());
      return rehearsal.answer(request, signal);
    },
  };
  const undo: (() => unknown)[] = [];
  scope.onEnd(async () => {
    for (const step of undo.splice(0).toReversed()) await step();
  });
  const stage = await rehearse(undo, provider);
  const registered = createHooks(systemClock);
  for (const hook of list) registered.register(hook);
  const about = {
    ...{ task: { id: 'tsk_bench' }, workspace: null },
    run: { id: createIds(systemClock)('run'), attempt: 1, engine: 'claude' },
  } as unknown as About;
  const watch = hooksAtWork({
    hooks: registered,
    clock: systemClock,
    about,
    record: async () => undefined,
    signal: new AbortController().signal,
  });
  const engine = claudeEngine({ clock: systemClock, asRoot: process.getuid?.() === 0 });
  const { outcome } = await perform(engine, { ...stage.request, watch });
  if (outcome?.kind !== 'succeeded') throw new Error(`the agent did not succeed: ${JSON.stringify(outcome)}`);
  await watch.end();
  for (const step of undo.splice(0).toReversed()) await step();
  return between(arrivals);
}
