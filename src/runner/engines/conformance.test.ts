import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../../test/support/server-process.ts';
import { type Performance, perform, processesOf, type Rehearsed, rehearse } from '../../../test/support/stage.ts';
import { systemClock } from '../../platform/clock.ts';
import { claudeEngine } from './claude.ts';
import { commandEngine } from './command.ts';
import type { Engine } from './engine.ts';

/** What every engine must be able to do, each in its own way. */
interface Candidate {
  readonly engine: Engine;
  /** A run whose work is this shell script. */
  doing(undo: (() => unknown)[], script: string): Promise<Rehearsed>;
  /** A run that fails. */
  failing(undo: (() => unknown)[]): Promise<Rehearsed>;
}

const candidates: readonly Candidate[] = [
  {
    engine: commandEngine(systemClock),
    doing: (undo, script) => rehearse(undo, { turns: [{ say: 'unused' }] }, {}, { body: JSON.stringify(['sh', '-c', script]) }),
    failing: (undo) => rehearse(undo, { turns: [{ say: 'unused' }] }, {}, { body: '["sh", "-c", "exit 3"]' }),
  },
  {
    engine: claudeEngine({ clock: systemClock, asRoot: process.getuid?.() === 0 }),
    doing: (undo, script) => rehearse(undo, { turns: [{ call: { tool: 'Bash', input: { command: script } } }, { say: 'Done.' }] }),
    failing: (undo) => rehearse(undo, { turns: [{ fail: { status: 401 } }] }),
  },
];

let undo: (() => unknown)[];

beforeEach(() => {
  undo = [];
});

afterEach(async () => {
  for (const step of undo.reverse()) await step();
});

/** Everything a run wrote, as a reader of its events sees it. */
const outputOf = ({ events }: Performance): string =>
  events
    .flatMap((event) => {
      if (event.type === 'run.output') return [event.data.text];
      return event.type === 'run.tool-finished' ? [event.data.output] : [];
    })
    .join('');

const expectOneOutcomeLast = ({ events }: Performance): void => {
  expect(events.filter(({ type }) => type === 'outcome')).toHaveLength(1);
  expect(events.at(-1)?.type).toBe('outcome');
};

describe.each(candidates)('the $engine.name engine', ({ engine, doing, failing }) => {
  test('tells in order what was written, and one outcome at the end', async () => {
    const stage = await doing(undo, 'for n in 1 2 3 4 5 6 7 8 9; do echo line $n; done');
    const performed = await perform(engine, stage.request);
    expectOneOutcomeLast(performed);
    expect(performed.outcome?.kind).toBe('succeeded');
    expect(outputOf(performed).match(/line \d/g)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `line ${n}`));
    expect(processesOf(stage.runId)).toEqual([]);
  });

  test('turns a failure into an outcome', async () => {
    const performed = await perform(engine, (await failing(undo)).request);
    expectOneOutcomeLast(performed);
    expect(performed.outcome).toMatchObject({
      kind: 'failed',
      reason: { code: expect.stringMatching(/^[a-z0-9-]+$/), message: expect.stringMatching(/./) },
    });
  });

  test('turns a directory that is not there into an outcome', async () => {
    const { request } = await doing(undo, 'true');
    const performed = await perform(engine, { ...request, directory: join(request.directory, 'gone') });
    expectOneOutcomeLast(performed);
    expect(performed.outcome?.kind).toBe('failed');
  });

  test('ends soon and leaves nothing when it is aborted, and does not begin when it was before', async () => {
    const stage = await doing(undo, 'setsid tail -f /dev/null & touch begun; tail -f /dev/null');
    const abort = new AbortController();
    const performing = perform(engine, stage.request, abort.signal);
    await until('the work to begin', () => existsSync(join(stage.request.directory, 'begun')));
    const began = performance.now();
    abort.abort();
    expectOneOutcomeLast(await performing);
    expect(performance.now() - began).toBeLessThan(3_000);
    expect(processesOf(stage.runId)).toEqual([]);

    const late = await doing(undo, 'touch begun');
    expectOneOutcomeLast(await perform(engine, late.request, AbortSignal.abort()));
    expect(existsSync(join(late.request.directory, 'begun'))).toBe(false);
  });

  test('keeps two at once apart', async () => {
    const stages = await Promise.all(['one', 'two'].map((name) => doing(undo, `echo ${name} in $PWD; echo ${name} > ${name}.txt`)));
    const performed = await Promise.all(stages.map(({ request }) => perform(engine, request)));
    for (const each of performed) expectOneOutcomeLast(each);
    const [one = '', two = ''] = performed.map(outputOf);
    expect([/one in/.test(one), /two/.test(one), /two in/.test(two), /one/.test(two)]).toEqual([true, false, true, false]);
    expect(stages.map(({ request }) => ['one', 'two'].map((name) => existsSync(join(request.directory, `${name}.txt`))))).toEqual([
      [true, false],
      [false, true],
    ]);
  });
});
