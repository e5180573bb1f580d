import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../../test/support/clock.ts';
import type { RunPoint } from '../../domain/hook.ts';
import { noResult } from '../../domain/result.ts';
import type { FactsAt, Hook, HookAnswer } from './hook.ts';
import { createHooks, type Heard, type Hooks } from './registry.ts';

const factsAt = (point: RunPoint): FactsAt<RunPoint> => ({
  point,
  task: {
    id: 'tsk_1',
    source: 'test',
    externalRef: null,
    title: 'Fix it',
    body: null,
    repository: null,
    ref: null,
    priority: 'medium',
    requestedBy: 'test',
    trust: 'owner',
  },
  run: { id: 'run_1', attempt: 1, engine: 'command' },
  workspace: null,
  outcome: null,
  result: noResult,
});

const never = new AbortController().signal;
const hook = (id: string, run: Hook['run'], more: Partial<Hook> = {}): Hook => ({ id, on: 'pre-run', timeoutMs: 1_000, run, ...more });
const throwing = (): never => {
  throw new Error('broken\n  in two');
};
const hanging = (): Promise<HookAnswer> => new Promise(() => undefined);

async function fired(hooks: Hooks, point: RunPoint = 'pre-run', signal = never): Promise<{ end: Heard | undefined; heard: Heard[] }> {
  const heard: Heard[] = [];
  const end = await hooks.fire(factsAt(point), async (each) => void heard.push(each), signal);
  return { end, heard };
}
const idsOf = ({ heard }: { heard: readonly Heard[] }): readonly string[] => heard.map(({ id }) => id);

describe('hooks', () => {
  test('are called one after the other in the order of their registration, those of their point alone', async () => {
    const hooks = createHooks(new ManualClock());
    const calls: string[] = [];
    for (const id of ['c', 'a', 'b']) {
      hooks.register(
        hook(id, async () => {
          calls.push(`${id} begins`);
          await new Promise((resolve) => setImmediate(resolve));
          calls.push(`${id} ends`);
        }),
      );
    }
    hooks.register(hook('other', throwing, { on: 'error' }));
    expect(idsOf(await fired(hooks))).toEqual(['c', 'a', 'b']);
    expect(calls).toEqual(['c begins', 'c ends', 'a begins', 'a ends', 'b begins', 'b ends']);
  });

  test('are replaced by one with the same id, which keeps the place', async () => {
    const hooks = createHooks(new ManualClock());
    for (const id of ['a', 'b', 'c']) hooks.register(hook(id, throwing));
    hooks.register(hook('a', () => true));
    hooks.register(hook('b', () => ({ allow: true, reason: 'new' })));
    hooks.register(hook('c', () => undefined));
    expect((await fired(hooks)).heard).toMatchObject([{ id: 'a' }, { id: 'b', verdict: 'passed', message: 'new' }, { id: 'c' }]);
  });

  test('are removed by their id; an unknown one is no error', async () => {
    const hooks = createHooks(new ManualClock());
    for (const id of ['a', 'b']) hooks.register(hook(id, () => true));
    hooks.unregister('a');
    hooks.unregister('nobody');
    expect(idsOf(await fired(hooks))).toEqual(['b']);
  });

  test('before a run: the first that does not pass ends it, and the rest are not called', async () => {
    const refusals: readonly (readonly [Hook['run'], Partial<Heard>])[] = [
      [() => false, { verdict: 'refused' }],
      [async () => ({ allow: false, reason: 'not on a Friday' }), { verdict: 'refused', message: 'not on a Friday' }],
      [throwing, { verdict: 'failed', message: 'broken in two' }],
      [() => Promise.reject('no error at all'), { verdict: 'failed', message: 'no error at all' }],
      [() => 'yes' as unknown as HookAnswer, { verdict: 'failed' }],
      [() => ({ allow: 'yes' }) as unknown as HookAnswer, { verdict: 'failed' }],
      [() => null as unknown as HookAnswer, { verdict: 'failed' }],
    ];
    for (const [run, expected] of refusals) {
      const hooks = createHooks(new ManualClock());
      hooks.register(hook('first', () => true));
      hooks.register(hook('second', run));
      hooks.register(hook('third', () => true));
      const { end, heard } = await fired(hooks);
      expect(end).toMatchObject({ id: 'second', ...expected });
      expect(heard.map(({ id }) => id)).toEqual(['first', 'second']);
    }
  });

  test('after a run: what one does is nothing to the others, and nothing comes back', async () => {
    for (const point of ['post-run', 'error'] as const) {
      const hooks = createHooks(new ManualClock());
      hooks.register(hook('a', throwing, { on: point }));
      hooks.register(hook('b', () => false, { on: point }));
      hooks.register(hook('c', () => true, { on: point }));
      const { end, heard } = await fired(hooks, point);
      expect(end).toBeUndefined();
      expect(heard.map(({ verdict }) => verdict)).toEqual(['failed', 'failed', 'passed']);
    }
  });

  test('cannot change what the next one is told', async () => {
    const hooks = createHooks(new ManualClock());
    let title = '';
    hooks.register(hook('a', (facts) => void Object.assign(facts.task, { title: 'Something else' })));
    hooks.register(
      hook('b', (facts) => {
        title = facts.task.title;
      }),
    );
    await fired(hooks);
    expect(title).toBe('Fix it');
  });

  test('that take too long are stopped, and left behind when they do not listen', async () => {
    const clock = new ManualClock();
    const hooks = createHooks(clock);
    let stopped = false;
    const listening: Hook['run'] = (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          stopped = true;
          reject(new Error('stopped'));
        });
      });
    hooks.register(hook('listens', listening, { on: 'error' }));
    hooks.register(hook('hangs', hanging, { on: 'error' }));
    hooks.register(hook('last', () => true, { on: 'error' }));
    const firing = fired(hooks, 'error');
    clock.advance(999);
    expect(stopped).toBe(false);
    clock.advance(1);
    expect(stopped).toBe(true);
    await turn();
    clock.advance(1_000);
    await turn();
    clock.advance(2_000);
    expect((await firing).heard).toMatchObject([
      { id: 'listens', verdict: 'timed-out', durationMs: 1_000, message: 'It took longer than 1 s and was stopped.' },
      { id: 'hangs', verdict: 'timed-out', durationMs: 3_000 },
      { id: 'last', verdict: 'passed' },
    ]);
    expect(clock.pending).toBe(0);
  });

  test('are stopped with their run, and the rest are not called', async () => {
    const clock = new ManualClock();
    const hooks = createHooks(clock);
    const stop = new AbortController();
    hooks.register(hook('hangs', hanging, { on: 'post-run' }));
    hooks.register(hook('next', () => true, { on: 'post-run' }));
    const firing = fired(hooks, 'post-run', stop.signal);
    stop.abort();
    await turn();
    clock.advance(2_000);
    expect((await firing).heard).toMatchObject([{ id: 'hangs', verdict: 'failed', message: 'It was stopped with its run.' }]);
    expect(clock.pending).toBe(0);
    expect((await fired(hooks, 'post-run', stop.signal)).heard).toEqual([]);
  });

  test('say no more than fits into a reason, on one line', async () => {
    const hooks = createHooks(new ManualClock());
    hooks.register(hook('talks', () => ({ allow: false, reason: 'no\0\n'.repeat(10_000) })));
    const { message } = (await fired(hooks)).end ?? {};
    expect(message).toMatch(/^(no )+no?$/);
    expect(message?.length).toBeLessThanOrEqual(2_000);
  });
});

/** Lets everything that is ready to go on go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
