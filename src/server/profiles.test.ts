import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, type ApiTask, startTestServer, type TestServer } from '../../test/support/server.ts';
import { createDatabase, type TestDatabase } from '../../test/support/stores.ts';

let database: TestDatabase;
let server: TestServer;
let api: Api;

beforeAll(async () => {
  database = await createDatabase('sqlite');
  server = await startTestServer(database);
  ({ api } = server);
});
afterAll(async () => {
  await server?.running.stop();
  await database?.remove();
});

interface ApiProfile {
  readonly id: string;
  readonly name: string;
  readonly [field: string]: unknown;
}

const unset = {
  description: null,
  promptTemplate: null,
  instructions: null,
  tier: null,
  model: null,
  tools: null,
  limits: { timeoutSeconds: null, maxTurns: null, budgetUsd: null },
  engine: null,
};
const full = {
  description: 'Reads only',
  promptTemplate: 'Review {{branch}} of {{repository}} from {{ref}}: {{title}} {{body}}',
  instructions: 'Be brief.\nBe kind.',
  tier: 'deep',
  model: 'a-model',
  tools: ['Read', 'Grep', 'mcp__notes__add'],
  limits: { timeoutSeconds: 60, maxTurns: 5, budgetUsd: 0.25 },
  engine: 'claude',
};
let made = 0;
const make = async (more: object = {}): Promise<ApiProfile> => {
  const { status, body } = await api.call<ApiProfile>('POST', '/api/profiles', { body: { name: `profile-${++made}`, ...more } });
  expect(status).toBe(201);
  return body;
};

describe('a profile', () => {
  test('named default is there from the beginning, may be changed, and cannot be deleted', async () => {
    const { body } = await api.call<ApiProfile>('GET', '/api/profiles/default');
    expect(body).toMatchObject({ ...unset, name: 'default', id: expect.stringMatching(/^prf_/) });
    const changed = await api.call<ApiProfile>('PUT', '/api/profiles/default', { body: { description: 'Ours' } });
    expect(changed).toMatchObject({ status: 200, body: { ...unset, id: body.id, description: 'Ours' } });
    expect(await api.refusal('DELETE', '/api/profiles/default')).toMatchObject({ status: 409, code: 'profile-needed' });
    await api.call('PUT', '/api/profiles/default', { body: {} });
  });

  test('is made with all or nothing, and comes back as it was given', async () => {
    const bare = await make();
    expect(bare).toMatchObject({ ...unset, name: `profile-${made}` });
    const whole = await make(full);
    expect(whole).toMatchObject(full);
    expect((await api.call('GET', `/api/profiles/${whole.name}`)).body).toEqual(whole);
    const { body } = await api.call<{ items: ApiProfile[] }>('GET', '/api/profiles');
    expect(body.items.map(({ name }) => name)).toEqual([...body.items.map(({ name }) => name)].sort());
    expect(body.items).toEqual(expect.arrayContaining([bare, whole]));
  });

  test('is replaced whole: what is left out is gone', async () => {
    const { id, name } = await make(full);
    const { body } = await api.call('PUT', `/api/profiles/${name}`, { body: { tools: [] } });
    expect(body).toMatchObject({ ...unset, id, name, tools: [] });
  });

  test('has a name of its own', async () => {
    const { name } = await make();
    expect(await api.refusal('POST', '/api/profiles', { body: { name } })).toMatchObject({ status: 409, code: 'profile-exists' });
  });

  test('that does not exist cannot be looked at, changed or deleted', async () => {
    for (const method of ['GET', 'DELETE']) {
      expect(await api.refusal(method, '/api/profiles/nobody')).toMatchObject({ status: 404, code: 'no-such-profile' });
    }
    expect(await api.refusal('PUT', '/api/profiles/nobody', { body: {} })).toMatchObject({ status: 404, code: 'no-such-profile' });
  });

  test.each([
    ['name', { name: 'Not Lower' }],
    ['name', { name: 'two--dashes' }],
    ['name', { name: '../etc' }],
    ['name', { name: undefined }],
    ['promptTemplate', { promptTemplate: 'Hello {{autor}}' }],
    ['promptTemplate', { promptTemplate: ' \n' }],
    ['promptTemplate', { promptTemplate: 'a\0b' }],
    ['tier', { tier: 'huge' }],
    ['tools.0', { tools: ['Bash(rm *)'] }],
    ['limits.maxTurns', { limits: { maxTurns: 0 } }],
    ['limits.timeoutSeconds', { limits: { timeoutSeconds: 1.5 } }],
    ['limits.budgetUsd', { limits: { budgetUsd: -1 } }],
    ['', { colour: 'blue' }],
  ])('is refused with a bad %s: %j', async (path, more) => {
    const { status, errors } = await api.refusal('POST', '/api/profiles', { body: { name: 'fine', ...more } });
    expect(status).toBe(400);
    expect(errors?.[0]).toMatchObject({ path, message: expect.stringMatching(/./) });
  });

  test('says which placeholders nothing could be put in for, and which there are', async () => {
    const { detail } = await api.refusal('POST', '/api/profiles', { body: { name: 'x', promptTemplate: '{{autor}} {{title}} {{x y}}' } });
    expect(detail).toContain('{{autor}}, {{x y}}');
    expect(detail).toContain('title, body, repository, ref, branch');
  });

  test('cannot name an engine that there is not', async () => {
    expect(await api.refusal('POST', '/api/profiles', { body: { name: 'x', engine: 'steam' } })).toMatchObject({
      status: 422,
      code: 'unknown-engine',
    });
  });
});

describe('a task', () => {
  const waiting = (more: object): Promise<ApiTask> => api.submit({ title: 'later', notBefore: '2099-01-01T00:00:00Z', ...more });

  test('keeps its profile from being deleted until it is over', async () => {
    const { name } = await make();
    const task = await waiting({ profile: name, tier: 'light', labels: ['bug', 'bug', 'ui'] });
    expect(task).toMatchObject({ profile: name, tier: 'light', labels: ['bug', 'ui'] });
    expect(await api.refusal('DELETE', `/api/profiles/${name}`)).toMatchObject({
      status: 409,
      code: 'profile-in-use',
      details: { openTasks: 1 },
    });
    await api.call('POST', `/api/tasks/${task.id}/cancel`);
    expect((await api.call('DELETE', `/api/profiles/${name}`)).status).toBe(204);
    expect(await api.task(task.id)).toMatchObject({ profile: name });
  });

  test('with a profile that is gone when it is retried waits for a person, who is told what to do', async () => {
    const { name } = await make();
    const { id } = await waiting({ profile: name });
    await api.call('POST', `/api/tasks/${id}/cancel`);
    await api.call('DELETE', `/api/profiles/${name}`);
    await api.call('POST', `/api/tasks/${id}/retry`);
    expect(await api.becomes(id, 'escalated')).toMatchObject({
      reason: { code: 'no-such-profile', message: expect.stringContaining(`profiles set ${name}`) },
    });
    await api.call('POST', '/api/profiles', { body: { name } });
    await api.call('POST', `/api/tasks/${id}/retry`);
    await api.becomes(id, 'succeeded');
  });

  test('cannot name a profile that there is not, nor a bad tier or label', async () => {
    expect(await api.refusal('POST', '/api/tasks', { body: { title: 'x', body: 'true', profile: 'nobody' } })).toMatchObject({
      status: 422,
      code: 'unknown-profile',
      detail: expect.stringContaining('"nobody"'),
    });
    for (const bad of [{ tier: 'huge' }, { labels: ['a\nb'] }, { labels: 'bug' }, { profile: 'No Such' }]) {
      expect(await api.refusal('POST', '/api/tasks', { body: { title: 'x', body: 'true', ...bad } })).toMatchObject({ status: 400 });
    }
  });

  test('is judged by the engine of its profile', async () => {
    const { name } = await make({ engine: 'claude' });
    expect(await api.refusal('POST', '/api/tasks', { body: { title: 'x' } })).toMatchObject({ code: 'cannot-run' });
    const { status, body } = await api.call<ApiTask>('POST', '/api/tasks', { body: { title: 'x', profile: name } });
    expect(status).toBe(201);
    await api.becomes(body.id, 'escalated');
    expect((await api.run((await api.task(body.id)).runs[0]?.id ?? '')).engine).toBe('claude');
  });

  test('runs no longer than its profile allows', async () => {
    const { name } = await make({ limits: { timeoutSeconds: 1 } });
    const { id } = await api.submit({ title: 'x', body: 'sleep 60', profile: name });
    expect(await api.becomes(id, 'delayed')).toMatchObject({ reason: { code: 'timeout', message: expect.stringContaining('1 seconds') } });
    await api.call('POST', `/api/tasks/${id}/cancel`);
  });
});
