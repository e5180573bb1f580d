import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { perform, rehearse } from '../../../../test/support/stage.ts';
import type { WorkPoint } from '../../../domain/hook.ts';
import { systemClock } from '../../../platform/clock.ts';
import { hooksAtWork } from '../../hooks/at-work.ts';
import type { About, BeforeTool, Hook, Moment, MomentAt, OnThinkingStart, OnToolComplete } from '../../hooks/hook.ts';
import { createHooks } from '../../hooks/registry.ts';
import { claudeEngine } from '../claude.ts';

const engine = claudeEngine({ clock: systemClock, asRoot: process.getuid?.() === 0 });
let undo: (() => unknown)[];

beforeEach(() => {
  undo = [];
});

afterEach(async () => {
  for (const step of undo.reverse()) await step();
});

const about = { run: { id: 'run_1', attempt: 1, engine: 'claude' }, task: { id: 'tsk_1' }, workspace: null } as unknown as About;

/** A run with the real SDK, and with these hooks. */
async function performed(turns: readonly object[], ...list: readonly Hook[]) {
  const stage = await rehearse(undo, { turns });
  const hooks = createHooks(systemClock);
  for (const hook of list) hooks.register(hook);
  const told: { type: string; data: Readonly<Record<string, unknown>> }[] = [];
  const watch = hooksAtWork({
    hooks,
    clock: systemClock,
    about,
    record: async (event) => void told.push(event),
    signal: new AbortController().signal,
  });
  const before: unknown[] = [];
  const { conversation } = stage.request;
  if (!conversation) throw new Error('no conversation');
  const beforeTool = async ({ input }: { readonly input: unknown }): Promise<void> => void before.push(input);
  const { outcome } = await perform(engine, { ...stage.request, watch, conversation: { ...conversation, beforeTool } });
  await watch.end();
  /** What the model was shown last. */
  const shown = JSON.stringify(stage.asked.at(-1)?.message.messages);
  return {
    outcome,
    told,
    shown,
    before,
    directory: stage.request.directory,
    credential: stage.request.conversation?.model.credential ?? '',
  };
}

const hook = <P extends WorkPoint>(on: P, run: Hook<P>['run'], more: Partial<Hook> = {}): Hook =>
  ({ id: on, on, timeoutMs: 10_000, ...more, run }) as unknown as Hook;
const bash = (command: string) => ({ call: { tool: 'Bash', input: { command } } });

test('each moment of an agent at work is told, in order, with what there is to know and no secret', async () => {
  const moments: Moment[] = [];
  const note = (moment: Moment): void => void moments.push(moment);
  const thinks: OnThinkingStart = { id: 'thinks', on: 'thinking-start', timeoutMs: 10_000, run: note };
  const before: BeforeTool = { id: 'before', on: 'pre-tool', timeoutMs: 10_000, run: note };
  const after: OnToolComplete = { id: 'after', on: 'tool-complete', timeoutMs: 10_000, run: note };
  const stops: Hook<'turn-end'> = { id: 'stops', on: 'turn-end', timeoutMs: 10_000, run: note };
  const { outcome, credential } = await performed(
    [bash('echo made > made.txt; env; exit 0'), bash('echo broken >&2; exit 3'), { say: 'Did what I could.' }],
    ...[thinks, before, after, stops].map((each) => each as unknown as Hook),
  );
  expect(outcome).toMatchObject({ kind: 'succeeded' });
  expect(moments.map(({ point }) => point)).toEqual([
    'thinking-start',
    ...['pre-tool', 'tool-complete', 'pre-tool', 'tool-complete'],
    'turn-end',
  ]);
  expect(moments[0]).toMatchObject({ prompt: expect.stringContaining('Do what the script says'), run: { id: 'run_1' } });
  const [done, broken] = moments.filter((each): each is MomentAt<'tool-complete'> => each.point === 'tool-complete');
  expect(done?.tool).toMatchObject({ name: 'Bash', failed: false, bySubagent: false, durationMs: expect.any(Number) });
  expect(done?.tool.output).toContain('PATH=');
  expect(broken?.tool).toMatchObject({ failed: true, input: { command: 'echo broken >&2; exit 3' } });
  expect(broken?.tool.output).toMatch(/Exit code 3[\s\S]*broken/);
  expect(moments.at(-1)).toMatchObject({ said: 'Did what I could.', error: null });
  expect(JSON.stringify(moments)).not.toContain(credential);
});

test('a model that cannot go on ends the turn with an error', async () => {
  const ends: unknown[] = [];
  await performed(
    [{ fail: { status: 401 } }],
    hook('turn-end', ({ error }) => void ends.push(error)),
  );
  expect(ends).toEqual([expect.objectContaining({ code: 'authentication_failed' })]);
});

test('a refused tool is not used, the model sees why, and the run goes on', async () => {
  const { outcome, told, shown, before, directory } = await performed(
    [bash('touch pushed.txt'), { say: 'Then not.' }],
    hook('pre-tool', ({ tool }) => ({
      allow: !String((tool.input as { command: string }).command).includes('pushed'),
      reason: 'never push',
    })),
  );
  expect(outcome).toEqual({ kind: 'succeeded', summary: 'Then not.' });
  expect(existsSync(join(directory, 'pushed.txt'))).toBe(false);
  expect(shown).toContain('The hook pre-tool refused it: never push');
  expect(before).toEqual([]); // what is not used is worth no checkpoint
  expect(told).toEqual([
    {
      type: 'run.denied',
      data: { call: expect.any(String), tool: 'Bash', by: 'hook pre-tool', reason: 'The hook pre-tool refused it: never push' },
    },
  ]);
});

test('a tool gets what hooks put in place of its input, one after the other, and the model is told', async () => {
  const append = (id: string): Hook =>
    hook(
      'pre-tool',
      ({ tool }) => {
        const { command } = tool.input as { command: string };
        return { allow: true, input: { command: `${command} ${id}` }, reason: `said ${id}` };
      },
      { id },
    );
  const { told, shown, before, directory } = await performed(
    [bash('echo > order.txt begin'), { say: 'Done.' }],
    append('one'),
    append('two'),
  );
  expect(readFileSync(join(directory, 'order.txt'), 'utf8')).toBe('begin one two\n');
  expect(shown).toContain('said one said two');
  expect(before).toMatchObject([{ command: 'echo > order.txt begin one two' }]);
  expect(told).toMatchObject([
    { type: 'run.rewritten', data: { tool: 'Bash', by: ['hook one', 'hook two'], input: { command: 'echo > order.txt begin one two' } } },
  ]);
});

test('hooks that throw, hang or lag do not keep an agent from its work', async () => {
  const { outcome, told, directory } = await performed(
    [bash('echo made > made.txt'), { say: 'Done.' }],
    hook(
      'pre-tool',
      () => {
        throw new Error('broken');
      },
      { id: 'broken' },
    ),
    hook('pre-tool', () => new Promise(() => undefined), { id: 'hanging', timeoutMs: 100 }),
    hook('tool-complete', () => new Promise(() => undefined), { id: 'late', timeoutMs: 100 }),
  );
  expect(outcome).toMatchObject({ kind: 'succeeded' });
  expect(readFileSync(join(directory, 'made.txt'), 'utf8')).toBe('made\n');
  expect(told.map(({ data }) => `${data['id']} ${data['verdict']}`)).toEqual(['broken failed', 'hanging timed-out', 'late timed-out']);
});
