import { expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import { type HookEvent, hooksAtWork } from './at-work.ts';
import type { About, Hook, HookAnswer, Moment, MomentAt } from './hook.ts';
import { createHooks } from './registry.ts';

const about = { task: { id: 'tsk_1' }, run: { id: 'run_1', attempt: 1, engine: 'test' }, workspace: null } as unknown as About;
const tool = { call: 'c1', name: 'Bash', input: { command: 'true' }, bySubagent: false };
const ask = { point: 'pre-tool', tool } as const;
const done = (output = '', name = 'Bash'): MomentAt<'tool-complete'> => ({
  point: 'tool-complete',
  tool: { ...tool, name, failed: false, output, outputSize: output.length, durationMs: 1 },
});
const hook = (id: string, on: Hook['on'], run: (facts: Moment) => HookAnswer | Promise<HookAnswer>, more: Partial<Hook> = {}): Hook =>
  ({ id, on, timeoutMs: 1_000, ...more, run }) as unknown as Hook;
const throwing = (): never => {
  throw new Error('broken');
};
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function during(...list: readonly Hook[]) {
  const clock = new ManualClock();
  const hooks = createHooks(clock);
  for (const each of list) hooks.register(each);
  const told: HookEvent[] = [];
  const stop = new AbortController();
  const watch = hooksAtWork({ hooks, clock, about, record: async (event) => void told.push(event), signal: stop.signal });
  return { watch, told, clock, stop };
}
const texts = (told: readonly HookEvent[]): readonly string[] =>
  told.flatMap((event) => (event.type === 'run.notice' ? event.data.text : []));

test('nobody is told of what nobody wants', () => {
  const { watch } = during(hook('a', 'tool-complete', () => true));
  expect([watch.wants('tool-complete'), watch.wants('pre-tool'), watch.wants('turn-end')]).toEqual([true, false, false]);
});

test('a hook with tools is asked and told about those alone', async () => {
  const asked: string[] = [];
  const { watch } = during(
    hook('ask', 'pre-tool', () => false, { tools: ['Write'] }),
    hook('tell', 'tool-complete', (moment) => void asked.push('tool' in moment ? moment.tool.name : ''), { tools: ['Write'] }),
  );
  expect(await watch.ask(ask)).toEqual({ allow: true });
  expect(await watch.ask({ ...ask, tool: { ...tool, name: 'Write' } })).toMatchObject({ allow: false });
  await watch.tell(done());
  await watch.tell(done('', 'Write'));
  await watch.end();
  expect(asked).toEqual(['Write']);
});

test('before a tool the first refusal is the answer, and nobody behind it is asked', async () => {
  const asked: string[] = [];
  const noted = (id: string, answer: HookAnswer): Hook =>
    hook(id, 'pre-tool', () => {
      asked.push(id);
      return answer;
    });
  const { watch, told } = during(noted('a', true), noted('b', { allow: false, reason: 'no' }), noted('c', true));
  expect(await watch.ask(ask)).toEqual({ allow: false, reason: 'The hook b refused it: no' });
  expect(asked).toEqual(['a', 'b']);
  expect(told).toEqual([{ type: 'run.denied', data: { call: 'c1', tool: 'Bash', by: 'hook b', reason: 'The hook b refused it: no' } }]);
});

test('a hook that fails is as if it were not there, and after three times is not asked any more; a required one refuses', async () => {
  let calls = 0;
  const broken = (): never => {
    calls += 1;
    return throwing();
  };
  const loose = during(hook('loose', 'pre-tool', broken));
  for (let i = 0; i < 5; i++) expect(await loose.watch.ask(ask)).toEqual({ allow: true });
  expect(calls).toBe(3);
  expect(loose.told.filter(({ type }) => type === 'run.hook')).toHaveLength(3);
  expect(texts(loose.told)).toEqual(['The hook loose failed 3 times in a row and is not called any more in this run.']);

  const strict = during(hook('strict', 'pre-tool', throwing, { required: true }));
  for (let i = 0; i < 5; i++) {
    expect(await strict.watch.ask(ask)).toEqual({
      allow: false,
      reason: 'The hook strict, which has to pass before this tool is used, did not: broken',
    });
  }
  expect(strict.told.filter(({ type }) => type === 'run.denied')).toHaveLength(5);
});

test('an answer that is no input is a failure of the hook, also where there is none to be given', async () => {
  const before = during(hook('a', 'pre-tool', () => ({ allow: true, input: ['rm'] }) as unknown as HookAnswer));
  expect(await before.watch.ask(ask)).toEqual({ allow: true });
  expect(before.told).toMatchObject([{ type: 'run.hook', data: { verdict: 'failed' } }]);
});

test('telling waits for nobody but a hook that asks for it, and each hears in order', async () => {
  const gate = Promise.withResolvers<void>();
  const heard: string[] = [];
  const { watch } = during(
    hook('slow', 'tool-complete', async (moment) => {
      await gate.promise;
      heard.push(`slow ${'tool' in moment ? moment.tool.name : ''}`);
    }),
    hook(
      'awaited',
      'tool-complete',
      async (moment) => {
        await settled();
        heard.push(`awaited ${'tool' in moment ? moment.tool.name : ''}`);
      },
      { wait: true },
    ),
  );
  await watch.tell(done('', 'a'));
  await watch.tell(done('', 'b'));
  expect(heard).toEqual(['awaited a', 'awaited b']);
  gate.resolve();
  await watch.end();
  expect(heard).toEqual(['awaited a', 'awaited b', 'slow a', 'slow b']);
});

test('what a hook cannot keep up with it misses, in moments and in characters, and that is said', async () => {
  const gate = Promise.withResolvers<void>();
  let heard = 0;
  const { watch, told } = during(
    hook('slow', 'tool-complete', async () => {
      await gate.promise;
      heard += 1;
    }),
  );
  for (let i = 0; i < 300; i++) await watch.tell(done());
  gate.resolve();
  await watch.end();
  expect(heard).toBe(200);
  expect(texts(told)).toEqual(['The hook slow missed 100 of 300 moments: it was too slow.']);

  const big = during(hook('slow', 'tool-complete', () => undefined));
  for (let i = 0; i < 100; i++) void big.watch.tell(done('x'.repeat(64_000)));
  await big.watch.end();
  expect(texts(big.told)).toEqual(['The hook slow missed 39 of 100 moments: it was too slow.']);
});

test('a run does not end before its hooks have heard, but does not wait for one that hangs', async () => {
  const { watch, told, clock } = during(hook('hanging', 'tool-complete', () => new Promise(() => undefined), { timeoutMs: 3_600_000 }));
  for (let i = 0; i < 3; i++) await watch.tell(done());
  const end = watch.end();
  for (let i = 0; i < 5; i++) await settled();
  clock.advance(10_000);
  for (let i = 0; i < 5; i++) await settled();
  clock.advance(2_000); // the patience with a hook that does not stop
  await end;
  expect(texts(told)).toEqual(['The hook hanging missed 2 of 3 moments: it was too slow.']);
  await watch.tell(done()); // too late, and harmless
});

test('nothing is held up, nor told, once the run was stopped', async () => {
  const { watch, told, stop, clock } = during(hook('hanging', 'pre-tool', () => new Promise(() => undefined), { required: true }));
  const answer = watch.ask(ask);
  await settled();
  stop.abort();
  await settled();
  clock.advance(2_000);
  expect(await answer).toMatchObject({ allow: false });
  await watch.end();
  expect(texts(told)).toEqual([]);
});
