import { describe, expect, test } from 'vitest';
import { emptyState, type State, unknownTasks, withEvents, withTasks } from './state.ts';
import type { EventView, TaskView } from './views.ts';

const at = (second: number): string => `2026-01-01T00:00:${String(second).padStart(2, '0')}.000Z`;

const task = (more: Partial<TaskView> = {}): TaskView => ({
  id: 'tsk_1',
  title: 'Mend the fence',
  body: null,
  repository: null,
  ref: null,
  priority: 'medium',
  status: 'queued',
  reason: null,
  source: 'api',
  externalRef: null,
  doneWhen: null,
  maxRounds: null,
  parentTaskId: null,
  requestedBy: 'owner',
  trust: 'owner',
  dependsOn: [],
  notBefore: null,
  dedupeKey: null,
  budgetUsd: null,
  verify: null,
  engine: null,
  profile: 'default',
  tier: null,
  labels: [],
  deliverable: 'changes',
  branch: null,
  attempts: 0,
  maxAttempts: 3,
  cancelRequestedAt: null,
  createdAt: at(0),
  updatedAt: at(0),
  closedAt: null,
  runs: [],
  ...more,
});

let number = 0;
const event = (second: number, type: string, data: Record<string, unknown> = {}, runId: string | null = null): EventView => ({
  id: String(++number),
  at: at(second),
  type,
  taskId: 'tsk_1',
  runId,
  data,
});
const status = (second: number, from: string, to: string, runId: string | null = null): EventView =>
  event(second, 'task.status', { from, to, reason: null }, runId);

const held = (state: State): TaskView | undefined => state.tasks.get('tsk_1');
const withTask = withTasks(emptyState, [task()]);

describe('what is shown of a task', () => {
  test('follows the events from its start to its end', () => {
    const running = withEvents(withTask, [status(1, 'queued', 'running', 'run_1'), event(1, 'run.started', { attempt: 1 }, 'run_1')]);
    expect(held(running)).toMatchObject({ status: 'running', attempts: 1, runs: [{ id: 'run_1', status: 'running' }], closedAt: null });
    const over = withEvents(running, [
      status(2, 'running', 'succeeded', 'run_1'),
      event(2, 'run.finished', { status: 'succeeded' }, 'run_1'),
    ]);
    expect(held(over)).toMatchObject({ status: 'succeeded', runs: [{ id: 'run_1', status: 'succeeded' }], closedAt: at(2) });
    expect(held(withEvents(over, [status(3, 'succeeded', 'queued')]))).toMatchObject({ status: 'queued', closedAt: null });
  });

  test('is not set back by an answer that was overtaken by an event, nor by an event that the answer knew of', () => {
    const ahead = withEvents(withTask, [status(5, 'queued', 'running')]);
    expect(held(withTasks(ahead, [task({ updatedAt: at(4), status: 'queued' })]))).toMatchObject({ status: 'running' });
    const fetched = withTasks(withTask, [task({ updatedAt: at(6), status: 'succeeded' })]);
    expect(held(withEvents(fetched, [status(5, 'queued', 'running')]))).toMatchObject({ status: 'succeeded' });
  });

  test('keeps the whole of a text of which lists hold the beginning', () => {
    const whole = withTasks(emptyState, [task({ body: 'the whole text' })]);
    expect(held(withTasks(whole, [task({ body: 'the whole', updatedAt: at(1) })]))).toMatchObject({
      body: 'the whole text',
      updatedAt: at(1),
    });
  });

  test('takes over priority, dependencies and the wish to stop it', () => {
    const changed = withEvents(withTask, [
      event(1, 'task.priority', { from: 'medium', to: 'high' }),
      event(2, 'task.dependencies', { dependsOn: ['tsk_2'] }),
      event(3, 'task.cancel-requested', { by: 'owner' }),
    ]);
    expect(held(changed)).toMatchObject({ priority: 'high', dependsOn: ['tsk_2'], cancelRequestedAt: at(3) });
  });

  test('is fetched when events tell of one that is not here; output alone is no reason', () => {
    const events = [event(1, 'task.submitted'), event(1, 'run.output', { text: 'x' }, 'run_1')];
    expect(unknownTasks(emptyState, events)).toEqual(['tsk_1']);
    expect(unknownTasks(emptyState, events.slice(1))).toEqual([]);
    expect(unknownTasks(withTask, events)).toEqual([]);
    expect(withEvents(emptyState, [event(1, 'task.submitted')])).toBe(emptyState);
  });
});

test('the last step of a run is one line, and goes with the run', () => {
  const call = event(1, 'run.tool-started', { tool: 'Bash', input: { command: 'npm\n  test' } }, 'run_1');
  const state = withEvents(withTask, [event(0, 'run.text', { text: 'I begin.\n\nNow.' }, 'run_1'), call]);
  expect(state.steps.get('run_1')).toEqual({ at: at(1), text: 'Bash npm test', tone: 'code' });
  expect(withEvents(state, [event(2, 'run.finished', { status: 'failed' }, 'run_1')]).steps.size).toBe(0);
});

test('what pages list by themselves is looked at again with each event of its kind', () => {
  const dead = event(1, 'outbox.dead');
  const { heard } = withEvents(emptyState, [event(0, 'outbox.dead'), dead, event(1, 'task.submitted')]);
  expect(heard).toEqual({ outbox: dead.id });
});
