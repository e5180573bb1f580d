import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Desk } from '../../test/support/cli.ts';
import type { Profile, Task } from './api.ts';

let desk: Desk;
beforeAll(async () => {
  desk = new Desk();
  await desk.startServer({ engine: 'command' });
  await desk.call(['pause']);
});
afterAll(() => desk.remove());

describe('profiles', () => {
  test('set makes one with every setting, and later changes only what is named', async () => {
    writeFileSync(join(desk.home, 'instructions.md'), 'Be brief.\n');
    const made = await desk.json<Profile>(
      ...['profiles', 'set', 'reviewer', '--description', 'Reads only', '--prompt', 'Review {{branch}}'],
      ...['--instructions-file', 'instructions.md', '--tier', 'deep', '--model', 'm', '--tools', 'Read, Grep'],
      ...['--run-timeout', '60', '--max-turns', '5', '--budget', '0.25', '--engine', 'claude'],
    );
    const all = {
      name: 'reviewer',
      description: 'Reads only',
      promptTemplate: 'Review {{branch}}',
      instructions: 'Be brief.\n',
      tier: 'deep',
      model: 'm',
      tools: ['Read', 'Grep'],
      limits: { timeoutSeconds: 60, maxTurns: 5, budgetUsd: 0.25 },
      engine: 'claude',
    };
    expect(made).toMatchObject(all);
    const changed = await desk.json<Profile>('profiles', 'set', 'reviewer', '--max-turns', '9', '--unset', 'model', '--unset', 'tools');
    expect(changed).toMatchObject({ ...all, id: made.id, model: null, tools: null, limits: { ...all.limits, maxTurns: 9 } });
    expect(await desk.json('profiles', 'show', 'reviewer')).toEqual(changed);
    const { items } = await desk.json<{ items: Profile[] }>('profiles');
    expect(items.map(({ name }) => name)).toEqual(['default', 'reviewer']);
  });

  test('are shown to eyes and to scripts', async () => {
    expect((await desk.call(['profiles'])).out).toBe('default\t\t\t\nreviewer\tdeep\tclaude\tReads only\n');
    const { out } = await desk.call(['profiles', 'show', 'reviewer'], { terminal: 100 });
    expect(out).toMatch(/budget\s+.*\$0\.25/);
    expect(out).toContain('  Review {{branch}}');
    expect((await desk.call(['profiles', 'set', 'default', '--description', 'Ours'])).out).toBe('default  changed\n');
  });

  test('are used by tasks, and then not deleted', async () => {
    const task = await desk.json<Task>('new', 'x', '--profile', 'reviewer', '--tier', 'light', '--label', 'bug', '-l', 'ui');
    expect(task).toMatchObject({ profile: 'reviewer', tier: 'light', labels: ['bug', 'ui'] });
    expect((await desk.call(['show', task.id])).out).toMatch(/profile\s+reviewer\n\s+tier\s+light\n\s+labels\s+bug, ui/);
    const refused = await desk.call(['profiles', 'delete', 'reviewer', 'nobody', '--json']);
    expect(refused.code).toBe(5);
    expect(JSON.parse(refused.out)).toEqual({
      items: [],
      refused: [
        { id: 'reviewer', code: 'profile-in-use', message: expect.stringContaining('One open task') },
        { id: 'nobody', code: 'no-such-profile', message: expect.any(String) },
      ],
    });
    await desk.call(['cancel', task.id]);
    expect(await desk.call(['profiles', 'delete', 'reviewer'])).toEqual({ code: 0, out: 'reviewer  deleted\n', err: '' });
  });

  test.each([
    [['profiles', 'set', 'x', '--max-turns', 'many'], /--max-turns must be a whole number/],
    [['profiles', 'set', 'x', '--unset', 'colour'], /--unset takes one of/],
    [['profiles', 'set', 'x', '--unset', 'model', '--model', 'm'], /contradict/],
    [['profiles', 'set', 'x', '--tier', 'huge'], /light, standard, deep/],
    [['profiles', 'set'], /missing required argument/],
    [['workspaces', 'rm', 'tsk_1'], /is not the id of a workspace/],
    [['new', 'x', '--tier', 'huge'], /light, standard, deep/],
  ])('%j is wrong usage', async (args, message) => {
    const { code, err } = await desk.call(args);
    expect(err).toMatch(message);
    expect(code).toBe(2);
  });

  test('refuses what the server refuses, in its words', async () => {
    const { code, err } = await desk.call(['profiles', 'set', 'x', '--prompt', '{{autor}}']);
    expect(code).toBe(5);
    expect(err).toContain('{{autor}}');
    expect((await desk.call(['profiles', 'show', 'nobody'])).code).toBe(5);
  });
});

describe('workspaces', () => {
  test('are listed, and those that there are not are refused one by one', async () => {
    expect(await desk.json('workspaces', '--status', 'active,error')).toEqual({ items: [], nextCursor: null });
    expect((await desk.call(['workspaces'], { terminal: 100 })).out).toContain('No workspaces');
    expect((await desk.call(['workspaces', '--status', 'lost'])).code).toBe(5);
    const { code, out } = await desk.call(['workspaces', 'rm', 'wsp_01ARZ3NDEKTSV4RRFFQ69G5FAV', '--json']);
    expect(code).toBe(5);
    expect(JSON.parse(out)).toMatchObject({ items: [], refused: [{ code: 'no-such-workspace' }] });
  });
});
