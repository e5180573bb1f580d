import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';
import { until } from '../../test/support/server-process.ts';
import { choices } from '../domain/resolution.ts';
import type { Resolved, Task } from './api.ts';

describe('a task that waits for a person', () => {
  let desk: Desk;
  beforeAll(async () => {
    desk = new Desk();
    await desk.startServer(); // no engine and no model: whatever names none waits for a person
  });
  afterAll(() => desk.remove());

  const escalated = async (): Promise<string> => {
    const { out } = await desk.call(['new', 'Who does this?', '--json']);
    const { id } = JSON.parse(out) as Task;
    await waits(id);
    return id;
  };
  const waits = (id: string): Promise<boolean> =>
    until('the task to wait for a person', async () => (await desk.json<{ readonly task: Task }>('show', id)).task.status === 'escalated');
  const resolve = async (id: string, ...args: readonly string[]): Promise<Resolved> => {
    const { code, out, err } = await desk.call(['resolve', id, ...args, '--json']);
    expect([code, err]).toEqual([0, '']);
    return JSON.parse(out) as Resolved;
  };

  test('is shown with why, and with each choice as a command', async () => {
    const id = await escalated();
    const { out } = await desk.call(['show', id]);
    expect(out).toMatch(/escalated/);
    expect(out).toContain('No engine is configured');
    const told = [...out.matchAll(/nightshift resolve (\S+) ([a-z-]+)/g)].map(([, task, choice]) => [task, choice]);
    expect(told).toEqual(choices.map((choice) => [id, choice]));
  });

  test('is tried again, with a note', async () => {
    const id = await escalated();
    expect((await resolve(id, 'retry', '--note', 'Use the shell.')).task).toMatchObject({ id, status: 'queued' });
    await waits(id);
    const { out } = await desk.call(['show', id]);
    expect(out).toContain('Use the shell.');
    expect(out.match(/run_\S+ {2}escalated/g)).toHaveLength(2);
  });

  test('gets more money, if it is said how much', async () => {
    const id = await escalated();
    expect(await desk.call(['resolve', id, 'raise-budget'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--budget belongs to raise-budget'),
    });
    expect(await desk.call(['resolve', id, 'retry', '--budget', '3'])).toMatchObject({ code: 2 });
    expect((await resolve(id, 'raise-budget', '--budget', '3')).task).toMatchObject({ status: 'queued', budgetUsd: 3 });
  });

  test('is taken over, and is told where everything is', async () => {
    const id = await escalated();
    const { code, out } = await desk.call(['resolve', id, 'take-over']);
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^${id}  cancelled\n`));
    expect(out).toMatch(/\n {2}run +run_\S+ on nod_\S+\n {2}summary +No engine is configured/);
  });

  test('is given up, once', async () => {
    const id = await escalated();
    expect(await resolve(id, 'give-up', '--note', 'Not worth it.')).toMatchObject({ task: { status: 'cancelled' }, work: null });
    expect(await desk.call(['resolve', id, 'give-up'])).toMatchObject({ code: 5, err: expect.stringContaining('The task is cancelled') });
    expect((await desk.call(['show', id])).out).not.toContain('nightshift resolve');
    expect(await desk.call(['resolve', id, 'burn-it'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('retry, raise-budget, take-over, give-up'),
    });
  });
});
